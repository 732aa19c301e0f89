/* Every setting of `serve` as one value: what options.c fills in from flags, HANDCLASP_* and
 * handclasp.yaml, what the supervisor hands to the front, and what both act on. Owned strings;
 * hc_settings_done frees them. */
#ifndef HC_SERVER_SETTINGS_H
#define HC_SERVER_SETTINGS_H

#include "base/err.h"
#include "base/log.h"
#include "http/h1.h"
#include "identity/policy.h"
#include "net/listener.h"
#include "tls/context.h"

typedef struct hc_strings {
    char **at;
    size_t count;
} hc_strings;

/* Who may fetch the revocation lists of the server's own CAs. */
typedef enum hc_publish {
    HC_PUBLISH_OFF,
    HC_PUBLISH_CLIENTS, /* whom the mode lets in */
    HC_PUBLISH_ANYONE,  /* also without a certificate */
} hc_publish;

typedef struct hc_settings {
    /* what to serve */
    char *app;   /* "MODULE:APP" */
    char *chdir; /* NULL: stay */
    hc_strings pythonpath;
    char *python;   /* NULL: the active environment's */
    hc_strings env; /* "NAME=value" for the workers */
    bool reload;    /* restart workers when a source file changes */
    bool check_config;

    /* sockets and processes */
    hc_strings bind;
    unsigned backlog;
    unsigned workers;       /* processes */
    unsigned threads;       /* a process: lanes */
    unsigned front_threads; /* 0: one per core */
    uint64_t worker_connections;
    uint64_t max_requests, max_requests_jitter; /* 0: no end */
    char *user, *group;                         /* for workers, when started as root */
    char *front_user;                           /* for the front, likewise */
    char *authority_user;                       /* for the authority, likewise */
    unsigned umask;
    char *pidfile;
    char *metrics_bind;   /* HOST:PORT of loopback; NULL: no metrics */
    char *control_socket; /* NULL: <state>/run/control.sock, where there is that state folder */
    char *worker_tmp_dir; /* spool files; NULL: TMPDIR or /tmp */
    bool proxy_protocol;
    hc_network *proxy_allow_from;
    size_t proxy_allow_from_count;

    /* certificates */
    char *state; /* the state folder; certificates come from it where not given below */
    char *certfile, *keyfile, *keyfile_passphrase_file;
    hc_strings ca_certs; /* files */
    hc_strings crl;      /* files and folders of them */
    bool crl_leaf_only;  /* asked about clients' certificates, not about CAs' */
    hc_policy policy;    /* --client-cert, --cert-reqs, --refuse-with */
    hc_tls_policy tls_policy;
    char *ciphers;
    uint64_t session_cache;       /* entries; 0: no resumption */
    uint64_t session_lifetime_ms; /* also the longest age of a verdict since its full handshake */
    char *registry;               /* "none", or a URL */
    bool admit_unknown;           /* a certificate without a record */
    uint64_t registry_max_age_ms; /* what is known of it may be so old */
    char *ca_passphrase_file;     /* of ca/ca.key and those before it */
    unsigned crl_days;            /* how long a revocation list of ours is good */
    hc_publish publish_crl;
    char *remote_user; /* an SSL_CLIENT_… name whose value becomes REMOTE_USER; NULL: unset */

    /* limits and deadlines */
    hc_h1_limits http;
    uint64_t handshake_timeout_ms;
    uint64_t header_timeout_ms; /* from the first octet of a request to the end of its head: 408 */
    uint64_t body_timeout_ms;   /* between two pieces of a body: 408 */
    uint64_t keep_alive_ms;     /* idle between requests: close */
    uint64_t send_timeout_ms;   /* the client takes nothing of a response: close */
    uint64_t timeout_ms; /* a view that does not answer: 503, its worker is replaced; 0: no bound */
    uint64_t graceful_timeout_ms;

    /* log */
    hc_log_level log_level;
    bool log_json;
    char *access_logfile;   /* NULL: none; "-": stdout */
    char *access_logformat; /* gunicorn's atoms, or "json" */
    char *error_logfile;    /* NULL or "-": stderr */
} hc_settings;

void hc_settings_done(hc_settings *s);
/* Whether there is to be a registry. */
bool hc_settings_has_registry(const hc_settings *s);

/* The files that settings name, read by the supervisor while it may, and passed to the front as
 * descriptors. */
typedef struct hc_file_bytes {
    char *name;
    uint8_t *at;
    size_t size;
} hc_file_bytes;

typedef struct hc_files {
    hc_file_bytes certificate, key, passphrase;
    hc_file_bytes *cas;
    size_t ca_count;
    hc_file_bytes *crls;
    size_t crl_count;
} hc_files;

void hc_files_done(hc_files *f); /* overwrites key and passphrase */

#endif
