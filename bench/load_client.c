#include "load.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

#define STALL_SECONDS 5 /* a server that does not go on for so long has failed */

SSL_CTX *load_context(const load_target *t)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int version = t->tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (!context || SSL_CTX_set_min_proto_version(context, version) != 1 ||
        SSL_CTX_set_max_proto_version(context, version) != 1 ||
        SSL_CTX_load_verify_file(context, t->ca) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, t->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, t->key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    return context;
}

void load_request_init(load_request *r, const char *path, const uint8_t *body, size_t body_bytes)
{
    char length[48] = "";
    if (body_bytes)
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", body_bytes);
    int n =
        snprintf(r->head, sizeof r->head,
                 "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n%s\r\n",
                 body_bytes ? "POST" : "GET", path, length);
    r->head_bytes = n > 0 && (size_t)n < sizeof r->head ? (size_t)n : 0;
    r->body = body;
    r->body_bytes = body_bytes;
}

void load_client_init(load_client *c, const load_target *t, SSL_CTX *context)
{
    *c = (load_client){.target = t, .context = context, .fd = -1};
}

static int connect_tcp(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval stall = {.tv_sec = STALL_SECONDS};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int load_open(load_client *c, bool *resumed)
{
    ERR_clear_error();
    c->fd = connect_tcp(c->target->port);
    if (c->fd < 0)
        return -1;
    c->ssl = SSL_new(c->context);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 ||
        SSL_set_tlsext_host_name(c->ssl, "localhost") != 1 ||
        SSL_set1_host(c->ssl, "localhost") != 1)
        return -1;
    if (c->session && SSL_set_session(c->ssl, c->session) != 1)
        return -1;
    if (SSL_connect(c->ssl) != 1)
        return -1;
    *resumed = SSL_session_reused(c->ssl) == 1;
    c->ends = false;
    return 0;
}

void load_close(load_client *c, bool keep_session)
{
    if (c->ssl) {
        if (keep_session) {
            SSL_SESSION_free(c->session);
            c->session = SSL_get1_session(c->ssl);
        }
        if (!SSL_in_init(c->ssl))
            (void)SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

void load_client_done(load_client *c)
{
    load_close(c, false);
    SSL_SESSION_free(c->session);
    c->session = NULL;
}

static int send_all(load_client *c, const void *octets, size_t size)
{
    size_t done = 0;
    return size == 0 || (SSL_write_ex(c->ssl, octets, size, &done) == 1 && done == size) ? 0 : -1;
}

/* Where the body begins; 0 while the head is not whole. */
static size_t head_size(const char *text, size_t size)
{
    const char *end = memmem(text, size, "\r\n\r\n", 4);
    return end ? (size_t)(end - text) + 4 : 0;
}

/* Behind the colon of a field of a whole head, or NULL. */
static const char *field(const char *head, size_t size, const char *name)
{
    const char *end = head + size;
    size_t name_size = strlen(name);
    for (const char *line = head; (line = memchr(line, '\n', (size_t)(end - line))) != NULL;) {
        line++;
        if ((size_t)(end - line) > name_size + 2 && strncasecmp(line, name, name_size) == 0 &&
            line[name_size] == ':')
            return line + name_size + 1 + strspn(line + name_size + 1, " ");
    }
    return NULL;
}

static int read_response(load_client *c)
{
    char in[65536];
    size_t have = 0, head = 0, got = 0;
    uint64_t body = 0;
    while (head == 0) {
        if (have == sizeof in - 1 ||
            SSL_read_ex(c->ssl, in + have, sizeof in - 1 - have, &got) != 1)
            return -1;
        have += got;
        in[have] = '\0';
        head = head_size(in, have);
    }
    const char *length = field(in, head, "content-length");
    const char *connection = field(in, head, "connection");
    if (strncmp(in, "HTTP/1.", 7) != 0 || strncmp(in + 8, " 200", 4) != 0 || !length)
        return -1;
    body = strtoull(length, NULL, 10);
    c->ends = in[7] == '0' || (connection && strncasecmp(connection, "close", 5) == 0);
    uint64_t arrived = have - head;
    while (arrived < body) {
        if (SSL_read_ex(c->ssl, in, sizeof in, &got) != 1)
            return -1;
        arrived += got;
    }
    c->received_bytes += arrived;
    return arrived == body ? 0 : -1;
}

int load_exchange(load_client *c, const load_request *r)
{
    ERR_clear_error();
    if (send_all(c, r->head, r->head_bytes) != 0 || send_all(c, r->body, r->body_bytes) != 0)
        return -1;
    return read_response(c);
}
