#include "server/options_parse.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"

#define VARIABLE_PREFIX "HANDCLASP_"
#define NAME_MAX_BYTES  64
#define EDITS_MAX       3

static void given_done(hc_given *g)
{
    hc_free(g->value);
    hc_free(g->where);
}

void hc_given_done(hc_given_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        given_done(&l->at[i]);
    hc_free(l->at);
    *l = (hc_given_list){NULL, 0, 0};
}

static char *copy_text(hc_slice text)
{
    char *copy = hc_alloc(text.size + 1);
    if (!copy)
        return NULL;
    if (text.size)
        memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    return copy;
}

int hc_given_add(hc_given_list *l, const hc_option *o, hc_slice value, hc_slice where, hc_err *err)
{
    hc_given g = {o, copy_text(value), copy_text(where)};
    if (!g.value || !g.where)
        goto no_memory;
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 16;
        hc_given *at = hc_realloc(l->at, room * sizeof(*at));
        if (!at)
            goto no_memory;
        l->at = at;
        l->room = room;
    }
    l->at[l->count++] = g;
    return 0;
no_memory:
    given_done(&g);
    return hc_err_set(err, HC_ENOMEM, "out of memory");
}

static char folded(uint8_t byte)
{
    return byte == '_' ? '-' : (char)byte;
}

static bool same_name(hc_slice a, const char *b)
{
    if (!b || strlen(b) != a.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (folded(a.at[i]) != folded((uint8_t)b[i]))
            return false;
    return true;
}

const hc_option *hc_option_find(hc_options table, hc_slice name)
{
    const hc_option *all = table.at;
    for (size_t i = 0; i < table.count; i++)
        if (same_name(name, all[i].name) || same_name(name, all[i].alias))
            return &all[i];
    return NULL;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance, one row at a time. */
static size_t edits(hc_slice a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1], b_size = strlen(b);
    if (a.size > NAME_MAX_BYTES || b_size > NAME_MAX_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t above = row[j];
            bool same = folded(a.at[i - 1]) == folded((uint8_t)b[j - 1]);
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1));
            diagonal = above;
        }
    }
    return row[b_size];
}

const char *hc_option_nearest(hc_options table, hc_slice name)
{
    const char *best = NULL;
    /* Of a short name little is left after a few edits. */
    size_t most_edits = 1 + name.size / 4 < EDITS_MAX ? 1 + name.size / 4 : EDITS_MAX;
    size_t best_edits = most_edits + 1;
    for (size_t i = 0; i < table.count; i++) {
        const hc_option *o = &table.at[i];
        if (o->flags & (HC_OPTION_HIDDEN | HC_OPTION_OTHERS | HC_OPTION_POSITIONAL))
            continue;
        const char *names[] = {o->name, o->alias};
        for (size_t n = 0; n < HC_COUNT(names); n++) {
            size_t distance = names[n] ? edits(name, names[n]) : SIZE_MAX;
            if (distance < best_edits) {
                best_edits = distance;
                best = names[n];
            }
        }
    }
    return best;
}

static int no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "out of memory");
}

/* Escaped, and cut where it is long. */
static int add_shown(hc_buf *out, hc_slice text)
{
    return hc_escape_add(out, hc_slice_of(text.at, text.size < 80 ? text.size : 80));
}

static int unknown(hc_options table, hc_slice shown, hc_slice name, hc_err *err)
{
    hc_buf text = hc_buf_init(400);
    const char *near = name.size ? hc_option_nearest(table, name) : NULL;
    int rc = add_shown(&text, shown);
    if (rc != 0)
        rc = no_memory(err);
    else if (near)
        rc = hc_err_set(err, HC_EINVAL, "%.*s: unknown option; did you mean --%s?",
                        HC_SLICE_ARGS(hc_buf_slice(&text)), near);
    else
        rc = hc_err_set(err, HC_EINVAL, "%.*s: unknown option; --help lists the options",
                        HC_SLICE_ARGS(hc_buf_slice(&text)));
    hc_buf_done(&text);
    return rc;
}

/* Where the flag parser stands. */
typedef struct flags {
    hc_options table;
    int argc;
    char *const *argv;
    int at;
    hc_given_list *out;
    hc_err *err;
    bool stopped;
} flags;

static bool takes_value(const hc_option *o)
{
    return o->type != HC_OPTION_SWITCH && !(o->flags & HC_OPTION_NO_VALUE);
}

/* `attached` is the value behind "=" or behind the letter; its `at` is NULL where there is none. */
static int add_flag(flags *f, const hc_option *o, hc_slice where, hc_slice attached)
{
    hc_slice value = attached;
    if (!attached.at && !takes_value(o)) {
        value = HC_SLICE_LITERAL("true");
    } else if (!attached.at) {
        if (f->at + 1 >= f->argc)
            return hc_err_set(f->err, HC_EINVAL, "%.*s: a value is wanted: %s",
                              HC_SLICE_ARGS(where), o->value);
        value = hc_slice_text(f->argv[++f->at]);
    }
    f->stopped = o->flags & HC_OPTION_STOPS;
    return hc_given_add(f->out, o, value, where, f->err);
}

static int long_flag(flags *f, hc_slice arg)
{
    ptrdiff_t equals = hc_slice_find(arg, '=');
    hc_slice where = equals < 0 ? arg : hc_slice_of(arg.at, (size_t)equals);
    hc_slice name = hc_slice_from(where, 2);
    const hc_option *o = hc_option_find(f->table, name);
    if (!o || o->flags & HC_OPTION_POSITIONAL)
        return unknown(f->table, where, name, f->err);
    return add_flag(f, o, where,
                    equals < 0 ? HC_SLICE_NONE : hc_slice_from(arg, (size_t)equals + 1));
}

static const hc_option *by_letter(hc_options table, uint8_t letter)
{
    const hc_option *all = table.at;
    for (size_t i = 0; letter && i < table.count; i++)
        if ((uint8_t)all[i].letter == letter)
            return &all[i];
    return NULL;
}

/* "-w4", "-w 4", and letters without a value together: "-hv". */
static int short_flags(flags *f, hc_slice arg)
{
    for (size_t i = 1; i < arg.size; i++) {
        const hc_option *o = by_letter(f->table, arg.at[i]);
        char where[3] = {'-', (char)arg.at[i], '\0'};
        if (!o)
            return unknown(f->table, hc_slice_of(arg.at, i + 1), HC_SLICE_NONE, f->err);
        hc_slice rest = hc_slice_from(arg, i + 1);
        bool valued = takes_value(o);
        int rc = add_flag(f, o, hc_slice_text(where), valued && rest.size ? rest : HC_SLICE_NONE);
        if (rc != 0 || valued || f->stopped)
            return rc;
    }
    return 0;
}

static int positional(flags *f, hc_slice arg)
{
    for (size_t i = 0; i < f->table.count; i++) {
        const hc_option *o = &f->table.at[i];
        if (!(o->flags & HC_OPTION_POSITIONAL))
            continue;
        for (size_t g = 0; g < f->out->count; g++)
            if (f->out->at[g].option == o && !(o->flags & HC_OPTION_REPEATABLE))
                return hc_err_set(f->err, HC_EINVAL, "%.*s: one %s is enough", HC_SLICE_ARGS(arg),
                                  o->value);
        return hc_given_add(f->out, o, arg, hc_slice_text(o->value), f->err);
    }
    return hc_err_set(f->err, HC_EINVAL,
                      "%.*s: no such argument is taken; --help lists the options",
                      HC_SLICE_ARGS(arg));
}

int hc_options_from_flags(hc_options table, int argc, char *const *argv, hc_given_list *out,
                          hc_err *err)
{
    flags f = {.table = table, .argc = argc, .argv = argv, .out = out, .err = err};
    bool names = true;
    int rc = 0;
    for (; rc == 0 && !f.stopped && f.at < argc; f.at++) {
        hc_slice arg = hc_slice_text(argv[f.at]);
        if (names && hc_slice_equal_text(arg, "--"))
            names = false;
        else if (names && hc_slice_starts_with(arg, HC_SLICE_LITERAL("--")))
            rc = long_flag(&f, arg);
        else if (names && arg.size > 1 && arg.at[0] == '-')
            rc = short_flags(&f, arg);
        else
            rc = positional(&f, arg);
    }
    return rc;
}

static int note_unknown_variable(hc_options table, hc_slice variable, hc_slice name,
                                 hc_strings *notices, hc_err *err)
{
    const char *near = hc_option_nearest(table, name);
    hc_buf text = hc_buf_init(512);
    int rc = add_shown(&text, variable);
    if (rc == 0)
        rc = hc_buf_add_text(&text, " in the environment is no option and has no effect");
    if (rc == 0 && near)
        rc = hc_buf_printf(&text, "; did you mean the one for --%s?", near);
    rc = rc == 0 ? hc_strings_add(notices, hc_buf_slice(&text), err) : no_memory(err);
    hc_buf_done(&text);
    return rc;
}

/* Lists have commas between their values here, since a variable can be given once. */
static int add_variable_items(const hc_option *o, hc_slice value, hc_slice where,
                              hc_given_list *out, hc_err *err)
{
    int rc = 0;
    while (rc == 0) {
        ptrdiff_t comma = o->flags & HC_OPTION_REPEATABLE ? hc_slice_find(value, ',') : -1;
        hc_slice item = comma < 0 ? value : hc_slice_trim(hc_slice_of(value.at, (size_t)comma));
        rc = hc_given_add(out, o, item, where, err);
        if (comma < 0)
            break;
        value = hc_slice_trim(hc_slice_from(value, (size_t)comma + 1));
    }
    return rc;
}

static int one_variable(hc_options table, hc_slice text, hc_given_list *out, hc_strings *notices,
                        hc_err *err)
{
    hc_slice prefix = HC_SLICE_LITERAL(VARIABLE_PREFIX);
    ptrdiff_t equals = hc_slice_find(text, '=');
    if (!hc_slice_starts_with(text, prefix) || equals < (ptrdiff_t)prefix.size)
        return 0;
    hc_slice variable = hc_slice_of(text.at, (size_t)equals);
    hc_slice name = hc_slice_from(variable, prefix.size);
    char lower[NAME_MAX_BYTES];
    if (name.size > sizeof(lower))
        return note_unknown_variable(table, variable, HC_SLICE_NONE, notices, err);
    for (size_t i = 0; i < name.size; i++) {
        uint8_t byte = name.at[i];
        lower[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
    }
    const hc_option *o = hc_option_find(table, hc_slice_of(lower, name.size));
    if (!o || o->flags & HC_OPTION_FLAG_ONLY)
        return note_unknown_variable(table, variable, hc_slice_of(lower, name.size), notices, err);
    return add_variable_items(o, hc_slice_from(text, (size_t)equals + 1), variable, out, err);
}

int hc_options_from_environment(hc_options table, char *const *environment, hc_given_list *out,
                                hc_strings *notices, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && environment && environment[i]; i++)
        rc = one_variable(table, hc_slice_text(environment[i]), out, notices, err);
    return rc;
}

static int note_ignored(const hc_given *g, hc_strings *notices, hc_err *err)
{
    hc_buf text = hc_buf_init(1024);
    int rc = hc_buf_printf(&text, "%s has no effect: %s", g->where, g->option->help);
    rc = rc == 0 ? hc_strings_add(notices, hc_buf_slice(&text), err) : no_memory(err);
    hc_buf_done(&text);
    return rc;
}

static int apply_one(hc_options table, const hc_given *g, bool *seen, void *target,
                     hc_strings *notices, hc_err *err)
{
    const hc_option *value_of =
        g->option->writes ? hc_option_find(table, hc_slice_text(g->option->writes)) : g->option;
    size_t index = (size_t)(value_of - table.at);
    if (!seen[index] && value_of->flags & HC_OPTION_REPEATABLE)
        hc_option_clear(value_of, target);
    seen[index] = true;
    if (g->option->type == HC_OPTION_IGNORED && notices)
        return note_ignored(g, notices, err);
    int rc = hc_option_set(g->option, target, hc_slice_text(g->value), err);
    return rc == 0 || rc == -HC_ENOMEM ? rc : hc_err_context(err, "%s", g->where);
}

int hc_options_apply(hc_options table, const hc_given_list *given, void *target,
                     hc_strings *notices, hc_err *err)
{
    bool *seen = hc_alloc_zero(table.count, sizeof(*seen));
    if (!seen)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < given->count; i++)
        rc = apply_one(table, &given->at[i], seen, target, notices, err);
    hc_free(seen);
    return rc;
}

int hc_options_apply_defaults(hc_options table, void *target, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < table.count; i++)
        if (table.at[i].initial)
            rc = hc_option_set(&table.at[i], target, hc_slice_text(table.at[i].initial), err);
    return rc;
}
