/* Options by their type: set from text, shown as text, cleared. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/options_parse.h"

static void *field(const hc_option *o, void *target)
{
    return (char *)target + o->offset;
}

static const void *field_const(const hc_option *o, const void *target)
{
    return (const char *)target + o->offset;
}

static uint64_t load(const hc_option *o, const void *target)
{
    const void *at = field_const(o, target);
    if (o->size == sizeof(bool))
        return *(const bool *)at;
    if (o->size == sizeof(uint32_t))
        return *(const uint32_t *)at;
    return *(const uint64_t *)at;
}

static void store(const hc_option *o, void *target, uint64_t value)
{
    void *at = field(o, target);
    if (o->size == sizeof(bool))
        *(bool *)at = value != 0;
    else if (o->size == sizeof(uint32_t))
        *(uint32_t *)at = (uint32_t)value;
    else
        *(uint64_t *)at = value;
}

/* A value in a message: what a terminal could act on is escaped, and much of it is cut. */
static void show(hc_slice value, char out[100])
{
    hc_buf text = hc_buf_init(80);
    hc_slice head = hc_slice_of(value.at, value.size < 40 ? value.size : 40);
    out[0] = '\0';
    if (hc_escape_add(&text, head) == 0)
        (void)snprintf(out, 100, "%.*s%s", (int)text.size, text.at ? (const char *)text.at : "",
                       value.size > head.size ? "…" : "");
    hc_buf_done(&text);
}

static int add_duration(hc_buf *out, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *suffix;
    } units[] = {{24 * 3600 * 1000, "d"}, {3600 * 1000, "h"}, {60 * 1000, "m"}, {1000, "s"}};
    if (ms == 0)
        return hc_buf_add_text(out, "0s");
    for (size_t i = 0; i < HC_COUNT(units); i++)
        if (ms % units[i].ms == 0)
            return hc_buf_printf(out, "%" PRIu64 "%s", ms / units[i].ms, units[i].suffix);
    return hc_buf_printf(out, "%" PRIu64 "ms", ms);
}

static int add_bytes(hc_buf *out, uint64_t bytes)
{
    static const struct {
        unsigned shift;
        const char *suffix;
    } units[] = {{30, "g"}, {20, "m"}, {10, "k"}};
    for (size_t i = 0; bytes && i < HC_COUNT(units); i++)
        if ((bytes & ((UINT64_C(1) << units[i].shift) - 1)) == 0)
            return hc_buf_printf(out, "%" PRIu64 "%s", bytes >> units[i].shift, units[i].suffix);
    return hc_buf_printf(out, "%" PRIu64, bytes);
}

static int add_number(const hc_option *o, hc_buf *out, uint64_t value)
{
    switch (o->type) {
    case HC_OPTION_DURATION:
        return add_duration(out, value);
    case HC_OPTION_BYTES:
        return add_bytes(out, value);
    case HC_OPTION_OCTAL:
        return hc_buf_printf(out, "0%" PRIo64, value);
    default:
        return hc_buf_printf(out, "%" PRIu64, value);
    }
}

static bool parse_octal(hc_slice text, uint64_t *out)
{
    uint64_t value = 0;
    text = hc_slice_starts_with(text, HC_SLICE_LITERAL("0o")) ? hc_slice_from(text, 2) : text;
    if (text.size == 0 || text.size > 12)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '7')
            return false;
        value = value * 8 + (uint64_t)(text.at[i] - '0');
    }
    *out = value;
    return true;
}

static int set_number(const hc_option *o, void *target, hc_slice value, hc_err *err)
{
    const char *kind = "a number";
    uint64_t number;
    bool parsed;
    if (o->type == HC_OPTION_DURATION) {
        kind = "a duration (seconds, or 250ms, 90s, 5m, 2h, 30d)";
        parsed = hc_parse_duration_ms(value, &number);
    } else if (o->type == HC_OPTION_BYTES) {
        kind = "a size (bytes, or 64k, 16m, 2g)";
        parsed = hc_parse_size(value, &number);
    } else if (o->type == HC_OPTION_OCTAL) {
        kind = "an octal number";
        parsed = parse_octal(value, &number);
    } else {
        parsed = hc_parse_u64(value, &number);
    }
    if (parsed && number >= o->min && number <= o->max) {
        store(o, target, number);
        return 0;
    }
    char shown[100];
    hc_buf range = hc_buf_init(100);
    show(value, shown);
    int rc = add_number(o, &range, o->min);
    if (rc == 0)
        rc = hc_buf_add_text(&range, " to ");
    if (rc == 0)
        rc = add_number(o, &range, o->max);
    if (rc == 0 && parsed)
        rc = hc_err_set(err, HC_EINVAL, "\"%s\" is out of range; allowed: %.*s", shown,
                        HC_SLICE_ARGS(hc_buf_slice(&range)));
    else if (rc == 0)
        rc = hc_err_set(err, HC_EINVAL, "\"%s\" is not %s; allowed: %.*s", shown, kind,
                        HC_SLICE_ARGS(hc_buf_slice(&range)));
    hc_buf_done(&range);
    return rc;
}

static int set_switch(const hc_option *o, void *target, hc_slice value, hc_err *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < HC_COUNT(yes); i++) {
        bool is_yes = hc_slice_equal_nocase(value, hc_slice_text(yes[i]));
        if (is_yes || hc_slice_equal_nocase(value, hc_slice_text(no[i]))) {
            store(o, target, is_yes);
            return 0;
        }
    }
    char shown[100];
    show(value, shown);
    return hc_err_set(err, HC_EINVAL, "\"%s\" is neither true nor false", shown);
}

static int set_choice(const hc_option *o, void *target, hc_slice value, hc_err *err)
{
    for (const hc_option_choice *c = o->choices; c->name; c++)
        if (hc_slice_equal_text(value, c->name)) {
            store(o, target, c->value);
            return 0;
        }
    char shown[100];
    show(value, shown);
    return hc_err_set(err, HC_EINVAL, "\"%s\" is not one of %s", shown, o->value);
}

static bool has_nul(hc_slice value)
{
    return hc_slice_find(value, 0) >= 0;
}

static int set_text(const hc_option *o, void *target, hc_slice value, hc_err *err)
{
    if (value.size == 0 || has_nul(value))
        return hc_err_set(err, HC_EINVAL, "a value is wanted: %s", o->value);
    char *copy = hc_alloc(value.size + 1);
    if (!copy)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    memcpy(copy, value.at, value.size);
    copy[value.size] = '\0';
    char **at = field(o, target);
    hc_free(*at);
    *at = copy;
    return 0;
}

static int set_list_item(const hc_option *o, void *target, hc_slice value, hc_err *err)
{
    hc_strings *list = field(o, target);
    if (value.size == 0 || has_nul(value))
        return hc_err_set(err, HC_EINVAL, "a value is wanted: %s", o->value);
    if (o->max && list->count >= o->max)
        return hc_err_set(err, HC_EINVAL, "given more than %" PRIu64 " times", o->max);
    return hc_strings_add(list, value, err);
}

static int set_one(const hc_option *o, void *target, hc_slice value, hc_err *err)
{
    switch (o->type) {
    case HC_OPTION_SWITCH:
        return set_switch(o, target, value, err);
    case HC_OPTION_NUMBER:
    case HC_OPTION_BYTES:
    case HC_OPTION_DURATION:
    case HC_OPTION_OCTAL:
        return set_number(o, target, value, err);
    case HC_OPTION_TEXT:
        return set_text(o, target, value, err);
    case HC_OPTION_LIST:
        return set_list_item(o, target, value, err);
    case HC_OPTION_CHOICE:
        return set_choice(o, target, value, err);
    case HC_OPTION_CUSTOM:
        return o->custom->set(target, o, value, err);
    case HC_OPTION_IGNORED:
        return 0;
    case HC_OPTION_REFUSED:
        return hc_err_set(err, HC_EINVAL, "%s", o->help);
    }
    return hc_err_set(err, HC_EINVAL, "an option of no type");
}

int hc_option_set(const hc_option *o, void *target, hc_slice value, hc_err *err)
{
    if (!(o->flags & HC_OPTION_COMMAS))
        return set_one(o, target, value, err);
    int rc = 0;
    while (rc == 0) {
        ptrdiff_t comma = hc_slice_find(value, ',');
        hc_slice item = comma < 0 ? value : hc_slice_of(value.at, (size_t)comma);
        rc = set_one(o, target, hc_slice_trim(item), err);
        if (comma < 0)
            break;
        value = hc_slice_from(value, (size_t)comma + 1);
    }
    return rc;
}

static int get_choice(const hc_option *o, const void *target, hc_buf *out)
{
    uint64_t value = load(o, target);
    for (const hc_option_choice *c = o->choices; c->name; c++)
        if (c->value == value)
            return hc_buf_add_text(out, c->name);
    return -HC_EINVAL;
}

static int get_text(const char *text, hc_buf *out)
{
    if (!text)
        return 0;
    int rc = hc_buf_add_text(out, text);
    return rc == 0 ? 1 : rc;
}

int hc_option_get(const hc_option *o, const void *target, size_t index, hc_buf *out)
{
    if (o->type == HC_OPTION_CUSTOM)
        return o->custom->get ? o->custom->get(target, index, out) : 0;
    if (o->type == HC_OPTION_LIST) {
        const hc_strings *list = field_const(o, target);
        return index < list->count ? get_text(list->at[index], out) : 0;
    }
    if (index > 0 || o->type == HC_OPTION_IGNORED || o->type == HC_OPTION_REFUSED)
        return 0;
    if (o->type == HC_OPTION_TEXT)
        return get_text(*(char *const *)field_const(o, target), out);
    int rc;
    if (o->type == HC_OPTION_SWITCH)
        rc = hc_buf_add_text(out, load(o, target) ? "true" : "false");
    else if (o->type == HC_OPTION_CHOICE)
        rc = get_choice(o, target, out);
    else
        rc = add_number(o, out, load(o, target));
    return rc == 0 ? 1 : rc;
}

void hc_option_clear(const hc_option *o, void *target)
{
    if (o->type == HC_OPTION_CUSTOM) {
        if (o->custom->clear)
            o->custom->clear(target);
    } else if (o->type == HC_OPTION_LIST) {
        hc_strings_done(field(o, target));
    } else if (o->type == HC_OPTION_TEXT) {
        char **at = field(o, target);
        hc_free(*at);
        *at = NULL;
    } else if (o->size) {
        store(o, target, 0);
    }
}

void hc_options_done(hc_options table, void *target)
{
    for (size_t i = 0; i < table.count; i++)
        hc_option_clear(&table.at[i], target);
}

int hc_strings_add(hc_strings *s, hc_slice text, hc_err *err)
{
    char *copy = hc_alloc(text.size + 1);
    char **at = copy ? hc_realloc(s->at, (s->count + 1) * sizeof(*at)) : NULL;
    if (!at) {
        hc_free(copy);
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    }
    if (text.size)
        memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    s->at = at;
    s->at[s->count++] = copy;
    return 0;
}

void hc_strings_done(hc_strings *s)
{
    for (size_t i = 0; i < s->count; i++)
        hc_free(s->at[i]);
    hc_free(s->at);
    *s = (hc_strings){NULL, 0};
}
