#include "tls/queue.h"

#include <stdbool.h>

#include <openssl/err.h>

static const char *reason_of(unsigned long code)
{
    const char *reason = ERR_reason_error_string(code);
    return reason ? reason : "unknown error";
}

const char *hc_tls_queue_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    return reason_of(code);
}

int hc_tls_queue_error(hc_err *err, const char *what)
{
    unsigned long last = ERR_peek_last_error();
    bool no_memory = false;
    for (unsigned long code; (code = ERR_get_error()) != 0;)
        no_memory = no_memory || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    return hc_err_set(err, no_memory ? HC_ENOMEM : HC_ETLS, "%s: %s", what, reason_of(last));
}
