/* Help and manual pages, made from the tables of commands and options. */
#include <stdio.h>

#include "cli/command.h"

#define TEXT_LIMIT (1u << 20)

static int add_program_help(hc_buf *out)
{
    int rc =
        hc_buf_add_text(out, "Handclasp serves a Flask (any WSGI) application over two-way TLS.\n\n"
                             "usage: handclasp COMMAND [OPTION]...\n\ncommands:\n");
    const hc_command *c;
    for (size_t i = 0; rc == 0 && (c = hc_command_at(i)) != NULL; i++)
        if (!c->hidden)
            rc = hc_buf_printf(out, "  %-14s%s\n", c->name, c->summary);
    if (rc == 0)
        rc = hc_buf_add_text(out, "\n`handclasp help COMMAND` says more. To begin:\n\n"
                                  "  handclasp init --host localhost --client alice\n"
                                  "  handclasp serve shop:app\n");
    return rc;
}

int hc_program_help(void)
{
    hc_buf out = hc_buf_init(TEXT_LIMIT);
    int rc = add_program_help(&out) == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

/* Paragraphs stand apart by an empty line; the next one's begin, or NULL. */
static const char *next_paragraph(const char *text, hc_slice *paragraph)
{
    const char *end = strstr(text, "\n\n");
    *paragraph = hc_slice_of(text, end ? (size_t)(end - text) : strlen(text));
    return end ? end + 2 : NULL;
}

static int add_group_help(const hc_command *c, hc_buf *out)
{
    int rc = hc_buf_add_text(out, "\ncommands:\n");
    for (size_t i = 0; rc == 0 && c->commands[i]; i++)
        rc = hc_buf_printf(out, "  %-18s%s\n", c->commands[i]->name, c->commands[i]->summary);
    return rc == 0 ? hc_buf_printf(out,
                                   "\n`handclasp help %s COMMAND` says more; every command takes "
                                   "--help and --json.\n",
                                   c->name)
                   : rc;
}

static int add_command_help(const hc_command *c, hc_buf *out)
{
    hc_slice paragraph;
    int rc = hc_buf_printf(out, "usage: handclasp %s %s\n", c->name, c->synopsis);
    for (const char *text = c->about; rc == 0 && text;) {
        text = next_paragraph(text, &paragraph);
        rc = hc_buf_add_text(out, "\n");
        if (rc == 0)
            rc = hc_text_wrap(out, paragraph, 0, "");
    }
    if (rc == 0 && c->commands)
        rc = add_group_help(c, out);
    if (rc == 0 && c->options)
        rc = hc_options_help(c->options(), out);
    if (rc == 0 && c->examples)
        rc = hc_buf_printf(out, "\nExamples:\n%s", c->examples);
    return rc;
}

int hc_command_help(const hc_command *c)
{
    hc_buf out = hc_buf_init(TEXT_LIMIT);
    int rc = add_command_help(c, &out) == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

void hc_command_page(const hc_command *c, char out[HC_COMMAND_PAGE_BYTES])
{
    (void)snprintf(out, HC_COMMAND_PAGE_BYTES, "%s", c->name);
    for (; *out; out++)
        if (*out == ' ')
            *out = '-';
}

/* Paragraphs, roff-escaped, each behind .PP. */
static int add_paragraphs(const char *text, hc_buf *out)
{
    hc_slice paragraph;
    int rc = 0;
    while (rc == 0 && text) {
        text = next_paragraph(text, &paragraph);
        rc = hc_buf_add_text(out, ".PP\n");
        if (rc == 0)
            rc = hc_roff_add(out, paragraph);
        if (rc == 0)
            rc = hc_buf_add_text(out, "\n");
    }
    return rc;
}

static int add_heading(const char *page, const char *summary, hc_buf *out)
{
    int rc = hc_buf_printf(
        out,
        ".\\\" Made from the program's own tables by `handclasp manual`; do not edit.\n"
        ".TH %s 1 \"\" \"Handclasp %s\" \"Handclasp\"\n.SH NAME\n",
        page, HC_VERSION);
    if (rc == 0)
        rc = hc_roff_add(out, hc_slice_text(page));
    if (rc == 0)
        rc = hc_buf_add_text(out, " \\- ");
    if (rc == 0)
        rc = hc_roff_add(out, hc_slice_text(summary));
    return rc == 0 ? hc_buf_add_text(out, "\n") : rc;
}

static int add_preformatted(const char *heading, const char *text, hc_buf *out)
{
    int rc = hc_buf_printf(out, ".SH %s\n.EX\n", heading);
    if (rc == 0)
        rc = hc_roff_add(out, hc_slice_text(text));
    return rc == 0 ? hc_buf_add_text(out, ".EE\n") : rc;
}

static const char exit_status[] =
    ".SH EXIT STATUS\n0 done; 1 refused, failed or not found; 2 wrong usage.\n";

static int add_command_entry(const hc_command *c, hc_buf *out)
{
    char page[HC_COMMAND_PAGE_BYTES];
    hc_command_page(c, page);
    int rc = hc_buf_printf(out, ".TP\n.BR handclasp-%s (1)\n", page);
    if (rc == 0)
        rc = hc_roff_add(out, hc_slice_text(c->summary));
    return rc == 0 ? hc_buf_add_text(out, "\n") : rc;
}

static int add_command_body(const hc_command *c, hc_buf *out)
{
    int rc = hc_buf_printf(out, ".SH SYNOPSIS\n.B handclasp %s\n", c->name);
    if (rc == 0)
        rc = hc_roff_add(out, hc_slice_text(c->synopsis));
    if (rc == 0)
        rc = hc_buf_add_text(out, "\n.SH DESCRIPTION\n");
    if (rc == 0)
        rc = add_paragraphs(c->about, out);
    if (rc == 0 && c->commands)
        rc = hc_buf_add_text(out, ".SH COMMANDS\n");
    for (size_t i = 0; rc == 0 && c->commands && c->commands[i]; i++)
        rc = add_command_entry(c->commands[i], out);
    if (rc == 0 && c->options)
        rc = hc_buf_add_text(out, ".SH OPTIONS\n");
    if (rc == 0 && c->options)
        rc = hc_options_manual(c->options(), out);
    if (rc == 0 && c->files)
        rc = hc_buf_add_text(out, ".SH FILES\n");
    if (rc == 0 && c->files)
        rc = add_paragraphs(c->files, out);
    if (rc == 0 && c->examples)
        rc = add_preformatted("EXAMPLES", c->examples, out);
    return rc;
}

int hc_command_manual(const hc_command *c, hc_buf *out)
{
    char name[HC_COMMAND_PAGE_BYTES], page[HC_COMMAND_PAGE_BYTES + 16];
    hc_command_page(c, name);
    (void)snprintf(page, sizeof(page), "handclasp-%s", name);
    int rc = add_heading(page, c->summary, out);
    if (rc == 0)
        rc = add_command_body(c, out);
    if (rc == 0)
        rc = hc_buf_add_text(out, exit_status);
    if (rc == 0)
        rc = hc_buf_add_text(out, ".SH SEE ALSO\n.BR handclasp (1)\n");
    return rc;
}

int hc_program_manual(hc_buf *out)
{
    const hc_command *c;
    int rc = add_heading("handclasp", "serve a WSGI application over two-way TLS", out);
    if (rc == 0)
        rc = hc_buf_add_text(
            out,
            ".SH SYNOPSIS\n.B handclasp\nCOMMAND [OPTION]...\n.SH DESCRIPTION\n"
            "The server proves who it is, and every client proves who it is with a "
            "certificate.\nEvery command takes \\-\\-help and \\-\\-json, and reports an error "
            "as one line that says what to do.\n.SH COMMANDS\n");
    for (size_t i = 0; rc == 0 && (c = hc_command_at(i)) != NULL; i++) {
        if (!c->hidden)
            rc = add_command_entry(c, out);
    }
    return rc == 0 ? hc_buf_add_text(out, exit_status) : rc;
}
