/* Trusts and verdicts for the certificates of tests/vectors/x509. A test includes this once. */
#ifndef HC_TESTS_UNIT_IDENTITY_TRUST_CASE_H
#define HC_TESTS_UNIT_IDENTITY_TRUST_CASE_H

#include "../x509/vectors.h"
#include "identity/trust.h"

#define TRUST_CASE_FILES 12

/* Lists of names, separated by spaces. */
typedef struct trust_case {
    const char *cas;
    const char *crls; /* NULL: none */
    const char *sent; /* leaf first */
    int64_t now_s;    /* 0: VECTOR_NOW */
    hc_verdict_code code;
    int error;
    int depth;
    const char *detail; /* a word of it, NULL: whatever */
} trust_case;

static inline size_t trust_case_read(const char *names, const char *folder, vector **out)
{
    size_t count = 0;
    char copy[512];
    snprintf(copy, sizeof(copy), "%s", names);
    char *rest = copy;
    for (char *name; (name = strsep(&rest, " "));) {
        assert_true(count < TRUST_CASE_FILES);
        out[count++] = vector_read(folder, name, ".pem");
    }
    return count;
}

/* The result of hc_trust_load for files by name. */
static inline int trust_case_load_as(const char *cas, const char *crls, bool leaf_only,
                                     int64_t now_s, hc_trust **out, hc_err *err)
{
    vector *files[2 * TRUST_CASE_FILES];
    hc_trust_source sources[2 * TRUST_CASE_FILES];
    size_t ca_count = trust_case_read(cas, "chains", files);
    size_t crl_count = crls ? trust_case_read(crls, "crls", files + ca_count) : 0;
    for (size_t i = 0; i < ca_count + crl_count; i++)
        sources[i] =
            (hc_trust_source){i < ca_count ? "ca-file" : "crl-file", vector_slice(files[i])};
    hc_trust_config config = {
        .cas = sources,
        .ca_count = ca_count,
        .crls = sources + ca_count,
        .crl_count = crl_count,
        .crl_leaf_only = leaf_only,
        .generation = 7,
        .now_s = now_s,
    };
    int rc = hc_trust_load(&config, out, err);
    for (size_t i = 0; i < ca_count + crl_count; i++)
        free(files[i]);
    return rc;
}

static inline int trust_case_load(const char *cas, const char *crls, int64_t now_s, hc_trust **out,
                                  hc_err *err)
{
    return trust_case_load_as(cas, crls, false, now_s, out, err);
}

static inline hc_trust *trust_case_trust_as(const char *cas, const char *crls, bool leaf_only)
{
    hc_trust *t = NULL;
    hc_err err = {0};
    if (trust_case_load_as(cas, crls, leaf_only, VECTOR_NOW, &t, &err) != 0)
        fail_msg("%s / %s: %s", cas, crls ? crls : "-", err.text);
    return t;
}

static inline hc_trust *trust_case_trust(const char *cas, const char *crls)
{
    return trust_case_trust_as(cas, crls, false);
}

/* To be freed with sk_X509_pop_free(…, X509_free). */
static inline STACK_OF(X509) * trust_case_chain(const char *names)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    char copy[512];
    snprintf(copy, sizeof(copy), "%s", names);
    char *rest = copy;
    for (char *name; (name = strsep(&rest, " "));)
        sk_X509_push(chain, vector_chain_certificate(name));
    return chain;
}

static inline hc_verdict trust_case_decide(hc_trust *t, const char *sent, int64_t now_s)
{
    hc_verdict v;
    hc_err err = {0};
    STACK_OF(X509) *chain = trust_case_chain(sent);
    if (hc_trust_decide(t, sk_X509_value(chain, 0), chain, now_s, &v, &err) != 0)
        fail_msg("%s: %s", sent, err.text);
    sk_X509_pop_free(chain, X509_free);
    return v;
}

static inline void trust_case_check_as(const trust_case *c, bool leaf_only)
{
    hc_trust *t = trust_case_trust_as(c->cas, c->crls, leaf_only);
    /* Twice: the second answer may come from the cache. */
    for (int round = 0; round < 2; round++) {
        hc_verdict v = trust_case_decide(t, c->sent, c->now_s ? c->now_s : VECTOR_NOW);
        if (v.code != c->code || v.error != c->error || v.depth != c->depth ||
            (c->detail && !strstr(v.detail, c->detail)))
            fail_msg("%s under %s: %s, error %d at depth %d (%s)", c->sent, c->cas,
                     hc_verdict_name(v.code), v.error, v.depth, v.detail);
        assert_int_equal(v.chain_generation, 7);
        assert_int_equal(v.record_generation, 0);
    }
    hc_trust_unref(t);
}

#define trust_case_check_all(rows)                                                                 \
    do {                                                                                           \
        for (size_t i_ = 0; i_ < HC_COUNT(rows); i_++)                                             \
            trust_case_check_as(&(rows)[i_], false);                                               \
    } while (0)

#endif
