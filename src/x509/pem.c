#include "x509/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/limits.h"

bool hc_pem_is_certificate(const char *label)
{
    return strcmp(label, PEM_STRING_X509) == 0 || strcmp(label, PEM_STRING_X509_OLD) == 0;
}

static size_t count_begins(hc_slice pem)
{
    static const char mark[] = "-----BEGIN";
    size_t count = 0;
    const uint8_t *at = pem.at;
    size_t left = pem.size;
    while (left >= sizeof(mark) - 1) {
        const uint8_t *hit = memmem(at, left, mark, sizeof(mark) - 1);
        if (!hit)
            break;
        count++;
        left -= (size_t)(hit - at) + sizeof(mark) - 1;
        at = hit + sizeof(mark) - 1;
    }
    return count;
}

/* 1: a block was visited; 0: no more blocks. */
static int visit_next(BIO *bio, size_t number, hc_pem_visit visit, void *arg, bool *stop,
                      hc_err *err)
{
    char *label = NULL;
    char *header = NULL;
    unsigned char *data = NULL;
    long size = 0;
    ERR_clear_error();
    if (PEM_read_bio(bio, &label, &header, &data, &size) != 1) {
        unsigned long why = ERR_peek_last_error();
        ERR_clear_error();
        if (ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE)
            return 0;
        const char *reason = ERR_reason_error_string(why);
        return hc_err_set(err, HC_EFORMAT, "PEM block %zu cannot be read (%s)", number,
                          reason ? reason : "unknown reason");
    }
    int rc = visit(arg, label, hc_slice_of(data, (size_t)size), err);
    if (rc < 0)
        hc_err_context(err, "PEM block %zu", number); /* its code is unknown where err is NULL */
    *stop = rc == 1;
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, (size_t)size); /* may be a private key */
    return rc < 0 ? rc : 1;
}

int hc_pem_each(hc_slice pem, hc_pem_visit visit, void *arg, hc_err *err)
{
    if (pem.size > HC_LIMIT_PEM_FILE_BYTES)
        return hc_err_set(err, HC_ELIMIT, "PEM text is larger than %u octets",
                          HC_LIMIT_PEM_FILE_BYTES);
    if (pem.size == 0)
        return 0;
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
    if (!bio)
        return hc_err_set(err, HC_ENOMEM, "no memory to read a PEM text");
    size_t blocks = 0;
    bool stop = false;
    int rc = 1;
    while (rc == 1 && !stop) {
        rc = visit_next(bio, blocks + 1, visit, arg, &stop, err);
        if (rc == 1)
            blocks++;
    }
    BIO_free(bio);
    if (rc == 0 && blocks != count_begins(pem))
        rc = hc_err_set(err, HC_EFORMAT,
                        "%zu lines begin a PEM block, but %zu blocks can be read: a BEGIN line is "
                        "broken",
                        count_begins(pem), blocks);
    return rc < 0 ? rc : 0;
}
