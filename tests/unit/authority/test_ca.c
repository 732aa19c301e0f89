#include "authority/ca.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/wait.h>

#include "authority/issue.h"
#include "folder.h"
#include "x509/csr.h"

#define NOW_S ((int64_t)1767225600) /* 2026-01-01 */

/* The linker leads these calls here: the n-th of them ends the process, as a kill would. */
static int calls_left;

static void maybe_die(void)
{
    if (calls_left > 0 && --calls_left == 0)
        _exit(9);
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __real_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __wrap_fsync(int fd);

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    maybe_die();
    return __real_renameat(from_fd, from, to_fd, to);
}
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    maybe_die();
    return __real_renameat2(from_fd, from, to_fd, to, flags);
}
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    maybe_die();
    return __real_linkat(from_fd, from, to_fd, to, flags);
}
int __wrap_unlinkat(int fd, const char *name, int flags)
{
    maybe_die();
    return __real_unlinkat(fd, name, flags);
}
int __wrap_fsync(int fd)
{
    maybe_die();
    (void)fd; /* a kill, not a power cut: what was written is there */
    return 0;
}

static hc_keystore k;
static hc_err err;
static const hc_slice none = {NULL, 0};

static int begin(void **state)
{
    calls_left = 0;
    if (folder_begin(state) != 0)
        return -1;
    return hc_keystore_open("s", &k, &err);
}

static int end(void **state)
{
    hc_keystore_close(&k);
    return folder_end(state);
}

static void ok(int rc)
{
    if (rc != 0)
        fail_msg("%d: %s", rc, err.text);
}

static void rotate(hc_slice passphrase)
{
    ok(hc_ca_rotate(&k, hc_profile_builtin(S("ca")), NULL, passphrase, NOW_S, &err));
}

static hc_ca loaded(hc_slice passphrase)
{
    hc_ca ca = {NULL, NULL, NULL};
    ok(hc_ca_load(&k, passphrase, &ca, &err));
    return ca;
}

/* Certificates in a file of the store. */
static int count_certs(const char *name)
{
    const char *at = text_of(name);
    int count = 0;
    while ((at = strstr(at, "BEGIN CERTIFICATE")) != NULL) {
        count++;
        at++;
    }
    return count;
}

static void test_the_first_ca_is_made_and_trusted(void **state)
{
    (void)state;
    hc_ca ca = {NULL, NULL, NULL};
    assert_int_equal(hc_ca_load(&k, none, &ca, &err), -HC_ENOENT);
    rotate(none);
    ca = loaded(none);
    assert_int_equal(hc_ca_check(ca.cert, ca.chain, ca.key, NOW_S, &err), 0);
    assert_int_equal(mode_of("s/ca/ca.key"), 0600);
    assert_int_equal(mode_of("s/ca/trust.pem"), 0644);
    assert_int_equal(count_certs("s/ca/trust.pem"), 1);
    assert_false(is_there("s/ca/next.pem") || is_there("s/ca/next.key"));
    hc_ca_done(&ca);
}

static void test_its_key_is_encrypted_with_the_passphrase(void **state)
{
    (void)state;
    hc_ca ca = {NULL, NULL, NULL};
    rotate(S("secret"));
    assert_non_null(strstr(text_of("s/ca/ca.key"), "ENCRYPTED"));
    assert_int_equal(hc_ca_load(&k, S("wrong"), &ca, &err), -HC_EDENIED);
    assert_int_equal(hc_ca_load(&k, none, &ca, &err), -HC_EDENIED);
    ca = loaded(S("secret"));
    hc_ca_done(&ca);
}

typedef struct seen {
    int count, active, with_key;
    char stems[8][20];
} seen;

static int see(void *arg, const hc_ca_entry *e)
{
    seen *s = arg;
    (void)snprintf(s->stems[s->count % 8], 20, "%s", e->stem);
    s->count++;
    s->active += e->active;
    s->with_key += e->has_key;
    return 0;
}

static seen all(void)
{
    seen s = {0};
    ok(hc_ca_each(&k, see, &s, &err));
    return s;
}

static void test_a_new_ca_stands_beside_the_old_and_both_are_trusted(void **state)
{
    (void)state;
    rotate(none);
    hc_ca first = loaded(none);
    rotate(none);
    rotate(none);
    hc_ca third = loaded(none);
    seen s = all();
    assert_int_not_equal(X509_cmp(first.cert, third.cert), 0);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.active, 1);
    assert_int_equal(s.with_key, 3);
    assert_string_equal(s.stems[0], "ca/ca");
    assert_string_equal(s.stems[1], "ca/old-2");
    assert_string_equal(s.stems[2], "ca/old-1");
    assert_int_equal(count_certs("s/ca/trust.pem"), 3);
    EVP_PKEY *key = NULL;
    ok(hc_keystore_read_key(&k, "ca/old-1.key", none, &key, &err));
    assert_int_equal(X509_check_private_key(first.cert, key), 1);
    EVP_PKEY_free(key);
    hc_ca_done(&first);
    hc_ca_done(&third);
}

static void test_a_retired_ca_is_trusted_no_more(void **state)
{
    (void)state;
    rotate(none);
    rotate(none);
    assert_int_equal(hc_ca_retire(&k, "ca/ca", &err), -HC_EINVAL);
    assert_int_equal(hc_ca_retire(&k, "ca/old-1/../x", &err), -HC_EINVAL);
    assert_int_equal(hc_ca_retire(&k, "ca/old-0", &err), -HC_EINVAL);
    assert_int_equal(hc_ca_retire(&k, "ca/old-2", &err), -HC_ENOENT);
    ok(hc_ca_retire(&k, "ca/old-1", &err));
    assert_int_equal(all().count, 1);
    assert_int_equal(count_certs("s/ca/trust.pem"), 1);
    assert_true(is_there("s/ca/retired-1.pem") && is_there("s/ca/retired-1.key"));
    rotate(none); /* its number is not used again */
    assert_true(is_there("s/ca/old-2.pem") && is_there("s/ca/retired-1.pem"));
}

static void test_trust_follows_the_files(void **state)
{
    (void)state;
    rotate(none);
    assert_int_equal(unlink("s/ca/trust.pem"), 0);
    hc_ca ca = loaded(none);
    assert_int_equal(count_certs("s/ca/trust.pem"), 1);
    put("s/ca/trust.pem", "nothing\n");
    hc_ca_done(&ca);
    ca = loaded(none);
    assert_int_equal(count_certs("s/ca/trust.pem"), 1);
    hc_ca_done(&ca);
}

static void test_a_key_that_is_anothers_is_refused(void **state)
{
    (void)state;
    hc_ca ca = {NULL, NULL, NULL};
    EVP_PKEY *key = NULL;
    rotate(none);
    ok(hc_key_new(HC_KEY_P256, &key, &err));
    assert_int_equal(unlink("s/ca/ca.key"), 0);
    ok(hc_keystore_write_key(&k, "ca/ca.key", key, none, &err));
    assert_int_equal(hc_ca_load(&k, none, &ca, &err), -HC_EDENIED);
    assert_int_equal(unlink("s/ca/ca.key"), 0);
    ca = loaded(none); /* kept elsewhere */
    assert_null(ca.key);
    hc_ca_done(&ca);
    EVP_PKEY_free(key);
}

/* A company: a root that allows one CA below it. */
static EVP_PKEY *root_key;
static X509 *root;

static X509 *ca_of(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, int path_length,
                   int64_t now_s)
{
    hc_profile p = *hc_profile_builtin(S("ca"));
    hc_holder h = {.name = issuer ? "Company Clients" : "Company Root", .now_s = now_s};
    X509 *x = NULL;
    p.path_length = path_length;
    ok(hc_issue(&p, &h, key, issuer, issuer_key, &x, &err));
    return x;
}

static int begin_company(void **state)
{
    if (begin(state) != 0 || hc_key_new(HC_KEY_P384, &root_key, &err) != 0)
        return -1;
    root = ca_of(root_key, NULL, NULL, 1, NOW_S);
    return 0;
}

static int end_company(void **state)
{
    X509_free(root);
    EVP_PKEY_free(root_key);
    return end(state);
}

/* Static memory, one call at a time. */
static hc_slice pem_of(X509 *first, X509 *second)
{
    static char text[8000];
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, first);
    if (second)
        PEM_write_bio_X509(bio, second);
    int size = BIO_read(bio, text, sizeof(text));
    BIO_free(bio);
    return hc_slice_of(text, (size_t)size);
}

static X509 *answer_request(hc_slice passphrase)
{
    hc_buf pem = hc_buf_init(10000);
    hc_csr *csr = NULL;
    ok(hc_ca_request(&k, HC_KEY_P256, "Company Clients", passphrase, &pem, &err));
    ok(hc_csr_parse(hc_buf_slice(&pem), &csr, &err));
    assert_string_equal(hc_csr_subject(csr), "CN=Company Clients");
    X509 *x = ca_of(hc_csr_key(csr), root, root_key, 0, NOW_S);
    hc_csr_free(csr);
    hc_buf_done(&pem);
    return x;
}

static void test_under_the_companys_root_only_our_own_ca_is_trusted(void **state)
{
    (void)state;
    rotate(S("secret"));
    X509 *sub = answer_request(S("secret")), *again = answer_request(S("secret"));
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(sub), X509_get0_pubkey(again)), 1);
    ok(hc_ca_import(&k, pem_of(sub, root), NULL, S("secret"), NOW_S, &err));
    hc_ca ca = loaded(S("secret"));
    assert_int_equal(X509_cmp(ca.cert, sub), 0);
    assert_int_equal(sk_X509_num(ca.chain), 1);
    assert_int_equal(count_certs("s/ca/trust.pem"), 2); /* it and the old one, not the root */
    assert_int_equal(all().count, 2);
    assert_false(is_there("s/ca/request.key"));
    assert_non_null(strstr(text_of("s/ca/ca.key"), "ENCRYPTED"));
    /* Once more changes nothing. */
    ok(hc_ca_import(&k, pem_of(sub, root), NULL, S("secret"), NOW_S, &err));
    assert_int_equal(all().count, 2);
    hc_ca_done(&ca);
    X509_free(sub);
    X509_free(again);
}

static void test_a_ca_comes_with_its_key_and_leaves_no_chain_of_another(void **state)
{
    (void)state;
    EVP_PKEY *key = NULL;
    ok(hc_key_new(HC_KEY_P256, &key, &err));
    X509 *sub = ca_of(key, root, root_key, 0, NOW_S);
    assert_int_equal(hc_ca_import(&k, pem_of(sub, root), NULL, none, NOW_S, &err), -HC_EDENIED);
    ok(hc_ca_import(&k, pem_of(sub, root), key, none, NOW_S, &err));
    hc_ca ca = loaded(none);
    assert_int_equal(sk_X509_num(ca.chain), 1);
    hc_ca_done(&ca);
    rotate(none);
    ca = loaded(none);
    assert_int_equal(sk_X509_num(ca.chain), 0);
    hc_ca_done(&ca);
    X509_free(sub);
    EVP_PKEY_free(key);
}

static void test_a_renewed_certificate_keeps_its_key(void **state)
{
    (void)state;
    EVP_PKEY *key = NULL;
    ok(hc_key_new(HC_KEY_P256, &key, &err));
    X509 *sub = ca_of(key, root, root_key, 0, NOW_S);
    X509 *renewed = ca_of(key, root, root_key, 0, NOW_S + 100);
    ok(hc_ca_import(&k, pem_of(sub, NULL), key, none, NOW_S, &err));
    ok(hc_ca_import(&k, pem_of(renewed, NULL), NULL, none, NOW_S + 100, &err));
    hc_ca ca = loaded(none);
    assert_int_equal(X509_cmp(ca.cert, renewed), 0);
    assert_int_equal(EVP_PKEY_eq(ca.key, key), 1);
    assert_int_equal(count_certs("s/ca/trust.pem"), 2);
    hc_ca_done(&ca);
    X509_free(sub);
    X509_free(renewed);
    EVP_PKEY_free(key);
}

static void refused(X509 *cert, X509 *parent, EVP_PKEY *key, int64_t now_s, const char *says)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    if (parent)
        sk_X509_push(chain, parent);
    int rc = hc_ca_check(cert, chain, key, now_s, &err);
    if (says ? rc != -HC_EDENIED || !strstr(err.text, says) : rc != 0)
        fail_msg("%d: %s", rc, err.text);
    sk_X509_free(chain);
}

/* A copy of `of` without the extension, or with `value` for it; signed by the root. */
static X509 *altered(X509 *of, int nid, const char *value)
{
    X509 *x = X509_dup(of);
    int at = X509_get_ext_by_NID(x, nid, -1);
    if (at >= 0)
        X509_EXTENSION_free(X509_delete_ext(x, at));
    if (value) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
        assert_int_equal(X509_add_ext(x, e, -1), 1);
        X509_EXTENSION_free(e);
    }
    assert_true(X509_sign(x, root_key, EVP_sha384()) > 0);
    unsigned char *der = NULL; /* decoded again, without what OpenSSL remembers of the copied one */
    int size = i2d_X509(x, &der);
    const unsigned char *from = der;
    X509 *fresh = d2i_X509(NULL, &from, size);
    OPENSSL_free(der);
    X509_free(x);
    return fresh;
}

static void test_what_cannot_be_our_ca_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *key = NULL, *other = NULL;
    ok(hc_key_new(HC_KEY_P256, &key, &err));
    ok(hc_key_new(HC_KEY_P256, &other, &err));
    X509 *sub = ca_of(key, root, root_key, 0, NOW_S), *low = NULL;
    refused(sub, root, key, NOW_S, NULL);
    refused(sub, NULL, NULL, NOW_S, NULL);
    refused(sub, root, other, NOW_S, "private key is not its own");
    refused(sub, root, key, NOW_S - 1000, "not valid yet");
    refused(sub, root, key, NOW_S + 3651 * HC_PROFILE_DAY_S, "expired");
    static const struct {
        int nid;
        const char *value, *says;
    } cases[] = {
        {NID_basic_constraints, NULL, "it is none"},
        {NID_basic_constraints, "critical,CA:FALSE", "it is none"},
        {NID_key_usage, "critical,keyCertSign", "may not sign certificates and CRLs"},
        {NID_key_usage, "critical,cRLSign", "it is none"},
        {NID_subject_key_identifier, NULL, "subject key identifier"},
        {NID_ext_key_usage, "serverAuth", "leaves out clients"},
        {NID_ext_key_usage, "clientAuth,serverAuth", NULL},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        X509 *x = altered(sub, cases[i].nid, cases[i].value);
        refused(x, root, key, NOW_S, cases[i].says);
        X509_free(x);
    }
    /* Of those above it. */
    X509 *stranger = ca_of(other, NULL, NULL, 1, NOW_S);
    refused(sub, stranger, key, NOW_S, "this certificate cannot");
    low = altered(root, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    refused(sub, low, key, NOW_S, "pathLenConstraint");
    X509_free(low);
    low = altered(root, NID_ext_key_usage, "serverAuth");
    refused(sub, low, key, NOW_S, "none for clients");
    X509_free(low);
    X509_free(stranger);
    X509_free(sub);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void test_a_weak_ca_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_RSA_gen(2048), *weak = EVP_RSA_gen(1024);
    X509 *good = ca_of(key, NULL, NULL, 0, NOW_S), *x = X509_dup(good);
    assert_int_equal(X509_set_pubkey(x, weak), 1);
    assert_true(X509_sign(x, weak, EVP_sha256()) > 0);
    refused(x, NULL, weak, NOW_S, "too weak");
    X509_free(x);
    x = X509_dup(good);
    assert_true(X509_sign(x, key, EVP_sha1()) > 0);
    refused(x, NULL, key, NOW_S, "digest");
    X509_free(x);
    x = X509_dup(good); /* signed by another than itself, though it says so */
    EVP_PKEY *other = EVP_RSA_gen(2048);
    assert_true(X509_sign(x, other, EVP_sha256()) > 0);
    refused(x, NULL, key, NOW_S, "this certificate cannot");
    EVP_PKEY_free(other);
    X509_free(x);
    X509_free(good);
    EVP_PKEY_free(key);
    EVP_PKEY_free(weak);
}

static void test_what_is_no_certificate_is_no_ca(void **state)
{
    (void)state;
    assert_int_equal(hc_ca_import(&k, S(""), NULL, none, NOW_S, &err), -HC_EFORMAT);
    assert_int_equal(hc_ca_import(&k, S("text"), NULL, none, NOW_S, &err), -HC_EFORMAT);
    assert_int_equal(
        hc_ca_import(&k, S("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), NULL,
                     none, NOW_S, &err),
        -HC_EFORMAT);
    assert_false(is_there("s/ca/next.pem"));
}

/* In a process of its own that dies at the n-th call that changes the disk. False: it lived. */
static bool killed_at(int nth, void (*change)(void))
{
    pid_t child = fork();
    int status = 0;
    assert_true(child >= 0);
    if (child == 0) {
        calls_left = nth;
        change();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 9;
}

static void change_rotate(void)
{
    rotate(none);
}

static X509 *answered;

static void change_import(void)
{
    ok(hc_ca_import(&k, pem_of(answered, root), NULL, none, NOW_S, &err));
}

static void change_retire(void)
{
    ok(hc_ca_retire(&k, "ca/old-1", &err));
}

static void begin_anew(void)
{
    if (is_there("s/ca"))
        assert_int_equal(nftw("s/ca", folder_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    rotate(none);
}

static void consistent(int trusted)
{
    hc_ca ca = loaded(none);
    seen s = all();
    assert_non_null(ca.key);
    assert_int_equal(s.count, trusted);
    assert_int_equal(s.with_key, trusted);
    assert_int_equal(count_certs("s/ca/trust.pem"), trusted);
    for (int i = 0; i < s.count; i++) {
        char name[32];
        EVP_PKEY *key = NULL;
        X509 *cert = NULL;
        (void)snprintf(name, sizeof(name), "%s.key", s.stems[i]);
        ok(hc_keystore_read_key(&k, name, none, &key, &err));
        (void)snprintf(name, sizeof(name), "%s.pem", s.stems[i]);
        ok(hc_keystore_read_cert(&k, name, &cert, &err));
        assert_int_equal(X509_check_private_key(cert, key), 1);
        EVP_PKEY_free(key);
        X509_free(cert);
    }
    assert_false(is_there("s/ca/next.pem") || is_there("s/ca/next.key"));
    hc_ca_done(&ca);
}

static void test_a_rotation_killed_anywhere_and_asked_again_is_one(void **state)
{
    (void)state;
    bool died = true;
    for (int nth = 1; died; nth++) {
        begin_anew();
        died = killed_at(nth, change_rotate);
        if (died) {
            /* Whoever looks first finds a CA whose key is its own. */
            hc_ca ca = loaded(none);
            bool done = all().count == 2;
            hc_ca_done(&ca);
            if (!done)
                rotate(none);
        }
        consistent(2);
        assert_true(nth < 60);
    }
}

static void test_asking_again_finishes_what_was_decided(void **state)
{
    (void)state;
    bool died = true;
    for (int nth = 1; died; nth++) {
        begin_anew();
        died = killed_at(nth, change_rotate);
        /* The decision made: the second call ends that one. Not made, or all done: a new one. */
        bool decided = is_there("s/ca/next.pem"), done = is_there("s/ca/old-1.pem");
        rotate(none);
        consistent(decided || !done ? 2 : 3);
        assert_true(nth < 60);
    }
}

static void test_an_import_killed_anywhere_never_loses_the_requested_key(void **state)
{
    (void)state;
    bool died = true;
    for (int nth = 1; died; nth++) {
        begin_anew();
        answered = answer_request(none);
        died = killed_at(nth, change_import);
        change_import();
        consistent(2);
        X509_free(answered);
        assert_true(nth < 80);
    }
}

static void test_a_retirement_killed_anywhere_leaves_trust_as_the_files_say(void **state)
{
    (void)state;
    bool died = true;
    for (int nth = 1; died; nth++) {
        begin_anew();
        rotate(none);
        died = killed_at(nth, change_retire);
        consistent(is_there("s/ca/retired-1.pem") ? 1 : 2);
        assert_true(nth < 40);
    }
}

#define TEST(name)    cmocka_unit_test_setup_teardown(name, begin, end)
#define COMPANY(name) cmocka_unit_test_setup_teardown(name, begin_company, end_company)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_first_ca_is_made_and_trusted),
        TEST(test_its_key_is_encrypted_with_the_passphrase),
        TEST(test_a_new_ca_stands_beside_the_old_and_both_are_trusted),
        TEST(test_a_retired_ca_is_trusted_no_more),
        TEST(test_trust_follows_the_files),
        TEST(test_a_key_that_is_anothers_is_refused),
        COMPANY(test_under_the_companys_root_only_our_own_ca_is_trusted),
        COMPANY(test_a_ca_comes_with_its_key_and_leaves_no_chain_of_another),
        COMPANY(test_a_renewed_certificate_keeps_its_key),
        COMPANY(test_what_cannot_be_our_ca_is_refused),
        COMPANY(test_a_weak_ca_is_refused),
        TEST(test_what_is_no_certificate_is_no_ca),
        TEST(test_a_rotation_killed_anywhere_and_asked_again_is_one),
        TEST(test_asking_again_finishes_what_was_decided),
        COMPANY(test_an_import_killed_anywhere_never_loses_the_requested_key),
        TEST(test_a_retirement_killed_anywhere_leaves_trust_as_the_files_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
