#include "cli/records.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/cert_json.h"
#include "x509/reason.h"

/* For another command's or the server's lock. */
#define LOCK_WAIT_MS 10000

void hc_actor_of_process(char *who, size_t size_bytes, hc_actor *out)
{
    const struct passwd *user = getpwuid(getuid());
    (void)snprintf(who, size_bytes, "uid %u%s%s%s", (unsigned)getuid(), user ? " (" : "",
                   user ? user->pw_name : "", user ? ")" : "");
    *out = (hc_actor){hc_slice_text(who), hc_clock_wall_ms()};
}

static int no_registry(const hc_settings *s, hc_err *err)
{
    return hc_err_set(err, HC_ENOENT,
                      "%.200s has no registry; write `registry: sqlite:registry.db` into its "
                      "handclasp.yaml and run `handclasp init`, or give --registry",
                      s->state);
}

/* Opens, and reads for the first time. */
static int open_readable(const hc_registry_options *o, hc_registry **out, hc_err *err)
{
    int rc = hc_registry_open(o, out, err);
    if (rc != 0)
        return rc;
    rc = hc_registry_begin(*out, false, err);
    if (rc == 0) {
        hc_registry_rollback(*out);
        return 0;
    }
    hc_registry_close(*out);
    *out = NULL;
    return rc;
}

/* A command that was killed within a change leaves what only a writer can take back: whoever may
 * write does so, also for a command that reads. */
static int open_registry(hc_registry_options o, hc_registry **out, hc_err *err)
{
    hc_registry *writer = NULL;
    hc_err why = {0};
    int rc = open_readable(&o, out, err);
    if (rc != -HC_EBUSY || o.access != HC_REGISTRY_READ)
        return rc;
    o.access = HC_REGISTRY_WRITE;
    o.wait_ms = 0; /* nobody has such a leftover locked, and who holds a lock was waited for */
    if (hc_registry_open(&o, &writer, &why) != 0 || hc_registry_begin(writer, true, &why) != 0) {
        hc_registry_close(writer);
        return rc;
    }
    hc_registry_close(writer);
    o.access = HC_REGISTRY_READ;
    o.wait_ms = LOCK_WAIT_MS;
    return open_readable(&o, out, err);
}

int hc_records_open(const hc_common_args *common, hc_registry_access access, hc_records *out,
                    hc_err *err)
{
    memset(out, 0, sizeof(*out));
    int rc = hc_server_args(common, NULL, &out->server, err);
    if (rc != 0)
        return rc;
    const hc_settings *s = &out->server.settings;
    hc_registry_options o = {s->registry, s->state, access, LOCK_WAIT_MS};
    if (!s->registry || strcmp(s->registry, "none") == 0)
        rc = no_registry(s, err);
    else
        rc = open_registry(o, &out->registry, err);
    hc_actor_of_process(out->who, sizeof(out->who), &out->actor);
    if (rc != 0)
        hc_records_close(out);
    return rc;
}

void hc_records_close(hc_records *r)
{
    hc_registry_close(r->registry);
    r->registry = NULL;
    hc_serve_args_done(&r->server);
}

int hc_records_end(hc_records *r, int rc, bool dry_run, hc_err *err)
{
    if (rc >= 0 && !dry_run) {
        int committed = hc_registry_commit(r->registry, err);
        return committed == 0 ? rc : committed;
    }
    hc_registry_rollback(r->registry);
    return rc;
}

int hc_records_client(hc_registry *r, int64_t id, hc_client_each each, void *arg, hc_err *err)
{
    hc_client_filter f = {.id = id};
    return r->engine->clients(r, &f, each, arg, err);
}

/* --- JSON --- */

json_t *hc_text_json(hc_slice text)
{
    json_t *out = text.size ? json_stringn((const char *)text.at, text.size) : json_string("");
    if (out)
        return out;
    hc_buf escaped = hc_buf_init(4 * text.size + 1);
    if (hc_escape_add(&escaped, text) == 0)
        out = json_stringn((const char *)escaped.at, escaped.size);
    hc_buf_done(&escaped);
    return out;
}

static json_t *optional_text(hc_slice text)
{
    return text.size ? hc_text_json(text) : json_null();
}

static json_t *time_json(int64_t time_s)
{
    char text[32];
    if (time_s == 0)
        return json_null();
    hc_time_text(time_s, text);
    return json_string(text);
}

json_t *hc_words_json(hc_slice words)
{
    json_t *out = json_array();
    while (words.size) {
        ptrdiff_t space = hc_slice_find(words, ' ');
        hc_slice word = space < 0 ? words : hc_slice_of(words.at, (size_t)space);
        if (word.size)
            (void)json_array_append_new(out, hc_text_json(word));
        words = hc_slice_from(words, word.size + 1);
    }
    return out;
}

/* As the database has it; `otherwise` where it has none. */
static json_t *kept_json(hc_slice text, json_t *otherwise)
{
    json_t *out = text.size ? json_loadb((const char *)text.at, text.size, 0, NULL) : NULL;
    if (!out)
        return otherwise;
    json_decref(otherwise);
    return out;
}

json_t *hc_client_json(const hc_client_row *row)
{
    return json_pack(
        "{s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "id", (json_int_t)row->id,
        "name", hc_text_json(row->name), "status", hc_client_status_name(row->status), "since",
        time_json(row->status_s), "reason", optional_text(row->reason), "roles",
        hc_words_json(row->roles), "attributes", kept_json(row->attributes, json_object()),
        "created", time_json(row->created_s), "first_seen", time_json(row->first_seen_s),
        "last_seen", time_json(row->last_seen_s), "certificates", (json_int_t)row->certificates);
}

static json_t *digest_json(const uint8_t *digest)
{
    hc_buf hex = hc_buf_init(64);
    if (!digest || hc_hex_add(&hex, hc_slice_of(digest, 32)) != 0)
        return json_null();
    json_t *out = json_stringn((const char *)hex.at, hex.size);
    hc_buf_done(&hex);
    return out;
}

json_t *hc_certificate_row_json(const hc_certificate_row *row)
{
    char hex[HC_SERIAL_HEX_BYTES], decimal[HC_SERIAL_DECIMAL_BYTES];
    const char *reason = hc_reason_name(row->reason);
    bool revoked = row->status == HC_CERTIFICATE_REVOKED;
    hc_serial_hex(&row->serial, hex);
    hc_serial_decimal(&row->serial, decimal);
    json_t *out = json_pack(
        "{s:I, s:o, s:{s:s, s:s}, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:s?}", "id",
        (json_int_t)row->id, "client", hc_text_json(row->client_name), "serial", "hex", hex,
        "decimal", decimal, "fingerprint_sha256", digest_json(row->sha256), "issuer",
        hc_text_json(row->issuer), "subject", optional_text(row->subject), "sans",
        kept_json(row->sans, json_array()), "not_before", time_json(row->not_before_s), "not_after",
        time_json(row->not_after_s), "status", hc_certificate_status_name(row->status),
        "revoked_at", revoked ? time_json(row->revoked_s) : json_null(), "reason",
        revoked && *reason ? reason : NULL);
    json_t *rest = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o}", "origin", hc_certificate_origin_name(row->origin),
        "approved_by", optional_text(row->approved_by), "replaces",
        row->replaces ? json_integer(row->replaces) : json_null(), "added", time_json(row->added_s),
        "first_seen", time_json(row->first_seen_s), "last_seen", time_json(row->last_seen_s));
    (void)json_object_update(out, rest);
    json_decref(rest);
    return out;
}

json_t *hc_audit_json(const hc_audit_row *row)
{
    char at[32];
    hc_time_text(row->at_ms / 1000, at);
    return json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "seq", (json_int_t)row->seq,
                     "at", at, "who", hc_text_json(row->who), "action", hc_text_json(row->action),
                     "client", optional_text(row->client_name), "client_id",
                     row->client_id ? json_integer(row->client_id) : json_null(), "certificate",
                     optional_text(row->certificate), "was", kept_json(row->was, json_null()),
                     "now", kept_json(row->now, json_null()));
}

/* --- lines --- */

/* JSON escapes control characters itself; what hides or turns text is left. */
static int add_json(hc_buf *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
    hc_slice rest = hc_slice_text(text);
    int rc = text ? 0 : -HC_ENOMEM;
    while (rc == 0 && rest.size) {
        uint32_t point = 0xfffd;
        size_t size = hc_utf8_next(rest, &point);
        hc_slice one = hc_slice_of(rest.at, size ? size : 1);
        rc = hc_utf8_harmless(point) ? hc_buf_add(out, one)
                                     : hc_buf_printf(out, "\\u{%x}", (unsigned)point);
        rest = hc_slice_from(rest, one.size);
    }
    free(text);
    return rc;
}

int hc_value_add(hc_buf *out, const json_t *value)
{
    size_t i;
    json_t *item;
    int rc = 0;
    if (json_is_string(value))
        return hc_escape_add(out, hc_slice_of(json_string_value(value), json_string_length(value)));
    if (json_is_integer(value))
        return hc_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_object(value))
        return add_json(out, value);
    json_array_foreach(value, i, item)
    {
        if (rc == 0 && i > 0)
            rc = hc_buf_add_byte(out, ' ');
        if (rc == 0)
            rc = hc_value_add(out, item);
    }
    return rc;
}

/* Characters that a person sees: UTF-8's continuation octets are none. */
static size_t columns_of(hc_slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += (text.at[i] & 0xc0) != 0x80;
    return count;
}

static int add_cell(hc_buf *out, hc_slice text, size_t width)
{
    int rc = hc_buf_add(out, text);
    for (size_t i = columns_of(text); rc == 0 && i < width; i++)
        rc = hc_buf_add_byte(out, ' ');
    return rc;
}

/* The widest cell of a column, its title included. */
static int measure(const json_t *rows, const hc_column *column, hc_buf *cell, size_t *out)
{
    size_t i, width = strlen(column->title);
    json_t *row;
    int rc = 0;
    json_array_foreach(rows, i, row)
    {
        hc_buf_clear(cell);
        rc = rc == 0 ? hc_value_add(cell, json_object_get(row, column->member)) : rc;
        size_t size = columns_of(hc_buf_slice(cell));
        width = size > width ? size : width;
    }
    *out = width;
    return rc;
}

int hc_table_add(hc_buf *out, const json_t *rows, const hc_column *columns, size_t count)
{
    enum { COLUMNS_MAX = 8 };
    size_t width[COLUMNS_MAX] = {0}, i;
    hc_buf cell = hc_buf_init(out->limit);
    json_t *row;
    int rc = 0;
    for (size_t c = 0; rc == 0 && c + 1 < count; c++)
        rc = measure(rows, &columns[c], &cell, &width[c]);
    for (size_t c = 0; rc == 0 && c < count; c++)
        rc = add_cell(out, hc_slice_text(columns[c].title), c + 1 < count ? width[c] + 2 : 0);
    json_array_foreach(rows, i, row)
    {
        rc = rc == 0 ? hc_buf_add_byte(out, '\n') : rc;
        for (size_t c = 0; rc == 0 && c < count; c++) {
            hc_buf_clear(&cell);
            rc = hc_value_add(&cell, json_object_get(row, columns[c].member));
            if (rc == 0)
                rc = add_cell(out, hc_buf_slice(&cell), c + 1 < count ? width[c] + 2 : 0);
        }
    }
    hc_buf_done(&cell);
    return rc == 0 ? hc_buf_add_byte(out, '\n') : rc;
}

/* A line of a record; none where there is nothing to say. */
static int add_member(hc_buf *out, unsigned indent, const json_t *object, const char *title,
                      const char *member)
{
    const json_t *value = json_object_get(object, member);
    if (!value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0))
        return 0;
    int rc = hc_buf_printf(out, "%*s%-14s", (int)indent, "", title);
    if (rc == 0)
        rc = hc_value_add(out, value);
    return rc == 0 ? hc_buf_add_byte(out, '\n') : rc;
}

static int add_attributes(hc_buf *out, const json_t *client)
{
    const char *key;
    json_t *value;
    int rc = 0;
    json_object_foreach(json_object_get(client, "attributes"), key, value)
    {
        if (rc == 0)
            rc = hc_buf_add_text(out, "attribute     ");
        if (rc == 0)
            rc = hc_escape_add(out, hc_slice_text(key));
        if (rc == 0)
            rc = hc_buf_add_text(out, " = ");
        if (rc == 0)
            rc = add_json(out, value);
        if (rc == 0)
            rc = hc_buf_add_byte(out, '\n');
    }
    return rc;
}

static int add_members(hc_buf *out, unsigned indent, const json_t *object,
                       const char *const (*members)[2], size_t count)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_member(out, indent, object, members[i][0], members[i][1]);
    return rc;
}

int hc_client_lines(const json_t *client, hc_buf *out)
{
    static const char *const first[][2] = {{"client", "name"},
                                           {"status", "status"},
                                           {"since", "since"},
                                           {"reason", "reason"},
                                           {"roles", "roles"}};
    static const char *const rest[][2] = {
        {"created", "created"}, {"first seen", "first_seen"}, {"last seen", "last_seen"}};
    int rc = add_members(out, 0, client, first, HC_COUNT(first));
    if (rc == 0)
        rc = add_attributes(out, client);
    return rc == 0 ? add_members(out, 0, client, rest, HC_COUNT(rest)) : rc;
}

int hc_certificate_lines(const json_t *certificate, hc_buf *out)
{
    static const char *const members[][2] = {{"status", "status"},
                                             {"revoked", "revoked_at"},
                                             {"reason", "reason"},
                                             {"subject", "subject"},
                                             {"names", "sans"},
                                             {"issuer", "issuer"},
                                             {"valid from", "not_before"},
                                             {"valid to", "not_after"},
                                             {"sha256", "fingerprint_sha256"},
                                             {"origin", "origin"},
                                             {"approved by", "approved_by"},
                                             {"added", "added"},
                                             {"first seen", "first_seen"},
                                             {"last seen", "last_seen"}};
    const json_t *serial = json_object_get(certificate, "serial");
    int rc = hc_buf_printf(out, "certificate   serial %s (decimal %s)\n",
                           json_string_value(json_object_get(serial, "hex")),
                           json_string_value(json_object_get(serial, "decimal")));
    return rc == 0 ? add_members(out, 2, certificate, members, HC_COUNT(members)) : rc;
}

int hc_audit_line(const json_t *row, hc_buf *out)
{
    static const char *const members[] = {"at", "who", "action", "client", "certificate"};
    const json_t *was = json_object_get(row, "was"), *now = json_object_get(row, "now");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < HC_COUNT(members); i++) {
        const json_t *value = json_object_get(row, members[i]);
        if (json_is_null(value))
            continue;
        rc = i > 0 ? hc_buf_add_text(out, "  ") : 0;
        if (rc == 0)
            rc = hc_value_add(out, value);
    }
    if (rc == 0 && (!json_is_null(was) || !json_is_null(now)))
        rc = hc_buf_add_text(out, "  ");
    if (rc == 0 && !json_is_null(was))
        rc = hc_value_add(out, was);
    if (rc == 0 && !json_is_null(now))
        rc = hc_buf_add_text(out, json_is_null(was) ? "" : " -> ");
    if (rc == 0)
        rc = hc_value_add(out, now);
    return rc == 0 ? hc_buf_add_byte(out, '\n') : rc;
}
