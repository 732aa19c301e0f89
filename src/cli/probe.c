#include "cli/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authority/profile.h"
#include "base/clock.h"
#include "base/limits.h"

void hc_probe_done(hc_probe *p)
{
    sk_X509_pop_free(p->chain, X509_free);
    sk_X509_NAME_pop_free(p->cas, X509_NAME_free);
    memset(p, 0, sizeof(*p));
}

/* False when the time is up. */
static bool wait_for(int fd, short events, uint64_t until_ms)
{
    for (;;) {
        uint64_t now_ms = hc_clock_monotonic_ms();
        struct pollfd p = {.fd = fd, .events = events};
        if (now_ms >= until_ms)
            return false;
        uint64_t left = until_ms - now_ms;
        int ready = poll(&p, 1, left > 1000000 ? 1000000 : (int)left);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

/* A connected, non-blocking socket, or -1 with errno. */
static int connect_one(const struct addrinfo *a, uint64_t until_ms)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0)
        return -1;
    int failed = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (failed == EINPROGRESS) {
        socklen_t size = sizeof(failed);
        if (!wait_for(fd, POLLOUT, until_ms))
            failed = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0)
            failed = errno;
    }
    if (failed == 0)
        return fd;
    (void)close(fd);
    errno = failed;
    return -1;
}

static int connect_any(const char *host, const char *port, uint64_t until_ms, int *out, hc_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *all = NULL;
    int failed = getaddrinfo(host, port, &hints, &all);
    if (failed)
        return hc_err_set(err, HC_ENOENT, "%.200s: %s", host, gai_strerror(failed));
    int fd = -1;
    for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next)
        fd = connect_one(a, until_ms);
    int saved = errno;
    freeaddrinfo(all);
    if (fd < 0)
        return hc_err_errno(err, saved, "cannot connect to %.200s port %.20s", host, port);
    *out = fd;
    return 0;
}

/* Called when the server asks for a certificate; none is given. */
static int on_asked(SSL *ssl, void *arg)
{
    hc_probe *p = arg;
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(ssl);
    p->asks_for_certificate = true;
    if (names && !p->cas)
        p->cas = SSL_dup_CA_list(names);
    return 1;
}

static int tls_failed(const char *host, uint64_t until_ms, hc_err *err)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    bool late = hc_clock_monotonic_ms() >= until_ms;
    ERR_clear_error();
    if (!reason)
        reason = late ? "the server does not answer in time" : "the server ended the connection";
    return hc_err_set(err, HC_ETLS, "%.200s: no TLS handshake: %s", host, reason);
}

static bool shake_hands(SSL *ssl, uint64_t until_ms)
{
    for (;;) {
        int rc = SSL_connect(ssl);
        if (rc == 1)
            return true;
        int why = SSL_get_error(ssl, rc);
        short events = why == SSL_ERROR_WANT_READ    ? POLLIN
                       : why == SSL_ERROR_WANT_WRITE ? POLLOUT
                                                     : 0;
        if (!events || !wait_for(SSL_get_fd(ssl), events, until_ms))
            return false;
    }
}

static int collect(SSL *ssl, const char *host, uint64_t until_ms, hc_probe *p, hc_err *err)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    if (!chain || sk_X509_num(chain) == 0)
        return tls_failed(host, until_ms, err);
    p->chain = X509_chain_up_ref(chain);
    if (!p->chain)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    (void)snprintf(p->protocol, sizeof(p->protocol), "%s", SSL_get_version(ssl));
    (void)snprintf(p->cipher, sizeof(p->cipher), "%s", SSL_get_cipher_name(ssl));
    ERR_clear_error();
    return 0;
}

static SSL_CTX *context(hc_probe *p)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx)
        return NULL;
    /* Looked at, not trusted: an expired or foreign certificate is what one wants to see here. */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, HC_LIMIT_CERT_CHAIN_BYTES);
    SSL_CTX_set_cert_cb(ctx, on_asked, p);
    return ctx;
}

int hc_probe_server(const char *host, const char *port, const char *server_name,
                    uint64_t timeout_ms, hc_probe *out, hc_err *err)
{
    hc_probe p;
    uint64_t until_ms = hc_clock_monotonic_ms() + timeout_ms;
    uint8_t address[16];
    SSL *ssl = NULL;
    int fd = -1;
    memset(&p, 0, sizeof(p));
    SSL_CTX *ctx = context(&p);
    int rc = ctx ? connect_any(host, port, until_ms, &fd, err)
                 : hc_err_set(err, HC_ENOMEM, "out of memory");
    if (rc != 0)
        goto out;
    ssl = SSL_new(ctx);
    bool named = hc_san_address(server_name, address) == 0;
    if (!ssl || SSL_set_fd(ssl, fd) != 1 ||
        (named && SSL_set_tlsext_host_name(ssl, server_name) != 1)) {
        rc = hc_err_set(err, HC_ETLS, "cannot begin a handshake with %.200s", host);
        goto out;
    }
    p.completed = shake_hands(ssl, until_ms);
    rc = collect(ssl, host, until_ms, &p, err);
out:
    if (ssl && p.completed)
        (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    if (fd >= 0)
        (void)close(fd);
    if (rc == 0)
        *out = p;
    else
        hc_probe_done(&p);
    return rc;
}
