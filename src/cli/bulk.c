#include "cli/bulk.h"

#define OUTPUT_LIMIT (256u << 20)

static int on_client(void *arg, const hc_client_row *row)
{
    json_t **out = arg;
    *out = hc_client_json(row);
    return *out ? 0 : -HC_ENOMEM;
}

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    json_t **out = arg;
    *out = hc_certificate_row_json(row);
    return *out ? 0 : -HC_ENOMEM;
}

/* The row as it is now; NULL where it is gone. */
static int read_target(hc_registry *r, const hc_target *t, json_t **out, hc_err *err)
{
    hc_certificate_filter f = {.id = t->certificate_id};
    *out = NULL;
    return t->certificate_id ? r->engine->certificates(r, &f, on_certificate, out, err)
                             : hc_records_client(r, t->client_id, on_client, out, err);
}

static const json_t *name_of(const json_t *row, const hc_target *t)
{
    return json_object_get(row, t->certificate_id ? "client" : "name");
}

static json_t *shown(const hc_bulk *what, const json_t *row, const hc_target *t)
{
    json_t *value = json_object_get(row, t->certificate_id ? "status" : what->member);
    return value ? json_incref(value) : json_null();
}

static int change_one(hc_records *r, const hc_bulk *what, const hc_target *t, json_t *said,
                      hc_err *err)
{
    json_t *before = NULL, *after = NULL;
    hc_registry_head was, now;
    const hc_registry_engine *e = r->registry->engine;
    int rc = read_target(r->registry, t, &before, err);
    if (rc == 0)
        rc = e->head(r->registry, &was, err);
    if (rc == 0)
        rc = what->change(what->arg, r, t, err);
    if (rc == 0)
        rc = e->head(r->registry, &now, err);
    if (rc == 0)
        rc = read_target(r->registry, t, &after, err);
    if (rc == 0)
        rc = json_array_append_new(
                 said,
                 json_pack("{s:O, s:O?, s:b, s:o, s:o}", "client", name_of(before, t),
                           "certificate", json_object_get(json_object_get(before, "serial"), "hex"),
                           "changed", now.seq != was.seq, "was", shown(what, before, t), "now",
                           shown(what, after, t))) == 0
                 ? 0
                 : hc_err_set(err, HC_ENOMEM, "out of memory");
    json_decref(before);
    json_decref(after);
    return rc;
}

static int change_all(const hc_bulk_args *a, hc_records *r, const hc_bulk *what, json_t *said,
                      hc_err *err)
{
    hc_targets targets = {NULL, 0, 0};
    int rc = hc_select(r->registry, &a->who, a->from, &a->filtered.filter, &targets, err);
    for (size_t i = 0; rc == 0 && i < targets.count; i++) {
        if (!what->certificates)
            targets.at[i].certificate_id = 0;
        rc = change_one(r, what, &targets.at[i], said, err);
    }
    hc_targets_done(&targets);
    return rc;
}

static int add_line(hc_buf *out, const json_t *one)
{
    const json_t *certificate = json_object_get(one, "certificate");
    const json_t *was = json_object_get(one, "was"), *now = json_object_get(one, "now");
    int rc = hc_value_add(out, json_object_get(one, "client"));
    if (rc == 0 && json_is_string(certificate))
        rc = hc_buf_printf(out, ", certificate %s", json_string_value(certificate));
    if (rc == 0)
        rc =
            hc_buf_add_text(out, json_is_true(json_object_get(one, "changed")) ? ": " : ": stays ");
    if (rc == 0 && !json_equal(was, now)) {
        rc = hc_value_add(out, was);
        if (rc == 0)
            rc = hc_buf_add_text(out, " -> ");
    }
    if (rc == 0)
        rc = json_is_null(now) ? hc_buf_add_text(out, "gone") : hc_value_add(out, now);
    return rc == 0 ? hc_buf_add_byte(out, '\n') : rc;
}

static int print_text(const json_t *said, bool dry_run)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    size_t i;
    json_t *one;
    int rc = json_array_size(said) == 0 ? hc_buf_add_text(&out, "no client\n") : 0;
    json_array_foreach(said, i, one) if (rc == 0) rc = add_line(&out, one);
    if (rc == 0 && dry_run)
        rc = hc_buf_add_text(&out, "nothing was changed: this was a dry run\n");
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

int hc_bulk_run(const hc_bulk_args *a, const hc_bulk *what, hc_err *err)
{
    hc_records r;
    int rc = hc_records_open(&a->filtered.common, HC_REGISTRY_WRITE, &r, err);
    if (rc != 0)
        return rc;
    json_t *said = json_array();
    rc = hc_registry_begin(r.registry, true, err);
    if (rc == 0)
        rc = hc_records_end(&r, change_all(a, &r, what, said, err), a->dry_run, err);
    if (rc == 0 && a->filtered.common.json)
        rc = hc_print_json(json_pack("{s:b, s:O}", "dry_run", a->dry_run, "clients", said));
    else if (rc == 0)
        rc = print_text(said, a->dry_run);
    json_decref(said);
    hc_records_close(&r);
    return rc;
}
