#include "identity/revocation.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "identity/crl_scope.h"
#include "identity/describe.h"
#include "identity/same_ca.h"
#include "x509/key.h"
#include "x509/pem.h"
#include "x509/serial.h"
#include "x509/text.h"

#define KEY_BYTES (HC_LIMIT_SERIAL_OCTETS + 1)

/* The serial at a fixed size, so that memcmp orders it: sign, then the octets right-aligned. */
typedef struct crl_entry {
    uint8_t key[KEY_BYTES];
    int8_t reason;
    int64_t revoked_at_s;
} crl_entry;

typedef struct crl_window {
    int64_t from_s;
    int64_t until_s; /* exclusive, unlike a certificate's notAfter */
} crl_window;

/* What the CRLs of one CA say of one scope. */
typedef struct crl_list {
    X509 *ca; /* that signed it */
    hc_crl_scope scope;
    bool ca_is_revoked; /* by another list */
    int64_t valid_from_s;
    int64_t valid_until_s;
    crl_entry *entries;
    size_t count;
    size_t capacity;
} crl_list;

struct hc_revocation {
    crl_list *lists;
    size_t count;
    size_t entry_count;
    size_t crl_count;
    hc_same_ca *same;
};

static int no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "no memory for a CRL");
}

static void key_of(const hc_serial *s, uint8_t key[KEY_BYTES])
{
    memset(key, 0, KEY_BYTES);
    key[0] = s->negative;
    memcpy(key + KEY_BYTES - s->size, s->octets, s->size);
}

/* Two certificates of one CA (renewed, cross-signed) share its CRLs. */
static crl_list *find_list(const hc_revocation *r, const X509 *ca, const hc_crl_scope *scope)
{
    for (size_t i = 0; i < r->count; i++) {
        if (hc_crl_scope_equal(&r->lists[i].scope, scope) && hc_same_key(r->lists[i].ca, ca))
            return &r->lists[i];
    }
    return NULL;
}

/* The list of this CA and scope, made where there is none yet. Takes the scope over. NULL: no
 * memory. */
static crl_list *list_of(hc_revocation *r, X509 *ca, hc_crl_scope *scope)
{
    crl_list *list = find_list(r, ca, scope);
    if (list)
        return list;
    crl_list *lists = hc_realloc(r->lists, (r->count + 1) * sizeof(*lists));
    if (!lists)
        return NULL;
    r->lists = lists;
    if (X509_up_ref(ca) != 1)
        return NULL;
    list = &lists[r->count++];
    *list = (crl_list){
        .ca = ca, .scope = *scope, .valid_from_s = INT64_MAX, .valid_until_s = INT64_MIN};
    *scope = (hc_crl_scope){0};
    return list;
}

static int reserve(crl_list *list, size_t more, hc_err *err)
{
    if (more <= list->capacity - list->count)
        return 0;
    size_t capacity = list->count + more;
    crl_entry *entries = hc_realloc(list->entries, capacity * sizeof(*entries));
    if (!entries)
        return no_memory(err);
    list->entries = entries;
    list->capacity = capacity;
    return 0;
}

static int read_reason(const X509_REVOKED *revoked, int *out, hc_err *err)
{
    int found = 0;
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(revoked, NID_crl_reason, &found, NULL);
    if (!reason) {
        ERR_clear_error();
        *out = CRL_REASON_NONE;
        return found == -1 ? 0 : hc_err_set(err, HC_EFORMAT, "a reason code cannot be read");
    }
    int64_t value = -1;
    bool known = ASN1_ENUMERATED_get_int64(&value, reason) == 1 && value >= 0 && value <= 10;
    ASN1_ENUMERATED_free(reason);
    ERR_clear_error();
    if (!known)
        return hc_err_set(err, HC_EFORMAT, "an unknown reason code (RFC 5280 section 5.3.1)");
    *out = (int)value;
    return 0;
}

/* RFC 5280 section 5.3: a critical extension that is not understood makes the CRL useless.
 * certificateIssuer is that of an indirect CRL, critical or not. */
static int check_entry_extensions(const X509_REVOKED *revoked, hc_err *err)
{
    for (int i = 0; i < X509_REVOKED_get_ext_count(revoked); i++) {
        X509_EXTENSION *extension = X509_REVOKED_get_ext(revoked, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        if (nid == NID_certificate_issuer)
            return hc_err_set(err, HC_EFORMAT, "indirect CRLs are not supported");
        if (nid != NID_crl_reason && X509_EXTENSION_get_critical(extension))
            return hc_err_set(err, HC_EFORMAT,
                              "an entry with an unknown critical extension (RFC 5280 section 5.3)");
    }
    return 0;
}

static int add_entry(crl_list *list, const X509_REVOKED *revoked, hc_err *err)
{
    hc_serial serial;
    crl_entry entry = {.reason = CRL_REASON_NONE};
    int reason = CRL_REASON_NONE;
    int rc = check_entry_extensions(revoked, err);
    if (rc == 0)
        rc = read_reason(revoked, &reason, err);
    if (rc == 0)
        rc = hc_asn1_time(X509_REVOKED_get0_revocationDate(revoked), &entry.revoked_at_s, err);
    if (rc < 0)
        return rc;
    /* Belongs into delta CRLs; in a complete one it says that the certificate is not revoked by
     * this list. */
    if (reason == CRL_REASON_REMOVE_FROM_CRL)
        return 0;
    /* Certificates with such a serial are refused as malformed. */
    if (hc_serial_from_asn1(X509_REVOKED_get0_serialNumber(revoked), &serial, NULL) < 0)
        return 0;
    key_of(&serial, entry.key);
    entry.reason = (int8_t)reason;
    list->entries[list->count++] = entry;
    return 0;
}

static int add_entries(hc_revocation *r, crl_list *list, X509_CRL *crl, hc_err *err)
{
    STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);
    int count = revoked ? sk_X509_REVOKED_num(revoked) : 0;
    if (count <= 0)
        return 0;
    r->entry_count += (size_t)count;
    if (r->entry_count > HC_LIMIT_CRL_ENTRIES)
        return hc_err_set(err, HC_ELIMIT, "more than %u revoked certificates",
                          HC_LIMIT_CRL_ENTRIES);
    int rc = reserve(list, (size_t)count, err);
    for (int i = 0; rc == 0 && i < count; i++)
        rc = add_entry(list, sk_X509_REVOKED_value(revoked, i), err);
    return rc;
}

/* RFC 5280 section 5.2. */
static int check_extensions(const X509_CRL *crl, hc_err *err)
{
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++) {
        X509_EXTENSION *extension = X509_CRL_get_ext(crl, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        if (nid == NID_delta_crl)
            return hc_err_set(err, HC_EFORMAT, "delta CRLs are not supported");
        if (nid != NID_authority_key_identifier && nid != NID_crl_number &&
            nid != NID_issuing_distribution_point && X509_EXTENSION_get_critical(extension))
            return hc_err_set(err, HC_EFORMAT,
                              "an unknown critical extension (RFC 5280 section 5.2)");
    }
    return 0;
}

static int check_digest(const X509_CRL *crl, hc_err *err)
{
    const X509_ALGOR *algorithm = NULL;
    int nid = NID_undef;
    X509_CRL_get0_signature(crl, NULL, &algorithm);
    if (hc_signature_digest(algorithm, &nid) != 0)
        return hc_err_set(err, HC_EFORMAT, "an unknown signature algorithm");
    if (hc_digest_is_weak(nid))
        return hc_err_set(err, HC_EFORMAT, "signed with a digest that is too weak (%s)",
                          OBJ_nid2sn(nid));
    return 0;
}

static int check_times(const X509_CRL *crl, int64_t now_s, int64_t *from_s, int64_t *until_s,
                       hc_err *err)
{
    if (!X509_CRL_get0_nextUpdate(crl))
        return hc_err_set(err, HC_EFORMAT, "no nextUpdate (RFC 5280 section 5.1.2.5)");
    int rc = hc_asn1_time(X509_CRL_get0_lastUpdate(crl), from_s, err);
    if (rc == 0)
        rc = hc_asn1_time(X509_CRL_get0_nextUpdate(crl), until_s, err);
    if (rc < 0)
        return rc;
    char text[HC_DESCRIBE_TIME_BYTES];
    if (now_s < *from_s) {
        hc_describe_time(*from_s, text);
        return hc_err_set(err, HC_EFORMAT, "the CRL is not valid before %s", text);
    }
    if (now_s >= *until_s) {
        hc_describe_time(*until_s, text);
        return hc_err_set(err, HC_EFORMAT,
                          "the CRL is stale: a new one was due at %s (nextUpdate); fetch it", text);
    }
    return 0;
}

static bool signed_by(X509_CRL *crl, X509 *ca, const AUTHORITY_KEYID *akid)
{
    if (!(X509_get_key_usage(ca) & KU_CRL_SIGN))
        return false;
    if (akid && X509_check_akid(ca, akid) != X509_V_OK)
        return false;
    EVP_PKEY *key = X509_get0_pubkey(ca);
    return key && X509_CRL_verify(crl, key) == 1;
}

static int find_signer(X509_CRL *crl, const STACK_OF(X509) * cas, X509 **out, hc_err *err)
{
    X509_NAME *issuer = X509_CRL_get_issuer(crl);
    char text[HC_DESCRIBE_NAME_BYTES];
    int found = 0;
    bool named = false;
    AUTHORITY_KEYID *akid = X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, &found, NULL);
    if (!akid && found != -1) {
        ERR_clear_error();
        return hc_err_set(err, HC_EFORMAT, "the authority key identifier cannot be read");
    }
    *out = NULL;
    for (int i = 0; !*out && i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);
        if (X509_NAME_cmp(X509_get_subject_name(ca), issuer) != 0)
            continue;
        named = true;
        if (signed_by(crl, ca, akid))
            *out = ca;
    }
    AUTHORITY_KEYID_free(akid);
    ERR_clear_error();
    if (*out)
        return 0;
    hc_describe_name(issuer, text);
    return hc_err_set(
        err, HC_EFORMAT,
        named ? "not signed by the CA it names (%s)"
              : "its issuer (%s) is not among the CA certificates: add it to them, also "
                "where it is an intermediate one",
        text);
}

static int take_crl(hc_revocation *r, X509_CRL *crl, X509 *ca, hc_crl_scope *scope, int64_t now_s,
                    hc_err *err)
{
    int64_t from_s = 0;
    int64_t until_s = 0;
    int rc = check_times(crl, now_s, &from_s, &until_s, err);
    if (rc != 0)
        return rc;
    crl_list *list = list_of(r, ca, scope);
    if (!list)
        return no_memory(err);
    rc = add_entries(r, list, crl, err);
    if (rc != 0)
        return rc;
    if (from_s < list->valid_from_s)
        list->valid_from_s = from_s;
    if (until_s > list->valid_until_s)
        list->valid_until_s = until_s;
    return 0;
}

static int add_crl(hc_revocation *r, X509_CRL *crl, const STACK_OF(X509) * cas, int64_t now_s,
                   hc_err *err)
{
    X509 *ca = NULL;
    hc_crl_scope scope = {0};
    if (++r->crl_count > HC_LIMIT_CRL_NUMBER)
        return hc_err_set(err, HC_ELIMIT, "more than %d CRLs", HC_LIMIT_CRL_NUMBER);
    int rc = check_extensions(crl, err);
    if (rc == 0)
        rc = check_digest(crl, err);
    if (rc == 0)
        rc = find_signer(crl, cas, &ca, err);
    if (rc == 0)
        rc = hc_crl_scope_read(crl, &scope, err);
    if (rc == 0)
        rc = take_crl(r, crl, ca, &scope, now_s, err);
    hc_crl_scope_done(&scope);
    return rc;
}

typedef struct crl_reader {
    hc_revocation *index;
    const STACK_OF(X509) * cas;
    int64_t now_s;
} crl_reader;

static int read_der(const crl_reader *reader, hc_slice der, hc_err *err)
{
    const unsigned char *at = der.at;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.size);
    ERR_clear_error();
    if (!crl || at != der.at + der.size) {
        X509_CRL_free(crl);
        return hc_err_set(err, HC_EFORMAT, "not a CRL, or octets behind it");
    }
    int rc = add_crl(reader->index, crl, reader->cas, reader->now_s, err);
    X509_CRL_free(crl);
    return rc;
}

static int read_block(void *arg, const char *label, hc_slice der, hc_err *err)
{
    if (strcmp(label, "X509 CRL") != 0)
        return 0;
    return read_der(arg, der, err);
}

static int read_source(crl_reader *reader, const hc_trust_source *source, hc_err *err)
{
    static const uint8_t sequence = 0x30;
    size_t before = reader->index->crl_count;
    int rc;
    if (hc_slice_starts_with(source->pem, hc_slice_of(&sequence, 1)) &&
        source->pem.size <= HC_LIMIT_PEM_FILE_BYTES)
        rc = read_der(reader, source->pem, err);
    else
        rc = hc_pem_each(source->pem, read_block, reader, err);
    if (rc == 0 && reader->index->crl_count == before)
        rc = hc_err_set(err, HC_EFORMAT, "no CRL in it (a PEM block X509 CRL, or DER)");
    if (rc < 0)
        hc_err_context(err, "%s", source->name);
    return rc;
}

static int compare_entries(const void *a, const void *b)
{
    const crl_entry *x = a;
    const crl_entry *y = b;
    int order = memcmp(x->key, y->key, KEY_BYTES);
    if (order != 0)
        return order;
    return (x->revoked_at_s > y->revoked_at_s) - (x->revoked_at_s < y->revoked_at_s);
}

/* Sorted, and of the entries for one serial the earliest only. */
static void settle(crl_list *list)
{
    if (list->count == 0)
        return;
    qsort(list->entries, list->count, sizeof(*list->entries), compare_entries);
    size_t kept = 1;
    for (size_t i = 1; i < list->count; i++) {
        if (memcmp(list->entries[i].key, list->entries[kept - 1].key, KEY_BYTES) != 0)
            list->entries[kept++] = list->entries[i];
    }
    list->count = kept;
}

static int compare_key(const void *key, const void *entry)
{
    return memcmp(key, ((const crl_entry *)entry)->key, KEY_BYTES);
}

static const crl_entry *find_entry(const crl_list *list, const uint8_t key[KEY_BYTES])
{
    if (list->count == 0)
        return NULL;
    return bsearch(key, list->entries, list->count, sizeof(crl_entry), compare_key);
}

/* Whoever it was that certified this CA: by the name alone, since in doubt a list counts less. */
static bool ca_is_revoked(const hc_revocation *r, X509 *ca)
{
    hc_serial serial;
    uint8_t key[KEY_BYTES];
    if (hc_serial_from_asn1(X509_get0_serialNumber(ca), &serial, NULL) < 0)
        return true;
    key_of(&serial, key);
    for (size_t i = 0; i < r->count; i++) {
        X509_NAME *name = X509_get_subject_name(r->lists[i].ca);
        if (X509_NAME_cmp(name, X509_get_issuer_name(ca)) == 0 && find_entry(&r->lists[i], key))
            return true;
    }
    return false;
}

static void settle_all(hc_revocation *r)
{
    for (size_t i = 0; i < r->count; i++)
        settle(&r->lists[i]);
    for (size_t i = 0; i < r->count; i++)
        r->lists[i].ca_is_revoked = ca_is_revoked(r, r->lists[i].ca);
}

int hc_revocation_load(const hc_trust_source *crls, size_t count, const STACK_OF(X509) * cas,
                       int64_t now_s, hc_revocation **out, hc_err *err)
{
    hc_revocation *r = hc_alloc_zero(1, sizeof(*r));
    if (!r)
        return no_memory(err);
    crl_reader reader = {.index = r, .cas = cas, .now_s = now_s};
    int rc = hc_same_ca_new(cas, &r->same, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = read_source(&reader, &crls[i], err);
    if (rc < 0) {
        hc_revocation_free(r);
        return rc;
    }
    settle_all(r);
    *out = r;
    return 0;
}

void hc_revocation_free(hc_revocation *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++) {
        X509_free(r->lists[i].ca);
        hc_crl_scope_done(&r->lists[i].scope);
        hc_free(r->lists[i].entries);
    }
    hc_same_ca_free(r->same);
    hc_free(r->lists);
    hc_free(r);
}

/* The time in which a list tells who is not revoked. One that another key of the same CA signed is
 * worth no more than that key's certificate. Otherwise the error. */
static int window_of(const crl_list *list, const X509 *issuer, crl_window *out)
{
    int64_t from_s = 0;
    int64_t end_s = 0;
    *out = (crl_window){list->valid_from_s, list->valid_until_s};
    if (hc_same_key(list->ca, issuer))
        return X509_V_OK;
    if (list->ca_is_revoked || hc_asn1_time(X509_get0_notBefore(list->ca), &from_s, NULL) < 0 ||
        hc_asn1_time(X509_get0_notAfter(list->ca), &end_s, NULL) < 0)
        return X509_V_ERR_CRL_PATH_VALIDATION_ERROR;
    if (from_s > out->from_s)
        out->from_s = from_s;
    if (end_s < out->until_s)
        out->until_s = end_s;
    return X509_V_OK;
}

/* X509_V_OK where the list says now that the certificate is not revoked. */
static int speaks_of(const crl_list *list, X509 *cert, const X509 *issuer, int64_t now_s,
                     crl_window *window)
{
    if (!hc_crl_scope_covers(&list->scope, cert))
        return X509_V_ERR_DIFFERENT_CRL_SCOPE;
    int error = window_of(list, issuer, window);
    if (error != X509_V_OK)
        return error;
    if (now_s < window->from_s)
        return X509_V_ERR_CRL_NOT_YET_VALID;
    return now_s >= window->until_s ? X509_V_ERR_CRL_HAS_EXPIRED : X509_V_OK;
}

static void take_revoked(hc_revocation_answer *answer, const crl_entry *entry)
{
    if (answer->status == HC_REVOCATION_REVOKED && answer->revoked_at_s <= entry->revoked_at_s)
        return;
    answer->status = HC_REVOCATION_REVOKED;
    answer->error = X509_V_ERR_CERT_REVOKED;
    answer->revoked_at_s = entry->revoked_at_s;
    answer->reason = entry->reason;
}

/* Of several current lists the one that is good for longest; where there is none, what is wrong
 * with the last, its scope only where nothing else is. */
static void take_good(hc_revocation_answer *answer, const crl_list *list, X509 *cert,
                      const X509 *issuer, int64_t now_s)
{
    crl_window window;
    if (answer->status == HC_REVOCATION_REVOKED)
        return;
    int error = speaks_of(list, cert, issuer, now_s, &window);
    if (error == X509_V_OK &&
        (answer->status != HC_REVOCATION_GOOD || window.until_s > answer->valid_until_s)) {
        answer->status = HC_REVOCATION_GOOD;
        answer->error = X509_V_OK;
        answer->valid_from_s = window.from_s;
        answer->valid_until_s = window.until_s;
    } else if (error != X509_V_OK && answer->status == HC_REVOCATION_UNKNOWN &&
               (error != X509_V_ERR_DIFFERENT_CRL_SCOPE ||
                answer->error == X509_V_ERR_UNABLE_TO_GET_CRL))
        answer->error = error;
}

hc_revocation_answer hc_revocation_check(const hc_revocation *r, X509 *cert, X509 *issuer,
                                         int64_t now_s)
{
    hc_revocation_answer answer = {.error = X509_V_ERR_UNABLE_TO_GET_CRL,
                                   .reason = CRL_REASON_NONE};
    hc_serial serial;
    uint8_t key[KEY_BYTES];
    if (hc_serial_from_asn1(X509_get0_serialNumber(cert), &serial, NULL) < 0)
        return answer;
    key_of(&serial, key);
    for (size_t i = 0; i < r->count; i++) {
        const crl_list *list = &r->lists[i];
        if (!hc_same_ca_is(r->same, list->ca, issuer))
            continue;
        const crl_entry *entry = find_entry(list, key);
        if (entry) /* also in a list that has become stale, or speaks of others only */
            take_revoked(&answer, entry);
        else
            take_good(&answer, list, cert, issuer, now_s);
    }
    return answer;
}

int64_t hc_revocation_until(const hc_revocation *r)
{
    int64_t first_s = 0;
    for (size_t i = 0; i < r->count; i++)
        if (i == 0 || r->lists[i].valid_until_s < first_s)
            first_s = r->lists[i].valid_until_s;
    return first_s;
}
