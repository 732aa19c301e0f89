#include "x509/name.h"

#include <stdio.h>

#include "base/mem.h"
#include "faults.h"
#include "vectors.h"
#include "x509/cert.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static hc_cert *named(const char *name)
{
    hc_cert *c = NULL;
    vector *v = vector_read("names", name, ".der");
    assert_int_equal(hc_cert_from_der(vector_slice(v), &c, NULL), 0);
    free(v);
    return c;
}

typedef struct listing {
    char text[4096];
    size_t size;
} listing;

static int list_attribute(void *arg, const hc_name_attribute *a)
{
    listing *l = arg;
    l->size += (size_t)snprintf(l->text + l->size, sizeof(l->text) - l->size,
                                "%d %.*s_%d %.*s=%.*s\n", a->rdn, HC_SLICE_ARGS(a->key), a->nth,
                                HC_SLICE_ARGS(a->oid), HC_SLICE_ARGS(a->value));
    return 0;
}

static void assert_attributes(const char *name, const char *wanted)
{
    listing l = {.size = 0};
    hc_cert *c = named(name);
    assert_int_equal(
        hc_name_attributes(X509_get_subject_name(hc_cert_x509(c)), list_attribute, &l, NULL), 0);
    assert_string_equal(l.text, wanted);
    hc_cert_unref(c);
}

static void attributes_of_one_rdn_share_its_number(void **state)
{
    (void)state;
    assert_attributes("multi-valued-rdn", "0 O_0 2.5.4.10=x\n"
                                          "1 CN_0 2.5.4.3=alice\n"
                                          "1 OU_0 2.5.4.11=admin\n");
    assert_attributes("multi-valued-rdn-of-one-type", "0 OU_0 2.5.4.11=a\n"
                                                      "0 OU_1 2.5.4.11=b\n"
                                                      "1 OU_2 2.5.4.11=c\n"
                                                      "2 CN_0 2.5.4.3=alice\n");
}

static void attributes_that_apache_does_not_name_have_their_oid(void **state)
{
    (void)state;
    assert_attributes("attributes-without-short-form",
                      "0 0.9.2342.19200300.100.1.25_0 0.9.2342.19200300.100.1.25=com\n"
                      "1 0.9.2342.19200300.100.1.25_1 0.9.2342.19200300.100.1.25=example\n"
                      "2 SerialNumber_0 2.5.4.5=42\n"
                      "3 2.5.4.9_0 2.5.4.9=Weg 1\n"
                      "4 2.5.4.17_0 2.5.4.17=80331\n"
                      "5 2.5.4.65_0 2.5.4.65=p\n"
                      "6 2.5.4.46_0 2.5.4.46=q\n"
                      "7 1.2.3.4.5_0 1.2.3.4.5=unknown\n"
                      "8 CN_0 2.5.4.3=alice\n");
}

static void values_are_utf8_whatever_their_type(void **state)
{
    (void)state;
    assert_attributes("bmp", "0 CN_0 2.5.4.3=Zoë 山田\n");
    assert_attributes("universal", "0 CN_0 2.5.4.3=Zoë 🙂\n");
    assert_attributes("t61", "0 CN_0 2.5.4.3=Zoë Müller\n");
    assert_attributes("utf8", "0 CN_0 2.5.4.3=Zoë Müller-Lüdenscheidt 山田太郎 🙂\n");
}

static void values_are_not_escaped(void **state)
{
    (void)state;
    assert_attributes("control-characters", "0 CN_0 2.5.4.3=a\x01"
                                            "b\tc\r\nd\x1b[31m\x7f"
                                            "e\n");
    assert_attributes("looks-like-two",
                      "0 CN_0 2.5.4.3=alice,CN=bob\n1 OU_0 2.5.4.11=x+OU=admin\n");
}

static int list_san(void *arg, hc_san_type type, hc_slice value, int nth)
{
    static const char *const types[HC_SAN_TYPES] = {"email", "dns", "uri",  "ip",
                                                    "upn",   "srv", "other"};
    listing *l = arg;
    if (type == HC_SAN_OTHER)
        value = HC_SLICE_NONE; /* OpenSSL's text: another one from version to version */
    l->size += (size_t)snprintf(l->text + l->size, sizeof(l->text) - l->size, "%s %d %.*s\n",
                                types[type], nth, HC_SLICE_ARGS(value));
    return 0;
}

static void alternative_names_come_with_their_type(void **state)
{
    (void)state;
    listing l = {.size = 0};
    hc_cert *c = named("sans-of-all-types");
    assert_int_equal(hc_san_entries(hc_cert_x509(c), list_san, &l, NULL), 0);
    assert_string_equal(l.text, "email 0 alice@example.com\n"
                                "dns 0 a.example\n"
                                "uri 0 spiffe://example/alice\n"
                                "ip 0 192.0.2.1\n"
                                "ip 1 2001:db8::1\n"
                                "upn 0 alice@corp.example\n"
                                "other 0 \n"
                                "other 1 \n"
                                "srv 0 _x.a.example\n"
                                "other 2 \n"
                                "email 1 second@example.com\n"
                                "dns 1 *.b.example\n");
    hc_cert_unref(c);
}

/* Envoy took an address of one kind for another: an e-mail address must never be a DNS name. */
static void a_upn_of_another_string_type_is_no_upn(void **state)
{
    (void)state;
    listing l = {.size = 0};
    hc_cert *c = named("san-upn-not-utf8string");
    assert_int_equal(hc_san_entries(hc_cert_x509(c), list_san, &l, NULL), 0);
    assert_non_null(strstr(l.text, "other 0 "));
    assert_non_null(strstr(l.text, "upn 0 alice@corp.example\n"));
    assert_null(strstr(l.text, "upn 1"));
    hc_cert_unref(c);
}

static int refuse(void *arg, const hc_name_attribute *a)
{
    (void)arg;
    (void)a;
    return -HC_EBUSY;
}

static void the_readers_refusal_is_the_result(void **state)
{
    (void)state;
    hc_cert *c = named("plain");
    assert_int_equal(hc_name_attributes(X509_get_subject_name(hc_cert_x509(c)), refuse, NULL, NULL),
                     -HC_EBUSY);
    hc_cert_unref(c);
}

static void a_text_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    hc_cert *c = named("plain");
    hc_buf out = hc_buf_init(5);
    assert_int_equal(hc_name_text(X509_get_subject_name(hc_cert_x509(c)), &out, NULL), -HC_ELIMIT);
    assert_int_equal(out.size, 0);
    hc_buf_done(&out);
    hc_cert_unref(c);
}

static void names_survive_every_failing_allocation(void **state)
{
    (void)state;
    hc_cert *c = named("sans-of-all-types");
    int rc = -1;
    for (size_t n = 1; rc != 0; n++) {
        listing l = {.size = 0};
        faults_begin(n);
        rc = hc_name_attributes(X509_get_subject_name(hc_cert_x509(c)), list_attribute, &l, NULL);
        if (rc == 0)
            rc = hc_san_entries(hc_cert_x509(c), list_san, &l, NULL);
        faults_end();
        assert_true(rc == 0 || rc == -HC_ENOMEM);
        assert_int_equal(faults_live, 0);
        assert_true(n < 1000);
    }
    hc_cert_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_of_one_rdn_share_its_number),
        cmocka_unit_test(attributes_that_apache_does_not_name_have_their_oid),
        cmocka_unit_test(values_are_utf8_whatever_their_type),
        cmocka_unit_test(values_are_not_escaped),
        cmocka_unit_test(alternative_names_come_with_their_type),
        cmocka_unit_test(a_upn_of_another_string_type_is_no_upn),
        cmocka_unit_test(the_readers_refusal_is_the_result),
        cmocka_unit_test(a_text_that_does_not_fit_is_an_error),
        cmocka_unit_test_teardown(names_survive_every_failing_allocation, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
