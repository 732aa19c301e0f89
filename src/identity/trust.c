/* Loading of a listener's CAs and CRLs.
 *
 * Where a chain may end: at a CA that the operator named and no other named CA issued. So an
 * intermediate alone can be an anchor (X509_V_FLAG_PARTIAL_CHAIN: the operator said so), and where
 * root and intermediate are both named the chain goes up to the root, with the root's constraints,
 * its end and its CRL in force.
 *
 * X509_V_FLAG_X509_STRICT is not set: it refuses CAs without key identifiers and end-entity
 * certificates of version 1, which small authorities make with plain `openssl x509 -req`. That an
 * intermediate must say it is a CA, OpenSSL demands without it. */
#include "identity/trust.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/limits.h"
#include "base/mem.h"
#include "identity/trust_private.h"
#include "x509/pem.h"

/* 112 bits: RSA from 2048, EC from 224, no SHA-1 signatures. */
#define AUTH_LEVEL 2

static int no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "no memory for the CA certificates");
}

static bool contains(const STACK_OF(X509) * list, const X509 *x)
{
    for (int i = 0; i < sk_X509_num(list); i++) {
        if (X509_cmp(sk_X509_value(list, i), x) == 0)
            return true;
    }
    return false;
}

/* Takes its own reference. */
static int push(STACK_OF(X509) * list, X509 *x, hc_err *err)
{
    if (X509_up_ref(x) != 1)
        return no_memory(err);
    if (sk_X509_push(list, x) <= 0) {
        X509_free(x);
        return no_memory(err);
    }
    return 0;
}

static int add_ca(STACK_OF(X509) * cas, X509 *x, hc_err *err)
{
    int is_ca = X509_check_ca(x);
    ERR_clear_error();
    if (is_ca == 0)
        return hc_err_set(err, HC_EFORMAT,
                          "not a CA certificate (basicConstraints CA:TRUE, RFC 5280 section "
                          "4.2.1.9)");
    if (X509_get_extension_flags(x) & EXFLAG_INVALID)
        return hc_err_set(err, HC_EFORMAT, "a CA certificate with a malformed extension");
    if (!X509_get0_pubkey(x)) {
        ERR_clear_error();
        return hc_err_set(err, HC_EFORMAT, "a CA certificate with a key of an unknown kind");
    }
    if (contains(cas, x))
        return 0;
    if (sk_X509_num(cas) >= HC_LIMIT_CA_CERTS)
        return hc_err_set(err, HC_ELIMIT, "more than %d CA certificates", HC_LIMIT_CA_CERTS);
    return push(cas, x, err);
}

typedef struct ca_reader {
    STACK_OF(X509) * cas;
    size_t seen; /* of the source that is being read */
} ca_reader;

static int read_block(void *arg, const char *label, hc_slice der, hc_err *err)
{
    ca_reader *reader = arg;
    if (strcmp(label, "X509 CRL") == 0)
        return hc_err_set(err, HC_EFORMAT,
                          "a CRL among CA certificates would not be looked at: name it with --crl");
    if (strcmp(label, "TRUSTED CERTIFICATE") == 0)
        return hc_err_set(err, HC_EFORMAT,
                          "OpenSSL's own TRUSTED CERTIFICATE: convert it with `openssl x509`");
    if (!hc_pem_is_certificate(label))
        return 0; /* a key, parameters: of no use here */
    const unsigned char *at = der.at;
    X509 *x = d2i_X509(NULL, &at, (long)der.size);
    ERR_clear_error();
    if (!x || at != der.at + der.size) {
        X509_free(x);
        return hc_err_set(err, HC_EFORMAT, "not a certificate, or octets behind it");
    }
    reader->seen++;
    int rc = add_ca(reader->cas, x, err);
    X509_free(x);
    return rc;
}

static int read_cas(const hc_trust_config *config, STACK_OF(X509) * cas, hc_err *err)
{
    if (config->ca_count == 0)
        return hc_err_set(err, HC_EINVAL, "no CA certificates were named");
    for (size_t i = 0; i < config->ca_count; i++) {
        ca_reader reader = {.cas = cas};
        int rc = hc_pem_each(config->cas[i].pem, read_block, &reader, err);
        if (rc == 0 && reader.seen == 0)
            rc = hc_err_set(err, HC_EFORMAT, "no CA certificate in it (a PEM block CERTIFICATE)");
        if (rc < 0) {
            hc_err_context(err, "%s", config->cas[i].name);
            return rc;
        }
    }
    return 0;
}

/* The named CA that issued the one at `index`, -1 where there is none. */
static int parent_of(const STACK_OF(X509) * cas, int index)
{
    X509 *x = sk_X509_value(cas, index);
    if (X509_get_extension_flags(x) & EXFLAG_SS)
        return -1;
    for (int i = 0; i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);
        if (i == index || X509_NAME_cmp(X509_get_subject_name(ca), X509_get_issuer_name(x)) != 0)
            continue;
        if (X509_check_issued(ca, x) == X509_V_OK && X509_verify(x, X509_get0_pubkey(ca)) == 1)
            return i;
    }
    return -1;
}

/* CAs that certify each other and no one above them: each is an anchor, or no chain would ever end.
 */
static bool leads_up(const int *parents, int index, int count)
{
    int at = index;
    for (int steps = 0; steps <= count; steps++) {
        if (parents[at] < 0)
            return true;
        at = parents[at];
    }
    return false;
}

static int place(hc_trust *t, X509 *x, bool inner, hc_err *err)
{
    if (inner)
        return push(t->inner, x, err);
    return X509_STORE_add_cert(t->store, x) == 1 ? 0 : no_memory(err);
}

static int place_all(hc_trust *t, hc_err *err)
{
    int count = sk_X509_num(t->cas);
    int *parents = hc_alloc_zero((size_t)count, sizeof(*parents));
    if (!parents)
        return no_memory(err);
    for (int i = 0; i < count; i++)
        parents[i] = parent_of(t->cas, i);
    ERR_clear_error();
    int rc = 0;
    for (int i = 0; rc == 0 && i < count; i++) {
        bool inner = parents[i] >= 0 && leads_up(parents, i, count);
        rc = place(t, sk_X509_value(t->cas, i), inner, err);
    }
    hc_free(parents);
    return rc;
}

static int collect_names(hc_trust *t, hc_err *err)
{
    for (int i = 0; i < sk_X509_num(t->cas); i++) {
        X509_NAME *name = X509_get_subject_name(sk_X509_value(t->cas, i));
        bool known = false;
        for (int j = 0; !known && j < sk_X509_NAME_num(t->names); j++)
            known = X509_NAME_cmp(sk_X509_NAME_value(t->names, j), name) == 0;
        if (!known && sk_X509_NAME_push(t->names, name) <= 0)
            return no_memory(err);
    }
    return 0;
}

/* Policies: whoever wants some for a purpose asks for them elsewhere, so any is welcome (RFC 5280
 * section 6.1.1 (c)). But a CA that demands one of those below it (policyConstraints) is obeyed. */
static int set_rules(X509_STORE *store, hc_err *err)
{
    X509_VERIFY_PARAM *rules = X509_STORE_get0_param(store);
    if (X509_VERIFY_PARAM_set_purpose(rules, X509_PURPOSE_SSL_CLIENT) != 1 ||
        X509_VERIFY_PARAM_set_trust(rules, X509_TRUST_SSL_CLIENT) != 1 ||
        X509_VERIFY_PARAM_add0_policy(rules, OBJ_nid2obj(NID_any_policy)) != 1 ||
        X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_POLICY_CHECK) !=
            1)
        return hc_err_set(err, HC_ETLS, "OpenSSL refuses the rules for client certificates");
    X509_VERIFY_PARAM_set_auth_level(rules, AUTH_LEVEL);
    X509_VERIFY_PARAM_set_depth(rules, HC_LIMIT_CHAIN_DEPTH);
    return 0;
}

static hc_trust *new_empty(const hc_trust_config *config)
{
    hc_trust *t = hc_alloc_zero(1, sizeof(*t));
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    t->generation = config->generation;
    t->max_age_s = config->max_age_s;
    t->crl_leaf_only = config->crl_leaf_only;
    t->cas = sk_X509_new_null();
    t->inner = sk_X509_new_null();
    t->names = sk_X509_NAME_new_null();
    t->store = X509_STORE_new();
    t->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    t->cache = hc_cache_new();
    if (t->cas && t->inner && t->names && t->store && t->sha256 && t->cache)
        return t;
    hc_trust_unref(t);
    return NULL;
}

int hc_trust_load(const hc_trust_config *config, hc_trust **out, hc_err *err)
{
    hc_trust *t = new_empty(config);
    if (!t)
        return no_memory(err);
    int rc = read_cas(config, t->cas, err);
    if (rc == 0)
        rc = place_all(t, err);
    if (rc == 0)
        rc = collect_names(t, err);
    if (rc == 0)
        rc = set_rules(t->store, err);
    if (rc == 0 && config->crl_count > 0)
        rc = hc_revocation_load(config->crls, config->crl_count, t->cas, config->now_s,
                                &t->revocation, err);
    if (rc < 0) {
        hc_trust_unref(t);
        return rc;
    }
    *out = t;
    return 0;
}

hc_trust *hc_trust_ref(hc_trust *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void hc_trust_unref(hc_trust *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    hc_revocation_free(t->revocation);
    hc_cache_free(t->cache);
    EVP_MD_free(t->sha256);
    X509_STORE_free(t->store);
    sk_X509_NAME_free(t->names);
    sk_X509_pop_free(t->inner, X509_free);
    sk_X509_pop_free(t->cas, X509_free);
    hc_free(t);
}

uint64_t hc_trust_generation(const hc_trust *t)
{
    return t->generation;
}

const STACK_OF(X509_NAME) * hc_trust_names(const hc_trust *t)
{
    return t->names;
}

const STACK_OF(X509) * hc_trust_cas(const hc_trust *t)
{
    return t->cas;
}

int64_t hc_trust_crl_until(const hc_trust *t)
{
    return t->revocation ? hc_revocation_until(t->revocation) : 0;
}
