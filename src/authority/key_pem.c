#include "authority/key_pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "base/limits.h"
#include "x509/ossl.h"

#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 5

static int encrypt(EVP_PKEY *key, hc_slice passphrase, BIO *bio)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    X509_ALGOR *scheme =
        PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, SCRYPT_N, SCRYPT_R, SCRYPT_P);
    X509_SIG *sealed = NULL;
    if (info && scheme)
        sealed = PKCS8_set0_pbe((const char *)passphrase.at, (int)passphrase.size, info, scheme);
    if (!sealed)
        X509_ALGOR_free(scheme); /* `sealed` owns it otherwise */
    int written = sealed ? PEM_write_bio_PKCS8(bio, sealed) : 0;
    X509_SIG_free(sealed);
    PKCS8_PRIV_KEY_INFO_free(info); /* overwrites the key in it */
    return written;
}

int hc_key_to_pem(EVP_PKEY *key, hc_slice passphrase, BIO **out, hc_err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    int written = 0;
    if (passphrase.size > HC_LIMIT_PASSPHRASE) {
        BIO_free(bio);
        return hc_err_set(err, HC_EINVAL, "a passphrase has at most %d bytes", HC_LIMIT_PASSPHRASE);
    }
    if (bio)
        written = passphrase.size
                      ? encrypt(key, passphrase, bio)
                      : PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    if (written != 1) {
        BIO_free(bio);
        return hc_ossl_failed(err, "cannot write a key as PEM");
    }
    *out = bio;
    return 0;
}

typedef struct answer {
    hc_slice passphrase;
    bool asked;
} answer;

/* Instead of OpenSSL's, which asks at a terminal. */
static int answer_passphrase(char *buf, int size, int writing, void *arg)
{
    answer *a = arg;
    (void)writing;
    a->asked = true;
    if (a->passphrase.size == 0 || size < 0 || a->passphrase.size > (size_t)size)
        return -1;
    memcpy(buf, a->passphrase.at, a->passphrase.size);
    return (int)a->passphrase.size;
}

int hc_key_from_pem(hc_slice pem, hc_slice passphrase, EVP_PKEY **out, hc_err *err)
{
    answer a = {passphrase, false};
    if (pem.size == 0 || pem.size > INT32_MAX)
        return hc_err_set(err, HC_EFORMAT, "holds no private key");
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, answer_passphrase, &a) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (key) {
        *out = key;
        return 0;
    }
    if (!a.asked)
        return hc_err_set(err, HC_EFORMAT, "holds no private key");
    return hc_err_set(err, HC_EDENIED,
                      passphrase.size ? "the passphrase does not open this key"
                                      : "the key is encrypted: a passphrase is wanted");
}
