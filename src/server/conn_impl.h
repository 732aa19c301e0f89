/* A connection from the inside: one state table, and the files that share it.
 *
 *   conn.c           life: states, deadlines, reading, writing, the pump
 *   conn_tls.c       handshake, verification, sessions: who is this
 *   conn_request.c   octets to requests, and whether each may pass
 *   conn_response.c  the responder that handlers answer through
 *   refusal_log.c    the one line a refusal
 *
 * Everything here runs on the loop's thread. Nothing frees a connection but its pump, when the
 * outermost call ends. */
#ifndef HC_SERVER_CONN_IMPL_H
#define HC_SERVER_CONN_IMPL_H

#include "app/spool.h"
#include "net/proxy.h"
#include "server/conn.h"
#include "server/ticket.h"
#include "tls/io.h"

typedef enum hc_conn_state {
    CONN_PROXY, /* waits for the PROXY header of a named peer */
    CONN_HANDSHAKE,
    CONN_HEAD, /* idle, or within the head of a request */
    CONN_BODY,
    CONN_ANSWER, /* a handler has the request, or its response is being sent */
    CONN_LINGER, /* our side is closed; what the client still sends is dropped, so that it can read
                    our last words */
    CONN_CLOSED,
    CONN_STATES
} hc_conn_state;

/* Why the client was, or would be, let in: kept from the handshake for the log. */
typedef struct hc_conn_identity {
    hc_principal *principal; /* after the handshake */
    hc_verdict chain;        /* what the certificate's chain makes of it */
    hc_verdict verdict;      /* the same with the client's record: what counts */
    hc_record *record;       /* where the verdict admits a known client */
    int64_t certificate_id;  /* of the registry; 0: none */
    uint64_t seen_ms;        /* when it was last noted as seen; 0: never */
    int64_t full_handshake_s;
    X509 *presented;    /* during the handshake: what came, proven or not */
    hc_ticket *resumed; /* the session store's answer, until the handshake is complete */
    uint8_t resumed_id[SSL_MAX_SSL_SESSION_ID_LENGTH];
    size_t resumed_id_size;
} hc_conn_identity;

typedef struct hc_response_state {
    bool active;      /* a request was taken, its response is not yet all sent */
    bool has_request; /* the decoder's request is whole */
    bool head_sent;
    bool complete;   /* nothing more will be added to the outbox */
    bool by_handler; /* the handler has the exchange */
    bool close;      /* end the connection behind it */
    bool cut;        /* the response is broken: end without a proper end */
    int status;
    hc_framing framing;
    uint64_t body_bytes; /* of the response, before chunking */
    uint64_t began_us;
} hc_response_state;

struct hc_conn {
    hc_loop *loop;
    hc_conn *previous, *next;
    hc_live *live; /* of the handshake; the loop's is what is in force */
    int fd;
    hc_conn_state state;
    SSL *ssl;
    uv_poll_t poll;
    uv_timer_t timer;
    int handles; /* libuv handles still open */
    int events;
    uint64_t deadline_ms; /* 0: none; the timer may fire earlier and finds out */
    bool pumping, again, draining;
    bool read_paused;  /* enough was read ahead */
    bool peer_ended;   /* the client sends no more */
    bool want_write;   /* TLS cannot go on before the socket takes octets */
    bool read_blocked; /* the same, and what it was doing is reading */
    bool resting;      /* had its turn: goes on when the timer says so */

    hc_conn_identity who;
    hc_peer peer;
    char address[HC_ADDRESS_TEXT_BYTES], server_address[HC_ADDRESS_TEXT_BYTES];
    char session_id[2 * SSL_MAX_SSL_SESSION_ID_LENGTH + 1];
    char sni[256];

    hc_h1 decoder;
    hc_buf ahead; /* read, not yet decoded */
    hc_body_store body;
    hc_exchange exchange;
    hc_response_state response;
    hc_outbox out;
    uint64_t drained_bytes;
};

/* conn.c */
void conn_enter(hc_conn *c, hc_conn_state next);
void conn_deadline(hc_conn *c, uint64_t in_ms); /* 0: none */
void conn_pump(hc_conn *c);
/* Flushes what there is, closes our side, lingers. */
void conn_shut(hc_conn *c);
const hc_settings *conn_settings(const hc_conn *c); /* in force now */

/* conn_tls.c */
int conn_tls_begin(hc_conn *c, hc_err *err) HC_MUST_CHECK;
void conn_handshake(hc_conn *c);
/* The verdict for the request that came now: made anew where what it rested on has changed. */
void conn_check_verdict(hc_conn *c);
/* The client was let in with a request: for "last seen". */
void conn_note_seen(hc_conn *c);
void conn_identity_done(hc_conn *c);

/* conn_request.c */
/* May this request pass, by its path and its client as they are now? Answers it where it may not.
 */
bool conn_admit(hc_conn *c);
/* Decodes octets as far as the state allows; the rest is kept for later. */
void conn_input(hc_conn *c, hc_slice octets);
/* The client has ended its side. */
void conn_input_ended(hc_conn *c);
/* The deadline of HEAD or BODY has passed. */
void conn_input_late(hc_conn *c);

/* conn_response.c */
const hc_responder *conn_responder(void);
/* A response that no handler makes: problem+json. `verdict` NULL where it is no refusal. */
void conn_problem(hc_conn *c, int status, const char *detail, const char *verdict, bool close);
/* All octets of the response are with the client. */
void conn_response_sent(hc_conn *c);

/* refusal_log.c */
void conn_log_refusal(hc_conn *c, const hc_verdict *v, X509 *certificate, hc_slice reason);

#endif
