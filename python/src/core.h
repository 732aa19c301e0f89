/* What the files of the extension module handclasp._core share: its state, a lane, one exchange on
 * it.
 *
 * The only folder that includes Python.h. Everything here is called with the GIL held; the places
 * that give it up are marked "GIL:". A lane is used by the one thread whose turn on it is, and by
 * those that a view lets ask on it, one at a time; an exchange may be held by the application for
 * longer than its request and is then dead (its lane is NULL). */
#ifndef HCP_CORE_H
#define HCP_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "lane/channel.h"

#define HCP_HEADER_NAME 40 /* longer header names are not remembered */
#define HCP_HEADERS     128

/* Keys and constant values of environ, interned once a module. First those whose C name is their
 * text. */
/* clang-format off */
#define HCP_WORDS(X) \
    X(REQUEST_METHOD) \
    X(SCRIPT_NAME) \
    X(PATH_INFO) \
    X(QUERY_STRING) \
    X(REQUEST_URI) \
    X(RAW_URI) \
    X(SERVER_NAME) \
    X(SERVER_PORT) \
    X(SERVER_PROTOCOL) \
    X(SERVER_SOFTWARE) \
    X(REMOTE_ADDR) \
    X(REMOTE_PORT) \
    X(REMOTE_USER) \
    X(AUTH_TYPE) \
    X(CONTENT_TYPE) \
    X(CONTENT_LENGTH) \
    X(HTTPS) \
    X(SSL_CLIENT_VERIFY) \
    X(SSL_CLIENT_V_REMAIN) \
    X(SSL_PROTOCOL) \
    X(SSL_CIPHER) \
    X(SSL_CIPHER_USEKEYSIZE) \
    X(SSL_CIPHER_ALGKEYSIZE) \
    X(SSL_SESSION_ID) \
    X(SSL_SESSION_RESUMED) \
    X(SSL_TLS_SNI) \
    X(CLIENT_CERT) \
    X(Initial) \
    X(Resumed) \
    X(close)
#define HCP_PHRASES(X) \
    X(WSGI_VERSION, "wsgi.version") \
    X(WSGI_URL_SCHEME, "wsgi.url_scheme") \
    X(WSGI_INPUT, "wsgi.input") \
    X(WSGI_ERRORS, "wsgi.errors") \
    X(WSGI_MULTITHREAD, "wsgi.multithread") \
    X(WSGI_MULTIPROCESS, "wsgi.multiprocess") \
    X(WSGI_RUN_ONCE, "wsgi.run_once") \
    X(WSGI_INPUT_TERMINATED, "wsgi.input_terminated") \
    X(WSGI_FILE_WRAPPER, "wsgi.file_wrapper") \
    X(HC_CERTIFICATE, "handclasp.certificate") \
    X(HC_CLIENT, "handclasp.client") \
    X(HC_VERDICT, "handclasp.verdict") \
    X(HC_VERDICT_DETAIL, "handclasp.verdict_detail") \
    X(HC_ERROR, "handclasp.error") \
    X(HC_DEPTH, "handclasp.depth") \
    X(HC_CONNECTION, "handclasp.connection") \
    X(HC_REFUSE, "handclasp.refuse") \
    X(EMPTY, "") \
    X(ON, "on") \
    X(SCHEME, "https") \
    X(SOFTWARE, "handclasp/" HC_VERSION) \
    X(HTTP_1_0, "HTTP/1.0") \
    X(HTTP_1_1, "HTTP/1.1")
/* clang-format on */

typedef enum hcp_key {
#define HCP_NAME(name)         HCP_##name,
#define HCP_NAMED(name, value) HCP_##name,
    HCP_WORDS(HCP_NAME) HCP_PHRASES(HCP_NAMED)
#undef HCP_NAME
#undef HCP_NAMED
        HCP_KEYS
} hcp_key;

typedef struct hcp_state {
    PyTypeObject *crew_type, *lane_type, *exchange_type, *file_wrapper_type;
    PyObject *keys[HCP_KEYS];
    PyObject *common_headers; /* {"HTTP_HOST": "HTTP_HOST"}: interned names of headers that most
                                 requests have */
    PyObject *bytes_io, *file_io, *buffered_reader;
    PyObject *version; /* wsgi.version */
} hcp_state;

/* What becomes of a header in environ. */
typedef enum hcp_header_kind {
    HCP_HEADER_PLAIN,
    HCP_HEADER_COOKIE, /* several are joined by "; " (RFC 9110 section 5.3, RFC 6265 section 5.4) */
    HCP_HEADER_LENGTH, /* says that there is a body; its size is the lane's to tell */
    HCP_HEADER_DROP,
} hcp_header_kind;

/* The environ key of a header name as received, remembered so that it is made once. */
typedef struct hcp_header {
    PyObject *key;
    hcp_header_kind kind;
    uint8_t size;
    uint8_t name[HCP_HEADER_NAME];
} hcp_header;

/* A certificate that the front has sent. */
typedef struct hcp_slot {
    PyObject *variables;   /* dict; NULL where nothing was sent */
    PyObject *certificate; /* what `handclasp.certificate` is */
    PyObject *client;      /* what `handclasp.client` is; NULL: nobody is known */
    PyObject *prototype; /* dict that a request's environ is copied from; made when first wanted */
} hcp_slot;

/* What a crew has to do with a lane. */
typedef enum hcp_turn {
    HCP_TURN_NONE,
    HCP_TURN_QUEUED, /* something has come */
    HCP_TURN_TAKEN,  /* a thread sees to it */
    HCP_TURN_AGAIN,  /* and something has come since */
} hcp_turn;

typedef struct hcp_lane {
    PyObject_HEAD hcp_state *state;
    hc_channel channel;
    PyObject *crew;        /* borrowed; NULL: none */
    struct hcp_lane *next; /* in the crew's queue */
    hcp_turn turn;
    bool ends; /* nothing more will come; with the crew's lock */
    PyObject *app;
    PyObject *certificate_type; /* (der, chain, variables) */
    PyObject *client_type;      /* (lane, name, roles, attributes) */
    PyObject *errors;           /* wsgi.errors */
    PyObject *report;           /* (environ, problem) */
    PyObject *after;            /* () after each request; NULL: none */
    PyObject *base;             /* dict: what every request of this lane has */
    PyObject *server;           /* dict: SSL_SERVER_… */
    PyObject *no_certificate;   /* prototype of requests without one */
    hcp_slot slots[HC_LIMIT_LANE_CERT_SLOTS];
    PyObject *last[HCP_KEYS]; /* the value a key had in the last request, to be used again where it
                                 is equal */
    hcp_header headers[HCP_HEADERS];
    hc_pair *pairs; /* HC_LANE_VARIABLES, for what is decoded and encoded */
    bool multithread, multiprocess;
    PyThread_type_lock sender; /* held by the thread that sends, while `sending` */
    PyThread_type_lock asker;  /* held by the thread that waits for an answer, while `asking`: it
                                  alone reads from the channel */
    PyObject *current; /* borrowed: the client of the request that is being answered, None where
                          nobody is known; NULL between requests */
    bool sending, asking;
    bool stopping;  /* stop() was called: the rest is read to its end */
    bool greeted;   /* the front has had its one hello */
    bool cancelled; /* the client of the current request has gone */
    bool gone; /* the front closed the lane, or a frame was cut: nothing can be sent any more */
} hcp_lane;

/* One request being answered; also the start_response callable. */
typedef struct hcp_exchange {
    PyObject_HEAD vectorcallfunc vectorcall;
    hcp_lane *lane;   /* NULL when it is over */
    PyObject *status; /* str; NULL before start_response */
    PyObject
        *headers; /* tuple of the application's tuples: keeps alive what lane->pairs points into */
    hc_lane_head head;
    int64_t length;       /* Content-Length; -1: none */
    uint64_t body_octets; /* taken from the application */
    bool head_request;
    bool head_sent;
    bool excess; /* the application gave more than Content-Length */
    bool refused;
} hcp_exchange;

extern PyModuleDef hcp_module;

/* file_wrapper.c */
extern PyType_Spec hcp_file_wrapper_spec;
/* The regular file behind a file_wrapper, and what is left of it. 1; 0 where it must be read
 * instead; -1 with an exception. The descriptor stays the file's. */
int hcp_file_wrapper_region(PyObject *wrapper, hcp_state *state, int *fd, hc_lane_file *file);

/* lane.c */
extern PyType_Spec hcp_lane_spec;
/* Tells the front that there is a thread for it. As hcp_lane_answer. */
int hcp_lane_greet(hcp_lane *lane);
/* Takes what has come up to the next request, and answers that; or all of it. 0, or -1 with an
 * exception. The lane is then `gone` where the front closed it, and for any exception but
 * KeyboardInterrupt. */
int hcp_lane_answer(hcp_lane *lane, bool to_the_end);
/* Sends what is in the channel's buffer. 0, or -1 with an exception (OSError where the front has
 * gone). */
int hcp_lane_flush(hcp_lane *lane);
/* Before END: nothing more may be asked, and no other thread is within write() or ask() any more.
 */
void hcp_lane_finish(hcp_lane *lane);
/* The front wants no more of the current response. Costs a system call. */
bool hcp_lane_is_cancelled(hcp_lane *lane);

/* crew.c */
extern PyType_Spec hcp_crew_spec;
/* A thread serves this lane, or may do so at any moment. */
bool hcp_crew_is_at_work(const hcp_lane *lane);
/* Closes the descriptor of a lane that nobody serves. */
void hcp_crew_close(hcp_lane *lane);

/* environ.c */
int hcp_environ_reset(hcp_lane *lane);
int hcp_environ_server(hcp_lane *lane, const hc_lane_server *server);
int hcp_environ_certificate(hcp_lane *lane, const hc_lane_cert *cert);
int hcp_environ_client(hcp_lane *lane, const hc_lane_client *client);
/* Whose the certificate under a slot is; borrowed, None where nobody is known. */
PyObject *hcp_environ_current(const hcp_lane *lane, uint16_t slot);
/* Takes `fd` (-1: none), also on failure. */
PyObject *hcp_environ_new(hcp_lane *lane, const hc_lane_request *request, int fd,
                          hcp_exchange *exchange);

/* exchange.c */
extern PyType_Spec hcp_exchange_spec;
hcp_exchange *hcp_exchange_new(hcp_lane *lane, bool head_request);
/* Lets go of the lane: what the application kept of it now refuses to work. */
void hcp_exchange_end(hcp_exchange *x);
/* The `handclasp.refuse` of this exchange. */
PyObject *hcp_exchange_refuse(hcp_exchange *x);
/* True where the response has no body, whatever the application yields (RFC 9110 section 6.4.1). */
bool hcp_exchange_bodiless(const hcp_exchange *x);
/* Puts the head before what follows, once. -1 with an exception where start_response was not
 * called. */
int hcp_exchange_put_head(hcp_exchange *x);
/* Puts a non-empty part of the body; sends only where much has gathered. */
int hcp_exchange_put(hcp_exchange *x, PyObject *octets);

/* respond.c */
/* Calls the application and sends its response, END included. -1 with an exception where serving
 * must end. */
int hcp_respond(hcp_lane *lane, const hc_lane_request *request, int fd);

#endif
