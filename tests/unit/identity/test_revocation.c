#include "identity/revocation.h"

#include <openssl/rsa.h>

#include "trust_case.h"

static void a_revoked_certificate_is_refused_with_its_reason(void **state)
{
    static const trust_case rows[] = {
        {"ca", "alice-revoked", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0,
         "2021-02-03T04:05:06Z, keyCompromise"},
        {"ca", "alice-revoked-without-reason", "alice", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, "no reason given"},
        {"ca", "alice-on-hold", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0,
         "certificateHold"},
        {"ca", "alice-revoked", "bob", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "empty", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "without-extensions", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "many-revoked", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "many-revoked", "rsa", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void what_one_list_revokes_no_other_list_restores(void **state)
{
    static const trust_case rows[] = {
        {"ca", "alice-revoked empty", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0,
         NULL},
        {"ca", "empty alice-revoked", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0,
         NULL},
        {"ca", "alice-removed alice-on-hold", "alice", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, NULL},
        {"ca", "alice-removed", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "alice-revoked-later alice-revoked", "alice", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, "2021-02-03T04:05:06Z"},
        {"ca", "alice-revoked alice-revoked-later", "alice", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, "2021-02-03T04:05:06Z"},
        {"ca", "many-revoked alice-revoked", "bob", 0, HC_VERDICT_OK, 0, 0, ""},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void the_same_serial_of_another_ca_is_not_revoked(void **state)
{
    static const trust_case rows[] = {
        {"ca other-ca", "alice-revoked of-other-ca", "of-other-ca", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca other-ca", "alice-revoked of-other-ca", "alice", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, NULL},
    };
    static const trust_case one_key[] = {
        {"ca cross-signed-a cross-signed-b", "empty of-cross-signed-a-same-serial", "alice", 0,
         HC_VERDICT_OK, 0, 0, ""},
        {"cross-signed-a cross-signed-b ca", "of-cross-signed-a-same-serial empty", "alice", 0,
         HC_VERDICT_OK, 0, 0, ""},
        {"ca cross-signed-a cross-signed-b", "of-cross-signed-a-same-serial alice-revoked", "bob",
         0, HC_VERDICT_OK, 0, 0, ""},
    };
    (void)state;
    trust_case_check_all(rows);
    trust_case_check_all(one_key);
    /* Two CAs of one name, with keys of their own. */
    hc_trust *t = trust_case_trust("ca same-name-ca", "alice-revoked forged");
    assert_int_equal(trust_case_decide(t, "of-same-name-ca", VECTOR_NOW).code, HC_VERDICT_OK);
    assert_int_equal(trust_case_decide(t, "alice", VECTOR_NOW).code, HC_VERDICT_REVOKED);
    hc_trust_unref(t);
}

static void every_certificate_below_the_root_needs_a_list_of_its_issuer(void **state)
{
    static const trust_case rows[] = {
        {"ca other-ca", "of-other-ca", "alice", 0, HC_VERDICT_STATUS_UNKNOWN,
         X509_V_ERR_UNABLE_TO_GET_CRL, 0, NULL},
        {"ca intermediate", "of-intermediate", "via-intermediate", 0, HC_VERDICT_STATUS_UNKNOWN,
         X509_V_ERR_UNABLE_TO_GET_CRL, 1, NULL},
        {"ca intermediate", "empty", "via-intermediate", 0, HC_VERDICT_STATUS_UNKNOWN,
         X509_V_ERR_UNABLE_TO_GET_CRL, 0, NULL},
        {"ca", "empty", "via-intermediate intermediate", 0, HC_VERDICT_STATUS_UNKNOWN,
         X509_V_ERR_UNABLE_TO_GET_CRL, 0, NULL},
        {"ca intermediate", "empty of-intermediate", "via-intermediate", 0, HC_VERDICT_OK, 0, 0,
         ""},
        {"intermediate", "of-intermediate", "via-intermediate", 0, HC_VERDICT_OK, 0, 0, ""},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void a_revoked_intermediate_takes_its_clients_along(void **state)
{
    static const trust_case rows[] = {
        {"ca intermediate", "intermediate-revoked of-intermediate", "via-intermediate", 0,
         HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 1, "cACompromise"},
        {"ca intermediate", "intermediate-revoked of-intermediate", "via-intermediate intermediate",
         0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 1, NULL},
        {"ca intermediate", "empty of-intermediate-alice-revoked", "via-intermediate", 0,
         HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void a_renewed_ca_shares_the_lists_of_its_key(void **state)
{
    static const trust_case rows[] = {
        {"ca-renewed ca", "alice-revoked", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED,
         0, NULL},
        {"ca ca-renewed", "empty", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
    };
    (void)state;
    trust_case_check_all(rows);
}

/* Both are current and have one thisUpdate; a store of OpenSSL's looks at the one it finds first.
 */
static void of_two_lists_of_one_second_the_one_that_revokes_counts(void **state)
{
    static const trust_case rows[] = {
        {"ca", "empty alice-revoked", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0,
         NULL},
        {"ca", "alice-revoked empty", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0,
         NULL},
        {"ca", "alice-revoked many-revoked", "alice", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, NULL},
        {"ca", "alice-revoked many-revoked", "rsa", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED,
         0, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void a_higher_number_does_not_restore_what_a_lower_one_revoked(void **state)
{
    static const trust_case rows[] = {
        {"ca", "number-9-empty number-8-alice-revoked", "alice", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, NULL},
        {"ca", "number-9-empty", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
    };
    (void)state;
    trust_case_check_all(rows);
}

#define SCOPE X509_V_ERR_DIFFERENT_CRL_SCOPE

/* RFC 5280 section 5.2.5. */
static void a_list_for_a_part_says_nothing_of_the_rest(void **state)
{
    static const trust_case rows[] = {
        {"ca", "users-only", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "users-only-alice-revoked", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED,
         0, NULL},
        {"ca", "users-only-alice-revoked empty", "alice", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, NULL},
        {"ca", "cas-only", "alice", 0, HC_VERDICT_STATUS_UNKNOWN, SCOPE, 0, NULL},
        {"ca", "cas-only users-only", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca intermediate", "users-only of-intermediate", "via-intermediate", 0,
         HC_VERDICT_STATUS_UNKNOWN, SCOPE, 1, NULL},
        {"ca intermediate", "cas-only of-intermediate", "via-intermediate", 0, HC_VERDICT_OK, 0, 0,
         ""},
        {"ca intermediate", "of-intermediate users-only cas-only", "via-intermediate", 0,
         HC_VERDICT_OK, 0, 0, ""},
        {"ca", "point-1", "with-point-1", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "point-1", "with-point-2", 0, HC_VERDICT_STATUS_UNKNOWN, SCOPE, 0, NULL},
        {"ca", "point-1", "alice", 0, HC_VERDICT_STATUS_UNKNOWN, SCOPE, 0, NULL},
        {"ca", "point-1", "with-point-1-for-reasons", 0, HC_VERDICT_STATUS_UNKNOWN, SCOPE, 0, NULL},
        {"ca", "point-1", "with-point-1-by-another", 0, HC_VERDICT_STATUS_UNKNOWN, SCOPE, 0, NULL},
        {"ca", "point-1 point-2", "with-point-2", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "point-1 empty", "with-point-2", 0, HC_VERDICT_OK, 0, 0, ""},
        /* One serial is one certificate, whichever list it stands in. */
        {"ca", "point-1 point-2-alice-revoked", "with-point-1", 0, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

/* RFC 5280 section 6.3.3 (f). */
static void a_ca_that_changed_its_key_speaks_of_what_the_old_key_signed(void **state)
{
    static const char cas[] = "ca intermediate intermediate-rekeyed";
    static const trust_case rows[] = {
        {cas, "empty of-rekeyed-intermediate", "via-intermediate", 0, HC_VERDICT_OK, 0, 0, ""},
        {cas, "empty of-rekeyed-intermediate-alice-revoked", "via-intermediate", 0,
         HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0, NULL},
        {cas, "empty of-intermediate of-rekeyed-intermediate-alice-revoked", "via-intermediate", 0,
         HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0, NULL},
        /* The new key is revoked: its word is worth nothing, the old one's is. */
        {cas, "rekeyed-intermediate-revoked of-rekeyed-intermediate", "via-intermediate", 0,
         HC_VERDICT_STATUS_UNKNOWN, X509_V_ERR_CRL_PATH_VALIDATION_ERROR, 0, NULL},
        {cas, "rekeyed-intermediate-revoked of-rekeyed-intermediate of-intermediate",
         "via-intermediate", 0, HC_VERDICT_OK, 0, 0, ""},
        /* A serial that another CA revoked is not the new key's. */
        {"ca intermediate intermediate-rekeyed other-ca",
         "empty of-rekeyed-intermediate of-other-ca-same-serial", "via-intermediate", 0,
         HC_VERDICT_OK, 0, 0, ""},
        /* Its certificate is over. */
        {"ca intermediate intermediate-rekeyed-ended", "empty of-rekeyed-intermediate",
         "via-intermediate", 0, HC_VERDICT_STATUS_UNKNOWN, X509_V_ERR_CRL_HAS_EXPIRED, 0, NULL},
        /* A root whose new key the old one certifies; and one that only has its name. */
        {"ca ca-new-with-old", "of-ca-new-key", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca ca-new-key", "of-ca-new-key", "alice", 0, HC_VERDICT_STATUS_UNKNOWN,
         X509_V_ERR_UNABLE_TO_GET_CRL, 0, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void for_the_leaf_alone_no_list_of_its_cas_is_wanted(void **state)
{
    static const trust_case rows[] = {
        {"ca intermediate", "of-intermediate", "via-intermediate", 0, HC_VERDICT_OK, 0, 0, ""},
        {"ca intermediate", "intermediate-revoked of-intermediate", "via-intermediate", 0,
         HC_VERDICT_OK, 0, 0, ""},
        {"ca intermediate", "of-intermediate-alice-revoked", "via-intermediate", 0,
         HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0, NULL},
        {"ca intermediate", "empty", "via-intermediate", 0, HC_VERDICT_STATUS_UNKNOWN,
         X509_V_ERR_UNABLE_TO_GET_CRL, 0, NULL},
        {"ca", "alice-revoked", "alice", 0, HC_VERDICT_REVOKED, X509_V_ERR_CERT_REVOKED, 0, NULL},
        {"ca", "empty", "alice", 0, HC_VERDICT_OK, 0, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(rows); i++)
        trust_case_check_as(&rows[i], true);
}

static void a_list_that_becomes_stale_admits_nobody_and_still_revokes(void **state)
{
    const int64_t due = 1772323200; /* 2026-03-01 */
    const trust_case rows[] = {
        {"ca", "ends-in-2026", "alice", due - 1, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "ends-in-2026", "alice", due, HC_VERDICT_STATUS_UNKNOWN, X509_V_ERR_CRL_HAS_EXPIRED,
         0, NULL},
        {"ca", "ends-in-2026 empty", "alice", due, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "ends-in-2026 alice-revoked", "alice", due, HC_VERDICT_REVOKED,
         X509_V_ERR_CERT_REVOKED, 0, NULL},
        {"ca", "of-june-2025", "alice", 1748736000, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "empty of-june-2025", "alice", 1748736000 - 1, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "of-june-2025 empty", "alice", 1748736000 - 1, HC_VERDICT_OK, 0, 0, ""},
        {"ca", "of-june-2025", "alice", 1748736000 - 1, HC_VERDICT_STATUS_UNKNOWN,
         X509_V_ERR_CRL_NOT_YET_VALID, 0, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void lists_that_cannot_be_relied_on_do_not_load(void **state)
{
    static const struct {
        const char *cas, *crl, *word;
    } rows[] = {
        {"ca", "stale", "stale"},
        {"ca", "future", "not valid before"},
        {"ca", "no-next-update", "nextUpdate"},
        {"ca", "of-other-ca", "not among the CA certificates"},
        {"ca", "of-intermediate", "add it to them, also where it is an intermediate one"},
        {"ca", "forged", "not signed"},
        {"ca", "forged-with-aki", "not signed"},
        {"ca same-name-ca", "forged-with-aki", "not signed"},
        {"ca", "wrong-aki", "not signed"},
        {"ca", "corrupt", "not signed"},
        {"ca", "delta", "delta"},
        {"ca", "attributes-only", "attribute"},
        {"ca", "some-reasons", "onlySomeReasons"},
        {"ca", "indirect-scope", "indirect"},
        {"ca", "users-only-and-cas-only", "onlyContainsCACerts"},
        {"ca", "scope-not-decodable", "cannot be read"},
        {"ca", "critical-unknown", "critical"},
        {"ca", "critical-unknown-in-entry", "critical"},
        {"ca", "indirect", "indirect"},
        {"ca", "unknown-reason", "reason"},
        {"ca", "sha1", "too weak"},
        {"ca-without-crl-sign", "empty", "not signed"},
        {"ca", "empty stale", "stale"},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        hc_trust *t = NULL;
        hc_err err = {0};
        int rc = trust_case_load(rows[i].cas, rows[i].crl, VECTOR_NOW, &t, &err);
        if (rc != -HC_EFORMAT || t || !strstr(err.text, rows[i].word) ||
            !strstr(err.text, "crl-file"))
            fail_msg("%s: %d, \"%s\"", rows[i].crl, rc, err.text);
    }
}

static void a_list_is_current_from_its_first_second_to_before_its_last(void **state)
{
    static const struct {
        const char *crl;
        int64_t now_s;
        int rc;
    } rows[] = {
        {"of-june-2025", 1748736000 - 1, -HC_EFORMAT},
        {"of-june-2025", 1748736000, 0},
        {"ends-in-2026", 1772323200 - 1, 0},
        {"ends-in-2026", 1772323200, -HC_EFORMAT},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        hc_trust *t = NULL;
        assert_int_equal(trust_case_load("ca", rows[i].crl, rows[i].now_s, &t, NULL), rows[i].rc);
        hc_trust_unref(t);
    }
}

/* The index lies over trust's CAs: free both. */
static hc_revocation *index_of(const hc_trust *t, const char *crl)
{
    hc_revocation *index = NULL;
    vector *v = vector_read("crls", crl, ".pem");
    hc_trust_source source = {crl, vector_slice(v)};
    assert_int_equal(hc_revocation_load(&source, 1, hc_trust_cas(t), VECTOR_NOW, &index, NULL), 0);
    free(v);
    return index;
}

static void serials_of_every_sign_and_size_are_told_apart(void **state)
{
    static const struct {
        const char *serial;
        hc_revocation_status status;
    } rows[] = {
        {"0", HC_REVOCATION_REVOKED},
        {"7", HC_REVOCATION_REVOKED},
        {"-7", HC_REVOCATION_GOOD},
        {"5", HC_REVOCATION_GOOD},
        {"-5", HC_REVOCATION_REVOKED},
        {"700", HC_REVOCATION_GOOD},
        {"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", HC_REVOCATION_REVOKED},
        {"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", HC_REVOCATION_GOOD},
        /* Longer than ours may be: never good. */
        {"1000000000000000000000000000000000000000000", HC_REVOCATION_UNKNOWN},
    };
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    hc_revocation *index = index_of(t, "many-revoked");
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        BIGNUM *number = NULL;
        X509 *client = X509_new();
        BN_hex2bn(&number, rows[i].serial);
        assert_non_null(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(client)));
        hc_revocation_answer a =
            hc_revocation_check(index, client, sk_X509_value(hc_trust_cas(t), 0), VECTOR_NOW);
        if (a.status != rows[i].status)
            fail_msg("%s: %d", rows[i].serial, a.status);
        X509_free(client);
        BN_free(number);
    }
    hc_revocation_free(index);
    hc_trust_unref(t);
}

static int load_crl(hc_slice bytes, hc_err *err)
{
    hc_trust *t = NULL;
    vector *ca = vector_read("chains", "ca", ".pem");
    hc_trust_source ca_source = {"ca-file", vector_slice(ca)};
    hc_trust_source crl_source = {"crl-file", bytes};
    hc_trust_config config = {
        .cas = &ca_source, .ca_count = 1, .crls = &crl_source, .crl_count = 1, .now_s = VECTOR_NOW};
    int rc = hc_trust_load(&config, &t, err);
    hc_trust_unref(t);
    free(ca);
    return rc;
}

static void a_file_without_a_list_is_an_error(void **state)
{
    (void)state;
    vector *ca = vector_read("chains", "ca", ".pem");
    vector *crl = vector_read("crls", "empty", ".pem");
    hc_err err = {0};
    assert_int_equal(load_crl(HC_SLICE_NONE, &err), -HC_EFORMAT);
    assert_non_null(strstr(err.text, "no CRL"));
    assert_int_equal(load_crl(vector_slice(ca), NULL), -HC_EFORMAT);
    assert_int_equal(load_crl(S("0garbage"), NULL), -HC_EFORMAT);
    for (size_t cut = 0; cut < crl->size - 1; cut += 13)
        assert_int_equal(load_crl(hc_slice_of(crl->bytes, cut), NULL), -HC_EFORMAT);
    free(ca);
    free(crl);
}

static void a_list_in_der_loads_and_nothing_may_follow_it(void **state)
{
    (void)state;
    vector *v = vector_read("crls", "empty", ".pem");
    BIO *bio = BIO_new_mem_buf(v->bytes, (int)v->size);
    X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
    uint8_t der[4096] = {0};
    unsigned char *at = der;
    int size = i2d_X509_CRL(crl, &at);
    assert_true(size > 0 && (size_t)size < sizeof(der));
    assert_int_equal(load_crl(hc_slice_of(der, (size_t)size), NULL), 0);
    assert_int_equal(load_crl(hc_slice_of(der, (size_t)size + 1), NULL), -HC_EFORMAT);
    X509_CRL_free(crl);
    BIO_free(bio);
    free(v);
}

static X509_CRL *large_list(const hc_trust *t, EVP_PKEY *key, int count)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *then = ASN1_TIME_set(NULL, VECTOR_NOW - 100);
    ASN1_TIME *due = ASN1_TIME_set(NULL, VECTOR_NOW + 100);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(sk_X509_value(hc_trust_cas(t), 0)));
    X509_CRL_set1_lastUpdate(crl, then);
    X509_CRL_set1_nextUpdate(crl, due);
    for (int i = 0; i < count; i++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        /* Every third number, in an order that is not theirs. */
        ASN1_INTEGER_set_int64(serial, ((int64_t)i * 7919 % count) * 3);
        X509_REVOKED_set_serialNumber(entry, serial);
        X509_REVOKED_set_revocationDate(entry, then);
        X509_CRL_add0_revoked(crl, entry);
        ASN1_INTEGER_free(serial);
    }
    assert_true(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
    ASN1_TIME_free(then);
    ASN1_TIME_free(due);
    return crl;
}

static EVP_PKEY *vector_key(const char *name)
{
    vector *file = vector_read("keys", name, ".key");
    BIO *bio = BIO_new_mem_buf(file->bytes, (int)file->size);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    assert_non_null(key);
    BIO_free(bio);
    free(file);
    return key;
}

/* The result of loading a list that an RSA CA signed by RSASSA-PSS with this digest. */
static int load_pss(EVP_PKEY *key, const EVP_MD *digest, hc_err *err)
{
    hc_trust *t = trust_case_trust("ca", NULL);
    X509 *ca = X509_dup(sk_X509_value(hc_trust_cas(t), 0));
    assert_int_equal(X509_set_pubkey(ca, key), 1);
    STACK_OF(X509) *cas = sk_X509_new_null();
    sk_X509_push(cas, ca);
    EVP_PKEY *ec = vector_key("ca");
    X509_CRL *crl = large_list(t, ec, 3);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *padding = NULL;
    assert_int_equal(EVP_DigestSignInit(ctx, &padding, digest, NULL, key), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING), 1);
    assert_true(X509_CRL_sign_ctx(crl, ctx) > 0);
    unsigned char *der = NULL;
    int size = i2d_X509_CRL(crl, &der);
    hc_trust_source source = {"pss", hc_slice_of(der, (size_t)size)};
    hc_revocation *index = NULL;
    int rc = hc_revocation_load(&source, 1, cas, VECTOR_NOW, &index, err);
    hc_revocation_free(index);
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    X509_CRL_free(crl);
    EVP_PKEY_free(ec);
    sk_X509_pop_free(cas, X509_free);
    hc_trust_unref(t);
    return rc;
}

static void the_digest_of_a_pss_signature_is_looked_at(void **state)
{
    (void)state;
    EVP_PKEY *key = vector_key("rsa");
    hc_err err = {0};
    assert_int_equal(load_pss(key, EVP_sha256(), &err), 0);
    assert_int_equal(load_pss(key, EVP_sha512(), &err), 0);
    assert_int_equal(load_pss(key, EVP_sha1(), &err), -HC_EFORMAT);
    assert_non_null(strstr(err.text, "too weak"));
    EVP_PKEY_free(key);
}

static void a_large_list_answers_for_each_of_its_serials(void **state)
{
    enum { COUNT = 20000 };
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    EVP_PKEY *key = vector_key("ca");
    X509_CRL *crl = large_list(t, key, COUNT);
    unsigned char *der = NULL;
    int size = i2d_X509_CRL(crl, &der);
    assert_true(size > 0);
    hc_trust_source source = {"large", hc_slice_of(der, (size_t)size)};
    hc_revocation *index = NULL;
    assert_int_equal(hc_revocation_load(&source, 1, hc_trust_cas(t), VECTOR_NOW, &index, NULL), 0);
    X509 *ca = sk_X509_value(hc_trust_cas(t), 0);
    X509 *client = X509_new();
    for (int64_t n = 0; n < 3 * COUNT; n += 1 + n % 5) {
        ASN1_INTEGER_set_int64(X509_get_serialNumber(client), n);
        hc_revocation_answer a = hc_revocation_check(index, client, ca, VECTOR_NOW);
        assert_int_equal(a.status, n % 3 == 0 ? HC_REVOCATION_REVOKED : HC_REVOCATION_GOOD);
    }
    X509_free(client);
    hc_revocation_free(index);
    hc_revocation_free(NULL);
    OPENSSL_free(der);
    X509_CRL_free(crl);
    EVP_PKEY_free(key);
    hc_trust_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revoked_certificate_is_refused_with_its_reason),
        cmocka_unit_test(what_one_list_revokes_no_other_list_restores),
        cmocka_unit_test(the_same_serial_of_another_ca_is_not_revoked),
        cmocka_unit_test(every_certificate_below_the_root_needs_a_list_of_its_issuer),
        cmocka_unit_test(a_revoked_intermediate_takes_its_clients_along),
        cmocka_unit_test(a_renewed_ca_shares_the_lists_of_its_key),
        cmocka_unit_test(of_two_lists_of_one_second_the_one_that_revokes_counts),
        cmocka_unit_test(a_higher_number_does_not_restore_what_a_lower_one_revoked),
        cmocka_unit_test(a_list_for_a_part_says_nothing_of_the_rest),
        cmocka_unit_test(a_ca_that_changed_its_key_speaks_of_what_the_old_key_signed),
        cmocka_unit_test(for_the_leaf_alone_no_list_of_its_cas_is_wanted),
        cmocka_unit_test(a_list_that_becomes_stale_admits_nobody_and_still_revokes),
        cmocka_unit_test(lists_that_cannot_be_relied_on_do_not_load),
        cmocka_unit_test(a_list_is_current_from_its_first_second_to_before_its_last),
        cmocka_unit_test(serials_of_every_sign_and_size_are_told_apart),
        cmocka_unit_test(a_file_without_a_list_is_an_error),
        cmocka_unit_test(a_list_in_der_loads_and_nothing_may_follow_it),
        cmocka_unit_test(the_digest_of_a_pss_signature_is_looked_at),
        cmocka_unit_test(a_large_list_answers_for_each_of_its_serials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
