#include "cli/pem_certs.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/limits.h"
#include "server/read_file.h"

#define FILE_LIMIT_BYTES (1u << 20)

static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static X509 *from_der(hc_slice bytes)
{
    const unsigned char *at = bytes.at;
    X509 *x = d2i_X509(NULL, &at, (long)bytes.size);
    if (x && at != bytes.at + bytes.size) {
        X509_free(x);
        x = NULL;
    }
    return x;
}

static int read_pem(hc_slice bytes, STACK_OF(X509) * all, const char *path, hc_err *err)
{
    BIO *bio = BIO_new_mem_buf(bytes.at, (int)bytes.size);
    int rc = 0;
    X509 *x;
    while (rc == 0 && bio && (x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        if (sk_X509_num(all) > HC_LIMIT_CERT_CHAIN) {
            X509_free(x);
            rc = hc_err_set(err, HC_ELIMIT, "%s: more than %d certificates", path,
                            HC_LIMIT_CERT_CHAIN + 1);
        } else if (sk_X509_push(all, x) < 1) {
            X509_free(x);
            rc = hc_err_set(err, HC_ENOMEM, "out of memory");
        }
    }
    unsigned long last = ERR_peek_last_error();
    bool ended = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    if (rc == 0 && !ended)
        rc = hc_err_set(err, HC_EFORMAT, "%s: a certificate in it cannot be decoded", path);
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

int hc_pem_certs_load(const char *path, X509 **first, STACK_OF(X509) * *others, hc_err *err)
{
    hc_file_bytes file = {NULL, NULL, 0};
    int rc = hc_read_file(path, FILE_LIMIT_BYTES, &file, err);
    if (rc != 0)
        return rc;
    hc_slice bytes = hc_slice_of(file.at, file.size);
    STACK_OF(X509) *all = sk_X509_new_null();
    X509 *x = from_der(bytes);
    ERR_clear_error();
    if (!all || (x && sk_X509_push(all, x) < 1)) {
        X509_free(x);
        rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    } else if (!x) {
        rc = read_pem(bytes, all, path, err);
    }
    if (rc == 0 && sk_X509_num(all) == 0)
        rc = hc_err_set(err, HC_EFORMAT, "%s: no certificate in it, neither PEM nor DER", path);
    if (rc == 0) {
        *first = sk_X509_shift(all);
        *others = all;
        all = NULL;
    }
    sk_X509_pop_free(all, X509_free);
    hc_file_bytes_done(&file);
    return rc;
}
