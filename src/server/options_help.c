/* The table of options as a person reads it: --help, the manual page, the sample file. */
#include <stdio.h>

#include "server/options_parse.h"

#define HELP_COLUMN 30
#define HELP_WIDTH  96

static bool shown(const hc_option *o)
{
    return !(o->flags & (HC_OPTION_HIDDEN | HC_OPTION_OTHERS));
}

static bool takes_value(const hc_option *o)
{
    return o->type != HC_OPTION_SWITCH && !(o->flags & HC_OPTION_NO_VALUE);
}

/* "-b, --bind ADDRESS", or "MODULE:APP". */
static int add_names(const hc_option *o, hc_buf *out)
{
    if (o->flags & HC_OPTION_POSITIONAL)
        return hc_buf_add_text(out, o->value);
    int rc = o->letter ? hc_buf_printf(out, "-%c, ", o->letter) : 0;
    if (rc == 0)
        rc = hc_buf_printf(out, "--%s", o->name);
    if (rc == 0 && o->alias)
        rc = hc_buf_printf(out, ", --%s", o->alias);
    if (rc == 0 && takes_value(o))
        rc = hc_buf_printf(out, " %s", o->value);
    return rc;
}

static const char *default_text(const hc_option *o)
{
    if (o->initial_help)
        return o->initial_help;
    return o->type == HC_OPTION_SWITCH ? NULL : o->initial;
}

/* Help text, what follows from the flags, and the default, as one run of words. */
static int add_description(const hc_option *o, hc_buf *out)
{
    const char *initial = default_text(o);
    int rc = hc_buf_add_text(out, o->help);
    if (rc == 0 && o->flags & HC_OPTION_REPEATABLE && !(o->flags & HC_OPTION_POSITIONAL))
        rc = hc_buf_add_text(out, " May be repeated.");
    if (rc == 0 && initial)
        rc = hc_buf_printf(out, " [%s]", initial);
    return rc;
}

static int add_spaces(hc_buf *out, size_t count)
{
    return hc_buf_printf(out, "%*s", (int)count, "");
}

int hc_text_wrap(hc_buf *out, hc_slice words, size_t indent, const char *lead)
{
    size_t column = indent;
    int rc = 0;
    while (rc == 0 && words.size) {
        ptrdiff_t space = hc_slice_find(words, ' ');
        hc_slice word = space < 0 ? words : hc_slice_of(words.at, (size_t)space);
        words = hc_slice_from(words, word.size + 1);
        if (column > indent && column + 1 + word.size > HELP_WIDTH) {
            rc = hc_buf_add_text(out, "\n");
            if (rc == 0)
                rc = hc_buf_add_text(out, lead);
            if (rc == 0)
                rc = add_spaces(out, indent - strlen(lead));
            column = indent;
        } else if (column > indent) {
            rc = hc_buf_add_text(out, " ");
            column++;
        }
        if (rc == 0)
            rc = hc_buf_add(out, word);
        column += word.size;
    }
    return rc == 0 ? hc_buf_add_text(out, "\n") : rc;
}

static int add_help(const hc_option *o, hc_buf *names, hc_buf *words, hc_buf *out)
{
    hc_buf_clear(names);
    hc_buf_clear(words);
    int rc = hc_buf_add_text(names, o->letter || o->flags & HC_OPTION_POSITIONAL ? "  " : "      ");
    if (rc == 0)
        rc = add_names(o, names);
    if (rc == 0)
        rc = add_description(o, words);
    if (rc == 0)
        rc = hc_buf_add(out, hc_buf_slice(names));
    if (rc == 0 && names->size + 1 > HELP_COLUMN)
        rc = hc_buf_printf(out, "\n%*s", HELP_COLUMN, "");
    else if (rc == 0)
        rc = add_spaces(out, HELP_COLUMN - names->size);
    return rc == 0 ? hc_text_wrap(out, hc_buf_slice(words), HELP_COLUMN, "") : rc;
}

typedef int (*entry_writer)(const hc_option *o, hc_buf *names, hc_buf *words, hc_buf *out);

/* The entries under their headings, a heading where its first entry stands in the table. */
static int add_sections(hc_options table, const char *before_heading, entry_writer add_entry,
                        hc_buf *out)
{
    hc_buf names = hc_buf_init(4096), words = hc_buf_init(4096);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < table.count; i++) {
        const char *section = table.at[i].section;
        bool first = shown(&table.at[i]);
        for (size_t before = 0; first && before < i; before++)
            first = !shown(&table.at[before]) || table.at[before].section != section;
        if (!first)
            continue;
        rc = hc_buf_printf(out, "%s%s\n", before_heading, section ? section : "Options");
        for (size_t n = i; rc == 0 && n < table.count; n++)
            if (shown(&table.at[n]) && table.at[n].section == section)
                rc = add_entry(&table.at[n], &names, &words, out);
    }
    hc_buf_done(&names);
    hc_buf_done(&words);
    return rc;
}

int hc_options_help(hc_options table, hc_buf *out)
{
    return add_sections(table, "\n", add_help, out);
}

int hc_roff_add(hc_buf *out, hc_slice text)
{
    bool line_start = true;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < text.size; i++) {
        char c = (char)text.at[i];
        if (line_start && (c == '.' || c == '\''))
            rc = hc_buf_add_text(out, "\\&");
        if (rc == 0 && (c == '\\' || c == '-'))
            rc = hc_buf_add_text(out, c == '\\' ? "\\e" : "\\-");
        else if (rc == 0)
            rc = hc_buf_add_byte(out, (uint8_t)c);
        line_start = c == '\n';
    }
    return rc;
}

static int add_manual(const hc_option *o, hc_buf *names, hc_buf *words, hc_buf *out)
{
    hc_buf_clear(names);
    hc_buf_clear(words);
    int rc = add_names(o, names);
    if (rc == 0)
        rc = add_description(o, words);
    if (rc == 0)
        rc = hc_buf_add_text(out, ".TP\n.B ");
    if (rc == 0)
        rc = hc_roff_add(out, hc_buf_slice(names));
    if (rc == 0)
        rc = hc_buf_add_text(out, "\n");
    if (rc == 0)
        rc = hc_roff_add(out, hc_buf_slice(words));
    return rc == 0 ? hc_buf_add_text(out, "\n") : rc;
}

static int add_others(hc_options table, hc_option_type type, const char *heading, hc_buf *out)
{
    hc_buf names = hc_buf_init(4096), words = hc_buf_init(4096);
    int rc = 0;
    bool any = false;
    for (size_t i = 0; rc == 0 && i < table.count; i++) {
        const hc_option *o = &table.at[i];
        if (!(o->flags & HC_OPTION_OTHERS) ||
            (o->type == HC_OPTION_REFUSED) != (type == HC_OPTION_REFUSED))
            continue;
        if (!any)
            rc = hc_buf_add_text(out, heading);
        any = true;
        if (rc == 0)
            rc = add_manual(o, &names, &words, out);
    }
    hc_buf_done(&names);
    hc_buf_done(&words);
    return rc;
}

int hc_options_manual(hc_options table, hc_buf *out)
{
    int rc = add_sections(table, ".SS ", add_manual, out);
    if (rc == 0)
        rc = add_others(table, HC_OPTION_IGNORED,
                        ".SS Options of gunicorn that are taken and have no effect\n", out);
    if (rc == 0)
        rc =
            add_others(table, HC_OPTION_REFUSED, ".SS Options of gunicorn that are refused\n", out);
    return rc;
}

/* Double-quoted where YAML would read something else than text. */
static int add_yaml_value(const char *text, hc_buf *out)
{
    if (text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_")] ==
        '\0')
        return hc_buf_add_text(out, text);
    int rc = hc_buf_add_byte(out, '"');
    for (; rc == 0 && *text; text++) {
        if (*text == '"' || *text == '\\')
            rc = hc_buf_add_byte(out, '\\');
        if (rc == 0)
            rc = hc_buf_add_byte(out, (uint8_t)*text);
    }
    return rc == 0 ? hc_buf_add_byte(out, '"') : rc;
}

static int add_sample(const hc_option *o, hc_buf *names, hc_buf *words, hc_buf *out)
{
    (void)names;
    if (o->flags & (HC_OPTION_FLAG_ONLY | HC_OPTION_NOT_IN_FILE))
        return 0;
    hc_buf_clear(words);
    int rc = add_description(o, words);
    if (rc == 0)
        rc = hc_buf_add_text(out, "\n## ");
    if (rc == 0)
        rc = hc_text_wrap(out, hc_buf_slice(words), 3, "## ");
    if (rc == 0)
        rc = hc_buf_printf(out, "#%s: ", o->name);
    if (rc == 0)
        rc = o->initial ? add_yaml_value(o->initial, out) : hc_buf_add_text(out, o->value);
    return rc == 0 ? hc_buf_add_text(out, "\n") : rc;
}

int hc_options_sample(hc_options table, hc_buf *out)
{
    int rc = hc_buf_add_text(
        out,
        "# handclasp.yaml: every option, at its default. Flags and HANDCLASP_... variables win "
        "over this file.\n# A list may stand for an option that may be repeated. Times: 90s, "
        "5m, 2h, 30d; sizes: 64k, 16m, 2g.\n");
    return rc == 0 ? add_sections(table, "\n# ---- ", add_sample, out) : rc;
}
