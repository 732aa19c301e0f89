#include <stdatomic.h>

#include "base/mem.h"
#include "identity/describe.h"
#include "identity/lookup.h"
#include "x509/reason.h"

struct hc_record {
    atomic_uint refs;
    uint16_t name_size, roles_size;
    uint32_t attributes_size;
    int64_t client_id;
    uint8_t text[]; /* name, roles, attributes */
};

hc_record *hc_record_new(int64_t client_id, hc_slice name, hc_slice roles, hc_slice attributes)
{
    if (name.size > HC_LIMIT_CLIENT_NAME || roles.size > HC_LIMIT_CLIENT_ROLES ||
        attributes.size > HC_LIMIT_CLIENT_ATTRIBUTES)
        return NULL;
    hc_record *r = hc_alloc(sizeof *r + name.size + roles.size + attributes.size);
    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    r->client_id = client_id;
    r->name_size = (uint16_t)name.size;
    r->roles_size = (uint16_t)roles.size;
    r->attributes_size = (uint32_t)attributes.size;
    uint8_t *at = r->text;
    const hc_slice parts[] = {name, roles, attributes};
    for (size_t i = 0; i < HC_COUNT(parts); i++) {
        if (parts[i].size)
            memcpy(at, parts[i].at, parts[i].size);
        at += parts[i].size;
    }
    return r;
}

hc_record *hc_record_ref(hc_record *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void hc_record_unref(hc_record *r)
{
    if (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        hc_free(r);
}

int64_t hc_record_client_id(const hc_record *r)
{
    return r->client_id;
}

hc_slice hc_record_name(const hc_record *r)
{
    return hc_slice_of(r->text, r->name_size);
}

hc_slice hc_record_roles(const hc_record *r)
{
    return hc_slice_of(r->text + r->name_size, r->roles_size);
}

hc_slice hc_record_attributes(const hc_record *r)
{
    return hc_slice_of(r->text + r->name_size + r->roles_size, r->attributes_size);
}

bool hc_record_has_role(const hc_record *r, hc_slice role)
{
    hc_slice rest = hc_record_roles(r);
    while (rest.size) {
        const uint8_t *space = memchr(rest.at, ' ', rest.size);
        hc_slice one = hc_slice_of(rest.at, space ? (size_t)(space - rest.at) : rest.size);
        if (hc_slice_equal(one, role))
            return true;
        rest = hc_slice_from(rest, one.size + (space ? 1 : 0));
    }
    return false;
}

static void describe(hc_verdict *v, const hc_lookup_answer *a)
{
    char since[HC_DESCRIBE_TIME_BYTES] = "";
    const char *reason = a->code == HC_VERDICT_REVOKED ? hc_reason_name(a->reason) : "";
    const char *what = NULL;
    if (a->since_s)
        hc_describe_time(a->since_s, since);
    switch (a->code) {
    case HC_VERDICT_REVOKED:
        what = "by the registry";
        break;
    case HC_VERDICT_SUSPENDED:
        what = "the client's record is suspended";
        break;
    case HC_VERDICT_RECORD_MISMATCH:
        what = "another certificate is on record under this issuer and serial";
        break;
    case HC_VERDICT_REGISTRY_UNAVAILABLE:
        what = "the registry cannot be read";
        break;
    default:
        break;
    }
    if (what)
        (void)snprintf(v->detail, sizeof v->detail, "%s%s%s%s%s", what, *since ? " since " : "",
                       since, *reason ? ", " : "", reason);
}

void hc_verdict_with_record(hc_verdict *v, hc_lookup *l, const hc_cert *cert, bool admit_unknown,
                            uint64_t now_ms, hc_record **record, int64_t *certificate_id)
{
    hc_lookup_answer a = {.code = HC_VERDICT_REGISTRY_UNAVAILABLE};
    *record = NULL;
    *certificate_id = 0;
    v->record_generation = 0;
    if (!l || v->code != HC_VERDICT_OK)
        return;
    /* Taken before the lookup: a change between the two is then found by the next request. */
    v->record_generation = l->generation(l, now_ms);
    l->find(l, cert, now_ms, &a);
    *certificate_id = a.certificate_id;
    if (a.code == HC_VERDICT_NOT_IN_REGISTRY && admit_unknown)
        return;
    if (a.code == HC_VERDICT_OK && a.record) {
        *record = a.record;
        return;
    }
    hc_record_unref(a.record);
    v->code = a.code != HC_VERDICT_OK ? a.code : HC_VERDICT_REGISTRY_UNAVAILABLE;
    /* Of no moment of the registry: it holds only as long as there is none to be had. */
    if (v->code == HC_VERDICT_REGISTRY_UNAVAILABLE)
        v->record_generation = 0;
    describe(v, &a);
}
