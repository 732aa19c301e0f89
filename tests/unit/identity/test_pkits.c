/* NIST's PKITS through hc_trust_load and hc_trust_decide: every test of the suite, against the
 * suite's own expectation. Where something valid is refused, it is in the list of differences here,
 * with its reason; nothing invalid is admitted. */
#include "pkits.h"
#include "pkits_table.h"

/* Of the time in which the data of 2011 is valid: 2026-01-01. */
#define NOW 1767225600

/* Valid by PKITS, refused here: by rules of ours, or by what is not supported and so never taken
 * for something else. Also in docs/internals/path-validation.md. */
static const struct {
    const char *number, *why;
} differences[] = {
    {"4.1.4", "DSA of 1024 bits and SHA-1 are too weak"},
    {"4.1.5", "DSA of 1024 bits and SHA-1 are too weak"},
    {"4.4.7", "one CRL is of a CA that was not named: the operator is told, nothing is skipped"},
    {"4.4.19", "who may only sign CRLs is no CA that could be named"},
    {"4.5.6", "who may only sign CRLs is no CA that could be named"},
    {"4.14.18", "CRLs for some reasons are not supported"},
    {"4.14.19", "CRLs for some reasons are not supported"},
    {"4.14.22", "indirect CRLs are not supported"},
    {"4.14.24", "indirect CRLs are not supported"},
    {"4.14.25", "indirect CRLs are not supported"},
    {"4.14.28", "indirect CRLs are not supported, and their issuer is no CA"},
    {"4.14.29", "indirect CRLs are not supported, and their issuer is no CA"},
    {"4.14.30", "indirect CRLs are not supported, and their issuer is no CA"},
    {"4.14.33", "indirect CRLs are not supported"},
    {"4.15.2", "delta CRLs are not supported"},
    {"4.15.5", "delta CRLs are not supported"},
    {"4.15.7", "delta CRLs are not supported"},
    {"4.15.8", "delta CRLs are not supported"},
};

static bool is_a_known_difference(const char *number)
{
    for (size_t i = 0; i < HC_COUNT(differences); i++) {
        if (strcmp(differences[i].number, number) == 0)
            return true;
    }
    return false;
}

/* What these sections call invalid shows in CRLs alone. */
static bool is_about_revocation(const char *number)
{
    static const char *const about[] = {"4.4.", "4.5.", "4.7.4", "4.7.5", "4.14.", "4.15."};
    for (size_t i = 0; i < HC_COUNT(about); i++) {
        if (strncmp(number, about[i], strlen(about[i])) == 0)
            return true;
    }
    return false;
}

static hc_verdict_code decided(const pkits_row *row, const STACK_OF(X509) * cas,
                               const STACK_OF(X509_CRL) * crls, const pkits_message *m)
{
    hc_trust *t = NULL;
    hc_err err = {0};
    hc_verdict v;
    if (pkits_load(cas, crls, NOW, &t, &err) != 0) {
        if (!row->word || !strstr(err.text, row->word))
            fail_msg("%s %s: %s", row->number, row->title, err.text);
        return NOT_LOADED;
    }
    for (int round = 0; round < 2; round++) { /* the second may come from the cache */
        assert_int_equal(hc_trust_decide(t, m->leaf, m->certs, NOW, &v, &err), 0);
        if (v.code != (crls ? row->listed : row->alone))
            fail_msg("%s %s: %s (%s)", row->number, row->title, hc_verdict_name(v.code), v.detail);
    }
    hc_trust_unref(t);
    return v.code;
}

static void each_test_ends_as_the_table_says(void **state)
{
    (void)state;
    X509 *anchor = pkits_anchor();
    STACK_OF(X509) *only_anchor = sk_X509_new_null();
    sk_X509_push(only_anchor, anchor);
    for (size_t i = 0; i < HC_COUNT(pkits_rows); i++) {
        const pkits_row *row = &pkits_rows[i];
        pkits_message m = pkits_read(row->title);
        STACK_OF(X509) *cas = pkits_operators_cas(anchor, &m);
        assert_int_equal(decided(row, only_anchor, NULL, &m), row->alone);
        if (decided(row, cas, m.crls, &m) != row->listed)
            fail_msg("%s %s does not load", row->number, row->title);
        sk_X509_free(cas);
        pkits_done(&m);
    }
    sk_X509_free(only_anchor);
    X509_free(anchor);
}

static void nothing_invalid_is_admitted(void **state)
{
    (void)state;
    for (size_t i = 0; i < HC_COUNT(pkits_rows); i++) {
        const pkits_row *row = &pkits_rows[i];
        if (row->valid)
            continue;
        if (row->listed == HC_VERDICT_OK ||
            (row->alone == HC_VERDICT_OK && !is_about_revocation(row->number)))
            fail_msg("%s %s is admitted", row->number, row->title);
    }
}

static void what_is_valid_is_admitted_or_listed_with_a_reason(void **state)
{
    size_t found = 0;
    (void)state;
    for (size_t i = 0; i < HC_COUNT(pkits_rows); i++) {
        const pkits_row *row = &pkits_rows[i];
        bool differs = row->valid && row->listed != HC_VERDICT_OK;
        if (differs != is_a_known_difference(row->number))
            fail_msg("%s %s", row->number, row->title);
        found += differs;
    }
    assert_int_equal(found, HC_COUNT(differences));
    assert_int_equal(HC_COUNT(pkits_rows), 224);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_test_ends_as_the_table_says),
        cmocka_unit_test(nothing_invalid_is_admitted),
        cmocka_unit_test(what_is_valid_is_admitted_or_listed_with_a_reason),
    };
    if (!pkits_is_there()) {
        fprintf(stderr,
                "PKITS NOT RUN: %s is missing; do: apt-get install python3-cryptography-vectors, "
                "or name the data in PKITS_DATA\n",
                pkits_folder());
        return getenv("CI") ? 1 : 77; /* Meson: skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
