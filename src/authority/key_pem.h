/* Private keys as PEM, plain or encrypted.
 *
 * Encrypted ones are PKCS#8 with PBES2 (RFC 8018): scrypt (RFC 7914) with N=2^14, r=8, p=5 and
 * AES-256-CBC. scrypt, since a CA's key is worth guessing at with many machines and each guess then
 * costs 16 MiB; these are the largest parameters that OpenSSL reads back without being told to.
 * PBKDF2, which other tools write, is read too. */
#ifndef HC_AUTHORITY_KEY_PEM_H
#define HC_AUTHORITY_KEY_PEM_H

#include <openssl/bio.h>
#include <openssl/evp.h>

#include "base/err.h"
#include "base/slice.h"

/* `passphrase` empty: plain. `out` is a BIO whose memory is overwritten when it is freed. Takes a
 * quarter of a second where there is a passphrase. */
int hc_key_to_pem(EVP_PKEY *key, hc_slice passphrase, BIO **out, hc_err *err) HC_MUST_CHECK;
/* A plain key is read whatever the passphrase. -HC_EDENIED where the key is encrypted and the
 * passphrase missing or wrong, -HC_EFORMAT where there is no key. Nobody is asked. */
int hc_key_from_pem(hc_slice pem, hc_slice passphrase, EVP_PKEY **out, hc_err *err) HC_MUST_CHECK;

#endif
