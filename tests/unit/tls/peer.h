/* A server made of the library and a client made of OpenSSL, in one thread, over real sockets.
 *
 * Between them stands a relay that hands on record by record, so that a test can change or drop
 * what an honest client would never send wrong. */
#ifndef HC_TESTS_UNIT_TLS_PEER_H
#define HC_TESTS_UNIT_TLS_PEER_H

#include "base/buf.h"
#include "pki.h"
#include "tls/context.h"
#include "tls/io.h"
#include "tls/session.h"

/* What the hooks of one server see and answer; the owner of its connections. */
typedef struct peer_server {
    hc_tls_context *context;
    hc_session_store *store; /* NULL: nothing is found */
    int verify_answer, verify_error;
    int get_limit; /* nothing is found any more after as many lookups; 0: no limit */
    int verify_calls, new_calls, kept_calls, get_calls, found_calls;
    uint8_t last_id[32];
    size_t last_id_size;
} peer_server;

/* Changes one record (5 octets of header, then the body) on its way to the server: its new size, 0
 * to drop it. */
typedef size_t (*peer_filter)(uint8_t *record, size_t size, void *arg);

typedef struct peer_pair {
    SSL *server, *client;
    int server_fd, client_fd; /* the ends that TLS uses */
    int relay[2];             /* the ends of the relay: towards the server, towards the client */
    peer_filter filter;
    void *filter_arg;
    void (*around_server)(bool inside); /* called before and after each step of the server */
    hc_buf pending;
    hc_tls_result result; /* of the server's handshake */
    hc_tls_failure failure;
    hc_err err;
    int client_done;   /* 1 complete, 0 waiting, -1 failed */
    int client_reason; /* of its error: an alert's is SSL_AD_REASON_OFFSET + number */
} peer_pair;

/* The certificate of all servers here, and the CA of all clients; made once. */
typedef struct peer_pki {
    pki_identity ca, server, client;
    char *server_pem, *key_pem;
} peer_pki;
void peer_pki_init(peer_pki *pki);
void peer_pki_done(peer_pki *pki);

/* A configuration that requires a certificate, with hooks that end in `peer_server`. */
hc_tls_config peer_config(const peer_pki *pki);
void peer_server_init(peer_server *s, const hc_tls_config *config);
void peer_server_done(peer_server *s);

/* `id` NULL: no certificate. `version` 0: the best. */
SSL_CTX *peer_client(const pki_identity *id, int version);

/* Makes both ends; hand the client a session with SSL_set_session before peer_handshake. */
void peer_open(peer_pair *p, peer_server *server, SSL_CTX *client);
/* Steps both until neither moves. */
void peer_handshake(peer_pair *p);
/* Hands on what is under way, both ways. */
void peer_relay(peer_pair *p);
void peer_close(peer_pair *p);

/* Sends octets one way, and asserts that the same come out. */
void peer_assert_talks(peer_pair *p);

#endif
