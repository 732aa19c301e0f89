#include "unit.h"

#include "http/request.h"

static void test_a_header_is_found_in_any_case(void **state)
{
    (void)state;
    hc_header headers[] = {{HC_SLICE_LITERAL("X-A"), HC_SLICE_LITERAL("1")},
                           {HC_SLICE_LITERAL("content-TYPE"), HC_SLICE_LITERAL("a/b")}};
    hc_request r = {.headers = headers, .header_count = HC_COUNT(headers)};
    hc_slice value = HC_SLICE_NONE;
    assert_true(hc_request_header(&r, "Content-Type", &value));
    assert_true(hc_slice_equal_text(value, "a/b"));
}

static void test_a_header_that_is_absent_or_repeated_is_not_found(void **state)
{
    (void)state;
    hc_header headers[] = {{HC_SLICE_LITERAL("X-A"), HC_SLICE_LITERAL("1")},
                           {HC_SLICE_LITERAL("x-a"), HC_SLICE_LITERAL("1")}};
    hc_request r = {.headers = headers, .header_count = HC_COUNT(headers)};
    hc_slice value = HC_SLICE_LITERAL("untouched");
    assert_false(hc_request_header(&r, "X-A", &value));
    assert_false(hc_request_header(&r, "X-B", &value));
    assert_true(hc_slice_equal_text(value, "untouched"));
}

static void test_names_that_could_be_read_as_ours_are_reserved(void **state)
{
    (void)state;
    static const char *const names[] = {
        "SSL-Client-Verify",
        "ssl-client-s-dn",
        "SSL_CLIENT_VERIFY",
        "X_SSL_Client",
        "X-SSL-Client-Cert",
        "x-ssl-cert",
        "X-SSL_Cert",
        "Content_Length",
        "content_type",
        "Transfer_Encoding",
        "X.SSL.Client",
        "X~A",
        "X!",
        "Handclasp",
        "HANDCLASP-Verdict",
        "handclasp.client",
        "Remote-User",
        "REMOTE_USER",
        "Remote.User",
        "Auth-Type",
        "auth_type",
        "Client-Cert",
        "client-cert-chain",
        "Client_Cert",
        "X-Client-Cert",
        "X-Forwarded-Client-Cert",
        "x-forwarded-client-cert",
        "X-Forwarded-Tls-Client-Cert",
        "X-Forwarded-Tls-Client-Cert-Info",
        "X-Amzn-Mtls-Clientcert",
        "x-amzn-mtls-clientcert-leaf",
        "X-ARR-ClientCert",
        "Cf-Client-Cert-Der-Base64",
        "CF-Client-Cert-Verified",
        "Proxy",
        "PROXY",
        "HTTPS",
        "Https",
    };
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        if (!hc_header_is_reserved(hc_slice_text(names[i])))
            fail_msg("%s passes", names[i]);
    }
}

static void test_ordinary_names_are_not_reserved(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Host",
        "Accept",
        "Content-Length",
        "Content-Type",
        "Cookie",
        "Authorization",
        "Proxy-Authorization",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Request-Id",
        "User-Agent",
        "Sec-Fetch-Mode",
        "Front-End-Https",
        "Https-Only",
        "SSLX",
        "X-SS",
        "Cf-Ray",
        "Remote-Use",
    };
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        if (hc_header_is_reserved(hc_slice_text(names[i])))
            fail_msg("%s is dropped", names[i]);
    }
}

typedef struct path_case {
    const char *raw;
    const char *decoded; /* NULL: the same */
} path_case;

static bool ambiguous(const path_case *p)
{
    hc_request r = {.raw_path = hc_slice_text(p->raw),
                    .path = hc_slice_text(p->decoded ? p->decoded : p->raw)};
    return hc_request_path_is_ambiguous(&r);
}

static void test_paths_that_two_parsers_read_differently_are_ambiguous(void **state)
{
    (void)state;
    static const path_case cases[] = {
        {"/a%2fb", "/a/b"},
        {"/a%2Fb", "/a/b"},
        {"/%2f", "//"},
        {"/a%5cb", "/a\\b"},
        {"/a%5C", "/a\\"},
        {"/a\\b", NULL},
        {"//", NULL},
        {"//a", NULL},
        {"/a//b", NULL},
        {"/a//", NULL},
        {"/.", NULL},
        {"/..", NULL},
        {"/./", NULL},
        {"/a/./b", NULL},
        {"/a/../b", NULL},
        {"/a/..", NULL},
        {"/a/%2e%2e/b", "/a/../b"},
        {"/a/.%2e", "/a/.."},
        {"/a/..;x/b", NULL},
        {"/.;", NULL},
        {"/a/%2e%2e%3bx", "/a/..;x"},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        if (!ambiguous(&cases[i]))
            fail_msg("%s passes", cases[i].raw);
    }
}

static void test_ordinary_paths_are_not_ambiguous(void **state)
{
    (void)state;
    static const path_case cases[] = {
        {"/", NULL},       {"/a", NULL},       {"/a/", NULL},      {"/a/b/c", NULL},
        {"/.a", NULL},     {"/a.", NULL},      {"/...", NULL},     {"/a..b/.well-known/", NULL},
        {"/a;b=1/", NULL}, {"/%252f", "/%2f"}, {"/a%20b", "/a b"}, {"/a%3F%2", "/a?%2"},
        {"*", NULL},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        if (ambiguous(&cases[i]))
            fail_msg("%s is refused", cases[i].raw);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_header_is_found_in_any_case),
        cmocka_unit_test(test_a_header_that_is_absent_or_repeated_is_not_found),
        cmocka_unit_test(test_names_that_could_be_read_as_ours_are_reserved),
        cmocka_unit_test(test_ordinary_names_are_not_reserved),
        cmocka_unit_test(test_paths_that_two_parsers_read_differently_are_ambiguous),
        cmocka_unit_test(test_ordinary_paths_are_not_ambiguous),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
