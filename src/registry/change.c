#include "registry/change.h"

#include <string.h>

#include "base/str.h"
#include "registry/change_private.h"
#include "x509/reason.h"

int hc_registry_begin(hc_registry *r, bool write, hc_err *err)
{
    return r->engine->begin(r, write, err);
}

int hc_registry_commit(hc_registry *r, hc_err *err)
{
    return r->engine->commit(r, err);
}

void hc_registry_rollback(hc_registry *r)
{
    r->engine->rollback(r);
}

/* Lines and terminals show it: nothing in it may forge the one or steer the other. */
static int check_text(const char *what, hc_slice text, size_t most, hc_err *err)
{
    if (text.size > most)
        return hc_err_set(err, HC_EINVAL, "%s: %zu octets, at most %zu are allowed", what,
                          text.size, most);
    while (text.size) {
        uint32_t point = 0;
        size_t size = hc_utf8_next(text, &point);
        if (size == 0)
            return hc_err_set(err, HC_EINVAL, "%s: not UTF-8", what);
        if (!hc_utf8_harmless(point))
            return hc_err_set(err, HC_EINVAL, "%s: the character U+%04X is not allowed", what,
                              (unsigned)point);
        text = hc_slice_from(text, size);
    }
    return 0;
}

int hc_client_name_check(hc_slice name, hc_err *err)
{
    if (name.size == 0)
        return hc_err_set(err, HC_EINVAL, "name of a client: empty");
    int rc = check_text("name of a client", name, HC_LIMIT_CLIENT_NAME, err);
    if (rc == 0 && (name.at[0] == ' ' || name.at[name.size - 1] == ' '))
        rc = hc_err_set(err, HC_EINVAL, "name of a client: begins or ends with a space");
    return rc;
}

int hc_change_check_reason(hc_slice reason, hc_err *err)
{
    return check_text("reason", reason, HC_LIMIT_REASON, err);
}

int hc_change_check_reason_code(int reason, hc_err *err)
{
    int parsed = 0;
    if (reason == HC_REASON_NONE || hc_reason_parse(hc_slice_text(hc_reason_name(reason)), &parsed))
        return 0;
    return hc_err_set(err, HC_EINVAL, "%d is no reason to revoke a certificate", reason);
}

typedef struct role_set {
    hc_slice at[HC_LIMIT_ROLES];
    size_t count;
} role_set;

static int compare(hc_slice a, hc_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.at, b.at, common);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool role_octet(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c && strchr("_.:@/+-", c));
}

static int check_role(hc_slice role, hc_err *err)
{
    if (role.size == 0 || role.size > HC_LIMIT_ROLE)
        return hc_err_set(err, HC_EINVAL, "role: 1 to %d characters are allowed", HC_LIMIT_ROLE);
    for (size_t i = 0; i < role.size; i++) {
        if (!role_octet(role.at[i]))
            return hc_err_set(err, HC_EINVAL,
                              "role: character %zu is not allowed; letters, digits and _ . : @ / + "
                              "- are",
                              i + 1);
    }
    return 0;
}

static int add_role(role_set *set, hc_slice role, hc_err *err)
{
    int rc = check_role(role, err);
    if (rc)
        return rc;
    size_t at = 0;
    while (at < set->count && compare(set->at[at], role) < 0)
        at++;
    if (at < set->count && compare(set->at[at], role) == 0)
        return 0;
    if (set->count == HC_LIMIT_ROLES)
        return hc_err_set(err, HC_ELIMIT, "more than %d roles", HC_LIMIT_ROLES);
    memmove(&set->at[at + 1], &set->at[at], (set->count - at) * sizeof(set->at[0]));
    set->at[at] = role;
    set->count++;
    return 0;
}

static int write_roles(const role_set *set, hc_buf *out, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < set->count && rc == 0; i++) {
        rc = i ? hc_buf_add_byte(out, ' ') : 0;
        if (rc == 0)
            rc = hc_buf_add(out, set->at[i]);
    }
    return rc ? hc_err_set(err, -rc, "roles: no room for %zu", set->count) : 0;
}

int hc_roles_normalize(const hc_slice *roles, size_t count, hc_buf *out, hc_err *err)
{
    role_set set = {.count = 0};
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_role(&set, roles[i], err);
    return rc ? rc : write_roles(&set, out, err);
}

/* The next word of `text`, which is left behind it; false where there is none. */
static bool next_word(hc_slice *text, hc_slice *word)
{
    while (text->size && text->at[0] == ' ')
        *text = hc_slice_from(*text, 1);
    ptrdiff_t end = hc_slice_find(*text, ' ');
    *word = hc_slice_of(text->at, end < 0 ? text->size : (size_t)end);
    *text = hc_slice_from(*text, word->size);
    return word->size > 0;
}

int hc_change_roles(hc_slice text, hc_buf *out, hc_err *err)
{
    role_set set = {.count = 0};
    int rc = 0;
    for (hc_slice word; rc == 0 && next_word(&text, &word);)
        rc = add_role(&set, word, err);
    return rc ? rc : write_roles(&set, out, err);
}

json_t *hc_change_json_roles(hc_slice roles)
{
    json_t *array = json_array();
    for (hc_slice word; array && next_word(&roles, &word);) {
        if (json_array_append_new(array, hc_change_json(word))) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

int hc_attributes_check(hc_slice json, hc_err *err)
{
    json_error_t why;
    if (json.size == 0)
        return 0;
    if (json.size > HC_LIMIT_CLIENT_ATTRIBUTES)
        return hc_err_set(err, HC_EINVAL, "attributes: %zu octets, at most %d are allowed",
                          json.size, HC_LIMIT_CLIENT_ATTRIBUTES);
    json_t *value = json_loadb((const char *)json.at, json.size,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    /* It has no text for want of memory. */
    if (!value && (*why.text == '\0' || json_error_code(&why) == json_error_out_of_memory))
        return hc_change_no_memory(err);
    if (!value)
        return hc_err_set(err, HC_EINVAL, "attributes: no JSON (%s)", why.text);
    int rc = json_is_object(value)
                 ? 0
                 : hc_err_set(err, HC_EINVAL, "attributes: a JSON object is wanted: {\"site\": 7}");
    json_decref(value);
    return rc;
}

json_t *hc_change_json(hc_slice text)
{
    return json_stringn(text.size ? (const char *)text.at : "", text.size);
}

int hc_change_certificate_text(const hc_certificate_row *row, hc_buf *out)
{
    char hex[HC_SERIAL_HEX_BYTES];
    hc_serial_hex(&row->serial, hex);
    int rc = hc_buf_add_text(out, "serial ");
    if (rc == 0)
        rc = hc_buf_add_text(out, hex);
    if (rc == 0)
        rc = hc_buf_add_text(out, " of ");
    return rc ? rc : hc_buf_add(out, row->issuer);
}

static int on_dump(const char *text, size_t size, void *arg)
{
    return hc_buf_add(arg, hc_slice_of(text, size));
}

int hc_change_dump(const json_t *value, hc_buf *out)
{
    if (!value)
        return -HC_ENOMEM;
    if (json_is_null(value))
        return 0;
    return json_dump_callback(value, on_dump, out, JSON_COMPACT) ? -HC_ENOMEM : 0;
}

int hc_change_told(int rc, const hc_err *why, hc_err *err)
{
    if (rc == 0)
        return 0;
    return why->code == HC_OK ? hc_change_no_memory(err) : hc_err_set(err, -rc, "%s", why->text);
}

int hc_change_write_audit(hc_registry *r, const hc_actor *a, const hc_change_audit *c, hc_err *err)
{
    hc_buf certificate = hc_buf_init(HC_LIMIT_REGISTRY_ROW);
    hc_buf was = hc_buf_init(HC_LIMIT_REGISTRY_ROW), now = hc_buf_init(HC_LIMIT_REGISTRY_ROW);
    int64_t seq = 0;
    int rc = c->certificate ? hc_change_certificate_text(c->certificate, &certificate) : 0;
    if (rc == 0)
        rc = hc_change_dump(c->was, &was);
    if (rc == 0)
        rc = hc_change_dump(c->now, &now);
    if (rc)
        rc = hc_change_no_memory(err);
    else
        rc = r->engine->audit_add(r,
                                  &(hc_audit_row){
                                      .at_ms = a->now_ms,
                                      .who = a->who,
                                      .action = hc_slice_text(c->action),
                                      .client_id = c->client->id,
                                      .client_name = c->client->name,
                                      .certificate_id = c->certificate ? c->certificate->id : 0,
                                      .certificate = hc_buf_slice(&certificate),
                                      .was = hc_buf_slice(&was),
                                      .now = hc_buf_slice(&now),
                                  },
                                  &seq, err);
    hc_buf_done(&was);
    hc_buf_done(&now);
    hc_buf_done(&certificate);
    json_decref(c->was);
    json_decref(c->now);
    return rc;
}
