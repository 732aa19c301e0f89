/* Client records: which certificates belong to whom, and who may come in.
 *
 * The interface to a database that holds them. An engine (SQLite; another one in the tests) fills
 * in the table below and knows rows alone; what a change means, and that each is one transaction
 * with its audit row, is in change.h, once for all engines. Every call may block on a disk: nothing
 * here is called on the way of a handshake or a request (index.h is). A registry object belongs to
 * one thread. Errors: -HC_ENOENT (no such row, no such database), -HC_EBUSY (locked by another for
 * longer than the wait), -HC_EEXIST (a name or a certificate that is there already), -HC_EFORMAT
 * (corrupt, not a registry, or of a newer version), -HC_EIO (disk), -HC_EDENIED (permissions),
 * -HC_ENOMEM; the text says what to do. Changes need a write transaction; where one of them fails
 * the transaction can only be rolled back, and commit does so. */
#ifndef HC_REGISTRY_REGISTRY_H
#define HC_REGISTRY_REGISTRY_H

#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"
#include "x509/serial.h"

typedef struct hc_registry hc_registry;

typedef enum hc_client_status {
    HC_CLIENT_ACTIVE = 1,
    HC_CLIENT_SUSPENDED,
    HC_CLIENT_REVOKED,
} hc_client_status;

/* Slices in rows that come from an engine live until the callback returns. Times are seconds since
 * 1970, 0: never, or not known. */
typedef struct hc_client_row {
    int64_t id;
    hc_slice name; /* unique; 1 to HC_LIMIT_CLIENT_NAME octets of UTF-8 */
    hc_client_status status;
    int64_t status_s;    /* since when */
    hc_slice reason;     /* a person's words for the status; may be empty */
    hc_slice roles;      /* sorted, each once, a space between two */
    hc_slice attributes; /* one JSON object; empty: none */
    int64_t created_s;
    /* filled in by the engine from the certificates: */
    int64_t first_seen_s, last_seen_s;
    uint64_t certificates; /* number of them */
} hc_client_row;

typedef enum hc_certificate_status {
    HC_CERTIFICATE_ACTIVE = 1,
    HC_CERTIFICATE_REVOKED,
} hc_certificate_status;

typedef enum hc_certificate_origin {
    HC_ORIGIN_ISSUED = 1, /* by our own CA, key made here */
    HC_ORIGIN_SIGNED,     /* by our own CA, from a CSR */
    HC_ORIGIN_ENROLLED,   /* over the network */
    HC_ORIGIN_IMPORTED,   /* somebody else's certificate */
    HC_ORIGIN_SERIAL,     /* imported as issuer and serial alone */
} hc_certificate_origin;

typedef struct hc_certificate_row {
    int64_t id, client_id;
    /* The key of a certificate: all three. Several certificates may share issuer and serial (two
     * CAs of one name); the SHA-256 then tells them apart. */
    const uint8_t *issuer_sha256; /* 32 octets: SHA-256 of the issuer's Name in DER */
    hc_serial serial;
    const uint8_t *sha256; /* 32 octets, of the DER; NULL: came as a serial alone, not seen yet */
    hc_slice
        issuer_key_id; /* pins such a row to the issuer with this key; empty: any of that name */
    const uint8_t *key_sha256; /* 32 octets, of the SubjectPublicKeyInfo; NULL: not known */
    hc_slice issuer, subject;  /* RFC 2253, for people */
    hc_slice sans; /* JSON array of "type:value" texts ("DNS:a.example", "email:…", "URI:…", "IP:…",
                      "UPN:…"); empty: none */
    int64_t not_before_s, not_after_s;
    hc_certificate_status status;
    int64_t revoked_s;
    int reason;       /* x509/reason.h */
    int64_t replaces; /* id of the certificate that this one renews; 0: none */
    hc_certificate_origin origin;
    hc_slice approved_by; /* who let it in; may be empty */
    int64_t added_s, first_seen_s, last_seen_s;
    hc_slice der;         /* of `add` alone: kept for export and for answers that got lost; may be
                             empty. Empty in rows that come from `certificates` */
    hc_slice client_name; /* of rows that come from an engine */
} hc_certificate_row;

typedef struct hc_audit_row {
    int64_t seq; /* grows by one with every change, is never used again: the change feed's number */
    int64_t at_ms;
    hc_slice who; /* "uid 0 (root)", "client alice", "server" */
    hc_slice
        action; /* "client.add", "client.status", "client.roles", "client.attributes",
                   "client.remove", "certificate.add", "certificate.revoke", "certificate.pin" … */
    int64_t client_id;
    hc_slice client_name;   /* at that time */
    int64_t certificate_id; /* 0: none */
    hc_slice certificate;   /* "serial HEX of ISSUER"; may be empty */
    hc_slice was, now;      /* from what to what, for people and programs; may be empty */
} hc_audit_row;

/* What is asked of a list: members that are 0 or empty do not filter. Rows come in the order of
 * their id (audit: seq), those above `after` and at most `limit` of them (0: all). */
typedef struct hc_client_filter {
    int64_t id;
    hc_slice name;   /* exactly */
    hc_slice search; /* a part of the name */
    hc_client_status status;
    hc_slice role;
    int64_t expiring_before_s; /* has an active certificate that ends before */
    int64_t unused_since_s;    /* no certificate of it was seen since; a client made later does not
                                  count as unused */
    int64_t after;
    uint64_t limit;
} hc_client_filter;

typedef struct hc_certificate_filter {
    int64_t id, client_id;
    const hc_serial *serial;
    const uint8_t *issuer_sha256; /* 32 octets */
    const uint8_t *sha256;        /* 32 octets */
    const uint8_t *key_sha256;    /* 32 octets */
    hc_certificate_status status;
    int64_t expiring_before_s;
    int64_t after;
    uint64_t limit;
} hc_certificate_filter;

typedef struct hc_audit_filter {
    int64_t client_id, certificate_id;
    hc_slice client_name, action, who;
    int64_t since_ms;
    int64_t after, before; /* seq, both exclusive */
    bool newest_first;
    uint64_t limit;
} hc_audit_filter;

/* A callback returns 0 to go on, a negative HC_E… to stop: that is then the result. It may read
 * from the same registry, and change nothing there. */
typedef int (*hc_client_each)(void *arg, const hc_client_row *row);
typedef int (*hc_certificate_each)(void *arg, const hc_certificate_row *row);
typedef int (*hc_audit_each)(void *arg, const hc_audit_row *row);

typedef struct hc_seen {
    int64_t certificate_id, at_s;
} hc_seen;

/* Where the change feed stands. `epoch` differs between two databases; `mark` is drawn at random
 * for each change, so that the same `seq` of a backup that was put back has another one. */
typedef struct hc_registry_head {
    int64_t seq; /* of the newest change; 0: none yet */
    uint64_t epoch, mark;
} hc_registry_head;

typedef struct hc_registry_engine {
    const char *scheme; /* "sqlite" */
    void (*close)(hc_registry *r);
    /* `write` takes the database's write lock at once. Transactions do not nest. */
    int (*begin)(hc_registry *r, bool write, hc_err *err);
    int (*commit)(hc_registry *r, hc_err *err); /* on disk when it returns 0; else rolled back */
    void (*rollback)(hc_registry *r);

    int (*client_add)(hc_registry *r, const hc_client_row *row, int64_t *id, hc_err *err);
    int (*client_set)(hc_registry *r, const hc_client_row *row,
                      hc_err *err);                                /* by id; all but seen */
    int (*client_remove)(hc_registry *r, int64_t id, hc_err *err); /* and its certificates */
    int (*clients)(hc_registry *r, const hc_client_filter *f, hc_client_each each, void *arg,
                   hc_err *err);
    int (*certificate_add)(hc_registry *r, const hc_certificate_row *row, int64_t *id, hc_err *err);
    /* By id: status, revoked_s, reason, and where they were not known before sha256, key_sha256,
     * subject, sans and validity. */
    int (*certificate_set)(hc_registry *r, const hc_certificate_row *row, hc_err *err);
    int (*certificates)(hc_registry *r, const hc_certificate_filter *f, hc_certificate_each each,
                        void *arg, hc_err *err);
    /* -HC_ENOENT where none is kept. */
    int (*certificate_der)(hc_registry *r, int64_t id, int (*each)(void *arg, hc_slice der),
                           void *arg, hc_err *err);
    /* First and last seen; in a write transaction. Unknown ids are ignored. Is no change. */
    int (*seen)(hc_registry *r, const hc_seen *seen, size_t count, hc_err *err);
    int (*audit_add)(hc_registry *r, const hc_audit_row *row, int64_t *seq, hc_err *err);
    int (*audit)(hc_registry *r, const hc_audit_filter *f, hc_audit_each each, void *arg,
                 hc_err *err);

    /* For followers. `changed` false: nothing was committed since the last call on this object,
     * found out as cheaply as can be; the first call says true. -HC_ENOENT or -HC_EFORMAT: the
     * database is gone or was replaced: close it and open it anew (then `changes` says whether it
     * is still the same feed). Any other error: try again later. Not within a transaction. */
    int (*changed)(hc_registry *r, bool *changed, hc_err *err);
    int (*head)(hc_registry *r, hc_registry_head *out, hc_err *err);
    /* Clients that changes after `since` touched, each once, in ascending order; a row of the audit
     * that is of no client (id 0) touches none. -HC_ENOENT where `since` (what `head` said when the
     * follower was up to date) is not part of this feed, because it is another database or a backup
     * that was put back; -HC_ELIMIT where there are more than `limit`: then load everything anew.
     */
    int (*changes)(hc_registry *r, const hc_registry_head *since, uint64_t limit,
                   int (*each)(void *arg, int64_t client_id), void *arg, hc_err *err);
    /* Every certificate with what an index needs of it, in the order of client ids, and each client
     * before its first certificate; of one client (`client_id`), or of all (0). Clients without
     * certificates too. Left out: issuer, subject, sans, approved_by and client_name of a
     * certificate; first and last seen and the number of certificates of a client. */
    int (*scan)(hc_registry *r, int64_t client_id, hc_client_each client,
                hc_certificate_each certificate, void *arg, hc_err *err);
} hc_registry_engine;

/* The first member of every engine's own structure. */
struct hc_registry {
    const hc_registry_engine *engine;
};

typedef enum hc_registry_access {
    HC_REGISTRY_READ,   /* never writes, needs no more than permission to read */
    HC_REGISTRY_WRITE,  /* brings an older schema up to date */
    HC_REGISTRY_CREATE, /* and makes what is missing (0600) */
} hc_registry_access;

typedef struct hc_registry_options {
    const char *url;  /* "sqlite:PATH", "sqlite:///ABSOLUTE/PATH" */
    const char *base; /* the folder that a relative PATH starts from: the state folder. NULL: the
                         working directory */
    hc_registry_access access;
    uint64_t wait_ms; /* for another's lock */
} hc_registry_options;

/* Whether `url` can be one at all: for options. */
int hc_registry_check_url(const char *url, hc_err *err) HC_MUST_CHECK;
/* The database's file with `base` before it where it is relative; freed by the caller (hc_free).
 * -HC_EINVAL where the engine has none. */
int hc_registry_file(const char *url, const char *base, char **out, hc_err *err) HC_MUST_CHECK;
int hc_registry_open(const hc_registry_options *o, hc_registry **out, hc_err *err) HC_MUST_CHECK;
void hc_registry_close(hc_registry *r); /* NULL is fine; rolls back what was begun */

const char *hc_client_status_name(hc_client_status s); /* "active" … */
bool hc_client_status_parse(hc_slice name, hc_client_status *out);
const char *hc_certificate_status_name(hc_certificate_status s);
const char *hc_certificate_origin_name(hc_certificate_origin o);

#endif
