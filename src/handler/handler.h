/* The one interface for all that answers a request: the application, health, later the gateway,
 * enrollment, CRLs.
 *
 * A handler gets an exchange (request, body, principal, verdict) and answers through its responder;
 * it knows nothing of sockets, TLS or configuration syntax. No handler can be reached without a
 * verdict. All calls of one exchange happen on one thread; `start` must not block. The connection
 * owns the exchange: it is alive from `start` until the handler called `end` or `fail`, was told
 * HC_RESPONSE_COMPLETE, or the connection called `cancel`; after that the handler must not touch
 * it. A handler may answer within `start`. */
#ifndef HC_HANDLER_HANDLER_H
#define HC_HANDLER_HANDLER_H

#include "base/err.h"
#include "http/request.h"
#include "http/response.h"
#include "identity/lookup.h"
#include "identity/policy.h"
#include "identity/principal.h"
#include "identity/verdict.h"

typedef struct hc_exchange hc_exchange;

/* What the request's connection is, for environ and logs. Texts live as long as the exchange. */
typedef struct hc_peer {
    uint64_t connection; /* a number no other connection of this server has had */
    const char *address; /* text form; "" on a unix socket */
    uint16_t port;
    const char *server_address;
    uint16_t server_port;
    const char *tls_protocol; /* "TLSv1.3" */
    const char *tls_cipher;
    int tls_cipher_bits;           /* SSL_CIPHER_USEKEYSIZE */
    int tls_cipher_algorithm_bits; /* SSL_CIPHER_ALGKEYSIZE */
    hc_slice tls_session_id;       /* lower-case hex or empty */
    bool tls_resumed;
    const char *tls_sni; /* "" where none was sent */
} hc_peer;

/* The request body, whole: in memory, or in an unlinked file where it was large. */
typedef struct hc_body {
    hc_slice memory;
    int file; /* -1 where in memory */
    uint64_t size;
} hc_body;

/* `head`, `data` and `file` return HC_RESPONSE_COMPLETE when the client has all it will get
 * (Content-Length was reached, or there is no body): the exchange has then ended, and whatever else
 * the handler has is dropped. */
#define HC_RESPONSE_COMPLETE 1

typedef struct hc_responder {
    /* The response's head, once. -HC_EFORMAT where hc_response_check refuses it: then call `fail`.
     */
    int (*head)(hc_exchange *x, const hc_response_head *head, hc_err *err);
    /* Body octets, copied. */
    int (*data)(hc_exchange *x, hc_slice octets, hc_err *err);
    /* A part of a regular file; takes the descriptor, also on failure. */
    int (*file)(hc_exchange *x, int fd, uint64_t offset, uint64_t size, hc_err *err);
    /* For a handler that let the request wait: may it still be answered as it was let in? False:
     * the connection has answered, and the exchange has ended. Not within `start`. */
    bool (*still_admitted)(hc_exchange *x);
    /* Nothing more is at hand for now: send what there is. */
    void (*flush)(hc_exchange *x);
    /* The response is complete (fewer octets than promised: the connection is cut). Ends the
     * exchange. */
    void (*end)(hc_exchange *x);
    /* No (further) response can be had: `status` as problem+json where no head was sent, else the
     * connection is cut so that the client sees a broken response. Logged with `reason`. Ends the
     * exchange. */
    void (*fail)(hc_exchange *x, int status, const char *reason);
    /* The handler refused the client: one line in the log. The response is the handler's. `verdict`
     * is its claim: logged is the exchange's own verdict where that is what it names,
     * no-certificate where none came, and refused-by-app for anything else. */
    void (*refused)(hc_exchange *x, hc_verdict_code verdict, hc_slice reason);
} hc_responder;

struct hc_exchange {
    const hc_responder *respond;
    const hc_request *request;
    hc_body body;
    const hc_peer *peer;
    hc_principal *principal; /* NULL where no certificate came */
    const hc_verdict *verdict;
    hc_record *record; /* of the client, borrowed; NULL where nobody is known */
    /* the handler's own */
    void *handler_state;
    uint64_t handler_ms; /* monotonic */
    hc_exchange *next;
};

typedef struct hc_handler hc_handler;
struct hc_handler {
    /* Answers now or later. */
    void (*start)(hc_handler *h, hc_exchange *x);
    /* The client is gone: forget the exchange now. */
    void (*cancel)(hc_handler *h, hc_exchange *x);
};

#endif
