#include "cli/edit.h"

/* As many as a record may have, and as many more as may be given. */
typedef struct role_list {
    hc_slice at[2 * HC_LIMIT_ROLES];
    size_t count;
} role_list;

static bool is_among(const hc_strings *all, hc_slice role)
{
    for (size_t i = 0; all && i < all->count; i++)
        if (hc_slice_equal_text(role, all->at[i]))
            return true;
    return false;
}

static int on_roles(void *arg, const hc_client_row *row)
{
    return hc_buf_add(arg, row->roles);
}

int hc_edit_roles(hc_records *r, int64_t client_id, const hc_role_edit *edit, hc_err *err)
{
    role_list l = {.count = 0};
    hc_buf has = hc_buf_init(HC_LIMIT_CLIENT_ROLES), wanted = hc_buf_init(HC_LIMIT_CLIENT_ROLES);
    int rc = edit->replace ? 0 : hc_records_client(r->registry, client_id, on_roles, &has, err);
    hc_slice rest = hc_buf_slice(&has);
    while (rest.size && l.count < HC_LIMIT_ROLES) {
        ptrdiff_t space = hc_slice_find(rest, ' ');
        hc_slice role = space < 0 ? rest : hc_slice_of(rest.at, (size_t)space);
        if (!is_among(edit->remove, role))
            l.at[l.count++] = role;
        rest = hc_slice_from(rest, role.size + 1);
    }
    for (size_t i = 0; edit->add && i < edit->add->count && l.count < HC_COUNT(l.at); i++)
        l.at[l.count++] = hc_slice_text(edit->add->at[i]);
    if (rc == 0)
        rc = hc_roles_normalize(l.at, l.count, &wanted, err);
    if (rc == 0)
        rc = hc_change_client_roles(r->registry, &r->actor, client_id, hc_buf_slice(&wanted), err);
    hc_buf_done(&wanted);
    hc_buf_done(&has);
    return rc;
}

int hc_attribute_parse(json_t *set, const char *text, bool is_json, hc_err *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return hc_err_set(err, HC_EINVAL, "%.100s: KEY=%s is wanted", text,
                          is_json ? "JSON" : "VALUE");
    json_t *value = is_json ? json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL)
                            : json_string(equals + 1);
    json_t *key = json_stringn(text, (size_t)(equals - text));
    int rc = 0;
    if (!value || !key)
        rc = hc_err_set(err, HC_EINVAL, "%.100s: %s", text,
                        is_json ? "what is behind the = is not JSON" : "not UTF-8");
    else if (json_object_set(set, json_string_value(key), value) != 0)
        rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    json_decref(key);
    json_decref(value);
    return rc;
}

static int on_attributes(void *arg, const hc_client_row *row)
{
    json_t **out = arg;
    hc_slice text = row->attributes;
    *out = text.size ? json_loadb((const char *)text.at, text.size, 0, NULL) : json_object();
    return *out ? 0 : -HC_EFORMAT;
}

int hc_edit_attributes(hc_records *r, int64_t client_id, json_t *set, const hc_strings *unset,
                       hc_err *err)
{
    json_t *all = NULL;
    char *text = NULL;
    int rc = hc_records_client(r->registry, client_id, on_attributes, &all, err);
    if (rc == 0)
        (void)json_object_update(all, set);
    for (size_t i = 0; rc == 0 && unset && i < unset->count; i++)
        (void)json_object_del(all, unset->at[i]);
    bool any = json_object_size(all) > 0;
    if (any && (text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS)) == NULL)
        rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    if (rc == 0)
        rc = hc_change_client_attributes(r->registry, &r->actor, client_id,
                                         any ? hc_slice_text(text) : HC_SLICE_NONE, err);
    free(text);
    json_decref(all);
    return rc;
}
