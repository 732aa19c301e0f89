#include "authority/crl_make.h"

#include <jansson.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "authority/crl.h"
#include "x509/name.h"
#include "x509/ossl.h"

static hc_slice key_id_of(X509 *issuer)
{
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer);
    return id ? hc_slice_of(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id))
              : HC_SLICE_NONE;
}

int hc_crl_name(X509 *issuer, char out[HC_CRL_NAME_BYTES], hc_err *err)
{
    hc_slice id = key_id_of(issuer);
    if (id.size == 0 || 2 * id.size + sizeof(".crl") > HC_CRL_NAME_BYTES)
        return hc_err_set(err, HC_EDENIED,
                          "the CA's certificate has no subject key identifier of 1 to 64 octets");
    for (size_t i = 0; i < id.size; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", id.at[i]);
    (void)snprintf(out + 2 * id.size, sizeof(".crl"), ".crl");
    return 0;
}

/* --- its number --- */

/* One sequence of numbers serves all CAs: each of them sees its own grow. */
static int on_list(void *arg, const hc_audit_row *row)
{
    uint64_t *last = arg;
    json_t *now = json_loadb((const char *)row->now.at, row->now.size, 0, NULL);
    json_int_t number = json_integer_value(json_object_get(now, "number"));
    if (number > 0 && (uint64_t)number > *last)
        *last = (uint64_t)number;
    json_decref(now);
    return 0;
}

static int next_number(hc_registry *r, const hc_actor *a, uint64_t *out, hc_err *err)
{
    uint64_t last = 0;
    hc_audit_filter f = {
        .action = HC_SLICE_LITERAL(HC_CRL_ACTION), .newest_first = true, .limit = 1};
    int rc = r->engine->audit(r, &f, on_list, &last, err);
    uint64_t now_ms = a->now_ms > 0 ? (uint64_t)a->now_ms : 0;
    *out = last >= now_ms ? last + 1 : now_ms;
    return rc;
}

static int note_made(hc_registry *r, const hc_actor *a, X509 *issuer, const hc_crl_made *made,
                     hc_err *err)
{
    char text[160], ca[HC_CRL_NAME_BYTES];
    int64_t seq = 0;
    int rc = hc_crl_name(issuer, ca, err);
    if (rc != 0)
        return rc;
    (void)snprintf(text, sizeof(text), "{\"number\":%llu,\"entries\":%llu,\"next_update\":%lld}",
                   (unsigned long long)made->number, (unsigned long long)made->entries,
                   (long long)made->next_update_s);
    hc_audit_row row = {.at_ms = a->now_ms,
                        .who = a->who,
                        .action = HC_SLICE_LITERAL(HC_CRL_ACTION),
                        .certificate = hc_slice_text(ca),
                        .now = hc_slice_text(text)};
    return r->engine->audit_add(r, &row, &seq, err);
}

/* --- what stands on it --- */

typedef struct gathering {
    hc_crl *crl;
    hc_slice key_id; /* of the CA: others may have its name */
    uint64_t entries;
    hc_err *err;
} gathering;

static int on_revoked(void *arg, const hc_certificate_row *row)
{
    gathering *g = arg;
    if (row->issuer_key_id.size && !hc_slice_equal(row->issuer_key_id, g->key_id))
        return 0;
    /* What a registry took over from elsewhere may be a number that no list can have. */
    if (row->serial.negative || row->serial.size == 0)
        return 0;
    g->entries++;
    return hc_crl_add(g->crl,
                      &(hc_revoked){.serial = row->serial,
                                    .revoked_s = row->revoked_s,
                                    .not_after_s = row->not_after_s,
                                    .reason = row->reason},
                      g->err);
}

static int name_sha256(X509 *issuer, uint8_t out[32], hc_err *err)
{
    if (X509_NAME_digest(X509_get_subject_name(issuer), EVP_sha256(), out, NULL) == 1)
        return 0;
    return hc_ossl_failed(err, "cannot make the digest of a name");
}

static int sign(gathering *g, X509 *issuer, EVP_PKEY *key, hc_crl_made *made, hc_err *err)
{
    hc_crl_terms terms = {made->number, made->this_update_s, made->next_update_s};
    X509_CRL *crl = NULL;
    int rc = hc_crl_sign(g->crl, &terms, issuer, key, &crl, err);
    made->der = hc_buf_init(HC_LIMIT_PEM_FILE_BYTES);
    if (rc == 0)
        rc = hc_crl_der(crl, &made->der, err);
    X509_CRL_free(crl);
    return rc;
}

/* Within the transaction. */
static int make(hc_registry *r, const hc_actor *a, X509 *issuer, EVP_PKEY *key, hc_crl_made *made,
                hc_err *err)
{
    uint8_t name[32];
    gathering g = {.key_id = key_id_of(issuer), .err = err};
    hc_certificate_filter f = {.issuer_sha256 = name, .status = HC_CERTIFICATE_REVOKED};
    int rc = name_sha256(issuer, name, err);
    if (rc == 0)
        rc = hc_crl_new(&g.crl, err);
    if (rc == 0)
        rc = next_number(r, a, &made->number, err);
    if (rc == 0)
        rc = r->engine->certificates(r, &f, on_revoked, &g, err);
    made->entries = g.entries;
    if (rc == 0)
        rc = sign(&g, issuer, key, made, err);
    hc_crl_free(g.crl);
    return rc == 0 ? note_made(r, a, issuer, made, err) : rc;
}

int hc_crl_make(hc_registry *r, const hc_actor *a, X509 *issuer, EVP_PKEY *key, int64_t lifetime_s,
                hc_crl_made *out, hc_err *err)
{
    int64_t now_s = a->now_ms / 1000;
    hc_crl_made made = {.this_update_s = now_s,
                        .next_update_s = now_s + (lifetime_s ? lifetime_s : HC_CRL_LIFETIME_S)};
    int rc = hc_registry_begin(r, true, err);
    if (rc != 0)
        return rc;
    rc = make(r, a, issuer, key, &made, err);
    if (rc == 0)
        rc = hc_registry_commit(r, err);
    else
        hc_registry_rollback(r);
    if (rc == 0)
        *out = made;
    else
        hc_buf_done(&made.der);
    return rc;
}
