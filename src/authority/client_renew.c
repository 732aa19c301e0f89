/* Which certificate is to be renewed, and whether it was already. */
#include "authority/client_private.h"
#include "base/mem.h"

/* More are not looked at: hc_change_add_certificate keeps no more either. */
#define ROWS_MAX HC_LIMIT_CLIENT_CERTIFICATES

typedef struct held {
    hc_client_cert *at; /* the active ones of the client */
    size_t count;
} held;

static int on_held(void *arg, const hc_certificate_row *row)
{
    held *h = arg;
    if (h->count == ROWS_MAX)
        return -HC_ELIMIT;
    h->at[h->count++] = (hc_client_cert){.id = row->id,
                                         .client_id = row->client_id,
                                         .not_after_s = row->not_after_s,
                                         .replaces = row->replaces,
                                         .active = true};
    return 0;
}

static const hc_client_cert *find(const held *h, int64_t id)
{
    for (size_t i = 0; id && i < h->count; i++)
        if (h->at[i].id == id)
            return &h->at[i];
    return NULL;
}

static const hc_client_cert *successor_of(const held *h, int64_t id)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->at[i].replaces == id)
            return &h->at[i];
    return NULL;
}

static int choose_named(hc_maker *m, const held *h, int64_t certificate_id, hc_renewal *out)
{
    if (!find(h, certificate_id))
        return hc_err_set(m->err, HC_EDENIED,
                          "this certificate was revoked, and what was revoked is not renewed; "
                          "`handclasp client issue` makes a new one");
    const hc_client_cert *successor = successor_of(h, certificate_id);
    out->replaces = certificate_id;
    out->successor = successor ? successor->id : 0;
    return 0;
}

/* The last of each line of renewals is what could be renewed; those that ended count where there is
 * no other. */
static int choose(hc_maker *m, const held *h, hc_renewal *out)
{
    const hc_client_cert *last = NULL;
    size_t in_force = 0;
    for (size_t i = 0; i < h->count; i++) {
        const hc_client_cert *one = &h->at[i];
        bool good = one->not_after_s == 0 || one->not_after_s > m->now_s;
        if (successor_of(h, one->id))
            continue;
        in_force += good;
        if (!last || good || in_force == 0)
            last = one;
    }
    if (!last)
        return hc_err_set(m->err, HC_ENOENT,
                          "there is no certificate to renew; `handclasp client issue` makes one");
    if (in_force > 1)
        return hc_err_set(m->err, HC_EINVAL,
                          "the client has %zu certificates: name the one to renew by its serial "
                          "(`handclasp client show` lists them)",
                          in_force);
    /* On its way to the client: the one before is good still. */
    const hc_client_cert *before = find(h, last->replaces);
    bool moving = before && before->not_after_s > m->now_s;
    out->replaces = moving ? before->id : last->id;
    out->successor = moving ? last->id : 0;
    return 0;
}

typedef struct names {
    hc_renewal *out;
    const hc_profile *profile;
} names;

static int on_san(void *arg, hc_san_type type, hc_slice value, int nth_of_type)
{
    names *n = arg;
    hc_renewal *r = n->out;
    (void)nth_of_type;
    if (!(n->profile->sans & HC_PROFILE_BIT(type)) || !*hc_san_type_name(type) ||
        r->san_count == HC_LIMIT_SANS)
        return 0;
    char *text = hc_alloc(value.size + 1);
    if (!text)
        return -HC_ENOMEM;
    memcpy(text, value.at, value.size);
    text[value.size] = '\0';
    hc_san *grown = hc_realloc(r->sans, (r->san_count + 1) * sizeof(*grown));
    if (!grown) {
        hc_free(text);
        return -HC_ENOMEM;
    }
    r->sans = grown;
    r->sans[r->san_count++] = (hc_san){type, text};
    return 0;
}

static int match(hc_maker *m, const hc_client_plan *plan, X509 *old, hc_profile *profile)
{
    const hc_profile *found = NULL;
    int rc = hc_profiles_match(plan->profiles, old, plan->name, &found, m->err);
    if (rc == 0)
        *profile = *found;
    return rc;
}

static int take_over(hc_maker *m, const hc_client_plan *plan, hc_profile *profile, hc_renewal *out)
{
    names n = {out, profile};
    X509 *old = NULL;
    int rc = hc_client_cert_load(m, out->replaces, &old);
    if (rc == 0 && old && !plan->profile && plan->profiles)
        rc = match(m, plan, old, profile);
    if (rc == 0 && old && (rc = hc_san_entries(old, on_san, &n, m->err)) == -HC_ENOMEM)
        rc = hc_err_set(m->err, HC_ENOMEM, "out of memory");
    X509_free(old);
    return rc;
}

int hc_renewal_find(hc_maker *m, const hc_client_plan *plan, int64_t client_id,
                    int64_t certificate_id, hc_profile *profile, hc_renewal *out)
{
    held h = {hc_alloc_zero(ROWS_MAX, sizeof(*h.at)), 0};
    hc_certificate_filter f = {.client_id = client_id, .status = HC_CERTIFICATE_ACTIVE};
    *out = (hc_renewal){0};
    if (!h.at)
        return hc_err_set(m->err, HC_ENOMEM, "out of memory");
    int rc = client_id ? m->registry->engine->certificates(m->registry, &f, on_held, &h, m->err)
                       : hc_err_set(m->err, HC_ENOENT, "there is no such client");
    if (rc == 0)
        rc = certificate_id ? choose_named(m, &h, certificate_id, out) : choose(m, &h, out);
    if (rc == 0 && !out->successor)
        rc = take_over(m, plan, profile, out);
    hc_free(h.at);
    return rc;
}

void hc_renewal_done(hc_renewal *r)
{
    for (size_t i = 0; i < r->san_count; i++)
        hc_free((char *)r->sans[i].value);
    hc_free(r->sans);
    *r = (hc_renewal){0};
}
