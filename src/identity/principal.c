#include "identity/principal.h"

#include <stdatomic.h>

#include "base/limits.h"
#include "base/mem.h"

static int keep_chain(hc_principal *p, X509 *leaf, STACK_OF(X509) * chain, hc_err *err)
{
    int count = chain ? sk_X509_num(chain) : 0;
    if (count <= 0)
        return 0;
    if (count > HC_LIMIT_CERT_CHAIN)
        return hc_err_set(err, HC_ELIMIT, "the peer sent more than %d certificates",
                          HC_LIMIT_CERT_CHAIN);
    p->chain = hc_alloc_zero((size_t)count, sizeof(*p->chain));
    if (!p->chain)
        return hc_err_set(err, HC_ENOMEM, "no memory for a client's chain");
    int rc = 0;
    for (int i = 0; rc == 0 && i < count; i++) {
        X509 *x = sk_X509_value(chain, i);
        if (x == leaf || X509_cmp(x, leaf) == 0)
            continue;
        rc = hc_cert_from_x509(x, &p->chain[p->chain_count], err);
        if (rc == 0)
            p->chain_count++;
    }
    return rc;
}

int hc_principal_new(X509 *leaf, STACK_OF(X509) * chain, hc_principal **out, hc_err *err)
{
    hc_principal *p = hc_alloc_zero(1, sizeof(*p));
    if (!p)
        return hc_err_set(err, HC_ENOMEM, "no memory for a client");
    atomic_init(&p->refs, 1);
    int rc = hc_cert_from_x509(leaf, &p->cert, err);
    if (rc == 0)
        rc = keep_chain(p, leaf, chain, err);
    if (rc < 0) {
        hc_principal_unref(p);
        return rc;
    }
    *out = p;
    return 0;
}

hc_principal *hc_principal_ref(hc_principal *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void hc_principal_unref(hc_principal *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < p->chain_count; i++)
        hc_cert_unref(p->chain[i]);
    hc_free(p->chain);
    hc_cert_unref(p->cert);
    hc_free(p);
}

bool hc_principal_same(const hc_principal *a, const hc_principal *b)
{
    if (a == b)
        return true;
    if (a->chain_count != b->chain_count ||
        memcmp(hc_cert_sha256(a->cert), hc_cert_sha256(b->cert), 32) != 0)
        return false;
    for (size_t i = 0; i < a->chain_count; i++)
        if (memcmp(hc_cert_sha256(a->chain[i]), hc_cert_sha256(b->chain[i]), 32) != 0)
            return false;
    return true;
}

int hc_principal_variables(const hc_principal *p, hc_variable_each each, void *arg, hc_err *err)
{
    int rc = hc_variables_client(p->cert, each, arg, err);
    return rc == 0 ? hc_variables_chain(p->chain, p->chain_count, each, arg, err) : rc;
}

int64_t hc_principal_days_left(const hc_principal *p, int64_t now_s)
{
    return hc_variables_days_left(p->cert, now_s);
}

bool hc_verdict_holds(const hc_verdict *v, uint64_t chain_generation, uint64_t record_generation,
                      int64_t now_s)
{
    return v->chain_generation == chain_generation && v->record_generation == record_generation &&
           now_s <= v->good_until_s;
}

int hc_principal_decide(const hc_principal *p, hc_trust *t, int64_t now_s, hc_verdict *out,
                        hc_err *err)
{
    *out =
        (hc_verdict){.code = HC_VERDICT_STATUS_UNKNOWN, .chain_generation = hc_trust_generation(t)};
    STACK_OF(X509) *chain = NULL;
    int rc = 0;
    if (p->chain_count > 0) {
        chain = sk_X509_new_reserve(NULL, (int)p->chain_count);
        if (!chain)
            return hc_err_set(err, HC_ENOMEM, "no memory to verify a chain");
    }
    for (size_t i = 0; i < p->chain_count; i++)
        sk_X509_push(chain, hc_cert_x509(p->chain[i])); /* reserved: cannot fail */
    rc = hc_trust_decide(t, hc_cert_x509(p->cert), chain, now_s, out, err);
    sk_X509_free(chain);
    return rc;
}
