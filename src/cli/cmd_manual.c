/* The manual pages and the sample file, from the tables: scripts/gen_man.py writes docs/reference
 * with it. */
#include <stdio.h>

#include "cli/command.h"
#include "server/options.h"

#define TEXT_LIMIT (1u << 20)

static const hc_command *find_page(const char *name)
{
    char page[HC_COMMAND_PAGE_BYTES];
    const hc_command *c;
    for (size_t i = 0; (c = hc_command_visible(i)) != NULL; i++) {
        hc_command_page(c, page);
        if (strcmp(page, name) == 0)
            break;
    }
    return c;
}

static int write_page(const char *name, hc_buf *out)
{
    if (strcmp(name, "handclasp") == 0)
        return hc_program_manual(out);
    if (strcmp(name, "handclasp.yaml") == 0)
        return hc_options_sample(hc_serve_options(), out);
    const hc_command *c = find_page(name);
    return c ? hc_command_manual(c, out) : -HC_ENOENT;
}

/* Without an argument: the names of all pages. */
static int list_pages(hc_buf *out)
{
    char page[HC_COMMAND_PAGE_BYTES];
    const hc_command *c;
    int rc = hc_buf_add_text(out, "handclasp.yaml\nhandclasp\n");
    for (size_t i = 0; rc == 0 && (c = hc_command_visible(i)) != NULL; i++) {
        hc_command_page(c, page);
        rc = hc_buf_printf(out, "%s\n", page);
    }
    return rc;
}

static int run(const hc_command *self, int argc, char **argv)
{
    hc_buf out = hc_buf_init(TEXT_LIMIT);
    int rc = argc > 0 ? write_page(argv[0], &out) : list_pages(&out);
    if (rc != 0)
        (void)fprintf(stderr, "handclasp %s: there is no such page\n", self->name);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_USAGE;
    hc_buf_done(&out);
    return rc;
}

const hc_command hc_cmd_manual = {
    .name = "manual",
    .synopsis = "[PAGE]",
    .summary = "write a page of the manual",
    .about = "Writes a page of the manual.",
    .run = run,
    .hidden = true,
};
