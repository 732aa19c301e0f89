#include "registry_case.h"

#include "registry/selector.h"

static int on_match(void *arg, const hc_match *m)
{
    row_list *x = arg;
    size_t used = strlen(x->text);
    snprintf(x->text + used, sizeof(x->text) - used, "%s%.*s", used ? "; " : "",
             HC_SLICE_ARGS(m->description));
    assert_true(m->client_id > 0);
    x->count++;
    return 0;
}

static row_list match(hc_registry *r, const char *word)
{
    row_list x = {0};
    assert_done(hc_registry_match(r, hc_slice_text(word), on_match, &x, &why));
    return x;
}

static void fill(hc_registry *r)
{
    int64_t id = 0;
    registry_begin(r);
    int64_t alice = client_new(r, "alice"), bob = client_new(r, "bob"), odd = client_new(r, "1f");
    hc_certificate_row row = certificate_row(alice, "1f", 0xab);
    row.issuer = S("CN=Shop CA");
    assert_done(r->engine->certificate_add(r, &row, &id, &why));
    row = certificate_row(bob, "31", 2);
    row.issuer = S("CN=Other\\, CA");
    assert_done(r->engine->certificate_add(r, &row, &id, &why));
    certificate_new(r, bob, "5", 3);
    certificate_new(r, odd, "-8000000000000000000001", 4);
    registry_commit(r);
}

#define AB8       "abababababababab"
#define AB_COLONS "ab:AB:ab:ab:ab:ab:ab:ab"

static void test_word_is_a_name_a_serial_or_a_fingerprint(void **state)
{
    registry_case *c = *state;
    fill(c->r);
    static const struct {
        const char *word, *wanted;
    } cases[] = {
        {"alice", "alice"},
        {"Alice", ""},
        {"name:alice", "alice"},
        {"name:1f", "1f"},
        {"serial:1f", "certificate 1f of alice, CN=Shop CA"},
        {"1F", "certificate 1f of alice, CN=Shop CA"},
        {"0x1f", "certificate 1f of alice, CN=Shop CA"},
        {"00:1f", "certificate 1f of alice, CN=Shop CA"},
        {"1f", "1f; certificate 1f of alice, CN=Shop CA"},
        {"0x31", "certificate 31 of bob, CN=Other\\, CA"},
        {"31", "certificate 31 of bob, CN=Other\\, CA; certificate 1f of alice, CN=Shop CA"},
        {"49", "certificate 31 of bob, CN=Other\\, CA"},
        {"5", "certificate 5 of bob, "},
        {"-154742504910672534362390529", "certificate -8000000000000000000001 of 1f, "},
        {AB8 AB8 AB8 AB8, "certificate 1f of alice, CN=Shop CA"},
        {"sha256:" AB8 AB8 AB8 AB8, "certificate 1f of alice, CN=Shop CA"},
        {AB_COLONS ":" AB_COLONS ":" AB_COLONS ":" AB_COLONS,
         "certificate 1f of alice, CN=Shop CA"},
        {"sha256:1f", ""},
        {"name:", ""},
        {"serial:alice", ""},
        {"", ""},
        {"' OR 1=1 --", ""},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++)
        assert_string_equal(match(c->r, cases[i].word).text, cases[i].wanted);
}

static void test_one_is_found_or_all_that_may_be_meant_are_listed(void **state)
{
    registry_case *c = *state;
    int64_t client = 0, certificate = 0;
    fill(c->r);
    assert_done(hc_registry_match_one(c->r, S("alice"), &client, &certificate, &why));
    assert_int_equal(client, 1);
    assert_int_equal(certificate, 0);
    assert_done(hc_registry_match_one(c->r, S("serial:1F"), &client, &certificate, &why));
    assert_int_equal(client, 1);
    assert_int_equal(certificate, 1);
    client = certificate = 77;
    assert_fails(hc_registry_match_one(c->r, S("31"), &client, &certificate, &why), HC_EINVAL);
    assert_string_equal(why.text, "31: means more than one: certificate 31 of bob, "
                                  "CN=Other\\\\, CA; certificate 1f of alice, CN=Shop CA");
    assert_fails(hc_registry_match_one(c->r, S("no\x1b[2Jbody"), &client, &certificate, &why),
                 HC_ENOENT);
    assert_null(strchr(why.text, '\x1b'));
    assert_int_equal(client, 77);
    assert_int_equal(certificate, 77);
}

static void test_matches_are_no_more_than_the_limit(void **state)
{
    registry_case *c = *state;
    int64_t client = 0, certificate = 0;
    registry_begin(c->r);
    int64_t alice = client_new(c->r, "alice");
    for (size_t i = 0; i < HC_LIMIT_MATCHES + 20; i++)
        certificate_new(c->r, alice, "77", (uint8_t)(1 + i));
    registry_commit(c->r);
    assert_int_equal(match(c->r, "77").count, HC_LIMIT_MATCHES);
    assert_fails(hc_registry_match_one(c->r, S("77"), &client, &certificate, &why), HC_EINVAL);
}

static void test_very_long_word_means_nothing(void **state)
{
    registry_case *c = *state;
    int64_t client = 0, certificate = 0;
    static char word[1 << 20];
    memset(word, '7', sizeof(word));
    assert_fails(
        hc_registry_match_one(c->r, hc_slice_of(word, sizeof(word)), &client, &certificate, &why),
        HC_ENOENT);
}

static const struct CMUnitTest tests[] = {
    WITH_EVERY_ENGINE(test_word_is_a_name_a_serial_or_a_fingerprint),
    WITH_EVERY_ENGINE(test_one_is_found_or_all_that_may_be_meant_are_listed),
    WITH_EVERY_ENGINE(test_matches_are_no_more_than_the_limit),
    WITH_EVERY_ENGINE(test_very_long_word_means_nothing),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
