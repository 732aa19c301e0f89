/* Keys and certificates as files: each whole or not there, whatever kills the program, and not
 * overwritten but where the name of a function says so.
 *
 * A file is written under a temporary name beside its own, synced, renamed, and its folder synced.
 * Temporary names are fixed, since one process at a time holds a store's lock; those of a process
 * that was killed are removed by the next one. Blocks on the disk.
 *
 * A key that never leaves a token (PKCS#11) would come in at hc_keystore_read_key and nowhere else:
 * what issues and signs takes an EVP_PKEY, and a provider's is one. The file then holds what the
 * provider's decoder reads, its URI in PEM, instead of the key. No such provider is loaded yet. */
#ifndef HC_AUTHORITY_KEYSTORE_H
#define HC_AUTHORITY_KEYSTORE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "authority/passphrase.h"

typedef struct hc_keystore {
    int dir_fd;       /* locked: one writer at a time */
    const char *path; /* borrowed, for messages */
} hc_keystore;

/* Makes the folder (0700) where it is missing, not its parents, and waits for the lock. The lock
 * ends with the process or at hc_keystore_close. */
int hc_keystore_open(const char *path, hc_keystore *out, hc_err *err) HC_MUST_CHECK;
void hc_keystore_close(hc_keystore *k);

/* A folder of the store, 0700, made where it is missing; what a killed process left in it is
 * removed. */
int hc_keystore_folder(const hc_keystore *k, const char *name, hc_err *err) HC_MUST_CHECK;
/* Names are "folder/file" or "file". */
int hc_keystore_exists(const hc_keystore *k, const char *name, bool *out,
                       hc_err *err) HC_MUST_CHECK;
/* -HC_EBUSY where it exists. */
int hc_keystore_write(const hc_keystore *k, const char *name, hc_slice bytes, bool secret,
                      hc_err *err) HC_MUST_CHECK;

/* These replace or remove what is there, in one step. */
int hc_keystore_replace(const hc_keystore *k, const char *name, hc_slice bytes, bool secret,
                        hc_err *err) HC_MUST_CHECK;
int hc_keystore_rename(const hc_keystore *k, const char *from, const char *to,
                       hc_err *err) HC_MUST_CHECK;
int hc_keystore_remove(const hc_keystore *k, const char *name, hc_err *err) HC_MUST_CHECK;
/* A second name for a file; -HC_EBUSY where it exists. */
int hc_keystore_link(const hc_keystore *k, const char *from, const char *to,
                     hc_err *err) HC_MUST_CHECK;
/* A whole file, at most 1 MiB, overwritten by hc_secret_done. */
int hc_keystore_read(const hc_keystore *k, const char *name, hc_secret *out,
                     hc_err *err) HC_MUST_CHECK;

/* Encrypted where a passphrase is given (authority/key_pem.h). */
int hc_keystore_write_key(const hc_keystore *k, const char *name, EVP_PKEY *key,
                          hc_slice passphrase, hc_err *err) HC_MUST_CHECK;
int hc_keystore_write_cert(const hc_keystore *k, const char *name, X509 *cert,
                           hc_err *err) HC_MUST_CHECK;
/* Plain keys are read whatever the passphrase; -HC_EDENIED where it is missing or wrong. */
int hc_keystore_read_key(const hc_keystore *k, const char *name, hc_slice passphrase,
                         EVP_PKEY **out, hc_err *err) HC_MUST_CHECK;
/* The first certificate of the file. */
int hc_keystore_read_cert(const hc_keystore *k, const char *name, X509 **out,
                          hc_err *err) HC_MUST_CHECK;

#endif
