#include "authority/ca_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "authority/ca.h"
#include "base/str.h"
#include "x509/ossl.h"
#include "x509/pem.h"

int hc_ca_read_cert(const hc_keystore *k, const char *name, X509 **out, hc_err *err)
{
    bool found = false;
    *out = NULL;
    int rc = hc_keystore_exists(k, name, &found, err);
    return rc == 0 && found ? hc_keystore_read_cert(k, name, out, err) : rc;
}

static int push_block(void *arg, const char *label, hc_slice der, hc_err *err)
{
    STACK_OF(X509) *chain = arg;
    const unsigned char *at = der.at;
    if (!hc_pem_is_certificate(label))
        return 0;
    if (sk_X509_num(chain) > HC_LIMIT_CHAIN_DEPTH)
        return hc_err_set(err, HC_ELIMIT, "more than %d CAs above this one", HC_LIMIT_CHAIN_DEPTH);
    X509 *x = d2i_X509(NULL, &at, (long)der.size);
    if (x && sk_X509_push(chain, x) > 0)
        return 0;
    X509_free(x);
    ERR_clear_error();
    return hc_err_set(err, HC_EFORMAT, "a certificate cannot be decoded");
}

int hc_ca_read_chain(const hc_keystore *k, const char *name, STACK_OF(X509) * *out, hc_err *err)
{
    hc_secret pem = {NULL, 0};
    bool found = false;
    *out = NULL;
    int rc = hc_keystore_exists(k, name, &found, err);
    if (rc != 0 || !found)
        return rc;
    rc = hc_keystore_read(k, name, &pem, err);
    if (rc == 0)
        rc = hc_ca_parse_chain(hc_secret_slice(&pem), out, err);
    hc_secret_done(&pem);
    return rc;
}

int hc_ca_parse_chain(hc_slice pem, STACK_OF(X509) * *out, hc_err *err)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    int rc = chain ? hc_pem_each(pem, push_block, chain, err)
                   : hc_ossl_failed(err, "cannot read certificates");
    if (rc == 0)
        *out = chain;
    else
        sk_X509_pop_free(chain, X509_free);
    return rc;
}

static int to_pem(const char *head, STACK_OF(X509) * certs, BIO **out, hc_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio && BIO_puts(bio, head) > 0;
    for (int i = 0; ok && i < sk_X509_num(certs); i++)
        ok = PEM_write_bio_X509(bio, sk_X509_value(certs, i)) == 1;
    if (!ok) {
        BIO_free(bio);
        return hc_ossl_failed(err, "cannot write certificates");
    }
    *out = bio;
    return 0;
}

/* Whether the file is there and says just this. */
static int says_already(const hc_keystore *k, const char *name, hc_slice bytes, bool *out,
                        hc_err *err)
{
    hc_secret present = {NULL, 0};
    int rc = hc_keystore_exists(k, name, out, err);
    if (rc != 0 || !*out)
        return rc;
    rc = hc_keystore_read(k, name, &present, err);
    *out = rc == 0 && hc_slice_equal(hc_secret_slice(&present), bytes);
    hc_secret_done(&present);
    return rc;
}

static int write_pem(const hc_keystore *k, const char *name, const char *head,
                     STACK_OF(X509) * certs, hc_err *err)
{
    BIO *bio = NULL;
    char *at = NULL;
    bool same = false;
    int rc = to_pem(head, certs, &bio, err);
    if (rc != 0)
        return rc;
    long size = BIO_get_mem_data(bio, &at);
    hc_slice bytes = hc_slice_of(at, (size_t)size);
    rc = says_already(k, name, bytes, &same, err);
    if (rc == 0 && !same)
        rc = hc_keystore_replace(k, name, bytes, false, err);
    BIO_free(bio);
    return rc;
}

int hc_ca_write_chain(const hc_keystore *k, const char *name, STACK_OF(X509) * chain, hc_err *err)
{
    return write_pem(k, name, "The CAs above the one in ca.pem, the nearest first:\n", chain, err);
}

static void old_stem(int n, char out[HC_CA_STEM_BYTES])
{
    (void)snprintf(out, HC_CA_STEM_BYTES, "ca/old-%d", n);
}

static void file_of(const char *stem, const char *suffix, char out[HC_CA_STEM_BYTES + 8])
{
    (void)snprintf(out, HC_CA_STEM_BYTES + 8, "%s%s", stem, suffix);
}

static int visit_one(const hc_keystore *k, const char *stem, hc_ca_visit visit, void *arg,
                     hc_err *err)
{
    char name[HC_CA_STEM_BYTES + 8];
    X509 *cert = NULL;
    hc_ca_entry entry = {.stem = stem, .active = strcmp(stem, "ca/ca") == 0};
    file_of(stem, ".pem", name);
    int rc = hc_ca_read_cert(k, name, &cert, err);
    if (rc != 0 || !cert)
        return rc;
    file_of(stem, ".key", name);
    entry.cert = cert;
    rc = hc_keystore_exists(k, name, &entry.has_key, err);
    if (rc == 0)
        rc = visit(arg, &entry);
    X509_free(cert);
    return rc;
}

static int visit_all(const hc_keystore *k, hc_ca_visit visit, void *arg, hc_err *err)
{
    char stem[HC_CA_STEM_BYTES];
    int rc = visit_one(k, "ca/ca", visit, arg, err);
    for (int n = HC_LIMIT_OLD_CAS; rc == 0 && n > 0; n--) {
        old_stem(n, stem);
        rc = visit_one(k, stem, visit, arg, err);
    }
    return rc;
}

int hc_ca_each(const hc_keystore *k, hc_ca_visit visit, void *arg, hc_err *err)
{
    bool finished = false;
    int rc = hc_ca_settle(k, &finished, err);
    return rc == 0 ? visit_all(k, visit, arg, err) : rc;
}

static int gather(void *arg, const hc_ca_entry *entry)
{
    STACK_OF(X509) *all = arg;
    for (int i = 0; i < sk_X509_num(all); i++)
        if (X509_cmp(sk_X509_value(all, i), entry->cert) == 0)
            return 0;
    if (X509_up_ref(entry->cert) != 1)
        return -HC_ENOMEM;
    if (sk_X509_push(all, entry->cert) > 0)
        return 0;
    X509_free(entry->cert);
    return -HC_ENOMEM;
}

static int write_trust(const hc_keystore *k, hc_err *err)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    int rc = all ? visit_one(k, "ca/next", gather, all, err)
                 : hc_ossl_failed(err, "cannot write ca/trust.pem");
    if (rc == 0)
        rc = visit_all(k, gather, all, err);
    if (rc == 0 && sk_X509_num(all) > 0)
        rc = write_pem(k, "ca/trust.pem", "The CAs whose clients are let in:\n", all, err);
    sk_X509_pop_free(all, X509_free);
    return rc;
}

/* Whether old-N.pem is this certificate; `free_n`: the first N that nothing has. */
static int find_old(const hc_keystore *k, X509 *cert, bool *found, int *free_n, hc_err *err)
{
    char stem[HC_CA_STEM_BYTES], name[HC_CA_STEM_BYTES + 8];
    int rc = 0;
    *found = false;
    *free_n = 0;
    for (int n = 1; rc == 0 && !*found && n <= HC_LIMIT_OLD_CAS; n++) {
        X509 *old = NULL;
        bool retired = false;
        old_stem(n, stem);
        file_of(stem, ".pem", name);
        rc = hc_ca_read_cert(k, name, &old, err);
        (void)snprintf(name, sizeof(name), "ca/retired-%d.pem", n);
        if (rc == 0)
            rc = hc_keystore_exists(k, name, &retired, err);
        *found = old && X509_cmp(old, cert) == 0;
        if (rc == 0 && !old && !retired && *free_n == 0)
            *free_n = n;
        X509_free(old);
    }
    return rc;
}

/* The key first: where old-N.pem stands, both are there. ca.key is the old one's still. */
static int keep_old(const hc_keystore *k, X509 *cert, hc_err *err)
{
    char stem[HC_CA_STEM_BYTES], name[HC_CA_STEM_BYTES + 8];
    bool found = false, has_key = false, left_over = false;
    int n = 0;
    int rc = find_old(k, cert, &found, &n, err);
    if (rc != 0 || found)
        return rc;
    if (n == 0)
        return hc_err_set(err, HC_ELIMIT, "%s/ca has %d old CAs: move retired ones away", k->path,
                          HC_LIMIT_OLD_CAS);
    old_stem(n, stem);
    file_of(stem, ".key", name);
    rc = hc_keystore_exists(k, name, &left_over, err);
    if (rc == 0 && left_over)
        rc = hc_keystore_remove(k, name, err);
    if (rc == 0)
        rc = hc_keystore_exists(k, "ca/ca.key", &has_key, err);
    if (rc == 0 && has_key)
        rc = hc_keystore_link(k, "ca/ca.key", name, err);
    file_of(stem, ".pem", name);
    return rc == 0 ? hc_keystore_link(k, "ca/ca.pem", name, err) : rc;
}

static int move_if_there(const hc_keystore *k, const char *from, const char *to, hc_err *err)
{
    bool found = false;
    int rc = hc_keystore_exists(k, from, &found, err);
    return rc == 0 && found ? hc_keystore_rename(k, from, to, err) : rc;
}

/* Each step can be done again, and what was done is not done twice. The new CA is trusted before
 * anything is issued by it. */
static int finish(const hc_keystore *k, hc_err *err)
{
    X509 *active = NULL;
    int rc = hc_ca_read_cert(k, "ca/ca.pem", &active, err);
    if (rc == 0 && active)
        rc = keep_old(k, active, err);
    if (rc == 0)
        rc = write_trust(k, err);
    if (rc == 0)
        rc = move_if_there(k, "ca/next.key", "ca/ca.key", err);
    if (rc == 0)
        rc = move_if_there(k, "ca/next-chain.pem", "ca/chain.pem", err);
    if (rc == 0)
        rc = hc_keystore_rename(k, "ca/next.pem", "ca/ca.pem", err);
    X509_free(active);
    return rc;
}

int hc_ca_settle(const hc_keystore *k, bool *finished, hc_err *err)
{
    int rc = hc_keystore_exists(k, "ca/next.pem", finished, err);
    if (rc != 0)
        return rc;
    return *finished ? finish(k, err) : write_trust(k, err);
}

/* N of "ca/old-N". */
static bool old_number(const char *stem, uint64_t *n)
{
    static const hc_slice prefix = HC_SLICE_LITERAL("ca/old-");
    hc_slice text = hc_slice_text(stem);
    return hc_slice_starts_with(text, prefix) &&
           hc_parse_u64(hc_slice_from(text, prefix.size), n) && *n >= 1 && *n <= HC_LIMIT_OLD_CAS;
}

/* The certificate decides; a run that was killed behind it is ended by the next one. */
static int move_retired(const hc_keystore *k, const char *stem, int n, hc_err *err)
{
    char name[HC_CA_STEM_BYTES + 8], to[HC_CA_STEM_BYTES + 8];
    bool retired = false;
    file_of(stem, ".pem", name);
    (void)snprintf(to, sizeof(to), "ca/retired-%d.pem", n);
    int rc = move_if_there(k, name, to, err);
    if (rc == 0)
        rc = hc_keystore_exists(k, to, &retired, err);
    if (rc == 0 && !retired)
        rc = hc_err_set(err, HC_ENOENT, "there is no %s/%s", k->path, name);
    file_of(stem, ".key", name);
    (void)snprintf(to, sizeof(to), "ca/retired-%d.key", n);
    return rc == 0 ? move_if_there(k, name, to, err) : rc;
}

int hc_ca_retire(const hc_keystore *k, const char *stem, hc_err *err)
{
    bool finished = false;
    uint64_t n = 0;
    if (!old_number(stem, &n))
        return hc_err_set(err, HC_EINVAL, "only an old CA (ca/old-N) can be retired");
    int rc = hc_ca_settle(k, &finished, err);
    if (rc == 0)
        rc = move_retired(k, stem, (int)n, err);
    return rc == 0 ? write_trust(k, err) : rc;
}
