/* How commands answer. */
#include <stdio.h>

#include "base/mem.h"
#include "cli/command.h"

int hc_print(const hc_buf *text)
{
    bool written = text->size == 0 || fwrite(text->at, 1, text->size, stdout) == text->size;
    return fflush(stdout) == 0 && written ? HC_EXIT_DONE : HC_EXIT_NO;
}

int hc_print_json(json_t *object)
{
    bool written = object && json_dumpf(object, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0;
    written = written && fputc('\n', stdout) != EOF;
    json_decref(object);
    return fflush(stdout) == 0 && written ? HC_EXIT_DONE : HC_EXIT_NO;
}

int hc_report(const hc_command *c, bool json, bool usage, const hc_err *err)
{
    bool is_usage = usage && err->code == HC_EINVAL;
    if (json)
        (void)hc_print_json(
            json_pack("{s:s, s:s}", "error", err->text, "code", hc_err_name(err->code)));
    else
        (void)fprintf(stderr, "handclasp %s: %s\n", c->name, err->text);
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
