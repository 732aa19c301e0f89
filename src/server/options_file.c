/* handclasp.yaml: libyaml's events, each looked up in the table of options. See docs/decisions for
 * why not a schema of libcyaml's. */
#include <stdio.h>
#include <yaml.h>

#include "base/limits.h"
#include "base/str.h"
#include "server/options_parse.h"

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the last one; freed before the next */
    bool has_event;
    hc_options table;
    const char *name;
    hc_given_list *out;
    hc_err *err;
} reader;

static size_t line_of(const reader *r)
{
    return r->event.start_mark.line + 1;
}

static int wrong(reader *r, const char *what)
{
    return hc_err_set(r->err, HC_EINVAL, "%s:%zu: %s", r->name, line_of(r), what);
}

static int next(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (yaml_parser_parse(&r->parser, &r->event)) {
        r->has_event = true;
        return 0;
    }
    if (r->parser.error == YAML_MEMORY_ERROR)
        return hc_err_set(r->err, HC_ENOMEM, "out of memory");
    return hc_err_set(r->err, HC_EINVAL, "%s:%zu: not YAML: %s", r->name,
                      r->parser.problem_mark.line + 1,
                      r->parser.problem ? r->parser.problem : "unreadable");
}

static hc_slice scalar(const reader *r)
{
    return hc_slice_of(r->event.data.scalar.value, r->event.data.scalar.length);
}

/* "key:", "key: ~" and "key: null": nothing was said, which is not the same as the default. */
static bool says_nothing(const reader *r)
{
    hc_slice value = scalar(r);
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return plain && (value.size == 0 || hc_slice_equal_text(value, "~") ||
                     hc_slice_equal_nocase(value, HC_SLICE_LITERAL("null")));
}

static int add_value(reader *r, const hc_option *o, hc_slice value)
{
    char where[512];
    (void)snprintf(where, sizeof(where), "%s:%zu: %s", r->name, line_of(r), o->name);
    if (hc_slice_find(value, 0) >= 0)
        return wrong(r, "a NUL byte cannot be part of a value");
    return hc_given_add(r->out, o, value, hc_slice_text(where), r->err);
}

static int read_scalar(reader *r, const hc_option *o)
{
    if (says_nothing(r))
        return wrong(r, "a value is wanted; leave the line out for the default");
    return add_value(r, o, scalar(r));
}

static int read_sequence(reader *r, const hc_option *o)
{
    size_t items = 0;
    int rc = 0;
    while (rc == 0 && (rc = next(r)) == 0 && r->event.type != YAML_SEQUENCE_END_EVENT) {
        if (r->event.type != YAML_SCALAR_EVENT)
            return wrong(r, "each item of the list is a plain value");
        rc = read_scalar(r, o);
        items++;
    }
    if (rc == 0 && items == 0)
        return wrong(r, "the list is empty; leave the line out for the default");
    return rc;
}

/* "env: {A: x}" and "client-cert: {/healthz: none}" are "A=x" and "/healthz=none". */
static int read_pairs(reader *r, const hc_option *o)
{
    int rc = 0;
    while (rc == 0 && (rc = next(r)) == 0 && r->event.type != YAML_MAPPING_END_EVENT) {
        hc_buf pair = hc_buf_init(HC_LIMIT_CONFIG_BYTES);
        if (r->event.type != YAML_SCALAR_EVENT)
            return wrong(r, "each key is a plain value");
        rc = hc_buf_add(&pair, scalar(r));
        if (rc == 0)
            rc = hc_buf_add_byte(&pair, '=');
        if (rc != 0)
            rc = hc_err_set(r->err, rc, "out of memory");
        else
            rc = next(r);
        if (rc == 0 && r->event.type != YAML_SCALAR_EVENT)
            rc = wrong(r, "each value is a plain one");
        if (rc == 0 && hc_buf_add(&pair, scalar(r)) != 0)
            rc = hc_err_set(r->err, HC_ENOMEM, "out of memory");
        if (rc == 0)
            rc = add_value(r, o, hc_buf_slice(&pair));
        hc_buf_done(&pair);
    }
    return rc;
}

static int read_value(reader *r, const hc_option *o)
{
    bool repeatable = o->flags & HC_OPTION_REPEATABLE;
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(r, o);
    case YAML_SEQUENCE_START_EVENT:
        return repeatable ? read_sequence(r, o) : wrong(r, "one value is wanted, not a list");
    case YAML_MAPPING_START_EVENT:
        return repeatable ? read_pairs(r, o) : wrong(r, "one value is wanted, not a mapping");
    case YAML_ALIAS_EVENT:
        return wrong(r, "aliases are not supported; write the value out");
    default:
        return wrong(r, "a value is wanted");
    }
}

static int unknown_key(reader *r, hc_slice key)
{
    char text[256];
    hc_buf shown = hc_buf_init(100);
    const char *near = hc_option_nearest(r->table, key);
    int rc = hc_escape_add(&shown, hc_slice_of(key.at, key.size < 60 ? key.size : 60));
    if (rc == 0) {
        (void)snprintf(text, sizeof(text), "%.*s: unknown option%s%s%s",
                       HC_SLICE_ARGS(hc_buf_slice(&shown)), near ? "; did you mean " : "",
                       near ? near : "", near ? "?" : "");
        rc = wrong(r, text);
    } else {
        rc = hc_err_set(r->err, HC_ENOMEM, "out of memory");
    }
    hc_buf_done(&shown);
    return rc;
}

static bool was_given(const reader *r, size_t first, const hc_option *o)
{
    for (size_t i = first; i < r->out->count; i++)
        if (r->out->at[i].option == o)
            return true;
    return false;
}

/* Past a value that is not ours, whatever it is. */
static int skip_value(reader *r)
{
    size_t depth = 0;
    int rc = 0;
    do {
        if ((rc = next(r)) != 0)
            return rc;
        yaml_event_type_t type = r->event.type;
        depth += type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
        depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
    } while (depth > 0);
    return 0;
}

/* `profiles` is no option: the authority reads it (authority/profile.h). */
static bool is_anothers(const reader *r)
{
    return hc_slice_equal_text(scalar(r), "profiles");
}

static int read_options(reader *r)
{
    size_t first = r->out->count;
    int rc = 0;
    while (rc == 0 && (rc = next(r)) == 0 && r->event.type != YAML_MAPPING_END_EVENT) {
        if (r->event.type != YAML_SCALAR_EVENT)
            return wrong(r, "the name of an option is wanted");
        if (is_anothers(r)) {
            rc = skip_value(r);
            continue;
        }
        const hc_option *o = hc_option_find(r->table, scalar(r));
        if (!o)
            return unknown_key(r, scalar(r));
        if (o->flags & (HC_OPTION_FLAG_ONLY | HC_OPTION_NOT_IN_FILE))
            return wrong(r, "this option cannot stand in a file; give it as a flag");
        if (was_given(r, first, o))
            return wrong(r, "this option stands in the file twice; use a list, or leave one out");
        rc = next(r);
        if (rc == 0)
            rc = read_value(r, o);
    }
    return rc;
}

/* An empty document is a file with comments alone. */
static int read_document(reader *r)
{
    int rc = next(r);
    if (rc != 0 || r->event.type == YAML_STREAM_END_EVENT)
        return rc;
    if ((rc = next(r)) != 0)
        return rc;
    if (r->event.type == YAML_MAPPING_START_EVENT)
        rc = read_options(r);
    else if (r->event.type != YAML_SCALAR_EVENT || !says_nothing(r))
        rc = wrong(r, "lines of the form \"option: value\" are wanted");
    if (rc == 0)
        rc = next(r);
    if (rc == 0)
        rc = next(r);
    if (rc == 0 && r->event.type != YAML_STREAM_END_EVENT)
        rc = wrong(r, "one document is wanted; leave out what begins at \"---\"");
    return rc;
}

int hc_options_from_file(hc_options table, hc_slice yaml, const char *name, hc_given_list *out,
                         hc_err *err)
{
    reader r = {.table = table, .name = name, .out = out, .err = err};
    if (!yaml_parser_initialize(&r.parser))
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    yaml_parser_set_input_string(&r.parser, yaml.at ? yaml.at : (const unsigned char *)"",
                                 yaml.size);
    int rc = next(&r);
    if (rc == 0)
        rc = read_document(&r);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return rc;
}
