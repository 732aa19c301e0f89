#include "server/ca_supply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "authority/passphrase.h"
#include "base/mem.h"
#include "server/control_config.h"
#include "server/read_file.h"

#define FILE_LIMIT (1u << 20)
#define CAS_MAX    (2 * (HC_LIMIT_OLD_CAS + 1)) /* files */

/* One that is not there, or that this user may not read, is left out. */
static int add_file(const char *state, const char *name, hc_files *out, hc_err *err)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", state, name);
    if (access(path, R_OK) != 0)
        return 0;
    hc_file_bytes *f = &out->cas[out->ca_count];
    int rc = hc_read_file(path, FILE_LIMIT, f, err);
    if (rc != 0)
        return rc;
    char *called = hc_strdup(name);
    if (!called)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    hc_free(f->name);
    f->name = called;
    out->ca_count++;
    return 0;
}

static int add_ca(const char *state, const char *stem, hc_files *out, hc_err *err)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s.pem", stem);
    int rc = add_file(state, name, out, err);
    (void)snprintf(name, sizeof name, "%s.key", stem);
    return rc == 0 ? add_file(state, name, out, err) : rc;
}

static int load(const hc_settings *s, hc_files *out, hc_err *err)
{
    char stem[32];
    hc_secret passphrase = {NULL, 0};
    out->cas = hc_alloc_zero(CAS_MAX + 1, sizeof *out->cas);
    if (!out->cas)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    int rc = add_ca(s->state, "ca/ca", out, err);
    for (int n = 1; rc == 0 && n <= HC_LIMIT_OLD_CAS; n++) {
        (void)snprintf(stem, sizeof stem, "ca/old-%d", n);
        rc = add_ca(s->state, stem, out, err);
    }
    if (rc == 0)
        rc = hc_passphrase_of_ca(s->ca_passphrase_file, getenv("CREDENTIALS_DIRECTORY"),
                                 &passphrase, err);
    if (rc == 0 && passphrase.size) {
        out->passphrase.name = hc_strdup("passphrase");
        out->passphrase.at = passphrase.at;
        out->passphrase.size = passphrase.size;
        if (!out->passphrase.name)
            rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    }
    return rc;
}

int hc_ca_supply_seal(const hc_settings *s, int *out_fd, hc_err *err)
{
    hc_files files = {.ca_count = 0};
    int rc = s->state && s->publish_crl != HC_PUBLISH_OFF ? load(s, &files, err) : 0;
    if (rc == 0)
        rc = hc_control_config_seal(s, &files, out_fd, err);
    hc_files_done(&files);
    return rc;
}
