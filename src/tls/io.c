#include "tls/io.h"

#include <errno.h>
#include <limits.h>

#include <openssl/err.h>

/* Every fatal alert that the peer sent is a reason of its own, from this number on. */
#define ALERT_REASONS SSL_AD_REASON_OFFSET

typedef struct reason_class {
    int reason;
    hc_tls_failure failure;
} reason_class;

/* Reasons that mean the same in every state of the handshake. */
static const reason_class always[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, HC_TLS_FAILURE_NO_CERTIFICATE},
    {SSL_R_CERTIFICATE_VERIFY_FAILED, HC_TLS_FAILURE_REFUSED},
    {SSL_R_BAD_SIGNATURE, HC_TLS_FAILURE_KEY_NOT_PROVEN},
    {SSL_R_HTTP_REQUEST, HC_TLS_FAILURE_NOT_TLS},
    {SSL_R_HTTPS_PROXY_REQUEST, HC_TLS_FAILURE_NOT_TLS},
    {SSL_R_UNSUPPORTED_PROTOCOL, HC_TLS_FAILURE_VERSION},
    {SSL_R_VERSION_TOO_LOW, HC_TLS_FAILURE_VERSION},
    {SSL_R_INAPPROPRIATE_FALLBACK, HC_TLS_FAILURE_VERSION},
    {SSL_R_NO_SHARED_CIPHER, HC_TLS_FAILURE_VERSION},
    {SSL_R_NO_SHARED_GROUPS, HC_TLS_FAILURE_VERSION},
    {SSL_R_NO_SUITABLE_KEY_SHARE, HC_TLS_FAILURE_VERSION},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, HC_TLS_FAILURE_VERSION},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, HC_TLS_FAILURE_VERSION},
};

/* Of the client's Certificate message. */
static const int malformed_reasons[] = {
    SSL_R_LENGTH_MISMATCH,
    SSL_R_CERT_LENGTH_MISMATCH,
    SSL_R_EXCESSIVE_MESSAGE_SIZE,
    SSL_R_UNKNOWN_CERTIFICATE_TYPE,
    SSL_R_INVALID_CONTEXT,
    SSL_R_LENGTH_TOO_LONG,
    SSL_R_LENGTH_TOO_SHORT,
    SSL_R_BAD_LENGTH,
    SSL_R_BAD_EXTENSION,
    SSL_R_UNSOLICITED_EXTENSION,
    SSL_R_EXTRA_DATA_IN_MESSAGE,
    SSL_R_BAD_PACKET,
    ERR_R_ASN1_LIB,
    SSL_R_X509_LIB,
};

/* Of the client's CertificateVerify message. */
static const int not_proven_reasons[] = {
    SSL_R_WRONG_SIGNATURE_TYPE,
    SSL_R_WRONG_SIGNATURE_SIZE,
    SSL_R_WRONG_SIGNATURE_LENGTH,
    SSL_R_WRONG_CURVE,
    SSL_R_LENGTH_MISMATCH,
    SSL_R_LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED,
    SSL_R_SIGNATURE_FOR_NON_SIGNING_CERTIFICATE,
    SSL_R_EXCESSIVE_MESSAGE_SIZE,
    SSL_R_BAD_PACKET, /* too short to name an algorithm */
    ERR_R_EVP_LIB,
};

static bool one_of(int reason, const int *reasons, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (reasons[i] == reason)
            return true;
    }
    return false;
}

/* The client went on after its Certificate without a CertificateVerify. */
static bool proof_is_missing(const SSL *ssl, int reason)
{
    OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);
    return (reason == SSL_R_UNEXPECTED_MESSAGE || reason == SSL_R_CCS_RECEIVED_EARLY) &&
           (state == TLS_ST_SR_CERT || state == TLS_ST_SR_KEY_EXCH) &&
           SSL_get0_peer_certificate(ssl) != NULL;
}

static hc_tls_failure classify_reason(const SSL *ssl, int reason)
{
    if (reason >= ALERT_REASONS && reason < ALERT_REASONS + 256)
        return HC_TLS_FAILURE_PEER_ALERT;
    for (size_t i = 0; i < HC_COUNT(always); i++) {
        if (always[i].reason == reason)
            return always[i].failure;
    }
    if (proof_is_missing(ssl, reason))
        return HC_TLS_FAILURE_KEY_NOT_PROVEN;
    switch (SSL_get_state(ssl)) {
    case TLS_ST_BEFORE:
    case TLS_ST_SR_CLNT_HELLO:
        /* The first octets were no TLS record. */
        if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_BAD_RECORD_TYPE)
            return HC_TLS_FAILURE_NOT_TLS;
        break;
    case TLS_ST_SR_CERT:
        if (one_of(reason, malformed_reasons, HC_COUNT(malformed_reasons)))
            return HC_TLS_FAILURE_MALFORMED;
        break;
    case TLS_ST_SR_CERT_VRFY:
        if (one_of(reason, not_proven_reasons, HC_COUNT(not_proven_reasons)))
            return HC_TLS_FAILURE_KEY_NOT_PROVEN;
        break;
    default:
        break;
    }
    return HC_TLS_FAILURE_OTHER;
}

/* The first error of libssl that says something; what other libraries put before it is detail.
 * Without memory nothing was found out about the client, whatever libssl makes of it. */
static hc_tls_failure classify_queue(const SSL *ssl, unsigned long *code)
{
    hc_tls_failure failure = HC_TLS_FAILURE_OTHER;
    bool no_memory = false;
    *code = 0;
    for (unsigned long next; (next = ERR_get_error()) != 0;) {
        if (failure == HC_TLS_FAILURE_OTHER && ERR_GET_LIB(next) == ERR_LIB_SSL) {
            failure = classify_reason(ssl, ERR_GET_REASON(next));
            *code = no_memory ? *code : next;
        }
        no_memory = no_memory || ERR_GET_REASON(next) == ERR_R_MALLOC_FAILURE;
        if (*code == 0 || ERR_GET_REASON(next) == ERR_R_MALLOC_FAILURE)
            *code = next;
    }
    bool about_client =
        failure == HC_TLS_FAILURE_MALFORMED || failure == HC_TLS_FAILURE_KEY_NOT_PROVEN;
    return no_memory && about_client ? HC_TLS_FAILURE_OTHER : failure;
}

static hc_tls_result closed(hc_err *err, const char *why)
{
    (void)hc_err_set(err, HC_ECLOSED, "%s", why);
    ERR_clear_error();
    return HC_TLS_CLOSED;
}

static hc_tls_result fatal(const SSL *ssl, hc_tls_failure *failure, hc_err *err)
{
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING &&
        ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL)
        return closed(err, "the peer closed the connection without close_notify");
    unsigned long code;
    *failure = classify_queue(ssl, &code);
    const char *reason = ERR_reason_error_string(code);
    if (*failure == HC_TLS_FAILURE_PEER_ALERT)
        (void)hc_err_set(err, HC_ETLS, "the peer sent the alert \"%s\"",
                         SSL_alert_desc_string_long(ERR_GET_REASON(code) - ALERT_REASONS));
    else
        (void)hc_err_set(err, ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ? HC_ENOMEM : HC_ETLS,
                         "%s", reason ? reason : "unknown TLS error");
    return HC_TLS_FAILED;
}

static hc_tls_result system_failure(int errno_value, hc_err *err)
{
    switch (errno_value) {
    case 0:
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
        return closed(err, errno_value == ECONNRESET ? "the peer reset the connection"
                                                     : "the peer closed the connection");
    default:
        (void)hc_err_errno(err, errno_value, "the connection failed");
        ERR_clear_error();
        return HC_TLS_FAILED;
    }
}

/* After a call that did not succeed; `errno_value` was read right behind it. */
static hc_tls_result outcome(const SSL *ssl, int rc, int errno_value, hc_tls_failure *failure,
                             hc_err *err)
{
    *failure = HC_TLS_FAILURE_OTHER;
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return HC_TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return HC_TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        if (err)
            *err = (hc_err){0};
        return HC_TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        return system_failure(errno_value, err);
    default:
        return fatal(ssl, failure, err);
    }
}

/* SSL_get_error looks at the queue and at errno: what an earlier call left there must not be taken
 * for this one's failure. */
static void begin(void)
{
    ERR_clear_error();
    errno = 0;
}

hc_tls_result hc_tls_handshake(SSL *ssl, hc_tls_failure *failure, hc_err *err)
{
    begin();
    int rc = SSL_do_handshake(ssl);
    int errno_value = errno;
    if (rc == 1)
        return HC_TLS_DONE;
    hc_tls_failure why;
    hc_tls_result result = outcome(ssl, rc, errno_value, &why, err);
    if (failure && (result == HC_TLS_FAILED || result == HC_TLS_CLOSED))
        *failure = why;
    return result;
}

hc_tls_result hc_tls_read(SSL *ssl, uint8_t *into, size_t room, size_t *done, hc_err *err)
{
    hc_tls_failure ignored;
    *done = 0;
    if (room == 0)
        return HC_TLS_DONE;
    begin();
    int rc = SSL_read_ex(ssl, into, room, done);
    int errno_value = errno;
    return rc == 1 ? HC_TLS_DONE : outcome(ssl, rc, errno_value, &ignored, err);
}

hc_tls_result hc_tls_write(SSL *ssl, hc_slice octets, size_t *done, hc_err *err)
{
    hc_tls_failure ignored;
    *done = 0;
    if (octets.size == 0)
        return HC_TLS_DONE;
    begin();
    int rc = SSL_write_ex(ssl, octets.at, octets.size, done);
    int errno_value = errno;
    return rc == 1 ? HC_TLS_DONE : outcome(ssl, rc, errno_value, &ignored, err);
}

hc_tls_result hc_tls_close_notify(SSL *ssl)
{
    /* After a fatal error, and before the handshake is complete, there is no one to notify: the
     * state machine is then "in init". */
    if (SSL_in_init(ssl))
        return HC_TLS_DONE;
    begin();
    int rc = SSL_shutdown(ssl);
    bool full = rc < 0 && SSL_get_error(ssl, rc) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    return full ? HC_TLS_WANT_WRITE : HC_TLS_DONE;
}
