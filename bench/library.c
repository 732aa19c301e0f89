/* The floor: what OpenSSL alone spends on the server's side of two-way TLS, without sockets, logs,
 * HTTP or verdicts. Two SSL objects in memory; only the CPU time of the server's calls is counted.
 * One line of JSON, in microseconds.
 *
 *   library --ca FILE --cert FILE --key FILE --server-cert FILE --server-key FILE [--count N] */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_COUNT 100000
#define REQUEST   "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"
#define RESPONSE                                                                                   \
    "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/html; "          \
    "charset=utf-8\r\n"                                                                            \
    "Content-Length: 6\r\n\r\nhello\n"

typedef struct files {
    const char *ca, *cert, *key, *server_cert, *server_key;
    long count;
} files;

typedef struct pair {
    SSL *server, *client;
    double server_us;
} pair;

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "library: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(2);
}

static double cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static SSL_CTX *make_context(const SSL_METHOD *method, int version, const char *ca,
                             const char *cert, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(method);
    if (!context || SSL_CTX_set_min_proto_version(context, version) != 1 ||
        SSL_CTX_set_max_proto_version(context, version) != 1 ||
        SSL_CTX_load_verify_file(context, ca) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        die("cannot set up TLS");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return context;
}

/* Sessions in OpenSSL's own store, no tickets: the cheapest that can be resumed. The ciphers are
 * those that Handclasp takes, which differ in what they cost. */
static SSL_CTX *make_server(const files *f, int version)
{
    SSL_CTX *context =
        make_context(TLS_server_method(), version, f->ca, f->server_cert, f->server_key);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
    if (SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE+AES128+AESGCM") != 1 ||
        SSL_CTX_set_num_tickets(context, 1) != 1 ||
        SSL_CTX_set_session_id_context(context, (const uint8_t *)"b", 1) != 1)
        die("cannot set up sessions");
    return context;
}

static bool step(SSL *ssl)
{
    int rc = SSL_do_handshake(ssl);
    if (rc != 1 && SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ)
        die("the handshake failed");
    return rc == 1;
}

static void connect_pair(pair *p, SSL_CTX *server, SSL_CTX *client, SSL_SESSION *session)
{
    BIO *a, *b;
    double began = cpu_us();
    p->server = SSL_new(server);
    p->server_us += cpu_us() - began;
    p->client = SSL_new(client);
    if (!p->server || !p->client || BIO_new_bio_pair(&a, 32768, &b, 32768) != 1)
        die("no memory");
    SSL_set_bio(p->server, a, a);
    SSL_set_bio(p->client, b, b);
    SSL_set_accept_state(p->server);
    SSL_set_connect_state(p->client);
    if (session && SSL_set_session(p->client, session) != 1)
        die("cannot offer a session");
    for (bool server_done = false, client_done = false; !server_done || !client_done;) {
        client_done = step(p->client);
        began = cpu_us();
        server_done = step(p->server);
        p->server_us += cpu_us() - began;
    }
}

static void exchange(pair *p)
{
    char in[1024];
    size_t n = 0;
    if (SSL_write_ex(p->client, REQUEST, sizeof REQUEST - 1, &n) != 1)
        die("the request failed");
    double began = cpu_us();
    bool done = SSL_read_ex(p->server, in, sizeof in, &n) == 1 &&
                SSL_write_ex(p->server, RESPONSE, sizeof RESPONSE - 1, &n) == 1;
    p->server_us += cpu_us() - began;
    if (!done || SSL_read_ex(p->client, in, sizeof in, &n) != 1)
        die("the response failed");
}

static void close_pair(pair *p)
{
    double began = cpu_us();
    SSL_set_shutdown(p->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->server);
    p->server_us += cpu_us() - began;
    SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->client);
}

/* A new connection with one request, `count` times. */
static double measure(const files *f, int version, bool resume)
{
    SSL_CTX *server = make_server(f, version);
    SSL_CTX *client = make_context(TLS_client_method(), version, f->ca, f->cert, f->key);
    SSL_SESSION *session = NULL;
    double total_us = 0;
    for (long i = -1; i < f->count; i++) { /* the first one fills caches, and the session */
        pair p = {0};
        connect_pair(&p, server, client, session);
        exchange(&p);
        if (i >= 0 && resume != (SSL_session_reused(p.server) == 1))
            die("resumption is not as asked");
        if (resume) {
            SSL_SESSION_free(session);
            session = SSL_get1_session(p.client);
        }
        close_pair(&p);
        total_us += i >= 0 ? p.server_us : 0;
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return total_us / (double)f->count;
}

static double measure_kept(const files *f)
{
    SSL_CTX *server = make_server(f, TLS1_3_VERSION);
    SSL_CTX *client = make_context(TLS_client_method(), TLS1_3_VERSION, f->ca, f->cert, f->key);
    pair p = {0};
    connect_pair(&p, server, client, NULL);
    exchange(&p);
    p.server_us = 0;
    for (long i = 0; i < f->count; i++)
        exchange(&p);
    double each_us = p.server_us / (double)f->count;
    close_pair(&p);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return each_us;
}

int main(int argc, char **argv)
{
    files f = {.count = 500};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (strcmp(name, "--ca") == 0)
            f.ca = value;
        else if (strcmp(name, "--cert") == 0)
            f.cert = value;
        else if (strcmp(name, "--key") == 0)
            f.key = value;
        else if (strcmp(name, "--server-cert") == 0)
            f.server_cert = value;
        else if (strcmp(name, "--server-key") == 0)
            f.server_key = value;
        else if (strcmp(name, "--count") == 0)
            f.count = strtol(value, NULL, 10);
        else
            die(name);
    }
    if (!f.ca || !f.cert || !f.key || !f.server_cert || !f.server_key || f.count < 1 ||
        f.count > MAX_COUNT)
        die("--ca, --cert, --key, --server-cert and --server-key are needed, and a --count of at "
            "most 100000");
    printf("{\"kept\": %.2f, ", measure_kept(&f));
    printf("\"full\": %.1f, ", measure(&f, TLS1_3_VERSION, false));
    printf("\"full_tls12\": %.1f, ", measure(&f, TLS1_2_VERSION, false));
    printf("\"resumed_tls13\": %.1f, ", measure(&f, TLS1_3_VERSION, true));
    printf("\"resumed_tls12\": %.1f}\n", measure(&f, TLS1_2_VERSION, true));
    return 0;
}
