#include "server/authority_answer.h"

#include <jansson.h>
#include <time.h>

#include "base/str.h"
#include "registry/change.h"
#include "x509/reason.h"

#define SHA256_BYTES 32
#define SLACK_BYTES  64 /* of an answer, beside the certificates in it */

typedef struct question {
    hc_registry *r;
    const hc_authority_message *ask;
    json_t *json;
    int64_t now_ms;
} question;

static json_t *refusal(const char *code, const char *error)
{
    return json_pack("{s:b, s:s, s:s}", "ok", 0, "code", code, "error", error);
}

static json_t *failure(int rc, const hc_err *err)
{
    const char *code = rc == -HC_ENOENT    ? "not-found"
                       : rc == -HC_EINVAL  ? "invalid"
                       : rc == -HC_EDENIED ? "refused"
                                           : "unavailable";
    /* A path need not be UTF-8, and a view must not wait for an answer that JSON cannot hold. */
    json_t *out = err->text[0] ? refusal(code, err->text) : NULL;
    return out ? out : refusal(code, "the registry cannot be used now");
}

/* ---- certificates ---- */

static json_t *time_json(int64_t time_s)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)time_s;
    if (time_s == 0 || !gmtime_r(&t, &tm) ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return json_null();
    return json_string(text);
}

static json_t *text_json(hc_slice text)
{
    json_t *out = json_stringn(text.size ? (const char *)text.at : "", text.size);
    return out ? out : json_null();
}

static json_t *sans_json(hc_slice sans)
{
    json_t *out = sans.size ? json_loadb((const char *)sans.at, sans.size, 0, NULL) : NULL;
    return out ? out : json_array();
}

static json_t *sha256_json(const uint8_t *sha256)
{
    hc_buf hex = hc_buf_init(2 * SHA256_BYTES);
    json_t *out = sha256 && hc_hex_add(&hex, hc_slice_of(sha256, SHA256_BYTES)) == 0
                      ? json_stringn((const char *)hex.at, hex.size)
                      : json_null();
    hc_buf_done(&hex);
    return out;
}

typedef struct certificate_list {
    const question *q;
    json_t *list;
} certificate_list;

static int add_certificate(void *arg, const hc_certificate_row *row)
{
    const certificate_list *l = arg;
    char serial[HC_SERIAL_HEX_BYTES];
    hc_serial_hex(&row->serial, serial);
    bool revoked = row->status == HC_CERTIFICATE_REVOKED;
    bool current = row->sha256 && memcmp(row->sha256, l->q->ask->sha256, SHA256_BYTES) == 0;
    const char *reason = revoked ? hc_reason_name(row->reason) : "";
    json_t *one = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:s*, s:o, s:o, s:s, s:b}", "serial", serial,
        "fingerprint_sha256", sha256_json(row->sha256), "subject", text_json(row->subject),
        "issuer", text_json(row->issuer), "sans", sans_json(row->sans), "not_before",
        time_json(row->not_before_s), "not_after", time_json(row->not_after_s), "status",
        hc_certificate_status_name(row->status), "revoked_at",
        revoked ? time_json(row->revoked_s) : json_null(), "reason", *reason ? reason : NULL,
        "first_seen", time_json(row->first_seen_s), "last_seen", time_json(row->last_seen_s),
        "origin", hc_certificate_origin_name(row->origin), "current", current ? 1 : 0);
    if (one && !json_object_get(one, "reason"))
        (void)json_object_set_new(one, "reason", json_null());
    return one && json_array_append_new(l->list, one) == 0 ? 0 : -HC_ENOMEM;
}

static size_t json_bytes(const json_t *one)
{
    return json_dumpb(one, NULL, 0, JSON_COMPACT) + 1; /* and a comma */
}

/* Where not all of them fit into an answer the oldest are left out, the current one never. */
static bool keep_newest(json_t *list)
{
    size_t bytes = SLACK_BYTES, i = 0;
    bool cut = false;
    json_t *one;
    json_array_foreach(list, i, one) bytes += json_bytes(one);
    for (i = 0; bytes > HC_LIMIT_ANSWER_BYTES && i < json_array_size(list);) {
        one = json_array_get(list, i);
        if (json_is_true(json_object_get(one, "current"))) {
            i++;
            continue;
        }
        bytes -= json_bytes(one);
        cut = json_array_remove(list, i) == 0;
    }
    return cut;
}

static json_t *certificates(const question *q)
{
    hc_err err = {0};
    certificate_list l = {q, json_array()};
    hc_certificate_filter filter = {.client_id = q->ask->client_id,
                                    .limit = HC_LIMIT_CLIENT_CERTIFICATES};
    int rc = l.list ? 0 : -HC_ENOMEM;
    if (rc == 0 && filter.client_id <= 0) /* 0 would mean any */
        rc = hc_err_set(&err, HC_ENOENT, "there is no such client");
    if (rc == 0)
        rc = hc_registry_begin(q->r, false, &err);
    if (rc == 0) {
        rc = q->r->engine->certificates(q->r, &filter, add_certificate, &l, &err);
        hc_registry_rollback(q->r);
    }
    if (rc != 0) {
        json_decref(l.list);
        return failure(rc, &err);
    }
    bool cut = keep_newest(l.list);
    return json_pack("{s:b, s:o, s:b}", "ok", 1, "certificates", l.list, "cut", cut ? 1 : 0);
}

/* ---- changes ---- */

typedef struct client_facts {
    bool found;
    hc_client_status status;
    char who[HC_LIMIT_CLIENT_NAME + 32]; /* for the audit */
    size_t who_size;
} client_facts;

static int read_client(void *arg, const hc_client_row *row)
{
    client_facts *c = arg;
    int n = snprintf(c->who, sizeof c->who, "client %.*s (by a view)", HC_SLICE_ARGS(row->name));
    c->who_size = n < 0 ? 0 : (size_t)n < sizeof c->who ? (size_t)n : sizeof c->who - 1;
    c->status = row->status;
    c->found = true;
    return 0;
}

static int find_client(const question *q, client_facts *out, hc_err *err)
{
    hc_client_filter filter = {.id = q->ask->client_id, .limit = 1};
    *out = (client_facts){.found = false};
    /* 0 would mean any. */
    int rc = filter.id > 0 ? q->r->engine->clients(q->r, &filter, read_client, out, err) : 0;
    if (rc == 0 && !out->found)
        rc = hc_err_set(err, HC_ENOENT, "there is no such client any more");
    return rc;
}

static int suspend(const question *q, const client_facts *client, hc_err *err)
{
    const json_t *reason = json_object_get(q->json, "reason");
    hc_actor actor = {hc_slice_of(client->who, client->who_size), q->now_ms};
    hc_slice words = hc_slice_of(json_string_value(reason), json_string_length(reason));
    if (reason && !json_is_string(reason) && !json_is_null(reason))
        return hc_err_set(err, HC_EINVAL, "a reason is a text");
    if (words.size > HC_LIMIT_REASON)
        return hc_err_set(err, HC_EINVAL, "a reason has at most %d octets", HC_LIMIT_REASON);
    if (client->status == HC_CLIENT_REVOKED)
        return hc_err_set(err, HC_EDENIED, "the client is revoked, and stays so");
    if (client->status == HC_CLIENT_SUSPENDED)
        return 0; /* the words of whoever was first stay */
    return hc_change_client_status(q->r, &actor, q->ask->client_id, HC_CLIENT_SUSPENDED, words,
                                   HC_REASON_NONE, err);
}

static bool parse_sha256(hc_slice hex, uint8_t out[SHA256_BYTES])
{
    if (hex.size != (size_t)2 * SHA256_BYTES)
        return false;
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        int high = hc_hex_digit(hex.at[2 * i]), low = hc_hex_digit(hex.at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int read_id(void *arg, const hc_certificate_row *row)
{
    *(int64_t *)arg = row->id;
    return 0;
}

static int revoke_certificate(const question *q, const client_facts *client, hc_err *err)
{
    const json_t *which = json_object_get(q->json, "certificate");
    const json_t *why = json_object_get(q->json, "reason");
    hc_actor actor = {hc_slice_of(client->who, client->who_size), q->now_ms};
    uint8_t sha256[SHA256_BYTES];
    int reason = HC_REASON_NONE;
    int64_t id = 0;
    if (!parse_sha256(hc_slice_of(json_string_value(which), json_string_length(which)), sha256))
        return hc_err_set(err, HC_EINVAL, "a certificate is named by its SHA-256 in hex");
    if (why && !json_is_null(why) &&
        !hc_reason_parse(hc_slice_of(json_string_value(why), json_string_length(why)), &reason))
        return hc_err_set(err, HC_EINVAL, "a reason is one of RFC 5280's, such as keyCompromise");
    hc_certificate_filter filter = {.client_id = q->ask->client_id, .sha256 = sha256, .limit = 1};
    int rc = q->r->engine->certificates(q->r, &filter, read_id, &id, err);
    if (rc == 0 && id == 0)
        rc = hc_err_set(err, HC_ENOENT, "the client has no such certificate");
    return rc == 0 ? hc_change_revoke_certificate(q->r, &actor, id, reason, err) : rc;
}

static json_t *change(const question *q,
                      int (*apply)(const question *q, const client_facts *client, hc_err *err))
{
    hc_err err = {0};
    client_facts client;
    int rc = hc_registry_begin(q->r, true, &err);
    if (rc != 0)
        return failure(rc, &err);
    rc = find_client(q, &client, &err);
    if (rc == 0)
        rc = apply(q, &client, &err);
    if (rc == 0)
        rc = hc_registry_commit(q->r, &err);
    else
        hc_registry_rollback(q->r);
    return rc == 0 ? json_pack("{s:b}", "ok", 1) : failure(rc, &err);
}

/* ---- */

static json_t *decide(const question *q)
{
    const char *what = json_string_value(json_object_get(q->json, "do"));
    if (!what)
        return refusal("invalid", "a question is an object with \"do\"");
    if (!q->r)
        return refusal("unavailable", "the registry cannot be opened now");
    if (strcmp(what, "certificates") == 0)
        return certificates(q);
    if (strcmp(what, "suspend") == 0)
        return change(q, suspend);
    if (strcmp(what, "revoke") == 0)
        return change(q, revoke_certificate);
    return refusal("invalid", "what is to be done is not known");
}

int hc_authority_answer(hc_registry *r, const hc_authority_message *ask, int64_t now_ms,
                        hc_buf *out)
{
    question q = {r, ask, NULL, now_ms};
    q.json = json_loadb((const char *)ask->text.at, ask->text.size, JSON_REJECT_DUPLICATES, NULL);
    json_t *answer = decide(&q);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    int rc = text ? hc_buf_add_text(out, text) : -HC_ENOMEM;
    free(text);
    json_decref(answer);
    json_decref(q.json);
    return rc;
}
