/* Passphrases: read from a file or a systemd credential, or made; never from a command line, which
 * every user of the machine can see. */
#ifndef HC_AUTHORITY_PASSPHRASE_H
#define HC_AUTHORITY_PASSPHRASE_H

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

/* Bytes of its own, overwritten by hc_secret_done. */
typedef struct hc_secret {
    uint8_t *at;
    size_t size;
} hc_secret;
void hc_secret_done(hc_secret *s);

static inline hc_slice hc_secret_slice(const hc_secret *s)
{
    return (hc_slice){s->at, s->size};
}

/* The file without one line end at its end: 1 to HC_LIMIT_PASSPHRASE bytes, no NUL, a regular file
 * that nobody but its owner can read (-HC_EDENIED). -HC_ENOENT where there is none. Blocks on the
 * disk. */
int hc_passphrase_read(const char *path, hc_secret *out, hc_err *err) HC_MUST_CHECK;
/* A systemd credential (LoadCredential=, LoadCredentialEncrypted=): the file `name` in `folder`,
 * which is the value of $CREDENTIALS_DIRECTORY; NULL or without the file: -HC_ENOENT. Its
 * permissions are systemd's. */
int hc_passphrase_credential(const char *folder, const char *name, hc_secret *out,
                             hc_err *err) HC_MUST_CHECK;
/* What opens the CA's key: the file `path`; where that is NULL the credential HC_CA_CREDENTIAL of
 * `folder`; where there is none either, an empty one. */
#define HC_CA_CREDENTIAL "handclasp-ca-passphrase"
int hc_passphrase_of_ca(const char *path, const char *folder, hc_secret *out,
                        hc_err *err) HC_MUST_CHECK;
/* Four groups of five letters and digits, 100 random bits, none that can be mistaken for another.
 */
int hc_passphrase_new(hc_secret *out, hc_err *err) HC_MUST_CHECK;

#endif
