#include "cli/explain_record.h"

#include <stdio.h>

#include "registry/change.h"
#include "registry/index.h"

#define LOCK_WAIT_MS 10000

typedef struct found {
    int64_t clients[HC_LIMIT_MATCHES];
    size_t count;
} found;

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    found *f = arg;
    for (size_t i = 0; i < f->count; i++)
        if (f->clients[i] == row->client_id)
            return 0;
    if (f->count < HC_LIMIT_MATCHES)
        f->clients[f->count++] = row->client_id;
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* All that is on record under this issuer and serial, in ascending order as the index wants it. */
static int fill(hc_registry *r, const hc_cert *cert, hc_index *x, hc_err *err)
{
    found f = {.count = 0};
    hc_certificate_filter filter = {.issuer_sha256 = hc_cert_issuer_sha256(cert),
                                    .serial = hc_cert_serial(cert)};
    int rc = hc_registry_begin(r, false, err);
    if (rc != 0)
        return rc;
    rc = r->engine->certificates(r, &filter, on_certificate, &f, err);
    qsort(f.clients, f.count, sizeof(f.clients[0]), by_id);
    if (rc == 0)
        rc = hc_index_update(x, r, f.clients, f.count, err);
    hc_registry_rollback(r);
    return rc;
}

typedef struct lookup {
    hc_lookup vtable; /* first */
    hc_index *index;
} lookup;

static uint64_t generation(hc_lookup *l, uint64_t now_ms)
{
    (void)now_ms;
    return hc_index_generation(((lookup *)l)->index);
}

static void find(hc_lookup *l, const hc_cert *cert, uint64_t now_ms, hc_lookup_answer *out)
{
    bool pinned;
    (void)now_ms;
    hc_index_find(((lookup *)l)->index, cert, out, &pinned);
}

int hc_explain_record(const hc_settings *s, const hc_cert *cert, hc_verdict *v, hc_record **record,
                      hc_err *err)
{
    hc_registry_options o = {s->registry, s->state, HC_REGISTRY_READ, LOCK_WAIT_MS};
    lookup l = {{generation, find}, NULL};
    hc_registry *r = NULL;
    int64_t id;
    hc_err why = {0};
    int rc = hc_index_new(&l.index, err);
    if (rc != 0)
        return rc;
    rc = hc_registry_open(&o, &r, &why);
    if (rc == 0)
        rc = fill(r, cert, l.index, &why);
    if (rc == 0) {
        hc_verdict_with_record(v, &l.vtable, cert, s->admit_unknown, 0, record, &id);
    } else {
        v->code = HC_VERDICT_REGISTRY_UNAVAILABLE;
        (void)snprintf(v->detail, sizeof(v->detail), "%.*s", (int)sizeof(v->detail) - 1, why.text);
        for (char *at = v->detail; *at; at++)
            if (*at < ' ' || *at > '~')
                *at = '?';
    }
    hc_registry_close(r);
    hc_index_free(l.index);
    return 0;
}
