/* Which profile a certificate was made by, to be renewed by it. */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "authority/profile.h"
#include "authority/subject.h"
#include "x509/text.h"

static int same_subject(const hc_profile *p, X509 *cert, const char *name, bool *out, hc_err *err)
{
    X509_NAME *made = NULL;
    int rc = hc_subject_make(p->subject, name, &made, err);
    *out = rc == 0 && X509_NAME_cmp(made, X509_get_subject_name(cert)) == 0;
    X509_NAME_free(made);
    /* Too long with this name: nothing was made by it. */
    return rc == -HC_EINVAL ? 0 : rc;
}

static bool has_purpose(const hc_profile *p, X509 *cert)
{
    uint32_t wanted = p->kind == HC_PROFILE_SERVER ? XKU_SSL_SERVER : XKU_SSL_CLIENT;
    return (X509_get_extended_key_usage(cert) & wanted) != 0;
}

static int on_san(void *arg, hc_san_type type, hc_slice value, int nth_of_type)
{
    unsigned *types = arg;
    (void)value;
    (void)nth_of_type;
    *types |= HC_PROFILE_BIT(type);
    return 0;
}

static bool is_url(const GENERAL_NAME *name, const char *url)
{
    const ASN1_IA5STRING *uri = name->type == GEN_URI ? name->d.uniformResourceIdentifier : NULL;
    return uri &&
           hc_slice_equal_text(
               hc_slice_of(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri)), url);
}

static bool same_crl_url(const hc_profile *p, X509 *cert)
{
    STACK_OF(DIST_POINT) *points = X509_get_ext_d2i(cert, NID_crl_distribution_points, NULL, NULL);
    const DIST_POINT *point = points ? sk_DIST_POINT_value(points, 0) : NULL;
    const DIST_POINT_NAME *at = point ? point->distpoint : NULL;
    bool named = at && at->type == 0 && sk_GENERAL_NAME_num(at->name.fullname) == 1;
    bool same =
        named ? is_url(sk_GENERAL_NAME_value(at->name.fullname, 0), p->crl_url) : !*p->crl_url;
    sk_DIST_POINT_pop_free(points, DIST_POINT_free);
    return same;
}

static bool same_lifetime(const hc_profile *p, X509 *cert)
{
    int days = 0, seconds = 0;
    return ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(cert), X509_get0_notAfter(cert)) &&
           days * HC_PROFILE_DAY_S + seconds == p->lifetime_s + HC_PROFILE_BACKDATE_S;
}

/* What an operator may have changed since, or set aside by --days or a request's key. */
static unsigned likeness(const hc_profile *p, X509 *cert)
{
    return 4u * same_crl_url(p, cert) + 2u * same_lifetime(p, cert) +
           hc_key_is(X509_get0_pubkey(cert), p->key);
}

int hc_profiles_match(const hc_profiles *p, X509 *cert, const char *name, const hc_profile **out,
                      hc_err *err)
{
    unsigned types = 0, best = 0;
    int rc = hc_san_entries(cert, on_san, &types, err);
    *out = NULL;
    for (size_t i = 0; rc == 0 && i < p->count; i++) {
        const hc_profile *one = &p->at[i];
        bool fits = false;
        rc = same_subject(one, cert, name, &fits, err);
        if (rc != 0 || !fits || !has_purpose(one, cert) || (types & ~one->sans))
            continue;
        unsigned like = likeness(one, cert);
        if (!*out || like > best) {
            *out = one;
            best = like;
        }
    }
    ERR_clear_error();
    if (rc == 0 && !*out)
        rc =
            hc_err_set(err, HC_ENOENT,
                       "no profile makes a certificate that says what the old one does: choose one "
                       "with --profile");
    return rc;
}
