#include "x509/ossl.h"

#include <openssl/err.h>
#include <stdbool.h>

int hc_ossl_failed(hc_err *err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    bool no_memory = code == 0 || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    int rc = no_memory ? hc_err_set(err, HC_ENOMEM, "%s: out of memory", what)
                       : hc_err_set(err, HC_ETLS, "%s: %s", what, reason ? reason : "unknown");
    ERR_clear_error();
    return rc;
}
