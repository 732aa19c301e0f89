/* For tests of the index: rows in memory behind an engine that scans them, and certificates made to
 * measure. Failure ends the test. */
#ifndef HC_TESTS_UNIT_REGISTRY_INDEX_WORLD_H
#define HC_TESTS_UNIT_REGISTRY_INDEX_WORLD_H

#include "unit.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "registry/index.h"
#include "x509/reason.h"

#define WORLD_CLIENTS 64
#define WORLD_CERTS   64

typedef struct world_client {
    hc_client_row row;
    hc_certificate_row certs[WORLD_CERTS];
    uint8_t issuer[WORLD_CERTS][32], sha256[WORLD_CERTS][32];
    size_t count;
    bool gone;
} world_client;

typedef struct world {
    hc_registry registry;
    world_client clients[WORLD_CLIENTS]; /* the client with the id i + 1 */
    size_t count;
    int64_t last_certificate;
    size_t fails_after; /* rows; 0: never */
} world;

static int world_scan(hc_registry *r, int64_t client_id, hc_client_each client,
                      hc_certificate_each certificate, void *arg, hc_err *err)
{
    world *w = (world *)r;
    size_t rows = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < w->count; i++) {
        world_client *c = &w->clients[i];
        if (c->gone || (client_id && c->row.id != client_id))
            continue;
        rc = client(arg, &c->row);
        for (size_t k = 0; rc == 0 && k < c->count; k++) {
            rc = certificate(arg, &c->certs[k]);
            if (rc == 0 && w->fails_after && ++rows >= w->fails_after)
                rc = hc_err_set(err, HC_EIO, "the disk is gone");
        }
    }
    return rc;
}

static const hc_registry_engine world_engine = {.scheme = "test", .scan = world_scan};

static inline world *world_new(void)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->registry.engine = &world_engine;
    return w;
}

static inline int64_t world_client_add(world *w, const char *name, const char *roles)
{
    assert_true(w->count < WORLD_CLIENTS);
    world_client *c = &w->clients[w->count++];
    c->row = (hc_client_row){.id = (int64_t)w->count,
                             .name = hc_slice_text(name),
                             .roles = hc_slice_text(roles),
                             .status = HC_CLIENT_ACTIVE};
    return c->row.id;
}

static inline world_client *world_client_of(world *w, int64_t id)
{
    return &w->clients[id - 1];
}

/* A row with the certificate's SHA-256; `known` false: its serial alone. */
static inline hc_certificate_row *world_certificate(world *w, int64_t client, const hc_cert *cert,
                                                    bool known)
{
    world_client *c = world_client_of(w, client);
    assert_true(c->count < WORLD_CERTS);
    size_t k = c->count++;
    memcpy(c->issuer[k], hc_cert_issuer_sha256(cert), 32);
    memcpy(c->sha256[k], hc_cert_sha256(cert), 32);
    c->certs[k] = (hc_certificate_row){.id = ++w->last_certificate,
                                       .client_id = client,
                                       .issuer_sha256 = c->issuer[k],
                                       .serial = *hc_cert_serial(cert),
                                       .sha256 = known ? c->sha256[k] : NULL,
                                       .status = HC_CERTIFICATE_ACTIVE,
                                       .reason = HC_REASON_NONE};
    return &c->certs[k];
}

/* `key_id`: the authority key identifier, NULL for none. `salt` makes certificates that are alike
 * in all else differ. The signature is of a key that is made once. */
static inline hc_cert *world_cert(const char *issuer, const char *serial_hex, const char *key_id,
                                  const char *salt)
{
    static EVP_PKEY *key;
    if (!key)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    hc_cert *out = NULL;
    hc_err err = {0};
    X509 *x = X509_new();
    BIGNUM *n = NULL;
    assert_true(BN_hex2bn(&n, serial_hex) > 0);
    assert_non_null(BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)));
    BN_free(n);
    X509_set_version(x, X509_VERSION_3);
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_UTF8,
                               (const unsigned char *)issuer, -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               (const unsigned char *)salt, -1, -1, 0);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    if (key_id) {
        AUTHORITY_KEYID *a = AUTHORITY_KEYID_new();
        a->keyid = ASN1_OCTET_STRING_new();
        ASN1_OCTET_STRING_set(a->keyid, (const unsigned char *)key_id, (int)strlen(key_id));
        X509_add1_ext_i2d(x, NID_authority_key_identifier, a, 0, 0);
        AUTHORITY_KEYID_free(a);
    }
    assert_true(X509_sign(x, key, NULL) > 0);
    if (hc_cert_from_x509(x, &out, &err) != 0)
        fail_msg("%s", err.text);
    X509_free(x);
    return out;
}

static inline hc_index *world_index(world *w)
{
    hc_index *x = NULL;
    hc_err err = {0};
    assert_int_equal(hc_index_new(&x, &err), 0);
    if (hc_index_load(x, &w->registry, &err) != 0)
        fail_msg("%s", err.text);
    return x;
}

/* What is asked most: the verdict, and whose. The record in `out` is released. */
static inline hc_verdict_code world_ask(hc_index *x, const hc_cert *cert, hc_lookup_answer *out)
{
    hc_lookup_answer mine;
    bool pinned;
    if (!out)
        out = &mine;
    hc_index_find(x, cert, out, &pinned);
    hc_record_unref(out->record);
    return out->code;
}

#endif
