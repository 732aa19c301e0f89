/* How commands are run, and how they answer. */
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/command.h"

/* Whatever was asked for is done by now; whoever reads on stopped of his own will at EPIPE. */
static int end_output(bool written)
{
    if (fflush(stdout) == 0 && written)
        return HC_EXIT_DONE;
    if (errno != EPIPE)
        (void)fprintf(stderr, "handclasp: the answer cannot be written: %s\n", strerror(errno));
    return HC_EXIT_NO;
}

int hc_print(const hc_buf *text)
{
    return end_output(text->size == 0 || fwrite(text->at, 1, text->size, stdout) == text->size);
}

int hc_print_json(json_t *object)
{
    errno = object ? 0 : ENOMEM;
    bool written = object && json_dumpf(object, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0;
    written = written && fputc('\n', stdout) != EOF;
    json_decref(object);
    return end_output(written);
}

/* An error quotes files' names and arguments: kept to one line, and to what JSON takes. */
static int add_harmless(hc_buf *out, hc_slice text)
{
    int rc = 0;
    while (rc == 0 && text.size) {
        uint32_t point = 0;
        size_t size = hc_utf8_next(text, &point);
        hc_slice one = hc_slice_of(text.at, size ? size : 1);
        rc = size && hc_utf8_harmless(point) ? hc_buf_add(out, one) : hc_escape_add(out, one);
        text = hc_slice_from(text, one.size);
    }
    return rc == 0 ? hc_buf_add_byte(out, '\0') : rc;
}

int hc_report(const hc_command *c, bool json, bool usage, const hc_err *err)
{
    bool is_usage = usage && err->code == HC_EINVAL;
    hc_buf text = hc_buf_init(4 * sizeof(err->text) + 1);
    const char *said = add_harmless(&text, hc_slice_text(err->text)) == 0 ? (const char *)text.at
                                                                          : "out of memory";
    if (json)
        (void)hc_print_json(json_pack("{s:s, s:s}", "error", said, "code", hc_err_name(err->code)));
    else
        (void)fprintf(stderr, "handclasp %s: %s\n", c->name, said);
    hc_buf_done(&text);
    return is_usage ? HC_EXIT_USAGE : HC_EXIT_NO;
}

bool hc_wants_json(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

int hc_command_parse(const hc_command *c, int argc, char **argv, void *target, const bool *help)
{
    hc_options table = c->options();
    hc_given_list given = {NULL, 0, 0};
    hc_err err = {0};
    int rc = hc_options_apply_defaults(table, target, &err);
    if (rc == 0)
        rc = hc_options_from_flags(table, argc, argv, &given, &err);
    if (rc == 0)
        rc = hc_options_apply(table, &given, target, NULL, &err);
    hc_given_done(&given);
    if (*help)
        return hc_command_help(c);
    return rc == 0 ? -1 : hc_report(c, hc_wants_json(argc, argv), true, &err);
}

/* The positional argument of a table is a text or a list. */
static bool is_missing(const hc_command *c, const void *args)
{
    hc_options table = c->options();
    for (size_t i = 0; c->missing && i < table.count; i++) {
        const hc_option *o = &table.at[i];
        const void *value = (const char *)args + o->offset;
        if (!(o->flags & HC_OPTION_POSITIONAL))
            continue;
        return o->type == HC_OPTION_LIST ? ((const hc_strings *)value)->count == 0
                                         : *(char *const *)value == NULL;
    }
    return false;
}

int hc_command_main(const hc_command *self, int argc, char **argv)
{
    hc_err err = {0};
    hc_common_args *args = hc_alloc_zero(1, self->args_size);
    if (!args) {
        (void)hc_err_set(&err, HC_ENOMEM, "out of memory");
        return hc_report(self, false, false, &err);
    }
    int rc = hc_command_parse(self, argc, argv, args, &args->help);
    if (rc < 0 && is_missing(self, args))
        rc = hc_err_set(&err, HC_EINVAL, "%s", self->missing);
    else if (rc < 0)
        rc = self->act(args, &err);
    if (rc < 0)
        rc = hc_report(self, args->json, true, &err);
    hc_options_done(self->options(), args);
    hc_free(args);
    return rc;
}
