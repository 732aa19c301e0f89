#include "identity/crl_scope.h"

#include <openssl/err.h>

#include "base/slice.h"

static int check_point(const ISSUING_DIST_POINT *idp, hc_err *err)
{
    static const char attributes[] = "CRLs of attribute certificates are not supported";
    static const char both[] = "onlyContainsUserCerts beside onlyContainsCACerts (RFC 5280 section "
                               "5.2.5)";
    if (idp->indirectCRL > 0)
        return hc_err_set(err, HC_EFORMAT, "indirect CRLs are not supported");
    if (idp->onlysomereasons)
        return hc_err_set(err, HC_EFORMAT,
                          "CRLs for a part of the reasons (onlySomeReasons) are not supported");
    if (idp->onlyattr > 0)
        return hc_err_set(err, HC_EFORMAT, "%s", attributes);
    if (idp->onlyuser > 0 && idp->onlyCA > 0)
        return hc_err_set(err, HC_EFORMAT, "%s", both);
    return 0;
}

int hc_crl_scope_read(const X509_CRL *crl, hc_crl_scope *out, hc_err *err)
{
    int found = 0;
    ISSUING_DIST_POINT *idp =
        X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, &found, NULL);
    ERR_clear_error();
    if (!idp) {
        if (found != -1)
            return hc_err_set(err, HC_EFORMAT, "issuingDistributionPoint cannot be read");
        *out = (hc_crl_scope){0};
        return 0;
    }
    int rc = check_point(idp, err);
    /* A relative name is made whole, so that it can be compared. */
    if (rc == 0 && idp->distpoint &&
        DIST_POINT_set_dpname(idp->distpoint, X509_CRL_get_issuer(crl)) != 1)
        rc = hc_err_set(err, HC_EFORMAT, "the name of its distribution point cannot be read");
    if (rc == 0) {
        *out = (hc_crl_scope){idp->onlyuser > 0, idp->onlyCA > 0, idp->distpoint};
        idp->distpoint = NULL;
    }
    ISSUING_DIST_POINT_free(idp);
    ERR_clear_error();
    return rc;
}

void hc_crl_scope_done(hc_crl_scope *s)
{
    DIST_POINT_NAME_free(s->point);
    s->point = NULL;
}

static bool names_hold(const GENERAL_NAMES *names, const X509_NAME *name)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        if (one->type == GEN_DIRNAME && X509_NAME_cmp(one->d.directoryName, name) == 0)
            return true;
    }
    return false;
}

static bool names_meet(const GENERAL_NAMES *a, const GENERAL_NAMES *b)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(a); i++)
        for (int j = 0; j < sk_GENERAL_NAME_num(b); j++)
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(a, i), sk_GENERAL_NAME_value(b, j)) == 0)
                return true;
    return false;
}

/* Type 0 is fullName; the other kind has its whole name in dpname. */
static bool points_meet(const DIST_POINT_NAME *a, const DIST_POINT_NAME *b)
{
    if (a->type == 0 && b->type == 0)
        return names_meet(a->name.fullname, b->name.fullname);
    if (a->type == 0)
        return b->dpname && names_hold(a->name.fullname, b->dpname);
    if (b->type == 0)
        return a->dpname && names_hold(b->name.fullname, a->dpname);
    return a->dpname && b->dpname && X509_NAME_cmp(a->dpname, b->dpname) == 0;
}

/* RFC 5280 section 6.3.3 (b) (2) (i): the list's point must be one that the certificate names. */
static bool names_point(X509 *cert, const DIST_POINT_NAME *point)
{
    bool found = false;
    CRL_DIST_POINTS *points = X509_get_ext_d2i(cert, NID_crl_distribution_points, NULL, NULL);
    for (int i = 0; !found && i < sk_DIST_POINT_num(points); i++) {
        const DIST_POINT *one = sk_DIST_POINT_value(points, i);
        found = one->distpoint && !one->reasons && !one->CRLissuer &&
                DIST_POINT_set_dpname(one->distpoint, X509_get_issuer_name(cert)) == 1 &&
                points_meet(one->distpoint, point);
    }
    CRL_DIST_POINTS_free(points);
    ERR_clear_error();
    return found;
}

bool hc_crl_scope_covers(const hc_crl_scope *s, X509 *cert)
{
    bool is_ca = (X509_get_extension_flags(cert) & EXFLAG_CA) != 0;
    if ((s->only_users && is_ca) || (s->only_cas && !is_ca))
        return false;
    return !s->point || names_point(cert, s->point);
}

bool hc_crl_scope_equal(const hc_crl_scope *a, const hc_crl_scope *b)
{
    return !a->point && !b->point && a->only_users == b->only_users && a->only_cas == b->only_cas;
}
