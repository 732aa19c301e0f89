/* Which keys are too weak: small rules, each with a name and a source. The CA/Browser Forum's
 * Baseline Requirements, section 6.1.1.3, ask the same of public CAs. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>

#include "base/limits.h"
#include "x509/key.h"
#include "x509/ossl.h"

#define STRENGTH_BITS_MIN 112
#define RSA_BITS_MIN      2048
/* OpenSSL refuses larger exponents where the modulus has more than 3072 bits. */
#define EXPONENT_BITS_MAX 64
/* Factors closer than this many steps of Fermat's method. */
#define FERMAT_ROUNDS 100

static int weak(hc_err *err, const char *why)
{
    return hc_err_set(err, HC_EDENIED, "the key is too weak to be certified: %s; make a new one",
                      why);
}

/* Small primes divide no honest modulus; 751 is where public linters stop too. */
static bool has_small_factor(const BIGNUM *n)
{
    for (BN_ULONG p = 2; p < 752; p++) {
        if (BN_mod_word(n, p) == 0)
            return true;
    }
    return false;
}

/* Nemec and others, "The Return of Coppersmith's Attack" (2017), section 3: primes of that library
 * are powers of 65537 modulo these, so their product is one too. Chance passes once in 2^27. */
static bool is_roca(const BIGNUM *n)
{
    static const BN_ULONG primes[] = {11, 13, 17,  19,  37,  53,  61,  71, 73,
                                      79, 97, 103, 107, 109, 127, 151, 157};
    for (size_t i = 0; i < HC_COUNT(primes); i++) {
        BN_ULONG p = primes[i], wanted = BN_mod_word(n, p), power = 1;
        bool found = false;
        do {
            found = power == wanted;
            power = power * 65537 % p;
        } while (!found && power != 1);
        if (!found)
            return false;
    }
    return true;
}

/* The root rounded down, by Newton from above. */
static bool square_root(BIGNUM *root, const BIGNUM *n, BN_CTX *ctx)
{
    BN_CTX_start(ctx);
    BIGNUM *next = BN_CTX_get(ctx);
    bool ok =
        next && BN_set_word(next, 1) == 1 && BN_lshift(next, next, (BN_num_bits(n) + 1) / 2) == 1;
    do {
        ok = ok && BN_copy(root, next) && BN_div(next, NULL, n, root, ctx) == 1 &&
             BN_add(next, next, root) == 1 && BN_rshift1(next, next) == 1;
    } while (ok && BN_cmp(next, root) < 0);
    BN_CTX_end(ctx);
    return ok;
}

/* Twelve residues modulo 64 are squares: most numbers end here. */
static bool may_be_square(const BIGNUM *n)
{
    BN_ULONG low = BN_mod_word(n, 64);
    for (BN_ULONG i = 0; i < 32; i++) {
        if (i * i % 64 == low)
            return true;
    }
    return false;
}

typedef struct fermat {
    BIGNUM *a, *b2, *root, *square;
} fermat;

/* CVE-2022-26320: n = a² - b² with a small a - √n. -1: no memory. */
static int fermat_rounds(const BIGNUM *n, const fermat *f, BN_CTX *ctx)
{
    if (!square_root(f->a, n, ctx))
        return -1;
    for (int i = 0; i <= FERMAT_ROUNDS; i++) {
        if (BN_sqr(f->b2, f->a, ctx) != 1 || BN_sub(f->b2, f->b2, n) != 1)
            return -1;
        if (!BN_is_negative(f->b2) && may_be_square(f->b2)) {
            if (!square_root(f->root, f->b2, ctx) || BN_sqr(f->square, f->root, ctx) != 1)
                return -1;
            if (BN_cmp(f->square, f->b2) == 0)
                return 1;
        }
        if (BN_add_word(f->a, 1) != 1)
            return -1;
    }
    return 0;
}

static int has_close_factors(const BIGNUM *n)
{
    int found = -1;
    BN_CTX *ctx = BN_CTX_new();
    if (!ctx)
        return -1;
    BN_CTX_start(ctx);
    fermat f = {BN_CTX_get(ctx), BN_CTX_get(ctx), BN_CTX_get(ctx), BN_CTX_get(ctx)};
    if (f.square)
        found = fermat_rounds(n, &f, ctx);
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    return found;
}

static int check_modulus(const BIGNUM *n, hc_err *err)
{
    if (has_small_factor(n))
        return weak(err, "its modulus has a small factor");
    if (is_roca(n))
        return weak(err, "its modulus has the fingerprint of CVE-2017-15361 (ROCA)");
    int close = has_close_factors(n);
    if (close < 0)
        return hc_ossl_failed(err, "cannot examine a key");
    return close ? weak(err, "its modulus has two factors that are close to each other") : 0;
}

static int check_exponent(const BIGNUM *e, hc_err *err)
{
    if (!BN_is_odd(e) || BN_num_bits(e) < 17)
        return weak(err, "its exponent is even or less than 65537 (FIPS 186-5 section 5.4)");
    if (BN_num_bits(e) > EXPONENT_BITS_MAX)
        return weak(err, "its exponent has more than 64 bits");
    return 0;
}

static int check_rsa(const EVP_PKEY *key, hc_err *err)
{
    BIGNUM *n = NULL, *e = NULL;
    int rc = 0;
    if (EVP_PKEY_get_bits(key) > HC_LIMIT_RSA_BITS)
        return hc_err_set(err, HC_EDENIED, "the key has more than %d bits, which only costs time",
                          HC_LIMIT_RSA_BITS);
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1)
        rc = hc_ossl_failed(err, "cannot examine a key");
    if (rc == 0)
        rc = check_exponent(e, err);
    if (rc == 0)
        rc = check_modulus(n, err);
    BN_free(n);
    BN_free(e);
    return rc;
}

/* RFC 5480 section 2.1.1: certificates name their curve. */
static int check_ec(EVP_PKEY *key, hc_err *err)
{
    int is_explicit = 0;
    char group[64] = "";
    if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                               &is_explicit) != 1 ||
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 || is_explicit) {
        ERR_clear_error();
        return weak(err, "its curve is written out and not named (RFC 5480 section 2.1.1)");
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (!ctx)
        return hc_ossl_failed(err, "cannot examine a key");
    int good = EVP_PKEY_public_check(ctx);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return good == 1 ? 0 : weak(err, "it is no point of its curve's group");
}

/* Points of order 1, 2, 4 and 8, also in the spellings that are not canonical: anyone can sign for
 * them. The sign bit is masked. */
static int check_ed25519(const EVP_PKEY *key, hc_err *err)
{
    static const uint8_t small[][32] = {
        {0},
        {1},
        {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
         0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
         0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
        {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
         0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
         0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    };
    uint8_t point[32];
    size_t size = sizeof(point);
    if (EVP_PKEY_get_raw_public_key(key, point, &size) != 1 || size != sizeof(point))
        return hc_ossl_failed(err, "cannot examine a key");
    point[31] &= 0x7f;
    bool bad = false;
    for (size_t i = 0; i < HC_COUNT(small); i++)
        bad = bad || memcmp(point, small[i], sizeof(point)) == 0;
    /* From p - 1 on: -1, and 0 and 1 written with p added. */
    bool high = point[31] == 0x7f && point[0] >= 0xec;
    for (size_t i = 1; high && i < 31; i++)
        high = point[i] == 0xff;
    return bad || high ? weak(err, "its point has a small order") : 0;
}

int hc_key_check(EVP_PKEY *key, hc_err *err)
{
    if (EVP_PKEY_is_a(key, "ED25519"))
        return check_ed25519(key, err);
    if (EVP_PKEY_is_a(key, "ED448"))
        return 0;
    bool is_rsa = EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS");
    if (!is_rsa && !EVP_PKEY_is_a(key, "EC"))
        return hc_err_set(err, HC_EDENIED,
                          "keys of this kind are not certified: make an EC "
                          "(P-256), Ed25519 or RSA key");
    int bits = EVP_PKEY_get_bits(key);
    /* OpenSSL counts 112 bits of strength for RSA with a little less than 2048 too. */
    if (EVP_PKEY_get_security_bits(key) < STRENGTH_BITS_MIN || (is_rsa && bits < RSA_BITS_MIN))
        return hc_err_set(err, HC_EDENIED,
                          "the key is too weak to be certified: %s with %d bits; make an EC key on "
                          "P-256, or RSA with at least 2048",
                          is_rsa ? "RSA" : "EC", bits);
    return is_rsa ? check_rsa(key, err) : check_ec(key, err);
}
