/* The client-certificate mode, and path rules that lower or raise it.
 *
 * Rules match whole path segments, the longest first, after percent-decoding ("/a" matches "/a" and
 * "/a/b", not "/ab"); of two for one path the one that names the method comes first (a browser
 * sends its CORS preflights, OPTIONS, without a certificate). The loosest handshake that any rule
 * needs is made; the rule is enforced per request. Immutable once built. */
#ifndef HC_IDENTITY_POLICY_H
#define HC_IDENTITY_POLICY_H

#include "base/err.h"
#include "base/limits.h"
#include "identity/verdict.h"

typedef enum hc_client_cert_mode {
    HC_MODE_NONE,     /* not asked for */
    HC_MODE_REQUEST,  /* asked for; whatever comes, the application decides */
    HC_MODE_OPTIONAL, /* absent is fine, present must verify */
    HC_MODE_REQUIRED,
} hc_client_cert_mode;

typedef struct hc_path_rule {
    char *path; /* decoded, begins with "/", no trailing "/" (but "/" itself) */
    size_t size;
    char method[HC_LIMIT_RULE_METHOD + 1]; /* "": any */
    hc_client_cert_mode mode;
} hc_path_rule;

typedef struct hc_policy {
    hc_client_cert_mode mode; /* where no rule matches */
    hc_path_rule *rules;      /* longest path first */
    size_t rule_count;
    bool refuse_with_http; /* every refusal is a 403 that can be read, none a TLS alert */
} hc_policy;

bool hc_client_cert_mode_parse(hc_slice text, hc_client_cert_mode *out);
const char *hc_client_cert_mode_name(hc_client_cert_mode mode);

/* Adds "MODE", "/path=MODE" or "METHOD /path=MODE". -HC_EINVAL with what is wrong; a rule given
 * twice with different modes is an error. */
int hc_policy_add(hc_policy *p, hc_slice text, hc_err *err) HC_MUST_CHECK;
void hc_policy_done(hc_policy *p);
hc_client_cert_mode hc_policy_mode_for(const hc_policy *p, hc_slice method, hc_slice decoded_path);

/* What the handshake asks for, given mode, all rules and refuse_with_http. */
typedef struct hc_handshake_policy {
    bool ask;     /* send a CertificateRequest */
    bool require; /* end the handshake where none comes */
    bool enforce; /* end the handshake where one comes that does not verify */
} hc_handshake_policy;
hc_handshake_policy hc_policy_handshake(const hc_policy *p);

/* What a request with this verdict gets under `mode`: HC_VERDICT_OK lets it pass to the handler
 * (which sees the connection's own verdict), anything else is the refusal's name. */
hc_verdict_code hc_policy_admit(hc_client_cert_mode mode, const hc_verdict *connection);

#endif
