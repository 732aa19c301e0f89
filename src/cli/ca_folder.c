#include "cli/ca_folder.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cert_json.h"
#include "server/hardening.h"
#include "server/read_file.h"

#define OUTPUT_LIMIT (1u << 20)

int hc_ca_folder_open(const hc_ca_args *a, hc_ca_folder *out, hc_err *err)
{
    *out = (hc_ca_folder){.store = {-1, NULL}};
    hc_protect_memory();
    int rc = hc_server_args(&a->common, NULL, &out->server, err);
    if (rc != 0)
        return rc;
    const hc_settings *s = &out->server.settings;
    rc = hc_ca_passphrase(a->ca_passphrase_file, s, &out->passphrase, err);
    if (rc == 0 && !hc_is_folder(s->state))
        rc = hc_err_set(err, HC_ENOENT, "there is no state folder %s; `handclasp init` makes one",
                        s->state);
    if (rc == 0)
        rc = hc_keystore_open(s->state, &out->store, err);
    if (rc != 0)
        hc_ca_folder_close(out);
    return rc;
}

void hc_ca_folder_close(hc_ca_folder *f)
{
    hc_keystore_close(&f->store);
    hc_secret_done(&f->passphrase);
    hc_serve_args_done(&f->server);
}

static int tell(const hc_ca_args *a, const hc_ca_folder *f, hc_cert *cert, const char *what,
                const char *next)
{
    char ends[32];
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    hc_time_text(hc_cert_not_after(cert), ends);
    if (a->common.json)
        return hc_print_json(json_pack(
            "{s:s, s:s, s:o, s:s, s:s, s:s?}", "state", f->store.path, "ca", "ca/ca.pem", "subject",
            hc_text_json(hc_slice_text(hc_cert_subject(cert))), "fingerprint_sha256",
            hc_cert_sha256_hex(cert), "not_after", ends, "next", next));
    int rc = hc_buf_printf(&out, "%s ", what);
    if (rc == 0)
        rc = hc_escape_add(&out, hc_slice_text(hc_cert_subject(cert)));
    if (rc == 0)
        rc = hc_buf_printf(&out, ", valid until %s, SHA-256 %s\n", ends, hc_cert_sha256_hex(cert));
    if (rc == 0 && next)
        rc = hc_buf_printf(&out, "%s\n", next);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

int hc_ca_folder_tell(const hc_ca_args *a, const hc_ca_folder *f, const char *what,
                      const char *next, hc_err *err)
{
    X509 *x = NULL;
    hc_cert *cert = NULL;
    int rc = hc_keystore_read_cert(&f->store, "ca/ca.pem", &x, err);
    if (rc == 0)
        rc = hc_cert_from_x509(x, &cert, err);
    if (rc == 0)
        rc = tell(a, f, cert, what, next);
    hc_cert_unref(cert);
    X509_free(x);
    return rc;
}

static int write_note(hc_records *r, const char *action, const hc_cert *cert, hc_err *err)
{
    char now[128];
    int64_t seq = 0;
    (void)snprintf(now, sizeof(now), "{\"sha256\":\"%s\"}", hc_cert_sha256_hex(cert));
    hc_audit_row row = {.at_ms = r->actor.now_ms,
                        .who = r->actor.who,
                        .action = hc_slice_text(action),
                        .certificate = hc_slice_text(hc_cert_subject(cert)),
                        .now = hc_slice_text(now)};
    int rc = hc_registry_begin(r->registry, true, err);
    if (rc == 0)
        rc = hc_records_end(r, r->registry->engine->audit_add(r->registry, &row, &seq, err), false,
                            err);
    return rc;
}

int hc_ca_folder_note(const hc_ca_args *a, const hc_ca_folder *f, const char *action,
                      const char *stem, hc_err *err)
{
    char name[64];
    X509 *x = NULL;
    hc_cert *cert = NULL;
    hc_records r;
    if (!hc_settings_has_registry(&f->server.settings))
        return 0;
    (void)snprintf(name, sizeof(name), "%.50s.pem", stem);
    int rc = hc_keystore_read_cert(&f->store, name, &x, err);
    if (rc == 0)
        rc = hc_cert_from_x509(x, &cert, err);
    if (rc == 0 && (rc = hc_records_open(&a->common, HC_REGISTRY_WRITE, &r, err)) == 0) {
        rc = write_note(&r, action, cert, err);
        hc_records_close(&r);
    }
    if (rc != 0)
        rc = hc_err_context(err, "the CA was changed, and the audit has no row of it");
    hc_cert_unref(cert);
    X509_free(x);
    return rc;
}

static int read_stdin(size_t limit_bytes, hc_buf *out, hc_err *err)
{
    uint8_t piece[4096];
    for (;;) {
        ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hc_err_errno(err, errno, "cannot read standard input");
        if (n == 0)
            return 0;
        if (out->size + (size_t)n > limit_bytes ||
            hc_buf_add(out, hc_slice_of(piece, (size_t)n)) != 0)
            return hc_err_set(err, HC_ELIMIT, "standard input has more than %zu octets",
                              limit_bytes);
    }
}

int hc_read_input(const char *path, size_t limit_bytes, hc_buf *out, hc_err *err)
{
    hc_file_bytes file = {NULL, NULL, 0};
    *out = hc_buf_init(limit_bytes + 1);
    int rc = strcmp(path, "-") == 0 ? read_stdin(limit_bytes, out, err)
                                    : hc_read_file(path, limit_bytes, &file, err);
    if (rc == 0 && file.size && hc_buf_add(out, hc_slice_of(file.at, file.size)) != 0)
        rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    hc_file_bytes_done(&file);
    if (rc != 0)
        hc_buf_done(out);
    return rc;
}
