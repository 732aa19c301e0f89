#include "cli/server_args.h"

extern char **environ;

static int add_flag(hc_strings *flags, const char *name, const char *value, hc_err *err)
{
    int rc = value ? hc_strings_add(flags, hc_slice_text(name), err) : 0;
    return rc == 0 && value ? hc_strings_add(flags, hc_slice_text(value), err) : rc;
}

int hc_server_args(const hc_common_args *common, const hc_strings *more, hc_serve_args *out,
                   hc_err *err)
{
    hc_strings flags = {NULL, 0};
    int rc = add_flag(&flags, "--state", common->state, err);
    if (rc == 0)
        rc = add_flag(&flags, "--config", common->config, err);
    if (rc == 0)
        rc = add_flag(&flags, "--registry", common->registry, err);
    for (size_t i = 0; rc == 0 && more && i < more->count; i++)
        rc = hc_strings_add(&flags, hc_slice_text(more->at[i]), err);
    if (rc == 0)
        rc = hc_serve_args_parse((int)flags.count, flags.at, environ, out, err);
    hc_strings_done(&flags);
    return rc;
}
