#include "server/live.h"

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lane/frame.h"
#include "server/options.h"
#include "x509/text.h"
#include "x509/variables.h"

static hc_slice bytes_of(const hc_file_bytes *f)
{
    return hc_slice_of(f->at, f->size);
}

static int load_trust(hc_live *live, const hc_files *files, hc_err *err)
{
    size_t count = files->ca_count + files->crl_count;
    if (!live->handshake.ask)
        return 0;
    hc_trust_source *sources = hc_alloc_zero(count ? count : 1, sizeof *sources);
    if (!sources)
        return hc_err_set(err, HC_ENOMEM, "no memory for the list of CAs");
    for (size_t i = 0; i < files->ca_count; i++)
        sources[i] = (hc_trust_source){files->cas[i].name, bytes_of(&files->cas[i])};
    for (size_t i = 0; i < files->crl_count; i++)
        sources[files->ca_count + i] =
            (hc_trust_source){files->crls[i].name, bytes_of(&files->crls[i])};
    hc_trust_config config = {.cas = sources,
                              .ca_count = files->ca_count,
                              .crls = sources + files->ca_count,
                              .crl_count = files->crl_count,
                              .crl_leaf_only = live->settings.crl_leaf_only,
                              .max_age_s = (int64_t)(live->settings.session_lifetime_ms / 1000),
                              .generation = live->generation,
                              .now_s = hc_clock_wall_s()};
    int rc = hc_trust_load(&config, &live->trust, err);
    hc_free(sources);
    return rc;
}

static int add_text(EVP_MD_CTX *md, const char *text)
{
    return EVP_DigestUpdate(md, text, strlen(text) + 1);
}

/* Sessions are keyed to what decides about clients: another policy does not resume them. */
static int session_context(const hc_settings *s, uint8_t out[32], hc_err *err)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
             add_text(md, hc_client_cert_mode_name(s->policy.mode)) == 1 &&
             add_text(md, s->policy.refuse_with_http ? "http" : "alert") == 1 &&
             add_text(md, s->tls_policy == HC_TLS_MODERN ? "modern" : "intermediate") == 1;
    for (size_t i = 0; ok && i < s->policy.rule_count; i++)
        ok = add_text(md, s->policy.rules[i].method) == 1 &&
             add_text(md, s->policy.rules[i].path) == 1 &&
             add_text(md, hc_client_cert_mode_name(s->policy.rules[i].mode)) == 1;
    ok = ok && EVP_DigestFinal_ex(md, out, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? 0 : hc_err_set(err, HC_ETLS, "cannot derive the session context");
}

static int load_tls(hc_live *live, const hc_files *files, const hc_tls_hooks *hooks, hc_err *err)
{
    const hc_settings *s = &live->settings;
    hc_tls_config config = {.policy = s->tls_policy,
                            .certificate_name = files->certificate.name,
                            .certificate_pem = bytes_of(&files->certificate),
                            .key_name = files->key.name,
                            .key_pem = bytes_of(&files->key),
                            .passphrase = bytes_of(&files->passphrase),
                            .ask = live->handshake.ask,
                            .require = live->handshake.require,
                            .ca_names = live->trust ? hc_trust_names(live->trust) : NULL,
                            .session_lifetime_s = (int64_t)(s->session_lifetime_ms / 1000),
                            .ciphers = s->ciphers,
                            .hooks = *hooks};
    int rc = session_context(s, config.session_context, err);
    return rc == 0 ? hc_tls_context_new(&config, &live->tls, err) : rc;
}

typedef struct variables {
    hc_buf text;
    hc_pair pairs[HC_LANE_VARIABLES];
    size_t count;
} variables;

/* Two passes would be simpler than offsets, but the text may move while it grows: the limit is
 * reserved first. */
static int collect(void *arg, hc_slice name, hc_slice value)
{
    variables *v = arg;
    if (v->count == HC_COUNT(v->pairs) || v->text.capacity - v->text.size < name.size + value.size)
        return -HC_ELIMIT;
    const uint8_t *at = v->text.at + v->text.size;
    int rc = hc_buf_add(&v->text, name);
    if (rc == 0)
        rc = hc_buf_add(&v->text, value);
    v->pairs[v->count++] =
        (hc_pair){hc_slice_of(at, name.size), hc_slice_of(at + name.size, value.size)};
    return rc;
}

static int encode_server(hc_live *live, hc_err *err)
{
    hc_cert *cert = NULL;
    variables *v = hc_alloc_zero(1, sizeof *v);
    int rc = v ? 0 : -HC_ENOMEM;
    if (rc == 0) {
        v->text = hc_buf_init(HC_LIMIT_LANE_FRAME / 2);
        rc = hc_buf_reserve(&v->text, HC_LIMIT_LANE_FRAME / 2);
    }
    if (rc == 0)
        rc = hc_cert_from_x509(hc_tls_context_certificate(live->tls), &cert, err);
    if (rc == 0)
        rc = hc_variables_server(cert, collect, v, err);
    if (rc == 0)
        rc = hc_lane_add_server(&live->server_frame,
                                &(hc_lane_server){.variables = v->pairs,
                                                  .variable_count = v->count,
                                                  .multiprocess = live->settings.workers > 1,
                                                  .multithread = live->settings.threads > 1});
    if (rc == -HC_ENOMEM || rc == -HC_ELIMIT)
        (void)hc_err_set(err, -rc, "no room for the server certificate's variables");
    hc_cert_unref(cert);
    if (v)
        hc_buf_done(&v->text);
    hc_free(v);
    return rc;
}

static int copy_settings(const hc_settings *from, hc_settings *to, hc_err *err)
{
    hc_buf text = hc_buf_init(HC_LIMIT_CONFIG_BYTES);
    int rc = hc_settings_encode(from, &text, err);
    if (rc == 0)
        rc = hc_settings_decode(hc_buf_slice(&text), to, err);
    hc_buf_done(&text);
    return rc;
}

static int64_t end_of(X509 *x)
{
    int64_t end_s = 0;
    return hc_asn1_time(X509_get0_notAfter(x), &end_s, NULL) == 0 ? end_s : 0;
}

static void find_ends(hc_live *live)
{
    hc_cert_ends *e = &live->ends;
    e->server_s = end_of(hc_tls_context_certificate(live->tls));
    if (!live->trust)
        return;
    const STACK_OF(X509) *cas = hc_trust_cas(live->trust);
    for (int i = 0; i < sk_X509_num(cas); i++) {
        int64_t end_s = end_of(sk_X509_value(cas, i));
        if (i == 0 || end_s < e->ca_s)
            e->ca_s = end_s;
    }
    e->crl_s = hc_trust_crl_until(live->trust);
}

int hc_live_new(const hc_settings *settings, const hc_files *files, uint64_t generation,
                const hc_tls_hooks *hooks, hc_live **out, hc_err *err)
{
    hc_live *live = hc_alloc_zero(1, sizeof *live);
    if (!live)
        return hc_err_set(err, HC_ENOMEM, "no memory for a configuration");
    atomic_init(&live->refs, 1);
    live->generation = generation;
    live->server_frame = hc_buf_init(HC_LIMIT_LANE_FRAME);
    int rc = copy_settings(settings, &live->settings, err);
    if (rc == 0) {
        live->handshake = hc_policy_handshake(&live->settings.policy);
        rc = load_trust(live, files, err);
    }
    if (rc == 0)
        rc = load_tls(live, files, hooks, err);
    if (rc == 0)
        rc = encode_server(live, err);
    if (rc != 0) {
        hc_live_unref(live);
        return rc;
    }
    find_ends(live);
    *out = live;
    return 0;
}

hc_live *hc_live_ref(hc_live *live)
{
    atomic_fetch_add(&live->refs, 1);
    return live;
}

void hc_live_unref(hc_live *live)
{
    if (!live || atomic_fetch_sub(&live->refs, 1) != 1)
        return;
    hc_tls_context_unref(live->tls);
    hc_trust_unref(live->trust);
    hc_buf_done(&live->server_frame);
    hc_settings_done(&live->settings);
    hc_free(live);
}
