/* The load generator's connections: blocking, one a thread, loopback only.
 *
 *   load.c         options, threads, figures
 *   load_client.c  one connection: TCP, TLS, requests with and without large bodies
 *
 * A connection belongs to one thread. Functions return 0, or -1 where the server or the network did
 * not do its part. */
#ifndef HC_BENCH_LOAD_H
#define HC_BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct load_target {
    int port;
    const char *ca, *cert, *key;
    bool tls12;
} load_target;

typedef struct load_request {
    char head[512];
    size_t head_bytes;
    const uint8_t *body;
    size_t body_bytes;
} load_request;

typedef struct load_client {
    const load_target *target;
    SSL_CTX *context;
    SSL_SESSION *session; /* offered by the next connection, where not NULL */
    SSL *ssl;
    int fd;
    bool ends;               /* the server closes behind its last response */
    uint64_t received_bytes; /* of bodies */
} load_client;

/* NULL with the reason on stderr. */
SSL_CTX *load_context(const load_target *t);
void load_request_init(load_request *r, const char *path, const uint8_t *body, size_t body_bytes);

void load_client_init(load_client *c, const load_target *t, SSL_CTX *context);
int load_open(load_client *c, bool *resumed);
/* Sends one request and reads its response; -1 also for any status but 200. */
int load_exchange(load_client *c, const load_request *r);
/* Says goodbye and closes; keeps the session for the next connection where asked. */
void load_close(load_client *c, bool keep_session);
void load_client_done(load_client *c);

#endif
