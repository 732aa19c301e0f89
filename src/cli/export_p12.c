#include "cli/export_p12.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ui.h>
#include <stdio.h>

#include "authority/ca.h"
#include "authority/ca_files.h"
#include "authority/key_pem.h"
#include "authority/p12.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/out_file.h"
#include "server/hardening.h"
#include "server/read_file.h"

#define KEY_LIMIT 65536

/* --- the passphrase --- */

static int ask_twice(hc_secret *out, hc_err *err)
{
    char first[HC_LIMIT_PASSPHRASE + 1] = "", second[HC_LIMIT_PASSPHRASE + 1] = "";
    UI *ui = UI_new();
    int rc = 0;
    bool asked =
        ui &&
        UI_add_input_string(ui, "Passphrase of the file: ", 0, first, 8, sizeof(first) - 1) >= 0 &&
        UI_add_verify_string(ui, "Again: ", 0, second, 8, sizeof(second) - 1, first) >= 0 &&
        UI_process(ui) == 0;
    if (!asked)
        rc = hc_err_set(err, HC_EINVAL,
                        "no passphrase was given: two times the same, of 8 characters or more, on "
                        "a terminal; or --passphrase-file");
    else if (!(out->at = (uint8_t *)hc_strdup(first)))
        rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    else
        out->size = strlen(first);
    UI_free(ui);
    ERR_clear_error();
    OPENSSL_cleanse(first, sizeof(first));
    OPENSSL_cleanse(second, sizeof(second));
    return rc;
}

static int get_passphrase(const hc_p12_export *e, hc_secret *out, hc_err *err)
{
    *out = (hc_secret){NULL, 0};
    if (e->passphrase_file)
        return hc_passphrase_read(e->passphrase_file, out, err);
    return e->ask ? ask_twice(out, err) : hc_passphrase_new(out, err);
}

/* --- key and certificate --- */

typedef struct pair {
    EVP_PKEY *key;
    X509 *cert;
} pair;

static X509 *parse_pem(const char *pem)
{
    BIO *bio = pem ? BIO_new_mem_buf(pem, -1) : NULL;
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return x;
}

/* Which of the certificates is over this key; the newest where there are several. */
static X509 *cert_of_key(const json_t *certificates, EVP_PKEY *key)
{
    X509 *found = NULL;
    size_t i;
    json_t *one;
    json_array_foreach(certificates, i, one)
    {
        X509 *x = parse_pem(json_string_value(json_object_get(one, "pem")));
        if (x && X509_check_private_key(x, key) == 1) {
            X509_free(found);
            found = x;
        } else {
            X509_free(x);
        }
        ERR_clear_error();
    }
    return found;
}

/* NAME.key, NAME-2.key … */
static bool is_key_of(const char *file, const char *client)
{
    size_t size = strlen(client), all = strlen(file);
    if (all < size + 4 || strncmp(file, client, size) != 0 || strcmp(file + all - 4, ".key") != 0)
        return false;
    hc_slice between = hc_slice_of(file + size, all - size - 4);
    uint64_t n = 0;
    return between.size == 0 ||
           (between.at[0] == '-' && hc_parse_u64(hc_slice_from(between, 1), &n));
}

static int try_key(const char *path, const json_t *certificates, pair *p, size_t *count,
                   hc_err *err)
{
    hc_file_bytes pem = {NULL, NULL, 0};
    EVP_PKEY *key = NULL;
    int rc = hc_read_file(path, KEY_LIMIT, &pem, err);
    if (rc == 0)
        rc = hc_key_from_pem(hc_slice_of(pem.at, pem.size), HC_SLICE_NONE, &key, err);
    X509 *cert = rc == 0 ? cert_of_key(certificates, key) : NULL;
    hc_file_bytes_done(&pem);
    if (!cert) {
        EVP_PKEY_free(key);
        return rc;
    }
    (*count)++;
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    *p = (pair){key, cert};
    return 0;
}

static int find_pair(const char *state, const char *client, const json_t *certificates, pair *p,
                     hc_err *err)
{
    char folder[4096], path[8192];
    size_t count = 0;
    int rc = 0;
    struct dirent *entry;
    (void)snprintf(folder, sizeof(folder), "%s/clients", state);
    DIR *dir = opendir(folder);
    while (dir && rc == 0 && (entry = readdir(dir)) != NULL) {
        if (!is_key_of(entry->d_name, client))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        rc = try_key(path, certificates, p, &count, err);
    }
    if (dir)
        (void)closedir(dir);
    if (rc == 0 && count == 0)
        rc = hc_err_set(err, HC_ENOENT,
                        "no key of these certificates is in %s: it was made elsewhere, or moved "
                        "to the client",
                        folder);
    else if (rc == 0 && count > 1)
        rc = hc_err_set(err, HC_EINVAL,
                        "%s has %zu certificates with keys here: name one by its serial", client,
                        count);
    return rc;
}

static int on_ca(void *arg, const hc_ca_entry *entry)
{
    STACK_OF(X509) *all = arg;
    if (sk_X509_push(all, entry->cert) <= 0)
        return -HC_ENOMEM;
    (void)X509_up_ref(entry->cert);
    return 0;
}

static bool issued(X509 *ca, X509 *cert)
{
    bool yes = X509_cmp(ca, cert) != 0 && X509_check_issued(ca, cert) == X509_V_OK &&
               X509_verify(cert, X509_get0_pubkey(ca)) == 1;
    ERR_clear_error();
    return yes;
}

/* Takes the issuer of `cert` out of `all`; NULL: it is not there. */
static X509 *take_issuer(STACK_OF(X509) * all, X509 *cert)
{
    for (int i = 0; i < sk_X509_num(all); i++)
        if (issued(sk_X509_value(all, i), cert))
            return sk_X509_delete(all, i);
    return NULL;
}

/* The CA that issued it, which may be one before a rotation, and those above, where they are
 * here. */
static STACK_OF(X509) * chain_of(const char *state, X509 *cert)
{
    hc_keystore k;
    STACK_OF(X509) *all = NULL, *chain = sk_X509_new_null();
    if (hc_keystore_open(state, &k, NULL) != 0)
        return chain;
    if (hc_ca_read_chain(&k, "ca/chain.pem", &all, NULL) != 0 || !all)
        all = sk_X509_new_null();
    if (all && hc_ca_each(&k, on_ca, all, NULL) == 0)
        while ((cert = take_issuer(all, cert)) != NULL && sk_X509_push(chain, cert) > 0)
            continue;
    sk_X509_pop_free(all, X509_free);
    hc_keystore_close(&k);
    return chain;
}

static int print_outcome(const hc_p12_export *e, const hc_secret *passphrase)
{
    const char *at = (const char *)passphrase->at;
    bool made = !e->passphrase_file && !e->ask;
    hc_buf out = hc_buf_init(1u << 14);
    if (e->json)
        return hc_print_json(
            made ? json_pack("{s:s, s:s%}", "file", e->path, "passphrase", at, passphrase->size)
                 : json_pack("{s:s}", "file", e->path));
    int rc = hc_buf_printf(&out, "made    %s\n", e->path);
    if (rc == 0 && made)
        rc = hc_buf_printf(&out, "passphrase, shown this once: %.*s\n", (int)passphrase->size, at);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    if (out.at)
        OPENSSL_cleanse(out.at, out.size);
    hc_buf_done(&out);
    return rc;
}

int hc_export_p12(const hc_p12_export *e, const char *state, const char *client,
                  const json_t *certificates, hc_err *err)
{
    pair p = {NULL, NULL};
    hc_secret passphrase = {NULL, 0};
    hc_buf file = hc_buf_init(HC_LIMIT_PKCS12_BYTES);
    STACK_OF(X509) *chain = NULL;
    hc_protect_memory();
    int rc = find_pair(state, client, certificates, &p, err);
    if (rc == 0)
        rc = get_passphrase(e, &passphrase, err);
    if (rc == 0) {
        chain = chain_of(state, p.cert);
        hc_p12 all = {client, p.key, p.cert, chain};
        rc = hc_p12_write(&all, hc_secret_slice(&passphrase), e->legacy, &file, err);
    }
    if (rc == 0)
        rc = hc_out_file(e->path, hc_buf_slice(&file), HC_OUT_NEW, true, err);
    if (rc == 0)
        rc = print_outcome(e, &passphrase);
    hc_buf_done(&file);
    hc_secret_done(&passphrase);
    sk_X509_pop_free(chain, X509_free);
    EVP_PKEY_free(p.key);
    X509_free(p.cert);
    return rc;
}
