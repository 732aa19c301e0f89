#include "registry/change_private.h"

typedef struct client_copy {
    hc_arena *arena;
    hc_client_row *out;
    bool found;
} client_copy;

static int copy_client(void *arg, const hc_client_row *row)
{
    client_copy *c = arg;
    hc_slice *const slices[] = {&c->out->name, &c->out->reason, &c->out->roles,
                                &c->out->attributes};
    *c->out = *row;
    c->found = true;
    int rc = 0;
    for (size_t i = 0; i < HC_COUNT(slices) && rc == 0; i++)
        rc = hc_arena_copy(c->arena, *slices[i], slices[i]);
    return rc;
}

static int find_client(hc_registry *r, const hc_client_filter *f, hc_arena *arena,
                       hc_client_row *out, bool *found, hc_err *err)
{
    client_copy copy = {arena, out, false};
    hc_err why = {0};
    int rc = r->engine->clients(r, f, copy_client, &copy, &why);
    *found = copy.found;
    return hc_change_told(rc, &why, err);
}

int hc_change_load_client(hc_registry *r, int64_t id, hc_arena *arena, hc_client_row *out,
                          hc_err *err)
{
    bool found = false;
    int rc = id > 0 ? find_client(r, &(hc_client_filter){.id = id}, arena, out, &found, err) : 0;
    if (rc == 0 && !found)
        rc = hc_err_set(err, HC_ENOENT, "there is no client of the number %lld", (long long)id);
    return rc;
}

static json_t *json_attributes(hc_slice attributes)
{
    return attributes.size ? json_loadb((const char *)attributes.at, attributes.size, 0, NULL)
                           : json_null();
}

static int check_name_free(hc_registry *r, hc_slice name, hc_arena *arena, hc_err *err)
{
    hc_client_row there = {0};
    bool found = false;
    int rc = find_client(r, &(hc_client_filter){.name = name}, arena, &there, &found, err);
    if (rc == 0 && found)
        rc = hc_err_set(err, HC_EEXIST, "there is a client of the name %.*s already",
                        HC_SLICE_ARGS(name));
    return rc;
}

static int add_client(hc_registry *r, const hc_actor *a, hc_client_row *row, hc_err *err)
{
    int rc = r->engine->client_add(r, row, &row->id, err);
    if (rc)
        return rc;
    return hc_change_write_audit(
        r, a,
        &(hc_change_audit){
            .action = "client.add",
            .client = row,
            .was = json_null(),
            .now = json_pack("{s:s, s:o, s:o}", "status", hc_client_status_name(row->status),
                             "roles", hc_change_json_roles(row->roles), "attributes",
                             json_attributes(row->attributes)),
        },
        err);
}

int hc_change_add_client(hc_registry *r, const hc_actor *a, hc_slice name, hc_slice roles,
                         hc_slice attributes, int64_t *id, hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_buf words = hc_buf_init(HC_LIMIT_CLIENT_ROLES);
    int rc = hc_client_name_check(name, err);
    if (rc == 0)
        rc = hc_attributes_check(attributes, err);
    if (rc == 0)
        rc = hc_change_roles(roles, &words, err);
    if (rc == 0)
        rc = check_name_free(r, name, &arena, err);
    hc_client_row row = {
        .name = name,
        .status = HC_CLIENT_ACTIVE,
        .status_s = hc_change_now_s(a),
        .roles = hc_buf_slice(&words),
        .attributes = attributes,
        .created_s = hc_change_now_s(a),
    };
    if (rc == 0)
        rc = add_client(r, a, &row, err);
    if (rc == 0)
        *id = row.id;
    hc_buf_done(&words);
    hc_arena_done(&arena);
    return rc;
}

static json_t *json_status(const hc_client_row *row)
{
    const char *name = hc_client_status_name(row->status);
    return row->reason.size
               ? json_pack("{s:s, s:o}", "status", name, "reason", hc_change_json(row->reason))
               : json_pack("{s:s}", "status", name);
}

/* The row, and what `told` tells of it before and after. */
static int set_row(hc_registry *r, const hc_actor *a, const hc_client_row *was,
                   const hc_client_row *now, const char *action,
                   json_t *(*told)(const hc_client_row *), hc_err *err)
{
    int rc = r->engine->client_set(r, now, err);
    if (rc)
        return rc;
    return hc_change_write_audit(
        r, a,
        &(hc_change_audit){.action = action, .client = was, .was = told(was), .now = told(now)},
        err);
}

static int set_status(hc_registry *r, const hc_actor *a, const hc_client_row *was,
                      hc_client_status status, hc_slice reason, hc_err *err)
{
    bool same = status == was->status;
    if (same && (reason.size == 0 || hc_slice_equal(reason, was->reason)))
        return 0;
    if (was->status == HC_CLIENT_REVOKED && status == HC_CLIENT_SUSPENDED)
        return hc_err_set(err, HC_EDENIED, "%.*s is revoked, which is more than suspended",
                          HC_SLICE_ARGS(was->name));
    hc_client_row now = *was;
    now.status = status;
    now.status_s = same ? was->status_s : hc_change_now_s(a);
    now.reason = reason;
    return set_row(r, a, was, &now, "client.status", json_status, err);
}

int hc_change_client_status(hc_registry *r, const hc_actor *a, int64_t client_id,
                            hc_client_status status, hc_slice reason, int reason_code, hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_client_row row = {0};
    int rc = hc_change_check_reason(reason, err);
    if (rc == 0 && *hc_client_status_name(status) == '\0')
        rc = hc_err_set(err, HC_EINVAL, "no such status");
    if (rc == 0 && status == HC_CLIENT_REVOKED)
        rc = hc_change_check_reason_code(reason_code, err);
    if (rc == 0)
        rc = hc_change_load_client(r, client_id, &arena, &row, err);
    if (rc == 0)
        rc = set_status(r, a, &row, status, reason, err);
    if (rc == 0 && status == HC_CLIENT_REVOKED)
        rc = hc_change_revoke_all(r, a, &row, reason_code, err);
    hc_arena_done(&arena);
    return rc;
}

static json_t *json_roles(const hc_client_row *row)
{
    return json_pack("{s:o}", "roles", hc_change_json_roles(row->roles));
}

int hc_change_client_roles(hc_registry *r, const hc_actor *a, int64_t client_id, hc_slice roles,
                           hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_buf words = hc_buf_init(HC_LIMIT_CLIENT_ROLES);
    hc_client_row row = {0};
    int rc = hc_change_roles(roles, &words, err);
    if (rc == 0)
        rc = hc_change_load_client(r, client_id, &arena, &row, err);
    hc_client_row now = row;
    now.roles = hc_buf_slice(&words);
    if (rc == 0 && !hc_slice_equal(row.roles, now.roles))
        rc = set_row(r, a, &row, &now, "client.roles", json_roles, err);
    hc_buf_done(&words);
    hc_arena_done(&arena);
    return rc;
}

static json_t *json_attributes_of(const hc_client_row *row)
{
    return json_pack("{s:o}", "attributes", json_attributes(row->attributes));
}

int hc_change_client_attributes(hc_registry *r, const hc_actor *a, int64_t client_id,
                                hc_slice attributes, hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_client_row row = {0};
    int rc = hc_attributes_check(attributes, err);
    if (rc == 0)
        rc = hc_change_load_client(r, client_id, &arena, &row, err);
    hc_client_row now = row;
    now.attributes = attributes;
    if (rc == 0 && !hc_slice_equal(row.attributes, attributes))
        rc = set_row(r, a, &row, &now, "client.attributes", json_attributes_of, err);
    hc_arena_done(&arena);
    return rc;
}

typedef struct removed {
    int64_t now_s;
    json_t *certificates; /* their texts */
    bool still_revoked;   /* one is revoked, and not known to have ended */
} removed;

static int on_removed(void *arg, const hc_certificate_row *row)
{
    removed *x = arg;
    hc_buf text = hc_buf_init(HC_LIMIT_REGISTRY_ROW);
    if (row->status == HC_CERTIFICATE_REVOKED && !(row->not_after_s && row->not_after_s < x->now_s))
        x->still_revoked = true;
    int rc = hc_change_certificate_text(row, &text);
    if (rc == 0 && json_array_append_new(x->certificates, hc_change_json(hc_buf_slice(&text))))
        rc = -HC_ENOMEM;
    hc_buf_done(&text);
    return rc;
}

static int remove_client(hc_registry *r, const hc_actor *a, const hc_client_row *row, hc_err *err)
{
    removed x = {.now_s = hc_change_now_s(a), .certificates = json_array()};
    const hc_certificate_filter f = {.client_id = row->id};
    hc_err why = {0};
    int rc = x.certificates ? r->engine->certificates(r, &f, on_removed, &x, &why) : -HC_ENOMEM;
    rc = hc_change_told(rc, &why, err);
    if (rc == 0 && x.still_revoked)
        rc = hc_err_set(err, HC_EDENIED,
                        "%.*s has a revoked certificate that may not have ended: without the "
                        "record nobody would know that it is revoked; keep it until then",
                        HC_SLICE_ARGS(row->name));
    if (rc == 0)
        rc = r->engine->client_remove(r, row->id, err);
    if (rc) {
        json_decref(x.certificates);
        return rc;
    }
    return hc_change_write_audit(
        r, a,
        &(hc_change_audit){
            .action = "client.remove",
            .client = row,
            .was = json_pack("{s:s, s:o, s:o, s:o}", "status", hc_client_status_name(row->status),
                             "roles", hc_change_json_roles(row->roles), "attributes",
                             json_attributes(row->attributes), "certificates", x.certificates),
            .now = json_null(),
        },
        err);
}

int hc_change_remove_client(hc_registry *r, const hc_actor *a, int64_t client_id, hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_client_row row = {0};
    int rc = hc_change_load_client(r, client_id, &arena, &row, err);
    if (rc == 0)
        rc = remove_client(r, a, &row, err);
    hc_arena_done(&arena);
    return rc;
}
