/* Settings as bytes and back: for each option its name and each of its values as text, by the same
 * table. */
#include "server/options.h"

static bool is_setting(const hc_option *o)
{
    return o->offset + o->size <= sizeof(hc_settings) &&
           (o->type != HC_OPTION_CUSTOM || o->custom->get) && o->type != HC_OPTION_IGNORED &&
           o->type != HC_OPTION_REFUSED;
}

static int encode_one(const hc_option *o, const hc_settings *s, hc_buf *out)
{
    hc_buf value = hc_buf_init(out->limit);
    int rc = 0;
    for (size_t i = 0; rc == 0; i++) {
        hc_buf_clear(&value);
        rc = hc_option_get(o, s, i, &value);
        if (rc <= 0)
            break;
        rc = hc_buf_add_field16(out, hc_slice_text(o->name));
        if (rc == 0)
            rc = hc_buf_add_field32(out, hc_buf_slice(&value));
    }
    hc_buf_done(&value);
    return rc;
}

int hc_settings_encode(const hc_settings *s, hc_buf *out, hc_err *err)
{
    hc_options table = hc_serve_options();
    size_t begin = out->size;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < table.count; i++)
        if (is_setting(&table.at[i]))
            rc = encode_one(&table.at[i], s, out);
    if (rc == 0)
        return 0;
    out->size = begin;
    return hc_err_set(err, rc, "the settings do not fit into their message");
}

static int decode_one(hc_cursor *c, hc_options table, hc_settings *out, hc_err *err)
{
    hc_slice name, value;
    if (!hc_cursor_field16(c, &name) || !hc_cursor_field32(c, &value))
        return hc_err_set(err, HC_EFORMAT, "the settings end early");
    const hc_option *o = hc_option_find(table, name);
    if (!o || !is_setting(o))
        return hc_err_set(err, HC_EFORMAT, "the settings have an unknown option");
    int rc = hc_option_set(o, out, value, err);
    return rc == 0 || rc == -HC_ENOMEM ? rc : hc_err_context(err, "%s", o->name);
}

int hc_settings_decode(hc_slice in, hc_settings *out, hc_err *err)
{
    hc_options table = hc_serve_options();
    hc_settings decoded;
    memset(&decoded, 0, sizeof(decoded));
    hc_cursor c = hc_cursor_of(in);
    int rc = 0;
    while (rc == 0 && c.left > 0)
        rc = decode_one(&c, table, &decoded, err);
    if (rc != 0) {
        hc_settings_done(&decoded);
        return rc;
    }
    hc_settings_done(out);
    *out = decoded;
    return 0;
}

void hc_settings_done(hc_settings *s)
{
    hc_options table = hc_serve_options();
    for (size_t i = 0; i < table.count; i++)
        if (is_setting(&table.at[i]))
            hc_option_clear(&table.at[i], s);
    memset(s, 0, sizeof(*s));
}
