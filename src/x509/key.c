#include "x509/key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "x509/ossl.h"

#define DIGEST_BYTES_MIN 28 /* SHA-224: 112 bits against collisions */

typedef struct key_type {
    const char *name;
    const char *algorithm; /* OpenSSL's */
    const char *group;
    int bits; /* of RSA */
} key_type;

static const key_type types[HC_KEY_TYPES] = {
    [HC_KEY_P256] = {"p-256", "EC", "prime256v1", 0},
    [HC_KEY_P384] = {"p-384", "EC", "secp384r1", 0},
    [HC_KEY_ED25519] = {"ed25519", "ED25519", NULL, 0},
    [HC_KEY_RSA_2048] = {"rsa-2048", "RSA", NULL, 2048},
    [HC_KEY_RSA_3072] = {"rsa-3072", "RSA", NULL, 3072},
    [HC_KEY_RSA_4096] = {"rsa-4096", "RSA", NULL, 4096},
};

const char *hc_key_type_name(hc_key_type type)
{
    return types[type].name;
}

static bool same_name(hc_slice given, const char *name)
{
    for (size_t i = 0; i < given.size; i++) {
        uint8_t c = given.at[i];
        if (c == '-')
            continue;
        while (*name == '-')
            name++;
        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if (*name == '\0' || c != (uint8_t)*name)
            return false;
        name++;
    }
    return *name == '\0';
}

bool hc_key_type_parse(hc_slice name, hc_key_type *out)
{
    if (same_name(name, "rsa"))
        name = HC_SLICE_LITERAL("rsa-2048");
    for (size_t i = 0; i < HC_COUNT(types); i++) {
        if (same_name(name, types[i].name)) {
            *out = (hc_key_type)i;
            return true;
        }
    }
    return false;
}

int hc_key_new(hc_key_type type, EVP_PKEY **out, hc_err *err)
{
    const key_type *t = &types[type];
    EVP_PKEY *key = NULL;
    if (t->group)
        key = EVP_EC_gen(t->group);
    else if (t->bits)
        key = EVP_RSA_gen((unsigned)t->bits);
    else
        key = EVP_PKEY_Q_keygen(NULL, NULL, t->algorithm);
    if (!key)
        return hc_ossl_failed(err, "cannot make a key");
    *out = key;
    return 0;
}

bool hc_key_is(const EVP_PKEY *key, hc_key_type type)
{
    const key_type *t = &types[type];
    char group[64] = "";
    if (!EVP_PKEY_is_a(key, t->algorithm))
        return false;
    if (t->bits)
        return EVP_PKEY_get_bits(key) >= t->bits;
    if (!t->group)
        return true;
    bool yes = EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
               strcmp(group, t->group) == 0;
    ERR_clear_error();
    return yes;
}

const EVP_MD *hc_key_digest(const EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448"))
        return NULL;
    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_bits(key) <= 256)
        return EVP_sha256();
    return EVP_PKEY_get_bits(key) <= 384 ? EVP_sha384() : EVP_sha512();
}

/* RFC 4055 section 3.1: SHA-1 where it is left out. */
static int pss_digest(const X509_ALGOR *algorithm)
{
    RSA_PSS_PARAMS *pss =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter);
    int nid = pss && pss->hashAlgorithm ? OBJ_obj2nid(pss->hashAlgorithm->algorithm) : NID_sha1;
    RSA_PSS_PARAMS_free(pss);
    ERR_clear_error();
    return nid;
}

int hc_signature_digest(const X509_ALGOR *algorithm, int *nid)
{
    int signature = OBJ_obj2nid(algorithm->algorithm);
    if (OBJ_find_sigid_algs(signature, nid, NULL) != 1)
        return -HC_EFORMAT;
    if (signature == NID_rsassaPss)
        *nid = pss_digest(algorithm);
    return 0;
}

bool hc_digest_is_weak(int nid)
{
    const EVP_MD *digest = nid == NID_undef ? NULL : EVP_get_digestbynid(nid);
    return nid != NID_undef && (!digest || EVP_MD_get_size(digest) < DIGEST_BYTES_MIN);
}

int hc_key_sha256(const EVP_PKEY *key, uint8_t out[32], hc_err *err)
{
    unsigned char *der = NULL;
    unsigned digest_size = 0;
    int size = i2d_PUBKEY(key, &der);
    int rc = 0;
    if (size <= 0 || EVP_Digest(der, (size_t)size, out, &digest_size, EVP_sha256(), NULL) != 1)
        rc = hc_ossl_failed(err, "cannot take a key's digest");
    OPENSSL_free(der);
    return rc;
}
