#include "cli/issuers.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/import_certs.h"

/* Lower case, without spaces around commas and plus signs that are not escaped. */
static char *fold(hc_slice name)
{
    char *out = hc_alloc(name.size + 1);
    size_t size = 0, kept = 0; /* `kept`: up to here spaces are part of a value */
    for (size_t i = 0; out && i < name.size; i++) {
        uint8_t byte = name.at[i];
        bool separates = byte == ',' || byte == '+';
        if (separates)
            while (size > kept && out[size - 1] == ' ')
                size--;
        out[size++] = (char)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
        if (byte == '\\' && i + 1 < name.size) {
            out[size++] = (char)name.at[++i];
            kept = size;
        }
        while (separates && i + 1 < name.size && name.at[i + 1] == ' ')
            i++;
        if (separates)
            kept = size;
    }
    if (out)
        out[size] = '\0';
    return out;
}

static int add_cert(void *arg, X509 *x, size_t number, hc_err *err)
{
    hc_issuers *all = arg;
    hc_issuer one = {.cert = NULL};
    const unsigned char *der = NULL;
    size_t size = 0;
    (void)number;
    if (all->count == HC_LIMIT_CA_CERTS)
        return hc_err_set(err, HC_ELIMIT, "more than %d CAs", HC_LIMIT_CA_CERTS);
    hc_issuer *at = hc_realloc(all->at, (all->count + 1) * sizeof(*at));
    if (!at)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    all->at = at;
    if (X509_NAME_get0_der(X509_get_subject_name(x), &der, &size) != 1) {
        ERR_clear_error();
        return hc_err_set(err, HC_EFORMAT, "the name of a CA cannot be encoded");
    }
    (void)SHA256(der, size, one.name_sha256);
    int rc = hc_cert_from_x509(x, &one.cert, err);
    if (rc != 0)
        return rc;
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(hc_cert_x509(one.cert));
    if (id)
        one.key_id = hc_slice_of(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id));
    one.folded = fold(hc_slice_text(hc_cert_subject(one.cert)));
    all->at[all->count++] = one;
    return one.folded ? 0 : hc_err_set(err, HC_ENOMEM, "out of memory");
}

int hc_issuers_add(hc_issuers *all, hc_slice file, const char *name, hc_err *err)
{
    int rc = hc_import_certs(file, add_cert, all, err);
    return rc == 0 ? 0 : hc_err_context(err, "%s", name);
}

void hc_issuers_done(hc_issuers *all)
{
    for (size_t i = 0; i < all->count; i++) {
        hc_cert_unref(all->at[i].cert);
        hc_free(all->at[i].folded);
    }
    hc_free(all->at);
    *all = (hc_issuers){NULL, 0};
}

/* One CA, perhaps with several certificates. */
static bool same_ca(const hc_issuer *a, const hc_issuer *b)
{
    return memcmp(a->name_sha256, b->name_sha256, sizeof(a->name_sha256)) == 0 &&
           hc_slice_equal(a->key_id, b->key_id);
}

int hc_issuers_find(const hc_issuers *all, hc_slice name, const hc_issuer **out, hc_err *err)
{
    char *folded = fold(hc_slice_trim(name));
    const hc_issuer *found = NULL;
    bool two = false;
    if (!folded)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->at[i].folded, folded) != 0)
            continue;
        two = two || (found && !same_ca(found, &all->at[i]));
        found = &all->at[i];
    }
    hc_free(folded);
    if (found && !two) {
        *out = found;
        return 0;
    }
    hc_buf shown = hc_buf_init(600);
    int rc = hc_escape_add(&shown, hc_slice_of(name.at, name.size < 120 ? name.size : 120));
    if (rc == 0 && two)
        rc = hc_err_set(err, HC_EDENIED,
                        "two CAs with different keys are named \"%.*s\"; --issuer FILE says which",
                        HC_SLICE_ARGS(hc_buf_slice(&shown)));
    else if (rc == 0)
        rc = hc_err_set(err, HC_ENOENT,
                        "no CA of this server is named \"%.*s\"; give its certificate with "
                        "--ca-certs FILE",
                        HC_SLICE_ARGS(hc_buf_slice(&shown)));
    hc_buf_done(&shown);
    return rc;
}
