#include "identity/describe.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdio.h>
#include <time.h>

void hc_describe_text(hc_slice text, char *out, size_t out_size)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.at[i];
        bool printable = byte >= 0x20 && byte < 0x7F;
        size_t need = printable ? 1 : 4;
        if (size + need >= out_size)
            break;
        if (printable)
            out[size] = (char)byte;
        else
            snprintf(out + size, out_size - size, "\\x%02x", byte);
        size += need;
    }
    out[size] = '\0';
}

void hc_describe_name(const X509_NAME *name, char out[HC_DESCRIBE_NAME_BYTES])
{
    out[0] = '\0';
    BIO *bio = name ? BIO_new(BIO_s_mem()) : NULL;
    if (!bio)
        return;
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        char *at = NULL;
        long size = BIO_get_mem_data(bio, &at);
        hc_describe_text(hc_slice_of(at, size > 0 ? (size_t)size : 0), out, HC_DESCRIBE_NAME_BYTES);
    }
    BIO_free(bio);
    ERR_clear_error();
}

void hc_describe_time(int64_t time_s, char out[HC_DESCRIBE_TIME_BYTES])
{
    time_t at = (time_t)time_s;
    struct tm parts;
    if (!gmtime_r(&at, &parts) ||
        strftime(out, HC_DESCRIBE_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(out, HC_DESCRIBE_TIME_BYTES, "an unknown time");
}
