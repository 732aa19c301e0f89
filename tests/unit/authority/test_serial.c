#include "authority/serial.h"

#include <openssl/bn.h>

#include "../unit.h"

static void test_serials_are_positive_and_of_twenty_octets(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        ASN1_INTEGER *serial = NULL;
        hc_err err = {0};
        assert_int_equal(hc_serial_new(&serial, &err), 0);
        assert_int_equal(ASN1_STRING_length(serial), 20);
        assert_int_equal(ASN1_STRING_get0_data(serial)[0] & 0xc0, 0x40);
        assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER);
        /* In DER a twenty-first octet would show a sign. */
        assert_int_equal(i2d_ASN1_INTEGER(serial, NULL), 22);
        ASN1_INTEGER_free(serial);
    }
}

static void test_no_serial_comes_twice(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    ASN1_INTEGER *serials[COUNT];
    hc_err err = {0};
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(hc_serial_new(&serials[i], &err), 0);
        for (int n = 0; n < i; n++)
            assert_int_not_equal(ASN1_INTEGER_cmp(serials[i], serials[n]), 0);
    }
    for (int i = 0; i < COUNT; i++)
        ASN1_INTEGER_free(serials[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serials_are_positive_and_of_twenty_octets),
        cmocka_unit_test(test_no_serial_comes_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
