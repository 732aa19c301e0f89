#include "authority/keystore.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "authority/issue.h"
#include "folder.h"

static hc_keystore opened(void)
{
    hc_keystore k;
    hc_err err = {0};
    if (hc_keystore_open("store", &k, &err) != 0)
        fail_msg("%s", err.text);
    return k;
}

static void test_a_folder_is_made_for_its_owner_alone(void **state)
{
    (void)state;
    mode_t before = umask(0);
    hc_keystore k = opened();
    hc_err err = {0};
    assert_int_equal(hc_keystore_folder(&k, "ca", &err), 0);
    (void)umask(before);
    assert_int_equal(mode_of("store"), 0700);
    assert_int_equal(mode_of("store/ca"), 0700);
    hc_keystore_close(&k);
}

static void test_secrets_are_for_their_owner_whatever_the_umask(void **state)
{
    (void)state;
    hc_keystore k = opened();
    hc_err err = {0};
    mode_t before = umask(0);
    assert_int_equal(hc_keystore_write(&k, "key", S("secret"), true, &err), 0);
    (void)umask(0777);
    assert_int_equal(hc_keystore_write(&k, "cert", S("public"), false, &err), 0);
    (void)umask(before);
    assert_int_equal(mode_of("store/key"), 0600);
    assert_int_equal(mode_of("store/cert"), 0644);
    assert_string_equal(text_of("store/key"), "secret");
    hc_keystore_close(&k);
}

static void test_a_file_is_never_replaced(void **state)
{
    (void)state;
    hc_keystore k = opened();
    hc_err err = {0};
    assert_int_equal(hc_keystore_write(&k, "key", S("first"), true, &err), 0);
    assert_int_equal(hc_keystore_write(&k, "key", S("second"), true, &err), -HC_EBUSY);
    assert_string_equal(text_of("store/key"), "first");
    hc_keystore_close(&k);
}

static void test_a_link_is_neither_followed_nor_replaced(void **state)
{
    (void)state;
    hc_keystore k = opened();
    hc_err err = {0};
    put("victim", "victim");
    assert_int_equal(symlink("../victim", "store/key"), 0);
    assert_int_equal(symlink("../victim", "store/.other.new"), 0);
    assert_int_equal(hc_keystore_write(&k, "key", S("x"), true, &err), -HC_EBUSY);
    assert_int_equal(hc_keystore_write(&k, "other", S("x"), true, &err), 0);
    assert_string_equal(text_of("victim"), "victim");
    assert_int_equal(mkdir("elsewhere", 0700), 0);
    assert_int_equal(symlink("../elsewhere", "store/ca"), 0);
    assert_int_equal(hc_keystore_write(&k, "ca/key", S("x"), true, &err), -HC_EIO);
    assert_int_equal(hc_keystore_folder(&k, "ca", &err), -HC_EIO);
    assert_false(is_there("elsewhere/key"));
    hc_keystore_close(&k);
}

static void test_what_a_killed_process_left_is_removed(void **state)
{
    (void)state;
    hc_keystore k = opened();
    hc_err err = {0};
    assert_int_equal(hc_keystore_folder(&k, "ca", &err), 0);
    put("store/ca/.ca.key.new", "half");
    put("store/ca/.keep", "mine");
    put("store/ca/ca.new", "mine");
    assert_int_equal(hc_keystore_folder(&k, "ca", &err), 0);
    assert_false(is_there("store/ca/.ca.key.new"));
    assert_true(is_there("store/ca/.keep"));
    assert_true(is_there("store/ca/ca.new"));
    hc_keystore_close(&k);
}

static void test_a_folder_that_others_can_write_to_is_refused(void **state)
{
    (void)state;
    hc_keystore k;
    hc_err err = {0};
    assert_int_equal(mkdir("store", 0700), 0);
    assert_int_equal(chmod("store", 0770), 0);
    assert_int_equal(hc_keystore_open("store", &k, &err), -HC_EDENIED);
    assert_string_equal(err.text, "other users can write to store; do: chmod 700 store");
    put("file", "");
    assert_int_equal(hc_keystore_open("file", &k, &err), -HC_EIO);
    assert_int_equal(hc_keystore_open("no/such/parent", &k, &err), -HC_EIO);
}

static void test_a_second_writer_waits_for_the_first(void **state)
{
    (void)state;
    hc_keystore k = opened();
    int fd = open("store", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    hc_keystore_close(&k);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    (void)close(fd);
}

static void test_keys_and_certificates_come_back_as_they_were(void **state)
{
    (void)state;
    hc_keystore k = opened();
    EVP_PKEY *key = NULL, *read_key = NULL;
    X509 *cert = NULL, *read_cert = NULL;
    hc_holder h = {.now_s = 1767225600};
    hc_err err = {0};
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, &err), 0);
    assert_int_equal(hc_issue(hc_profile_builtin(S("ca")), &h, key, NULL, NULL, &cert, &err), 0);
    assert_int_equal(hc_keystore_write_key(&k, "k", key, HC_SLICE_NONE, &err), 0);
    assert_int_equal(hc_keystore_write_cert(&k, "c", cert, &err), 0);
    assert_int_equal(mode_of("store/k"), 0600);
    assert_int_equal(hc_keystore_read_key(&k, "k", HC_SLICE_NONE, &read_key, &err), 0);
    assert_int_equal(hc_keystore_read_cert(&k, "c", &read_cert, &err), 0);
    assert_int_equal(EVP_PKEY_eq(key, read_key), 1);
    assert_int_equal(X509_cmp(cert, read_cert), 0);
    assert_non_null(strstr(text_of("store/k"), "-----BEGIN PRIVATE KEY-----")); /* PKCS#8 */
    EVP_PKEY_free(key);
    EVP_PKEY_free(read_key);
    X509_free(cert);
    X509_free(read_cert);
    hc_keystore_close(&k);
}

static void test_an_encrypted_key_names_its_file_when_it_does_not_open(void **state)
{
    (void)state;
    hc_keystore k = opened();
    EVP_PKEY *key = NULL, *read_key = NULL;
    hc_err err = {0};
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, &err), 0);
    assert_int_equal(hc_keystore_write_key(&k, "k", key, S("right"), &err), 0);
    assert_int_equal(mode_of("store/k"), 0600);
    assert_int_equal(hc_keystore_read_key(&k, "k", S("wrong"), &read_key, &err), -HC_EDENIED);
    assert_string_equal(err.text, "store/k: the passphrase does not open this key");
    assert_int_equal(hc_keystore_read_key(&k, "k", S("right"), &read_key, &err), 0);
    assert_int_equal(EVP_PKEY_eq(key, read_key), 1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(read_key);
    hc_keystore_close(&k);
}

static void test_a_file_is_replaced_moved_and_named_twice_where_asked(void **state)
{
    (void)state;
    hc_keystore k = opened();
    hc_secret bytes = {NULL, 0};
    hc_err err = {0};
    assert_int_equal(hc_keystore_replace(&k, "a", S("first"), false, &err), 0);
    assert_int_equal(hc_keystore_replace(&k, "a", S("second"), true, &err), 0);
    assert_int_equal(mode_of("store/a"), 0600);
    assert_int_equal(hc_keystore_link(&k, "a", "b", &err), 0);
    assert_int_equal(hc_keystore_link(&k, "a", "b", &err), -HC_EBUSY);
    assert_int_equal(hc_keystore_replace(&k, "a", S("third"), true, &err), 0);
    assert_string_equal(text_of("store/b"), "second");
    assert_int_equal(hc_keystore_rename(&k, "b", "a", &err), 0);
    assert_false(is_there("store/b"));
    assert_int_equal(hc_keystore_rename(&k, "b", "a", &err), -HC_EIO);
    assert_int_equal(hc_keystore_link(&k, "missing", "c", &err), -HC_EIO);
    assert_int_equal(hc_keystore_read(&k, "a", &bytes, &err), 0);
    assert_slice(hc_secret_slice(&bytes), "second");
    hc_secret_done(&bytes);
    hc_keystore_close(&k);
}

static void test_what_is_no_pem_is_an_error_and_nobody_is_asked(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "nonsense\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8=\n"
         "-----END ENCRYPTED PRIVATE KEY-----\n")};
    hc_keystore k = opened();
    for (size_t i = 0; i < HC_COUNT(bad); i++) {
        EVP_PKEY *key = NULL;
        X509 *cert = NULL;
        hc_err err = {0};
        put("store/x", bad[i]);
        assert_int_equal(hc_keystore_read_key(&k, "x", HC_SLICE_NONE, &key, &err), -HC_EFORMAT);
        assert_int_equal(hc_keystore_read_cert(&k, "x", &cert, &err), -HC_EFORMAT);
        assert_null(key);
        assert_null(cert);
    }
    EVP_PKEY *key = NULL;
    hc_err err = {0};
    assert_int_equal(mkdir("store/folder", 0700), 0);
    assert_int_equal(hc_keystore_read_key(&k, "folder", HC_SLICE_NONE, &key, &err), -HC_EFORMAT);
    assert_int_equal(hc_keystore_read_key(&k, "missing", HC_SLICE_NONE, &key, &err), -HC_EIO);
    hc_keystore_close(&k);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_begin, folder_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_folder_is_made_for_its_owner_alone),
        TEST(test_secrets_are_for_their_owner_whatever_the_umask),
        TEST(test_a_file_is_never_replaced),
        TEST(test_a_link_is_neither_followed_nor_replaced),
        TEST(test_what_a_killed_process_left_is_removed),
        TEST(test_a_folder_that_others_can_write_to_is_refused),
        TEST(test_a_second_writer_waits_for_the_first),
        TEST(test_keys_and_certificates_come_back_as_they_were),
        TEST(test_an_encrypted_key_names_its_file_when_it_does_not_open),
        TEST(test_a_file_is_replaced_moved_and_named_twice_where_asked),
        TEST(test_what_is_no_pem_is_an_error_and_nobody_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
