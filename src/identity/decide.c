/* The decision about one chain: OpenSSL's verifier, then our own rules, then revocation. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/limits.h"
#include "identity/describe.h"
#include "identity/trust_private.h"
#include "identity/verdict_error.h"
#include "x509/cert.h"
#include "x509/reason.h"
#include "x509/text.h"

/* A refusal on an open connection is made anew this often: time may have changed it. */
#define REFUSAL_GOOD_S 60

/* The first error that OpenSSL reports; it stops there. */
typedef struct first_error {
    int error;
    int depth;
    X509 *cert; /* borrowed from the context */
} first_error;

typedef struct decision {
    hc_trust *trust;
    X509 *leaf;
    STACK_OF(X509) * untrusted; /* of the peer, may be NULL */
    int64_t now_s;
    hc_validity validity; /* of the verified chain and the CRLs used */
    hc_verdict *out;
    hc_err *err;
} decision;

static int on_verify(int ok, X509_STORE_CTX *ctx)
{
    first_error *first = X509_STORE_CTX_get_app_data(ctx);
    if (ok)
        return 1;
    if (first->error == X509_V_OK) {
        first->error = X509_STORE_CTX_get_error(ctx);
        first->depth = X509_STORE_CTX_get_error_depth(ctx);
        first->cert = X509_STORE_CTX_get_current_cert(ctx);
    }
    return 0;
}

static int impossible(decision *d, const char *what)
{
    ERR_clear_error();
    return hc_err_set(d->err, HC_ETLS, "a client's chain cannot be verified (%s)", what);
}

static int64_t add_capped(int64_t time_s, int64_t more_s)
{
    return time_s > INT64_MAX - more_s ? INT64_MAX : time_s + more_s;
}

static void refuse(decision *d, hc_verdict_code code, int error, int depth, const char *detail)
{
    d->out->code = code;
    d->out->error = error;
    d->out->depth = depth;
    d->out->good_until_s = add_capped(d->now_s, REFUSAL_GOOD_S);
    hc_describe_text(hc_slice_text(detail), d->out->detail, sizeof(d->out->detail));
}

static void refuse_for(decision *d, const first_error *first)
{
    char name[HC_DESCRIBE_NAME_BYTES] = "";
    char detail[sizeof(d->out->detail)];
    const char *text = X509_verify_cert_error_string(first->error);
    if (first->depth > 0 && first->cert)
        hc_describe_name(X509_get_subject_name(first->cert), name);
    snprintf(detail, sizeof(detail), "%s%s%.80s", text, name[0] ? ": " : "", name);
    refuse(d, hc_verdict_from_error(first->error), first->error, first->depth, detail);
    int64_t begin_s;
    if (first->error == X509_V_ERR_CERT_NOT_YET_VALID && first->cert &&
        hc_asn1_time(X509_get0_notBefore(first->cert), &begin_s, NULL) == 0 &&
        begin_s <= d->out->good_until_s)
        d->out->good_until_s = begin_s - 1;
}

static void admit(decision *d, hc_validity validity)
{
    d->out->code = HC_VERDICT_OK;
    d->out->good_until_s = validity.until_s;
    if (d->trust->max_age_s > 0) {
        int64_t aged_s = add_capped(d->now_s, d->trust->max_age_s);
        if (aged_s < d->out->good_until_s)
            d->out->good_until_s = aged_s;
    }
}

/* Of the digests of all certificates in their order: one for a chain, whatever X509 objects hold
 * it. */
static int cache_key(decision *d, uint8_t key[HC_CACHE_KEY_BYTES])
{
    uint8_t digests[(HC_LIMIT_CERT_CHAIN + 1) * HC_CACHE_KEY_BYTES];
    size_t size = HC_CACHE_KEY_BYTES;
    unsigned digest_size = 0;
    if (X509_digest(d->leaf, d->trust->sha256, digests, &digest_size) != 1)
        return impossible(d, "SHA-256");
    for (int i = 0; i < sk_X509_num(d->untrusted); i++) {
        if (X509_digest(sk_X509_value(d->untrusted, i), d->trust->sha256, digests + size,
                        &digest_size) != 1)
            return impossible(d, "SHA-256");
        size += HC_CACHE_KEY_BYTES;
    }
    if (EVP_Digest(digests, size, key, &digest_size, d->trust->sha256, NULL) != 1)
        return impossible(d, "SHA-256");
    return 0;
}

/* 0: well-formed; 1: refused; negative: no decision. */
static int check_form_of(decision *d, X509 *x, int depth)
{
    hc_cert *c = NULL;
    hc_err why = {0};
    int rc = hc_cert_from_x509(x, &c, &why);
    if (rc == 0) {
        hc_cert_unref(c);
        return 0;
    }
    if (rc != -HC_EFORMAT)
        return hc_err_set(d->err, -rc, "%s", why.text);
    refuse(d, HC_VERDICT_MALFORMED, X509_V_OK, depth, why.text);
    return 1;
}

static int check_form(decision *d)
{
    int rc = check_form_of(d, d->leaf, 0);
    int depth = 1;
    for (int i = 0; rc == 0 && i < sk_X509_num(d->untrusted); i++) {
        X509 *x = sk_X509_value(d->untrusted, i);
        if (x != d->leaf)
            rc = check_form_of(d, x, depth++);
    }
    return rc;
}

/* What the peer sent, and the named CAs that end no chain. */
static STACK_OF(X509) * helpers(const decision *d)
{
    int sent = d->untrusted ? sk_X509_num(d->untrusted) : 0;
    int inner = sk_X509_num(d->trust->inner);
    STACK_OF(X509) *all = sk_X509_new_reserve(NULL, sent + inner);
    for (int i = 0; all && i < inner; i++)
        sk_X509_push(all, sk_X509_value(d->trust->inner, i)); /* reserved: cannot fail */
    for (int i = 0; all && i < sent; i++)
        sk_X509_push(all, sk_X509_value(d->untrusted, i));
    return all;
}

static void refuse_at(decision *d, int error, int depth, X509 *cert)
{
    refuse_for(d, &(first_error){.error = error, .depth = depth, .cert = cert});
}

/* RFC 5246 section 7.4.6, RFC 8446 section 4.4.2.3: a client signs with its key. OpenSSL is content
 * with keyAgreement. */
static int check_key_usage(decision *d)
{
    if (X509_get_key_usage(d->leaf) & KU_DIGITAL_SIGNATURE)
        return 0;
    refuse_at(d, X509_V_ERR_INVALID_PURPOSE, 0, d->leaf);
    return 1;
}

/* The time of a chain is that in which all its certificates are valid. */
static int take_validity(decision *d, const STACK_OF(X509) * chain)
{
    d->validity = (hc_validity){INT64_MIN, INT64_MAX};
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t from_s = 0;
        int64_t end_s = 0;
        const X509 *x = sk_X509_value(chain, i);
        int rc = hc_asn1_time(X509_get0_notBefore(x), &from_s, d->err);
        if (rc == 0)
            rc = hc_asn1_time(X509_get0_notAfter(x), &end_s, d->err);
        if (rc < 0)
            return rc;
        if (from_s > d->validity.from_s)
            d->validity.from_s = from_s;
        /* OpenSSL takes a certificate for expired in the very second of notAfter. */
        if (end_s - 1 < d->validity.until_s)
            d->validity.until_s = end_s - 1;
    }
    return 0;
}

static void refuse_revoked(decision *d, const hc_revocation_answer *answer, int depth,
                           const X509 *issuer)
{
    char time[HC_DESCRIBE_TIME_BYTES];
    char name[HC_DESCRIBE_NAME_BYTES];
    char detail[sizeof(d->out->detail)];
    const char *reason = hc_reason_name(answer->reason);
    hc_describe_time(answer->revoked_at_s, time);
    hc_describe_name(X509_get_subject_name(issuer), name);
    snprintf(detail, sizeof(detail), "by CRL since %s, %s, issuer %.80s", time,
             *reason ? reason : "no reason given", name);
    refuse(d, HC_VERDICT_REVOKED, answer->error, depth, detail);
}

/* 0: not revoked; 1: refused. */
static int check_status(decision *d, const STACK_OF(X509) * chain, int depth)
{
    X509 *cert = sk_X509_value(chain, depth);
    X509 *issuer = sk_X509_value(chain, depth + 1);
    hc_revocation_answer answer = hc_revocation_check(d->trust->revocation, cert, issuer, d->now_s);
    if (answer.status == HC_REVOCATION_REVOKED) {
        refuse_revoked(d, &answer, depth, issuer);
        return 1;
    }
    if (answer.status != HC_REVOCATION_GOOD) {
        refuse_at(d, answer.error, depth, issuer);
        d->out->code = HC_VERDICT_STATUS_UNKNOWN;
        return 1;
    }
    if (answer.valid_from_s > d->validity.from_s)
        d->validity.from_s = answer.valid_from_s;
    if (answer.valid_until_s - 1 < d->validity.until_s)
        d->validity.until_s = answer.valid_until_s - 1;
    return 0;
}

/* Every certificate below the anchor, or the client's alone. The anchor's own standing is the
 * operator's word: no CA above it was named. */
static int check_revocation(decision *d, const STACK_OF(X509) * chain)
{
    int end = sk_X509_num(chain) - 1;
    int rc = 0;
    if (!d->trust->revocation)
        return 0;
    if (d->trust->crl_leaf_only && end > 1)
        end = 1;
    for (int i = 0; rc == 0 && i < end; i++)
        rc = check_status(d, chain, i);
    return rc;
}

/* Only chains of which every certificate sent was used: the holder of one certificate could else
 * fill the cache by sending it with ever other companions. */
static bool worth_keeping(const decision *d, const STACK_OF(X509) * chain)
{
    int sent = d->untrusted ? sk_X509_num(d->untrusted) : 0;
    if (sent > sk_X509_num(chain))
        return false;
    for (int i = 0; i < sent; i++) {
        bool found = false;
        for (int j = 0; !found && j < sk_X509_num(chain); j++)
            found = X509_cmp(sk_X509_value(d->untrusted, i), sk_X509_value(chain, j)) == 0;
        if (!found)
            return false;
    }
    return true;
}

static int judge_chain(decision *d, const STACK_OF(X509) * chain,
                       const uint8_t key[HC_CACHE_KEY_BYTES])
{
    if (sk_X509_num(chain) < 1)
        return impossible(d, "no chain");
    int rc = check_key_usage(d);
    if (rc == 0)
        rc = take_validity(d, chain);
    if (rc == 0)
        rc = check_revocation(d, chain);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    admit(d, d->validity);
    if (worth_keeping(d, chain))
        hc_cache_put(d->trust->cache, key, d->validity);
    return 0;
}

static int verify(decision *d, const uint8_t key[HC_CACHE_KEY_BYTES])
{
    first_error first = {.error = X509_V_OK};
    STACK_OF(X509) *all = helpers(d);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int rc;
    if (!all || !ctx || X509_STORE_CTX_init(ctx, d->trust->store, d->leaf, all) != 1) {
        rc = impossible(d, "memory");
        goto out;
    }
    X509_STORE_CTX_set_time(ctx, 0, (time_t)d->now_s);
    X509_STORE_CTX_set_app_data(ctx, &first);
    X509_STORE_CTX_set_verify_cb(ctx, on_verify);
    int verified = X509_verify_cert(ctx);
    int last = X509_STORE_CTX_get_error(ctx);
    if (verified == 1 && first.error == X509_V_OK && last == X509_V_OK) {
        rc = judge_chain(d, X509_STORE_CTX_get0_chain(ctx), key);
        goto out;
    }
    if (first.error == X509_V_OK)
        first.error = last;
    if (first.error == X509_V_OK || hc_verdict_error_is_internal(first.error)) {
        rc = impossible(d, X509_verify_cert_error_string(first.error));
        goto out;
    }
    refuse_for(d, &first);
    rc = 0;
out:
    X509_STORE_CTX_free(ctx);
    sk_X509_free(all);
    ERR_clear_error();
    return rc;
}

static int decide(decision *d)
{
    uint8_t key[HC_CACHE_KEY_BYTES];
    hc_validity kept;
    if (d->untrusted && sk_X509_num(d->untrusted) > HC_LIMIT_CERT_CHAIN) {
        refuse(d, HC_VERDICT_UNTRUSTED_ISSUER, X509_V_ERR_CERT_CHAIN_TOO_LONG, 0,
               "too many certificates were sent");
        return 0;
    }
    int rc = cache_key(d, key);
    if (rc < 0)
        return rc;
    if (hc_cache_find(d->trust->cache, key, &kept) && d->now_s >= kept.from_s &&
        d->now_s <= kept.until_s) {
        admit(d, kept);
        return 0;
    }
    rc = check_form(d);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    return verify(d, key);
}

int hc_trust_decide(hc_trust *t, X509 *leaf, STACK_OF(X509) * untrusted, int64_t now_s,
                    hc_verdict *out, hc_err *err)
{
    decision d = {
        .trust = t, .leaf = leaf, .untrusted = untrusted, .now_s = now_s, .out = out, .err = err};
    *out = (hc_verdict){.code = HC_VERDICT_STATUS_UNKNOWN,
                        .good_until_s = INT64_MIN,
                        .chain_generation = t->generation};
    int rc = decide(&d);
    if (rc < 0) {
        *out = (hc_verdict){.code = HC_VERDICT_STATUS_UNKNOWN,
                            .good_until_s = INT64_MIN,
                            .chain_generation = t->generation};
        hc_describe_text(HC_SLICE_LITERAL("no decision was possible"), out->detail,
                         sizeof(out->detail));
    }
    return rc;
}
