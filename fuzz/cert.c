/* Certificates from outside, from bytes to identity: whatever comes, what is taken obeys its
 * contract.
 *
 * The input is tried as a certificate in DER (fields, brief, variables, verdict), as a file of CAs
 * and as a file of CRLs. An input that is a CA certificate is trusted and then judged by itself. */
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/str.h"
#include "identity/principal.h"
#include "identity/trust.h"
#include "x509/variables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 2026-01-01 */
#define NOW 1767225600

/* tests/vectors/x509/chains/ca.pem: the corpus has certificates of it. */
static const char ca_pem[] = "-----BEGIN CERTIFICATE-----\n"
                             "MIIBsDCCAVagAwIBAgIBATAKBggqhkjOPQQDAjAuMRAwDgYDVQQKDAdFeGFtcGxl\n"
                             "MRowGAYDVQQDDBFFeGFtcGxlIENsaWVudCBDQTAgFw0yMDAxMDEwMDAwMDBaGA8y\n"
                             "MTIwMDEwMTAwMDAwMFowLjEQMA4GA1UECgwHRXhhbXBsZTEaMBgGA1UEAwwRRXhh\n"
                             "bXBsZSBDbGllbnQgQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARTrJ5RVTpX\n"
                             "EoJp8od0eTyDntfCP0uDdIdCKQyy2jEMWxxiVLqzTF0mo0JfykR9pdDu6s0LF+kl\n"
                             "NNTMvPLJTpvvo2MwYTAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIABjAd\n"
                             "BgNVHQ4EFgQUDAaL0UDQmPBv9QPgFXfUHf5pbzgwHwYDVR0jBBgwFoAUDAaL0UDQ\n"
                             "mPBv9QPgFXfUHf5pbzgwCgYIKoZIzj0EAwIDSAAwRQIhAI7/tutffy0HETr0xVXO\n"
                             "M1y4mLyIaK1MWJYYC1Fx5bJ9AiBMjpWRl/lbUazDxUkk562GKfYzlmsjLwaVrH5U\n"
                             "aWgk1A==\n"
                             "-----END CERTIFICATE-----\n";

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool name_is_plain(hc_slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && c != '_')
            return false;
    }
    return hc_slice_starts_with(name, HC_SLICE_LITERAL("SSL_"));
}

static int on_variable(void *arg, hc_slice name, hc_slice value)
{
    ++*(size_t *)arg;
    must(name_is_plain(name));
    must(hc_slice_find(value, 0) < 0);
    must(hc_utf8_valid(value));
    return 0;
}

static void try_serial(const hc_cert *c)
{
    hc_serial again;
    must(hc_serial_parse(hc_slice_text(hc_cert_serial_hex(c)), false, &again, NULL) == 0);
    must(hc_serial_equal(&again, hc_cert_serial(c)));
    must(hc_serial_parse(hc_slice_text(hc_cert_serial_decimal(c)), true, &again, NULL) == 0);
    must(hc_serial_equal(&again, hc_cert_serial(c)));
}

static void try_brief(hc_slice der)
{
    const unsigned char *at = der.at;
    X509 *x = d2i_X509(NULL, &at, (long)der.size);
    hc_cert_brief brief;
    hc_cert_brief_of(x, &brief);
    must(strlen(brief.subject) < sizeof(brief.subject));
    must(strlen(brief.issuer) < sizeof(brief.issuer));
    must(!x || brief.serial_hex[0]);
    X509_free(x);
}

static void try_decide(hc_trust *t, const hc_cert *c)
{
    hc_principal *p = NULL;
    hc_verdict v;
    if (hc_principal_new(hc_cert_x509(c), NULL, &p, NULL) < 0)
        abort(); /* it was a certificate before */
    int rc = hc_principal_decide(p, t, NOW, &v, NULL);
    must(rc == 0 || v.code == HC_VERDICT_STATUS_UNKNOWN);
    must(v.code != HC_VERDICT_NO_CERTIFICATE && v.code < HC_VERDICT_COUNT);
    must(memchr(v.detail, '\0', sizeof(v.detail)) != NULL);
    if (v.code == HC_VERDICT_OK) {
        must(hc_cert_not_before(c) <= NOW && NOW < hc_cert_not_after(c));
        must(v.good_until_s >= NOW && v.good_until_s < hc_cert_not_after(c));
    }
    hc_principal_unref(p);
}

static hc_trust *trust_of(hc_slice cas, const hc_slice *crl)
{
    hc_trust *t = NULL;
    hc_trust_source ca_source = {"ca", cas};
    hc_trust_source crl_source = {"crl", crl ? *crl : HC_SLICE_NONE};
    hc_trust_config config = {.cas = &ca_source,
                              .ca_count = 1,
                              .crls = &crl_source,
                              .crl_count = crl ? 1 : 0,
                              .now_s = NOW};
    return hc_trust_load(&config, &t, NULL) == 0 ? t : NULL;
}

static void try_own_trust(hc_slice pem, const hc_cert *c)
{
    hc_trust *t = trust_of(pem, NULL);
    if (t)
        try_decide(t, c);
    hc_trust_unref(t);
}

static int keep_pem(void *arg, hc_slice name, hc_slice value)
{
    if (hc_slice_equal_text(name, "SSL_CLIENT_CERT"))
        return hc_buf_add(arg, value);
    return 0;
}

static void try_certificate(hc_trust *trust, hc_slice der)
{
    hc_cert *c = NULL;
    size_t count = 0;
    if (hc_cert_from_der(der, &c, NULL) < 0)
        return;
    must(hc_slice_equal(hc_cert_der(c), der));
    must(hc_utf8_valid(hc_slice_text(hc_cert_subject(c))));
    try_serial(c);
    must(hc_variables_client(c, on_variable, &count, NULL) == 0);
    must(hc_variables_server(c, on_variable, &count, NULL) == 0);
    must(count >= 14);
    try_decide(trust, c);
    hc_buf pem = hc_buf_init(SIZE_MAX);
    must(hc_variables_client(c, keep_pem, &pem, NULL) == 0);
    try_own_trust(hc_buf_slice(&pem), c);
    hc_buf_done(&pem);
    hc_cert_unref(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static hc_trust *trust;
    hc_slice in = hc_slice_of(data, size);
    hc_slice ca = HC_SLICE_LITERAL(ca_pem);
    if (!trust)
        trust = trust_of(ca, NULL);
    must(trust != NULL);
    try_brief(in);
    try_certificate(trust, in);
    hc_trust_unref(trust_of(in, NULL));
    hc_trust_unref(trust_of(ca, &in));
    return 0;
}
