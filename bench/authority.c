/* The CA at work: certificates signed, with and without their rows on disk; a revocation list made
 * out of a registry, loaded, and what it costs to decide about a client with it, beside OpenSSL's
 * own check, which is what nginx and others have. One line of JSON.
 *
 *   authority --folder DIR [--entries N] */
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authority/crl_make.h"
#include "authority/issue.h"
#include "base/clock.h"
#include "identity/trust.h"
#include "registry/change.h"
#include "x509/reason.h"

#define SIGNED   2000 /* certificates in memory */
#define ROUNDS   5
#define RECORDED 400 /* and with their rows, each a transaction */
#define REQUIRE(call)                                                                              \
    do {                                                                                           \
        if ((call) != 0) {                                                                         \
            fprintf(stderr, "authority: %s: %s\n", #call, err.text);                               \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

static hc_err err;

typedef struct bench {
    int64_t entries, now_s;
    X509 *ca;
    EVP_PKEY *ca_key;
    hc_csr *csr;
    X509 *certs[SIGNED];
    hc_registry *r;
    hc_crl_made made;
} bench;

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void make_ca(bench *b)
{
    hc_holder holder = {.name = "Bench CA", .now_s = b->now_s};
    EVP_PKEY *key = NULL;
    X509_REQ *req = NULL;
    uint8_t *der = NULL;
    REQUIRE(hc_key_new(HC_KEY_P256, &b->ca_key, &err));
    REQUIRE(hc_issue(hc_profile_builtin(HC_SLICE_LITERAL("ca")), &holder, b->ca_key, NULL, NULL,
                     &b->ca, &err));
    REQUIRE(hc_key_new(HC_KEY_P256, &key, &err));
    REQUIRE(hc_csr_make(key, "client", &req, &err));
    int size = i2d_X509_REQ(req, &der);
    REQUIRE(hc_csr_parse(hc_slice_of(der, (size_t)size), &b->csr, &err));
    OPENSSL_free(der);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
}

static double sign_each(bench *b)
{
    const hc_profile *profile = hc_profile_builtin(HC_SLICE_LITERAL("client"));
    hc_holder holder = {.name = "client", .now_s = b->now_s};
    double began = now_ms();
    for (int i = 0; i < SIGNED; i++)
        REQUIRE(hc_sign_csr(profile, &holder, b->csr, b->ca, b->ca_key, &b->certs[i], &err));
    return SIGNED / (now_ms() - began) * 1e3;
}

static void record(bench *b, const hc_actor *a, int64_t client, X509 *x)
{
    hc_cert *cert = NULL;
    int64_t id;
    REQUIRE(hc_cert_from_x509(x, &cert, &err));
    hc_certificate_new new = {
        .client_id = client, .cert = cert, .origin = HC_ORIGIN_SIGNED, .keep_der = true};
    REQUIRE(hc_registry_begin(b->r, true, &err));
    REQUIRE(hc_change_add_certificate(b->r, a, &new, &id, &err));
    REQUIRE(hc_registry_commit(b->r, &err));
    hc_cert_unref(cert);
}

static double record_each(bench *b)
{
    const hc_profile *profile = hc_profile_builtin(HC_SLICE_LITERAL("client"));
    hc_holder holder = {.name = "client", .now_s = b->now_s};
    hc_actor a = {HC_SLICE_LITERAL("bench"), b->now_s * 1000};
    int64_t client = 0;
    REQUIRE(hc_registry_begin(b->r, true, &err));
    REQUIRE(hc_change_add_client(b->r, &a, HC_SLICE_LITERAL("client"), HC_SLICE_NONE, HC_SLICE_NONE,
                                 &client, &err));
    REQUIRE(hc_registry_commit(b->r, &err));
    double began = now_ms();
    for (int i = 0; i < RECORDED; i++) {
        X509 *x = NULL;
        REQUIRE(hc_sign_csr(profile, &holder, b->csr, b->ca, b->ca_key, &x, &err));
        record(b, &a, client, x);
        X509_free(x);
    }
    return RECORDED / (now_ms() - began) * 1e3;
}

/* Rows as they would be, a client each; their certificates were never made. */
static void add_revoked(bench *b)
{
    uint8_t issuer[32], random[48];
    hc_actor a = {HC_SLICE_LITERAL("bench"), b->now_s * 1000};
    const ASN1_OCTET_STRING *key_id = X509_get0_subject_key_id(b->ca);
    (void)X509_NAME_digest(X509_get_subject_name(b->ca), EVP_sha256(), issuer, NULL);
    REQUIRE(hc_registry_begin(b->r, true, &err));
    for (int64_t i = 0; i < b->entries; i++) {
        char name[32];
        int64_t client, id;
        (void)snprintf(name, sizeof name, "revoked-%lld", (long long)i);
        (void)RAND_bytes(random, sizeof random);
        REQUIRE(hc_change_add_client(b->r, &a, hc_slice_text(name), HC_SLICE_NONE, HC_SLICE_NONE,
                                     &client, &err));
        hc_certificate_row row = {.client_id = client,
                                  .issuer_sha256 = issuer,
                                  .serial = {.size = 16},
                                  .sha256 = random,
                                  .issuer_key_id = hc_slice_of(ASN1_STRING_get0_data(key_id),
                                                               (size_t)ASN1_STRING_length(key_id)),
                                  .issuer = HC_SLICE_LITERAL("CN=Bench CA"),
                                  .subject = hc_slice_text(name),
                                  .not_after_s = b->now_s + 86400,
                                  .status = HC_CERTIFICATE_REVOKED,
                                  .revoked_s = b->now_s - 1,
                                  .reason = i % 2 ? HC_REASON_NONE : 1,
                                  .origin = HC_ORIGIN_ISSUED};
        memcpy(row.serial.octets, random + 32, 16);
        row.serial.octets[0] |= 1;
        REQUIRE(b->r->engine->certificate_add(b->r, &row, &id, &err));
    }
    REQUIRE(hc_registry_commit(b->r, &err));
}

static double make_list(bench *b)
{
    hc_actor a = {HC_SLICE_LITERAL("bench"), b->now_s * 1000};
    double began = now_ms();
    REQUIRE(hc_crl_make(b->r, &a, b->ca, b->ca_key, 0, &b->made, &err));
    return (now_ms() - began) / 1e3;
}

/* ---- deciding ---- */

static hc_trust *load_trust(const bench *b, bool with_list, double *seconds)
{
    hc_trust *t = NULL;
    char *at = NULL;
    BIO *pem = BIO_new(BIO_s_mem());
    (void)PEM_write_bio_X509(pem, b->ca);
    long size = BIO_get_mem_data(pem, &at);
    hc_trust_source ca = {"ca.pem", hc_slice_of(at, (size_t)size)};
    hc_trust_source list = {"ca.crl", hc_buf_slice(&b->made.der)};
    hc_trust_config config = {.cas = &ca,
                              .ca_count = 1,
                              .crls = &list,
                              .crl_count = with_list,
                              .generation = 1,
                              .now_s = b->now_s};
    double began = now_ms();
    REQUIRE(hc_trust_load(&config, &t, &err));
    *seconds = (now_ms() - began) / 1e3;
    BIO_free(pem);
    return t;
}

/* Each chain once: none is in the cache. In µs. */
static double decide_each(const bench *b, bool with_list, double *load_s)
{
    hc_trust *t = load_trust(b, with_list, load_s);
    double began = now_ms();
    for (int i = 0; i < SIGNED; i++) {
        hc_verdict v;
        REQUIRE(hc_trust_decide(t, b->certs[i], NULL, b->now_s, &v, &err));
        if (v.code != HC_VERDICT_OK) {
            fprintf(stderr, "authority: a good client is %s\n", hc_verdict_name(v.code));
            exit(2);
        }
    }
    double us = (now_ms() - began) * 1e3 / SIGNED;
    hc_trust_unref(t);
    return us;
}

/* As a server does that leaves the list to OpenSSL. */
static double verify_each(const bench *b, bool with_list)
{
    X509_STORE *store = X509_STORE_new();
    const unsigned char *at = b->made.der.at;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)b->made.der.size);
    (void)X509_STORE_add_cert(store, b->ca);
    (void)X509_STORE_add_crl(store, crl);
    if (with_list)
        (void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    int count = with_list ? SIGNED / 20 : SIGNED;
    double began = now_ms();
    for (int i = 0; i < count; i++) {
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        (void)X509_STORE_CTX_init(ctx, store, b->certs[i], NULL);
        if (X509_verify_cert(ctx) != 1) {
            fprintf(stderr, "authority: OpenSSL refuses a good client\n");
            exit(2);
        }
        X509_STORE_CTX_free(ctx);
    }
    double us = (now_ms() - began) * 1e3 / count;
    X509_CRL_free(crl);
    X509_STORE_free(store);
    return us;
}

int main(int argc, char **argv)
{
    bench b = {.entries = 100000, .now_s = hc_clock_wall_s()};
    const char *folder = NULL;
    double load_s = 0, unused;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--folder") == 0)
            folder = argv[i + 1];
        else if (strcmp(argv[i], "--entries") == 0)
            b.entries = strtoll(argv[i + 1], NULL, 10);
    }
    if (!folder) {
        fprintf(stderr, "usage: authority --folder DIR [--entries N]\n");
        return 2;
    }
    hc_registry_options o = {"sqlite:registry.db", folder, HC_REGISTRY_CREATE, 60000};
    REQUIRE(hc_registry_open(&o, &b.r, &err));
    make_ca(&b);
    double signed_s = sign_each(&b), recorded_s = record_each(&b);
    add_revoked(&b);
    double make_s = make_list(&b);
    double plain_us = 1e9, list_us = 1e9;
    for (int i = 0; i < ROUNDS; i++) { /* in turns: a machine that slows down does so for both */
        double plain = decide_each(&b, false, &unused), list = decide_each(&b, true, &load_s);
        plain_us = plain < plain_us ? plain : plain_us;
        list_us = list < list_us ? list : list_us;
    }
    double theirs_us = verify_each(&b, false), theirs_list_us = verify_each(&b, true);
    printf("{\"entries\": %lld, \"signed_per_s\": %.0f, \"recorded_per_s\": %.0f, \"crl_make_s\": "
           "%.3f, \"crl_bytes\": %zu, \"crl_load_s\": %.3f, \"decide_us\": %.1f, "
           "\"decide_crl_us\": %.1f, \"openssl_us\": %.1f, \"openssl_crl_us\": %.1f}\n",
           (long long)b.entries, signed_s, recorded_s, make_s, b.made.der.size, load_s, plain_us,
           list_us, theirs_us, theirs_list_us);
    hc_registry_close(b.r);
    return 0;
}
