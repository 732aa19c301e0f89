/* Writes one of each certificate, request and list that the authority makes, as PEM, into the
 * folder that is named: for linters (tests/interop/test_linters.py). */
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "authority/crl.h"
#include "authority/issue.h"
#include "authority/key_pem.h"
#include "authority/p12.h"

#define S(literal) HC_SLICE_LITERAL(literal)

static const char *folder;
static int64_t now_s;
static hc_err err;

static void ok(int rc)
{
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static FILE *file(const char *kind, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s-%s.pem", folder, kind, name);
    FILE *f = fopen(path, "w");
    if (!f) {
        perror(path);
        exit(1);
    }
    return f;
}

static void put_cert(const char *kind, const char *name, X509 *x)
{
    FILE *f = file(kind, name);
    ok(PEM_write_X509(f, x) == 1 && fclose(f) == 0 ? 0 : -1);
}

static X509 *issue(const hc_profile *p, const hc_holder *h, EVP_PKEY *key, X509 *ca,
                   EVP_PKEY *ca_key)
{
    X509 *x = NULL;
    ok(hc_issue(p, h, key, ca, ca_key, &x, &err));
    return x;
}

static void leaf(const char *profile, const char *name, const hc_san *sans, size_t count,
                 hc_key_type type, X509 *ca, EVP_PKEY *ca_key)
{
    hc_profile p = *hc_profile_builtin(hc_slice_text(profile));
    hc_holder h = {"sample 1", sans, count, now_s};
    EVP_PKEY *key = NULL;
    if (p.kind == HC_PROFILE_SERVER)
        h.name = NULL;
    if (strstr(name, "own")) {
        (void)snprintf(p.subject, sizeof(p.subject), "CN={name}, OU=Meters, O=Example, C=DE");
        (void)snprintf(p.crl_url, sizeof(p.crl_url), "http://pki.example.org/ca.crl");
        p.lifetime_s = 90 * HC_PROFILE_DAY_S;
    }
    ok(hc_key_new(type, &key, &err));
    X509 *x = issue(&p, &h, key, ca, ca_key);
    put_cert("leaf", name, x);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void put_crl(const char *name, int revoked, X509 *ca, EVP_PKEY *ca_key)
{
    static const int reasons[] = {HC_REASON_NONE, 0, 1, 2, 3, 4, 5, 6, 9, 10};
    hc_crl_terms terms = {12, now_s, now_s + 7 * HC_PROFILE_DAY_S};
    hc_crl *c = NULL;
    X509_CRL *crl = NULL;
    ok(hc_crl_new(&c, &err));
    for (int i = 0; i < revoked; i++) {
        hc_revoked r = {.serial = {.size = 3, .octets = {0x80, (uint8_t)(i / 256), (uint8_t)i}},
                        .revoked_s = now_s - i,
                        .reason = reasons[(size_t)i % HC_COUNT(reasons)]};
        ok(hc_crl_add(c, &r, &err));
    }
    ok(hc_crl_sign(c, &terms, ca, ca_key, &crl, &err));
    FILE *f = file("crl", name);
    ok(PEM_write_X509_CRL(f, crl) == 1 && fclose(f) == 0 ? 0 : -1);
    X509_CRL_free(crl);
    hc_crl_free(c);
}

static void put_bytes(const char *kind, const char *name, hc_slice bytes)
{
    FILE *f = file(kind, name);
    ok(fwrite(bytes.at, 1, bytes.size, f) == bytes.size && fclose(f) == 0 ? 0 : -1);
}

/* The passphrase is "secret". */
static void put_secrets(X509 *ca, EVP_PKEY *ca_key)
{
    hc_holder h = {.name = "alice", .now_s = now_s};
    EVP_PKEY *key = NULL;
    BIO *bio = NULL;
    char *at = NULL;
    ok(hc_key_new(HC_KEY_P256, &key, &err));
    X509 *alice = issue(hc_profile_builtin(S("client")), &h, key, ca, ca_key);
    hc_p12 p = {"alice", key, alice, sk_X509_new_null()};
    if (!p.chain || sk_X509_push(p.chain, ca) < 1)
        exit(1);
    for (int legacy = 0; legacy < 2; legacy++) {
        hc_buf out = hc_buf_init(HC_LIMIT_PKCS12_BYTES);
        ok(hc_p12_write(&p, S("secret"), legacy, &out, &err));
        put_bytes("p12", legacy ? "legacy" : "modern", hc_buf_slice(&out));
        hc_buf_done(&out);
    }
    ok(hc_key_to_pem(key, S("secret"), &bio, &err));
    long size = BIO_get_mem_data(bio, &at);
    put_bytes("key", "encrypted", hc_slice_of(at, (size_t)size));
    put_cert("alice", "of-key", alice);
    BIO_free(bio);
    sk_X509_free(p.chain);
    X509_free(alice);
    EVP_PKEY_free(key);
}

static void of_ca(hc_key_type type)
{
    hc_holder h = {.now_s = now_s};
    EVP_PKEY *key = NULL;
    ok(hc_key_new(type, &key, &err));
    X509 *ca = issue(hc_profile_builtin(S("ca")), &h, key, NULL, NULL);
    put_cert("ca", hc_key_type_name(type), ca);
    put_crl(hc_key_type_name(type), 25, ca, key);
    leaf("client", hc_key_type_name(type), NULL, 0, type, ca, key);
    X509_free(ca);
    EVP_PKEY_free(key);
}

static void intermediate(void)
{
    hc_profile p = *hc_profile_builtin(S("ca"));
    hc_holder of_root = {.name = "Sample Root", .now_s = now_s},
              of_sub = {.name = "Sample Clients", .now_s = now_s};
    EVP_PKEY *key = NULL, *sub_key = NULL;
    p.path_length = 1;
    ok(hc_key_new(HC_KEY_P384, &key, &err));
    ok(hc_key_new(HC_KEY_P256, &sub_key, &err));
    X509 *root = issue(&p, &of_root, key, NULL, NULL);
    p.path_length = 0;
    X509 *sub = issue(&p, &of_sub, sub_key, root, key);
    put_cert("ca", "root", root);
    put_cert("ca", "intermediate", sub);
    put_crl("empty", 0, sub, sub_key);
    X509_free(root);
    X509_free(sub);
    EVP_PKEY_free(key);
    EVP_PKEY_free(sub_key);
}

int main(int argc, char **argv)
{
    static const hc_san mail[] = {{HC_SAN_EMAIL, "alice@example.org"},
                                  {HC_SAN_URI, "spiffe://example.org/staff/alice"}};
    static const hc_san device[] = {{HC_SAN_URI, "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
                                    {HC_SAN_DNS, "meter-1.example.org"},
                                    {HC_SAN_IP, "192.0.2.7"},
                                    {HC_SAN_IP, "2001:db8::7"}};
    static const hc_san server[] = {
        {HC_SAN_DNS, "www.example.org"}, {HC_SAN_DNS, "*.example.org"}, {HC_SAN_IP, "192.0.2.1"}};
    static const hc_san long_host[] = {
        {HC_SAN_DNS, "a-rather-long-name-for-a-host.in-a-rather-deep-zone.of-the.example.org"}};
    if (argc != 2)
        return 2;
    folder = argv[1];
    now_s = (int64_t)time(NULL);
    for (hc_key_type type = HC_KEY_P256; type < HC_KEY_TYPES; type++)
        of_ca(type);
    intermediate();
    hc_holder h = {.now_s = now_s};
    EVP_PKEY *key = NULL;
    ok(hc_key_new(HC_KEY_P256, &key, &err));
    X509 *ca = issue(hc_profile_builtin(S("ca")), &h, key, NULL, NULL);
    leaf("client", "client-names", mail, HC_COUNT(mail), HC_KEY_P256, ca, key);
    leaf("device", "device", device, HC_COUNT(device), HC_KEY_P256, ca, key);
    leaf("device", "own", device, HC_COUNT(device), HC_KEY_ED25519, ca, key);
    leaf("server", "server", server, HC_COUNT(server), HC_KEY_P256, ca, key);
    leaf("server", "server-rsa", server, HC_COUNT(server), HC_KEY_RSA_2048, ca, key);
    leaf("server", "server-without-subject", long_host, 1, HC_KEY_P256, ca, key);
    put_secrets(ca, key);
    X509_free(ca);
    EVP_PKEY_free(key);
    return 0;
}
