#include "x509/cert.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "faults.h"
#include "vectors.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static hc_cert *decoded(const char *folder, const char *name)
{
    hc_cert *c = NULL;
    hc_err err = {0};
    vector *v = vector_read(folder, name, ".der");
    if (hc_cert_from_der(vector_slice(v), &c, &err) != 0)
        fail_msg("%s: %s", name, err.text);
    free(v);
    return c;
}

static void a_certificate_keeps_its_fields(void **state)
{
    (void)state;
    hc_cert *c = decoded("names", "plain");
    vector *v = vector_read("names", "plain", ".der");
    uint8_t digest[32];
    char hex[65];
    assert_slice_equal(hc_cert_der(c), vector_slice(v));
    assert_int_equal(EVP_Digest(v->bytes, v->size, digest, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(hc_cert_sha256(c), digest, sizeof(digest));
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hc_cert_sha256_hex(c), hex);
    assert_string_equal(hc_cert_serial_hex(c), "1234abcd");
    assert_string_equal(hc_cert_serial_decimal(c), "305441741");
    assert_int_equal(hc_cert_serial(c)->size, 4);
    assert_string_equal(hc_cert_subject(c), "CN=alice,O=Example,C=DE");
    assert_string_equal(hc_cert_issuer(c), "CN=Example Client CA,O=Example");
    assert_int_equal(hc_cert_not_before(c), 1577836800);
    assert_int_equal(hc_cert_not_after(c), 4733510400);
    assert_non_null(hc_cert_x509(c));
    free(v);
    hc_cert_unref(c);
}

static void dates_outside_1970_to_2038_are_kept(void **state)
{
    (void)state;
    hc_cert *c = decoded("names", "generalized-dates");
    assert_int_equal(hc_cert_not_before(c), -631152000);
    assert_int_equal(hc_cert_not_after(c), 253402300799);
    hc_cert_unref(c);
}

static void an_empty_subject_is_an_empty_text(void **state)
{
    (void)state;
    hc_cert *c = decoded("names", "empty-subject");
    assert_string_equal(hc_cert_subject(c), "");
    hc_cert_unref(c);
}

static void negative_and_long_serials_are_kept_exactly(void **state)
{
    (void)state;
    hc_cert *c = decoded("names", "serial-negative-256");
    assert_string_equal(hc_cert_serial_hex(c), "-100");
    hc_cert_unref(c);
    c = decoded("names", "serial-20-octets-high-bit");
    assert_string_equal(hc_cert_serial_hex(c), "ffffffffffffffffffffffffffffffffffffffff");
    hc_cert_unref(c);
}

typedef void (*refused_row)(const char *name, const char *word);

static void each_refused(refused_row row)
{
    vector *v = vector_read("refused", "words", ".txt");
    size_t rows = 0;
    for (hc_slice left = vector_slice(v); left.size;) {
        char line[256];
        ptrdiff_t end = hc_slice_find(left, '\n');
        assert_true(end > 0 && (size_t)end < sizeof(line));
        memcpy(line, left.at, (size_t)end);
        line[end] = '\0';
        char *tab = strchr(line, '\t');
        assert_non_null(tab);
        *tab = '\0';
        row(line, tab + 1);
        left = hc_slice_from(left, (size_t)end + 1);
        rows++;
    }
    assert_true(rows >= 20);
    free(v);
}

static void assert_refused(const char *name, const char *word)
{
    hc_cert *c = NULL;
    hc_err err = {0};
    vector *v = vector_read("refused", name, ".der");
    int rc = hc_cert_from_der(vector_slice(v), &c, &err);
    if (rc != -HC_EFORMAT || c)
        fail_msg("%s was taken", name);
    if (!strstr(err.text, word))
        fail_msg("%s: \"%s\" does not say \"%s\"", name, err.text, word);
    free(v);
}

static void what_cannot_be_represented_is_refused_and_named(void **state)
{
    (void)state;
    each_refused(assert_refused);
}

static void assert_brief(const char *name, const char *word)
{
    (void)word;
    vector *v = vector_read("refused", name, ".der");
    const unsigned char *at = v->bytes;
    X509 *x = d2i_X509(NULL, &at, (long)v->size);
    if (x) { /* some are refused by OpenSSL already */
        hc_cert_brief brief;
        hc_cert_brief_of(x, &brief);
        assert_int_equal(strlen(brief.sha256_hex), 64);
        assert_true(brief.serial_hex[0]);
        assert_true(brief.serial_decimal[0]);
        assert_true(brief.subject[0]);
        assert_true(brief.issuer[0]);
        assert_true(hc_utf8_valid(hc_slice_text(brief.subject)));
    }
    X509_free(x);
    free(v);
}

static void a_brief_can_be_had_of_what_is_refused(void **state)
{
    (void)state;
    each_refused(assert_brief);
}

static X509 *refused_x509(const char *name)
{
    vector *v = vector_read("refused", name, ".der");
    const unsigned char *at = v->bytes;
    X509 *x = d2i_X509(NULL, &at, (long)v->size);
    assert_non_null(x);
    free(v);
    return x;
}

static void a_brief_shows_a_nul_and_cuts_what_is_long(void **state)
{
    (void)state;
    hc_cert_brief brief;
    X509 *x = refused_x509("nul-in-cn");
    hc_cert_brief_of(x, &brief);
    assert_string_equal(brief.subject, "CN=alice\\00.evil");
    X509_free(x);
    x = refused_x509("serial-30-octets");
    hc_cert_brief_of(x, &brief);
    assert_string_equal(brief.serial_hex, "7fffffffffffffffffffffffffffffffffffffff...");
    assert_string_equal(brief.serial_decimal, "(30 octets)");
    X509_free(x);
    x = refused_x509("65-attributes");
    hc_cert_brief_of(x, &brief);
    assert_true(strlen(brief.subject) < sizeof(brief.subject));
    X509_free(x);
    hc_cert_brief_of(NULL, &brief);
    assert_string_equal(brief.subject, "");
}

static void a_brief_cuts_between_characters(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 4; lead++) {
        char text[1024] = "aaaa";
        size_t size = lead;
        while (size + 4 < sizeof(text)) {
            memcpy(text + size, "\xF0\x9F\x99\x82", 4);
            size += 4;
        }
        X509 *x = X509_new();
        X509_NAME *name = X509_NAME_new();
        assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_description, V_ASN1_UTF8STRING,
                                                    (const unsigned char *)text, (int)size, -1, 0),
                         1);
        X509_set_subject_name(x, name);
        hc_cert_brief brief;
        hc_cert_brief_of(x, &brief);
        assert_true(strlen(brief.subject) > sizeof(brief.subject) - 6);
        assert_true(hc_utf8_valid(hc_slice_text(brief.subject)));
        X509_NAME_free(name);
        X509_free(x);
    }
}

static void bytes_behind_a_certificate_are_refused(void **state)
{
    (void)state;
    hc_cert *c = NULL;
    hc_err err = {0};
    vector *v = vector_read("names", "plain", ".der");
    v->bytes[v->size] = 0;
    assert_int_equal(hc_cert_from_der(hc_slice_of(v->bytes, v->size + 1), &c, &err), -HC_EFORMAT);
    assert_non_null(strstr(err.text, "1 octets behind"));
    for (size_t cut = 0; cut < v->size; cut += 7)
        assert_int_equal(hc_cert_from_der(hc_slice_of(v->bytes, cut), &c, NULL), -HC_EFORMAT);
    assert_null(c);
    free(v);
}

/* The same certificate with a length in more octets than DER allows: another fingerprint. */
static void a_certificate_that_is_ber_but_not_der_is_refused(void **state)
{
    (void)state;
    hc_cert *c = NULL;
    hc_err err = {0};
    vector *v = vector_read("names", "plain", ".der");
    assert_int_equal(v->bytes[1], 0x82);
    memmove(v->bytes + 3, v->bytes + 2, v->size - 2);
    v->bytes[1] = 0x83;
    v->bytes[2] = 0;
    const unsigned char *at = v->bytes;
    X509 *x = d2i_X509(NULL, &at, (long)v->size + 1);
    assert_non_null(x); /* OpenSSL takes it */
    X509_free(x);
    assert_int_equal(hc_cert_from_der(hc_slice_of(v->bytes, v->size + 1), &c, &err), -HC_EFORMAT);
    assert_non_null(strstr(err.text, "DER"));
    free(v);
}

static void pem_gives_the_first_certificate_and_skips_the_rest(void **state)
{
    (void)state;
    hc_cert *c = NULL;
    vector *v = vector_read("chains", "alice", ".pem");
    hc_buf text = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_buf_add_text(&text, "a note\n-----BEGIN NOTHING-----\nAAAA\n"
                                            "-----END NOTHING-----\n"),
                     0);
    assert_int_equal(hc_buf_add(&text, vector_slice(v)), 0);
    assert_int_equal(hc_buf_add_text(&text, "-----BEGIN CERTIFICATE-----\nbroken"), 0);
    assert_int_equal(hc_cert_from_pem(hc_buf_slice(&text), &c, NULL), 0);
    assert_string_equal(hc_cert_subject(c), "CN=alice,O=Example");
    hc_cert_unref(c);
    hc_buf_done(&text);
    free(v);
}

static void pem_without_a_certificate_says_so(void **state)
{
    (void)state;
    hc_cert *c = NULL;
    vector *v = vector_read("keys", "client", ".key");
    assert_int_equal(hc_cert_from_pem(vector_slice(v), &c, NULL), -HC_ENOENT);
    assert_int_equal(hc_cert_from_pem(S("nothing"), &c, NULL), -HC_ENOENT);
    assert_int_equal(hc_cert_from_pem(HC_SLICE_NONE, &c, NULL), -HC_ENOENT);
    free(v);
}

static void pem_that_is_broken_is_an_error_not_a_text(void **state)
{
    static const char *const broken[] = {
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE----\nAAAA\n-----END CERTIFICATE-----\n",
        "x-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END X-----\n",
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(broken); i++) {
        hc_cert *c = NULL;
        assert_int_equal(hc_cert_from_pem(hc_slice_text(broken[i]), &c, NULL), -HC_EFORMAT);
    }
}

static void a_certificate_lives_until_its_last_reference(void **state)
{
    (void)state;
    hc_cert *c = decoded("names", "plain");
    hc_cert *second = hc_cert_ref(c);
    assert_ptr_equal(c, second);
    hc_cert_unref(c);
    assert_string_equal(hc_cert_serial_hex(second), "1234abcd");
    hc_cert_unref(second);
    hc_cert_unref(NULL);
}

static void decoding_survives_every_failing_allocation(void **state)
{
    (void)state;
    vector *v = vector_read("names", "sans-of-all-types", ".der");
    int rc = -1;
    for (size_t n = 1; rc != 0; n++) {
        hc_cert *c = NULL;
        faults_begin(n);
        rc = hc_cert_from_der(vector_slice(v), &c, NULL);
        assert_true(rc == 0 || (rc == -HC_ENOMEM && !c));
        hc_cert_unref(c);
        faults_end();
        assert_int_equal(faults_live, 0);
        assert_true(n < 1000);
    }
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_keeps_its_fields),
        cmocka_unit_test(dates_outside_1970_to_2038_are_kept),
        cmocka_unit_test(an_empty_subject_is_an_empty_text),
        cmocka_unit_test(negative_and_long_serials_are_kept_exactly),
        cmocka_unit_test(what_cannot_be_represented_is_refused_and_named),
        cmocka_unit_test(a_brief_can_be_had_of_what_is_refused),
        cmocka_unit_test(a_brief_shows_a_nul_and_cuts_what_is_long),
        cmocka_unit_test(a_brief_cuts_between_characters),
        cmocka_unit_test(bytes_behind_a_certificate_are_refused),
        cmocka_unit_test(a_certificate_that_is_ber_but_not_der_is_refused),
        cmocka_unit_test(pem_gives_the_first_certificate_and_skips_the_rest),
        cmocka_unit_test(pem_without_a_certificate_says_so),
        cmocka_unit_test(pem_that_is_broken_is_an_error_not_a_text),
        cmocka_unit_test(a_certificate_lives_until_its_last_reference),
        cmocka_unit_test_teardown(decoding_survives_every_failing_allocation, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
