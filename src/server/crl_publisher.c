#include "server/crl_publisher.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority/crl_make.h"
#include "authority/key_pem.h"
#include "base/clock.h"
#include "base/mem.h"
#include "server/authority_message.h"
#include "server/control_config.h"
#include "server/packet.h"
#include "server/publish.h"
#include "server/read_file.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
/* After a list could not be made: the database is locked, the disk is full. */
#define RETRY_MS 5000
/* What a clock may be set back without a new list. */
#define CLOCK_STEP_S 60
/* Where revocations come one by one, lists take no more than a tenth of the time. */
#define PAUSE_FACTOR 9

typedef struct ca {
    X509 *cert;
    EVP_PKEY *key; /* NULL: kept elsewhere */
    char name[HC_CRL_NAME_BYTES];
    bool dirty;
    int64_t made_s, next_s; /* a list is made anew outside of this time */
    uint64_t retry_ms;      /* not before */
    struct stat file;       /* as it was when it was last looked at */
} ca;

struct hc_crl_publisher {
    const hc_log *log;
    int link_fd;
    hc_settings settings;
    ca *cas;
    size_t count;
    hc_registry_head head; /* up to which revocations are known */
    bool troubled;
};

/* One line for the trouble, and one when it is over. */
static void tell(hc_crl_publisher *p, const char *name, int rc, const hc_err *err)
{
    if (rc != 0 && !p->troubled)
        hc_log_text(p->log, HC_LOG_ERROR, "the revocation list %s is not published: %s", name,
                    err->text);
    else if (rc == 0 && p->troubled)
        hc_log_text(p->log, HC_LOG_INFO, "revocation lists are published again");
    p->troubled = rc != 0;
}

/* ---- to the front ---- */

static int seal(hc_slice der, int *out, hc_err *err)
{
    int fd = memfd_create("handclasp-crl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return hc_err_errno(err, errno, "cannot make a memory file");
    while (der.size) {
        ssize_t n = write(fd, der.at, der.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        der = hc_slice_from(der, (size_t)n);
    }
    if (der.size || fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        int why = errno;
        (void)close(fd);
        return hc_err_errno(err, why, "cannot write a memory file");
    }
    *out = fd;
    return 0;
}

static int send_list(const hc_crl_publisher *p, const char *name, hc_slice der, hc_err *err)
{
    hc_buf packet = hc_buf_init(HC_AUTHORITY_PACKET_MAX);
    int fd = -1;
    int rc = seal(der, &fd, err);
    if (rc != 0)
        return rc;
    hc_authority_message m = {.type = HC_AUTHORITY_CRL, .text = hc_slice_text(name)};
    rc = hc_authority_encode(&m, &packet);
    if (rc != 0)
        rc = hc_err_set(err, -rc, "no room for a message");
    else if (hc_packet_send(p->link_fd, hc_buf_slice(&packet), fd, 0) < 0)
        rc = hc_err_errno(err, errno, "the front does not take it");
    hc_buf_done(&packet);
    (void)close(fd);
    return rc;
}

/* ---- lists that are made here ---- */

static int make_list(hc_crl_publisher *p, ca *c, hc_registry *r, int64_t now_s, hc_err *err)
{
    hc_actor actor = {HC_SLICE_LITERAL("server"), hc_clock_wall_ms()};
    hc_crl_made made;
    int64_t lifetime_s = (int64_t)p->settings.crl_days * 24 * 3600;
    int rc = hc_crl_make(r, &actor, c->cert, c->key, lifetime_s, &made, err);
    if (rc != 0)
        return rc;
    rc = send_list(p, c->name, hc_buf_slice(&made.der), err);
    hc_buf_done(&made.der);
    if (rc == 0) {
        c->dirty = false;
        c->made_s = now_s;
        c->next_s = now_s + lifetime_s / 2;
    }
    return rc;
}

/* ---- lists that the operator brings ---- */

static int check_list(const ca *c, hc_slice der, hc_err *err)
{
    const unsigned char *at = der.at;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.size);
    bool good = crl && at == der.at + der.size &&
                X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(c->cert)) == 0 &&
                X509_CRL_verify(crl, X509_get0_pubkey(c->cert)) == 1;
    X509_CRL_free(crl);
    ERR_clear_error();
    return good ? 0 : hc_err_set(err, HC_EFORMAT, "it is not a list (DER) that this CA signed");
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void look_at_file(hc_crl_publisher *p, ca *c)
{
    char path[4096];
    struct stat st;
    hc_err err = {0};
    hc_file_bytes file = {NULL, NULL, 0};
    (void)snprintf(path, sizeof path, "%s/crl/%s", p->settings.state, c->name);
    if (stat(path, &st) != 0 || same_file(&st, &c->file))
        return;
    c->file = st;
    int rc = hc_read_file(path, HC_LIMIT_PEM_FILE_BYTES, &file, &err);
    if (rc == 0)
        rc = check_list(c, hc_slice_of(file.at, file.size), &err);
    if (rc == 0)
        rc = send_list(p, c->name, hc_slice_of(file.at, file.size), &err);
    hc_file_bytes_done(&file);
    tell(p, path, rc, &err);
}

/* ---- what has happened ---- */

static int on_change(void *arg, const hc_audit_row *row)
{
    bool *revoked = arg;
    *revoked = *revoked || hc_slice_equal_text(row->action, "certificate.revoke");
    return 0;
}

/* Another database, or one of before: nobody knows what it says. */
static bool is_other(const hc_registry_head *a, const hc_registry_head *b)
{
    return a->epoch != b->epoch || a->seq > b->seq || (a->seq == b->seq && a->mark != b->mark);
}

static int look_for_revocations(hc_crl_publisher *p, hc_registry *r, bool *revoked, hc_err *err)
{
    hc_registry_head head;
    int rc = hc_registry_begin(r, false, err);
    if (rc != 0)
        return rc;
    rc = r->engine->head(r, &head, err);
    if (rc == 0 && is_other(&p->head, &head)) {
        *revoked = true;
    } else if (rc == 0 && head.seq > p->head.seq) {
        hc_audit_filter f = {.after = p->head.seq};
        rc = r->engine->audit(r, &f, on_change, revoked, err);
    }
    hc_registry_rollback(r);
    if (rc == 0)
        p->head = head;
    return rc;
}

/* A clock that was set back leaves a list of the future, which nobody takes, and whose end would be
 * waited for. */
static bool is_due(const ca *c, int64_t now_s)
{
    return now_s >= c->next_s || now_s + CLOCK_STEP_S < c->made_s;
}

void hc_crl_publisher_tick(hc_crl_publisher *p, hc_registry *r)
{
    hc_err err = {0};
    bool revoked = false;
    int64_t now_s = hc_clock_wall_s();
    uint64_t now_ms = hc_clock_monotonic_ms();
    if (p->count && r && look_for_revocations(p, r, &revoked, &err) != 0)
        return; /* the registry's own trouble, which is told elsewhere */
    for (size_t i = 0; i < p->count; i++) {
        ca *c = &p->cas[i];
        c->dirty = c->dirty || revoked;
        if (!c->key) {
            look_at_file(p, c);
        } else if (r && now_ms >= c->retry_ms && (c->dirty || is_due(c, now_s))) {
            int rc = make_list(p, c, r, now_s, &err);
            uint64_t made_ms = hc_clock_monotonic_ms();
            c->retry_ms =
                rc == 0 ? made_ms + PAUSE_FACTOR * (made_ms - now_ms) : made_ms + RETRY_MS;
            tell(p, c->name, rc, &err);
        }
    }
}

/* ---- the CAs ---- */

static void free_cas(ca *cas, size_t count)
{
    for (size_t i = 0; cas && i < count; i++) {
        X509_free(cas[i].cert);
        EVP_PKEY_free(cas[i].key);
    }
    hc_free(cas);
}

static hc_slice bytes_of(const hc_file_bytes *f)
{
    return hc_slice_of(f->at, f->size);
}

static X509 *parse_cert(hc_slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return x;
}

/* The file behind a certificate is its key, where it has one. One that cannot be used is as good as
 * kept elsewhere. */
static void take_key(hc_crl_publisher *p, ca *c, const hc_file_bytes *key, hc_slice passphrase)
{
    hc_err err = {0};
    int rc = hc_key_from_pem(bytes_of(key), passphrase, &c->key, &err);
    if (rc == 0 && X509_check_private_key(c->cert, c->key) != 1) {
        EVP_PKEY_free(c->key);
        c->key = NULL;
        ERR_clear_error();
        rc = hc_err_set(&err, HC_EDENIED, "it does not belong to its certificate");
    }
    if (rc != 0)
        hc_log_text(p->log, HC_LOG_WARNING,
                    "%s cannot be used, so lists are published from crl/ alone: %s", key->name,
                    err.text);
}

static bool is_key_of(const hc_file_bytes *cert, const hc_file_bytes *key)
{
    size_t stem = strlen(cert->name) - strlen(".pem");
    return strncmp(cert->name, key->name, stem) == 0 && strcmp(key->name + stem, ".key") == 0;
}

static int take_cas(hc_crl_publisher *p, const hc_files *files, ca **out, size_t *count,
                    hc_err *err)
{
    *out = hc_alloc_zero(files->ca_count + 1, sizeof **out);
    *count = 0;
    if (!*out)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    for (size_t i = 0; i < files->ca_count; i++) {
        const hc_file_bytes *f = &files->cas[i];
        size_t size = strlen(f->name);
        if (size < 4 || strcmp(f->name + size - 4, ".pem") != 0)
            continue;
        ca *c = &(*out)[*count];
        c->cert = parse_cert(bytes_of(f));
        c->dirty = true;
        if (!c->cert)
            return hc_err_set(err, HC_EFORMAT, "%s is no certificate", f->name);
        (*count)++;
        if (hc_crl_name(c->cert, c->name, err) != 0) { /* a CA that was put here by hand */
            hc_log_text(p->log, HC_LOG_WARNING, "%s: %s; no list of it is published", f->name,
                        err->text);
            X509_free(c->cert);
            c->cert = NULL;
            (*count)--;
            continue;
        }
        if (i + 1 < files->ca_count && is_key_of(f, &files->cas[i + 1]))
            take_key(p, c, &files->cas[i + 1], bytes_of(&files->passphrase));
    }
    return 0;
}

/* What did not change is not made anew. */
static void carry_over(const hc_crl_publisher *p, ca *cas, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; n < p->count; n++) {
            const ca *old = &p->cas[n];
            if (X509_cmp(cas[i].cert, old->cert) != 0 || !cas[i].key != !old->key)
                continue;
            cas[i].dirty = old->dirty;
            cas[i].made_s = old->made_s;
            cas[i].next_s = old->next_s;
            cas[i].file = old->file;
        }
}

void hc_crl_publisher_take(hc_crl_publisher *p, int fd)
{
    hc_settings settings = {0};
    hc_files files = {0};
    ca *cas = NULL;
    size_t count = 0;
    hc_err err = {0};
    int rc = hc_control_config_open(fd, &settings, &files, &err);
    (void)close(fd);
    if (rc == 0)
        rc = take_cas(p, &files, &cas, &count, &err);
    hc_files_done(&files);
    if (rc != 0) {
        hc_log_text(p->log, HC_LOG_ERROR,
                    "the CAs cannot be read, and their lists stay as they "
                    "are: %s",
                    err.text);
        free_cas(cas, count);
        hc_settings_done(&settings);
        return;
    }
    if (settings.crl_days == p->settings.crl_days)
        carry_over(p, cas, count);
    free_cas(p->cas, p->count);
    hc_settings_done(&p->settings);
    p->settings = settings;
    p->cas = cas;
    p->count = count;
}

int hc_crl_publisher_new(const hc_log *log, int link_fd, hc_crl_publisher **out, hc_err *err)
{
    hc_crl_publisher *p = hc_alloc_zero(1, sizeof *p);
    if (!p)
        return hc_err_set(err, HC_ENOMEM, "no memory for revocation lists");
    p->log = log;
    p->link_fd = link_fd;
    *out = p;
    return 0;
}

void hc_crl_publisher_free(hc_crl_publisher *p)
{
    if (!p)
        return;
    free_cas(p->cas, p->count);
    hc_settings_done(&p->settings);
    hc_free(p);
}
