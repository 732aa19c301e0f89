/* The life of a CA in its state folder: made, taken over, replaced, laid off.
 *
 *   ca/ca.pem ca/ca.key      what issues now; ca/chain.pem: the CAs above it, where it has some
 *   ca/old-N.pem old-N.key   what issued before, trusted until the last of its certificates is
 * gone; it signs its own CRLs until then ca/retired-N.pem .key    trusted no more ca/trust.pem
 * ca.pem and every old-N.pem: what a server trusts. Not the CAs above, whose other certificates are
 * no clients of ours ca/request.key           of a CSR that has not come back ca/next.* a change
 * that is not finished
 *
 * Every change is finished or not made: the file next.pem is the decision, and each call below
 * first finishes what a killed process began. The caller holds the store's lock
 * (hc_keystore_open) and not longer than it must. trust.pem is made from the other files and made
 * again by each call where it says something else; a folder without it is one that `init` made.
 * Blocks on the disk. */
#ifndef HC_AUTHORITY_CA_H
#define HC_AUTHORITY_CA_H

#include "authority/keystore.h"
#include "authority/profile.h"

typedef struct hc_ca {
    X509 *cert;
    EVP_PKEY *key;          /* NULL where it is kept elsewhere */
    STACK_OF(X509) * chain; /* the CAs above it, the nearest first; may be NULL */
} hc_ca;

/* -HC_ENOENT where there is no CA; -HC_EDENIED where the passphrase does not open its key or the
 * key is another's. */
int hc_ca_load(const hc_keystore *k, hc_slice passphrase, hc_ca *out, hc_err *err) HC_MUST_CHECK;
void hc_ca_done(hc_ca *ca);

/* A new CA that signs itself, of `profile` (built-in: "ca"), named `name` (NULL: by its key),
 * beside the one that is there; or the first one. A call after one that was killed finishes that
 * one's. */
int hc_ca_rotate(const hc_keystore *k, const hc_profile *profile, const char *name,
                 hc_slice passphrase, int64_t now_s, hc_err *err) HC_MUST_CHECK;

/* Appends a CSR (PEM) for an intermediate CA; its key is made once and kept until a certificate for
 * it is imported, so that a second call asks for the same. -HC_EEXIST where that one is none of
 * this type. */
int hc_ca_request(const hc_keystore *k, hc_key_type type, const char *name, hc_slice passphrase,
                  hc_buf *pem, hc_err *err) HC_MUST_CHECK;
/* Takes over a CA made elsewhere: `pem` has its certificate and then the CAs above it, each issued
 * by the next. `key` NULL: the key of hc_ca_request or, for a renewed certificate, the one that is
 * there. Checked by hc_ca_check. What was active becomes an old one. */
int hc_ca_import(const hc_keystore *k, hc_slice pem, EVP_PKEY *key, hc_slice passphrase,
                 int64_t now_s, hc_err *err) HC_MUST_CHECK;
/* Whether this CA can be ours: it is one (section 4.2.1.9), may sign certificates and CRLs (section
 * 4.2.1.3) for clients, has a subject key identifier and a key of strength, is in its time, and was
 * issued by those above it. `key` NULL is not compared. -HC_EDENIED with what is wrong. */
int hc_ca_check(X509 *cert, STACK_OF(X509) * chain, EVP_PKEY *key, int64_t now_s,
                hc_err *err) HC_MUST_CHECK;

typedef struct hc_ca_entry {
    const char *stem; /* "ca/ca", "ca/old-2": with ".pem" and ".key" */
    X509 *cert;       /* borrowed */
    bool active;
    bool has_key; /* a file, whether it opens or not */
} hc_ca_entry;
/* Returns 0 to go on, a negative HC_E… to stop. */
typedef int (*hc_ca_visit)(void *arg, const hc_ca_entry *entry);
/* Every CA that is trusted, the active one first. */
int hc_ca_each(const hc_keystore *k, hc_ca_visit visit, void *arg, hc_err *err) HC_MUST_CHECK;
/* An old one, by its stem, is trusted no more. Whether certificates of it are left, the caller
 * knows who has the registry. -HC_EINVAL for the active one, -HC_ENOENT; one that is
 * retired already stays so. */
int hc_ca_retire(const hc_keystore *k, const char *stem, hc_err *err) HC_MUST_CHECK;

#endif
