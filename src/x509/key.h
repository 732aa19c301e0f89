/* Keys: the kinds that we make and certify, and which keys are too weak to be certified.
 *
 * Pure functions over OpenSSL's keys; making an RSA key takes up to seconds, the rest milliseconds.
 * Any thread. */
#ifndef HC_X509_KEY_H
#define HC_X509_KEY_H

#include <openssl/evp.h>
#include <openssl/types.h>

#include "base/err.h"
#include "base/slice.h"

typedef enum hc_key_type {
    HC_KEY_P256,
    HC_KEY_P384,
    HC_KEY_ED25519,
    HC_KEY_RSA_2048,
    HC_KEY_RSA_3072,
    HC_KEY_RSA_4096,
} hc_key_type;
#define HC_KEY_TYPES (HC_KEY_RSA_4096 + 1)

const char *hc_key_type_name(hc_key_type type); /* "p-256", "ed25519", "rsa-2048" … */
/* In any case, with or without '-'; "rsa" is rsa-2048. */
bool hc_key_type_parse(hc_slice name, hc_key_type *out);

/* The caller frees. */
int hc_key_new(hc_key_type type, EVP_PKEY **out, hc_err *err) HC_MUST_CHECK;
/* An RSA key is of each type that asks for no more bits than it has. */
bool hc_key_is(const EVP_PKEY *key, hc_key_type type);

/* Whether a key may be certified at all, whoever asks: at least 112 bits of strength, a named curve
 * and a point on it, an RSA modulus without small factors, close factors or the fingerprint of
 * CVE-2017-15361 (ROCA), an RSA exponent from 65537 (FIPS 186-5 section 5.4) that is odd, an
 * Ed25519 point of more than a few elements' order. -HC_EDENIED with which it is. Debian's weak
 * keys of 2008 are found where they have fewer than 2048 bits, not by a list. */
int hc_key_check(EVP_PKEY *key, hc_err *err) HC_MUST_CHECK;

/* What this key signs with: SHA-384 for P-384, SHA-512 for P-521, else SHA-256; NULL where the
 * algorithm has its own (EdDSA). */
const EVP_MD *hc_key_digest(const EVP_PKEY *key);

/* The digest that a signature was made with, also of RSASSA-PSS; NID_undef where the algorithm has
 * its own (EdDSA). -HC_EFORMAT where it is unknown. */
int hc_signature_digest(const X509_ALGOR *algorithm, int *nid) HC_MUST_CHECK;
/* Less than 112 bits against collisions, as SHA-1 and MD5, or unknown. */
bool hc_digest_is_weak(int nid);

/* SHA-256 of the SubjectPublicKeyInfo in DER. */
int hc_key_sha256(const EVP_PKEY *key, uint8_t out[32], hc_err *err) HC_MUST_CHECK;

#endif
