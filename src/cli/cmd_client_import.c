#include <dirent.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "cli/edit.h"
#include "cli/import_certs.h"
#include "cli/import_csv.h"
#include "cli/import_name.h"
#include "cli/issuers.h"
#include "server/read_file.h"

#define OUTPUT_LIMIT (16u << 20)
#define LISTED_MAX   1000 /* rows that are shown one by one */

typedef struct import_args {
    hc_common_args common;
    hc_strings files, roles, ca_certs;
    char *name, *issuer;
    hc_import_name_source name_from;
    hc_serials serials;
    bool dry_run;
} import_args;

#define AT(member)                                                                                 \
    .offset = offsetof(import_args, member), .size = sizeof(((import_args *)0)->member)

static const hc_option_choice serials_choices[] = {
    {"hex", HC_SERIALS_HEX}, {"decimal", HC_SERIALS_DECIMAL}, {NULL, 0}};

static const hc_option table[] = {
    {.name = "file",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_POSITIONAL | HC_OPTION_REPEATABLE,
     .max = 100000,
     AT(files),
     .value = "FILE",
     .help = "Certificates in PEM or DER, a PKCS#7 bundle, CSV, or a folder of such files (.pem, "
             ".crt, .cer, .der, .p7b, .p7c, .csv)."},
    {.name = "name",
     .type = HC_OPTION_TEXT,
     AT(name),
     .value = "NAME",
     .help = "All certificates are this client's."},
    {.name = "name-from",
     .type = HC_OPTION_CHOICE,
     .choices = hc_import_name_choices,
     AT(name_from),
     .value = "cn|email|upn|uri|dns",
     .initial = "cn",
     .help = "Where in a certificate the client's name is: the subject's CN, or a "
             "subjectAltName of this type. There has to be exactly one."},
    {.name = "role",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = HC_LIMIT_ROLES,
     AT(roles),
     .value = "ROLE",
     .help = "Give every client of the import this role."},
    {.name = "serials",
     .type = HC_OPTION_CHOICE,
     .choices = serials_choices,
     AT(serials),
     .value = "hex|decimal",
     .help = "How to read serials in CSV that are digits alone."},
    {.name = "issuer",
     .type = HC_OPTION_TEXT,
     AT(issuer),
     .value = "FILE",
     .help = "The certificate of the CA that issued the serials in CSV; the column issuer is then "
             "not needed."},
    {.name = "ca-certs",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = 1000,
     AT(ca_certs),
     .value = "FILE",
     .initial_help = "the server's",
     .help = "The CAs that the column issuer may name."},
    {.name = "dry-run",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(dry_run),
     .help = "Say what would be imported, and change nothing."},
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct import {
    const import_args *args;
    hc_records records;
    hc_issuers issuers;
    const char *file;             /* at hand */
    size_t clients, certificates; /* made */
    size_t known, cas;            /* on record already; left out */
    json_t *rows;
} import;

/* --- one certificate or serial --- */

static int on_id(void *arg, const hc_client_row *row)
{
    *(int64_t *)arg = row->id;
    return row->status == HC_CLIENT_REVOKED ? -HC_EDENIED : 0;
}

static int find_or_make(import *m, hc_slice name, int64_t *id, hc_err *err)
{
    hc_registry *r = m->records.registry;
    hc_client_filter f = {.name = name};
    hc_role_edit edit = {&m->args->roles, NULL, false};
    *id = 0;
    int rc = hc_client_name_check(name, err);
    if (rc == 0)
        rc = r->engine->clients(r, &f, on_id, id, err);
    if (rc == -HC_EDENIED)
        return hc_err_set(err, HC_EDENIED,
                          "the client %.*s is revoked; `handclasp client resume` first",
                          HC_SLICE_ARGS(name));
    if (rc == 0 && *id == 0) {
        rc =
            hc_change_add_client(r, &m->records.actor, name, HC_SLICE_NONE, HC_SLICE_NONE, id, err);
        m->clients++;
    }
    return rc == 0 && edit.add->count ? hc_edit_roles(&m->records, *id, &edit, err) : rc;
}

/* A change is what the feed counts; a certificate that is on record is none. */
static int count_change(import *m, const hc_registry_head *before, hc_err *err)
{
    hc_registry_head now;
    int rc = m->records.registry->engine->head(m->records.registry, &now, err);
    if (rc == 0 && now.seq != before->seq)
        m->certificates++;
    else if (rc == 0)
        m->known++;
    return rc;
}

static int list_row(import *m, hc_slice name, const hc_serial *serial, const char *issuer,
                    hc_err *err)
{
    char hex[HC_SERIAL_HEX_BYTES];
    hc_serial_hex(serial, hex);
    if (!m->args->dry_run || json_array_size(m->rows) == LISTED_MAX)
        return 0;
    json_t *row = json_pack("{s:o, s:s, s:s, s:s}", "client", hc_text_json(name), "serial", hex,
                            "issuer", issuer, "file", m->file);
    return json_array_append_new(m->rows, row) == 0
               ? 0
               : hc_err_set(err, HC_EFORMAT, "the row cannot be shown");
}

static int add_cert(import *m, const hc_cert *cert, hc_slice name, hc_err *err)
{
    hc_registry *r = m->records.registry;
    hc_registry_head before;
    int64_t id;
    hc_certificate_new new = {
        .cert = cert, .origin = HC_ORIGIN_IMPORTED, .approved_by = m->records.actor.who};
    int rc = find_or_make(m, name, &new.client_id, err);
    if (rc == 0)
        rc = r->engine->head(r, &before, err);
    if (rc == 0)
        rc = hc_change_add_certificate(r, &m->records.actor, &new, &id, err);
    if (rc == 0)
        rc = count_change(m, &before, err);
    return rc == 0 ? list_row(m, name, hc_cert_serial(cert), hc_cert_issuer(cert), err) : rc;
}

static int on_cert(void *arg, X509 *x, size_t number, hc_err *err)
{
    import *m = arg;
    hc_cert *cert = NULL;
    hc_buf name = hc_buf_init(HC_LIMIT_CERT_BYTES);
    (void)number;
    /* A bundle brings its CAs along: they are nobody's. */
    if (X509_check_ca(x) != 0) {
        m->cas++;
        return 0;
    }
    int rc = hc_cert_from_x509(x, &cert, err);
    if (rc == 0 && m->args->name)
        rc = hc_buf_add_text(&name, m->args->name);
    else if (rc == 0)
        rc = hc_import_name(cert, m->args->name_from, &name, err);
    if (rc == 0)
        rc = add_cert(m, cert, hc_buf_slice(&name), err);
    hc_buf_done(&name);
    hc_cert_unref(cert);
    return rc;
}

/* --- CSV --- */

static hc_slice field(const hc_csv_row *row, int column)
{
    return column >= 0 && (size_t)column < row->count ? row->field[column] : HC_SLICE_NONE;
}

static int find_issuer(const import *m, hc_slice name, const hc_issuer **out, hc_err *err)
{
    if (name.size)
        return hc_issuers_find(&m->issuers, name, out, err);
    if (!m->args->issuer)
        return hc_err_set(err, HC_EFORMAT,
                          "which CA issued it? A column issuer, or --issuer FILE, says so");
    *out = &m->issuers.at[0];
    return 0;
}

/* Spaces, semicolons or vertical bars between roles. */
static int add_roles(import *m, int64_t id, hc_slice roles, hc_err *err)
{
    hc_strings words = {NULL, 0};
    hc_role_edit edit = {&words, NULL, false};
    int rc = 0;
    while (rc == 0 && roles.size) {
        size_t size = 0;
        while (size < roles.size && !strchr(" ;|", roles.at[size]))
            size++;
        if (size > 0)
            rc = hc_strings_add(&words, hc_slice_of(roles.at, size), err);
        if (rc == 0 && words.count > HC_LIMIT_ROLES)
            rc = hc_err_set(err, HC_ELIMIT, "more than %d roles", HC_LIMIT_ROLES);
        roles = hc_slice_from(roles, size + 1);
    }
    if (rc == 0 && words.count)
        rc = hc_edit_roles(&m->records, id, &edit, err);
    hc_strings_done(&words);
    return rc;
}

static int add_serial(import *m, const hc_csv_row *row, const hc_csv_columns *c, hc_err *err)
{
    hc_registry *r = m->records.registry;
    hc_slice name = m->args->name ? hc_slice_text(m->args->name) : field(row, c->name);
    hc_registry_head before;
    const hc_issuer *issuer = NULL;
    hc_serial serial;
    int64_t client, id;
    if (row->count == 1)
        return hc_err_set(err, HC_EFORMAT,
                          "neither a certificate nor a row of CSV, whose fields are separated by "
                          "commas");
    int rc = hc_csv_serial(field(row, c->serial), c->serials ? c->serials : m->args->serials,
                           &serial, err);
    if (rc == 0)
        rc = find_issuer(m, field(row, c->issuer), &issuer, err);
    if (rc == 0)
        rc = find_or_make(m, name, &client, err);
    if (rc == 0)
        rc = add_roles(m, client, field(row, c->roles), err);
    if (rc == 0)
        rc = r->engine->head(r, &before, err);
    if (rc == 0)
        rc = hc_change_add_serial(r, &m->records.actor, client, issuer->name_sha256,
                                  hc_slice_text(hc_cert_subject(issuer->cert)), issuer->key_id,
                                  &serial, &id, err);
    if (rc == 0)
        rc = count_change(m, &before, err);
    return rc == 0 ? list_row(m, name, &serial, hc_cert_subject(issuer->cert), err) : rc;
}

static int import_csv(import *m, hc_slice text, hc_err *err)
{
    hc_csv_columns columns = {0, 1, 2, 3, HC_SERIALS_UNKNOWN};
    hc_csv_row row;
    hc_csv csv;
    bool first = true;
    size_t rows = 0;
    hc_csv_init(&csv, text);
    int rc = hc_csv_next(&csv, &row, err);
    while (rc == 1) {
        bool is_header = false;
        rc = first ? hc_csv_header(&row, &columns, &is_header, err) : 0;
        if (rc == 0 && !is_header) {
            rc = add_serial(m, &row, &columns, err);
            rows++;
        }
        first = false;
        if (rc == 0)
            rc = hc_csv_next(&csv, &row, err);
    }
    if (rc < 0)
        rc = hc_err_context(err, "%s:%zu", m->file, row.line);
    else if (rows == 0)
        rc = hc_err_set(err, HC_EFORMAT, "%s: neither a certificate nor a row of CSV in it",
                        m->file);
    hc_csv_done(&csv);
    return rc;
}

/* --- files and folders --- */

static int import_file(import *m, const char *path, hc_err *err)
{
    hc_file_bytes file = {NULL, NULL, 0};
    int rc = hc_read_file(path, HC_LIMIT_IMPORT_BYTES, &file, err);
    hc_slice bytes = hc_slice_of(file.at, file.size);
    m->file = path;
    if (rc == 0 && !hc_import_is_certs(bytes))
        rc = import_csv(m, bytes, err);
    else if (rc == 0 && (rc = hc_import_certs(bytes, on_cert, m, err)) != 0)
        rc = hc_err_context(err, "%s", path);
    m->file = NULL;
    hc_file_bytes_done(&file);
    return rc;
}

static int is_wanted(const struct dirent *entry)
{
    static const char *const suffixes[] = {".pem", ".crt", ".cer", ".der", ".p7b", ".p7c", ".csv"};
    const char *dot = strrchr(entry->d_name, '.');
    for (size_t i = 0; dot && i < HC_COUNT(suffixes); i++)
        if (hc_slice_equal_nocase(hc_slice_text(dot), hc_slice_text(suffixes[i])))
            return entry->d_name[0] != '.';
    return 0;
}

/* In the order of their names, so that two runs do the same. */
static int import_folder(import *m, const char *path, hc_err *err)
{
    struct dirent **entries = NULL;
    int rc = 0, count = scandir(path, &entries, is_wanted, alphasort);
    if (count < 0)
        return hc_err_errno(err, errno, "cannot read the folder %s", path);
    if (count == 0)
        rc = hc_err_set(err, HC_ENOENT, "%s: no .pem, .crt, .cer, .der, .p7b, .p7c or .csv in it",
                        path);
    for (int i = 0; i < count; i++) {
        char file[4096];
        int size = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (rc == 0 && (size < 0 || (size_t)size >= sizeof(file)))
            rc = hc_err_set(err, HC_EINVAL, "%.100s…: the name is too long", path);
        else if (rc == 0)
            rc = import_file(m, file, err);
        free(entries[i]); /* by scandir */
    }
    free(entries);
    return rc;
}

static int import_all(import *m, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->args->files.count; i++) {
        const char *path = m->args->files.at[i];
        struct stat st;
        rc = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? import_folder(m, path, err)
                                                         : import_file(m, path, err);
    }
    if (rc == 0 && m->certificates == 0 && m->known == 0)
        rc = hc_err_set(err, HC_EFORMAT,
                        "nothing but CA certificates (%zu): a CA is no client; --ca-certs of "
                        "`handclasp serve` takes it",
                        m->cas);
    return rc;
}

/* --- the CAs that CSV may name --- */

static int load_issuer(import *m, const char *path, hc_err *err)
{
    hc_file_bytes file = {NULL, NULL, 0};
    int rc = hc_read_file(path, HC_LIMIT_PEM_FILE_BYTES, &file, err);
    if (rc == 0)
        rc = hc_issuers_add(&m->issuers, hc_slice_of(file.at, file.size), path, err);
    if (rc == 0 && m->issuers.count > 1)
        rc = hc_err_set(err, HC_EINVAL, "--issuer: %s holds more than one certificate", path);
    else if (rc == 0 && X509_check_ca(hc_cert_x509(m->issuers.at[0].cert)) == 0)
        rc = hc_err_set(err, HC_EINVAL, "--issuer: %s is not the certificate of a CA", path);
    hc_file_bytes_done(&file);
    return rc;
}

/* --issuer alone, --ca-certs alone, or what the server trusts; a server without a CA has none. */
static int load_issuers(import *m, hc_err *err)
{
    hc_settings *s = &m->records.server.settings;
    hc_files files;
    int rc = 0;
    memset(&files, 0, sizeof(files));
    if (m->args->issuer)
        return load_issuer(m, m->args->issuer, err);
    for (size_t i = 0; rc == 0 && i < m->args->ca_certs.count; i++) {
        hc_file_bytes file = {NULL, NULL, 0};
        const char *path = m->args->ca_certs.at[i];
        rc = hc_read_file(path, HC_LIMIT_PEM_FILE_BYTES, &file, err);
        if (rc == 0)
            rc = hc_issuers_add(&m->issuers, hc_slice_of(file.at, file.size), path, err);
        hc_file_bytes_done(&file);
    }
    if (rc != 0 || m->args->ca_certs.count || hc_settings_resolve_trust(s, NULL) != 0)
        return rc;
    rc = hc_files_load_trust(s, &files, err);
    for (size_t i = 0; rc == 0 && i < files.ca_count; i++)
        rc = hc_issuers_add(&m->issuers, hc_slice_of(files.cas[i].at, files.cas[i].size),
                            files.cas[i].name, err);
    hc_files_done(&files);
    return rc;
}

/* --- the answer --- */

static int add_summary(const import *m, hc_buf *out)
{
    const char *would = m->args->dry_run ? "would be " : "";
    int rc = hc_buf_printf(out, "%zu certificate%s %simported, %zu client%s %smade\n",
                           m->certificates, m->certificates == 1 ? "" : "s", would, m->clients,
                           m->clients == 1 ? "" : "s", would);
    if (rc == 0 && m->known)
        rc = hc_buf_printf(out, "%zu on record already\n", m->known);
    if (rc == 0 && m->cas)
        rc = hc_buf_printf(out, "%zu of CAs left out\n", m->cas);
    if (rc == 0 && m->args->dry_run)
        rc = hc_buf_add_text(out, "nothing was changed: this was a dry run\n");
    return rc;
}

static int print_outcome(const import *m)
{
    static const hc_column columns[] = {
        {"CLIENT", "client"}, {"SERIAL", "serial"}, {"ISSUER", "issuer"}};
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    if (m->args->common.json)
        return hc_print_json(json_pack(
            "{s:b, s:I, s:I, s:I, s:I, s:O}", "dry_run", m->args->dry_run, "certificates",
            (json_int_t)m->certificates, "clients", (json_int_t)m->clients, "on_record_already",
            (json_int_t)m->known, "cas_left_out", (json_int_t)m->cas, "rows", m->rows));
    size_t left = m->certificates + m->known - json_array_size(m->rows);
    int rc = m->args->dry_run ? hc_table_add(&out, m->rows, columns, HC_COUNT(columns)) : 0;
    if (rc == 0 && m->args->dry_run && left)
        rc = hc_buf_printf(&out, "… and %zu more\n", left);
    if (rc == 0)
        rc = add_summary(m, &out);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int import_them(void *args, hc_err *err)
{
    const import_args *a = args;
import m = {.args = a };
    int rc = hc_records_open(&a->common, HC_REGISTRY_WRITE, &m.records, err);
    if (rc != 0)
        return rc;
    m.rows = json_array();
    rc = load_issuers(&m, err);
    if (rc == 0 && (rc = hc_registry_begin(m.records.registry, true, err)) == 0)
        rc = hc_records_end(&m.records, import_all(&m, err), a->dry_run, err);
    if (rc == 0)
        rc = print_outcome(&m);
    else if (rc == -HC_EINVAL)
        rc = -(err->code = HC_EFORMAT); /* of a file, not of the command line */
    json_decref(m.rows);
    hc_issuers_done(&m.issuers);
    hc_records_close(&m.records);
    return rc;
}

const hc_command hc_cmd_client_import = {
    .name = "client import",
    .synopsis = "[OPTION]... FILE...",
    .summary = "put certificates that others issued on record",
    .about =
        "Takes certificates in PEM or DER, PKCS#7 bundles, folders of such files, and CSV with an "
        "issuer and a serial for each row, so that clients keep the certificates they have. A "
        "client's record is made where there is none. Certificates of CAs are left out. The server "
        "still has to trust the CA: see --ca-certs of handclasp serve.\n\n"
        "CSV has the columns name, issuer, serial and, if you like, roles; a header line may name "
        "them in another order. issuer is the CA's name as in RFC 2253 (CN=Meters CA,O=Example), "
        "serial is hex (in either case, with colons or 0x) or decimal. Where serials are digits "
        "alone --serials says how to read them, or the header: serial_hex or serial_decimal. A "
        "serial without its certificate is pinned to the first certificate of that issuer that "
        "shows it.\n\n"
        "All of it is one transaction: where one row is bad it is named with its file and line, "
        "and nothing is imported. What is on record already stays as it is.",
    .examples = "  handclasp client import --name alice alice.pem\n"
                "  handclasp client import --name-from email --dry-run certs/ bundle.p7b\n"
                "  handclasp client import --serials hex --issuer meters-ca.pem meters.csv\n",
    .options = options,
    .run = hc_command_main,
    .act = import_them,
    .args_size = sizeof(import_args),
    .missing = "which certificates? handclasp client import --name alice alice.pem",
};
