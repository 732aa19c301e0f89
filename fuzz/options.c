/* handclasp.yaml, and settings on their way to the front: what is taken must apply, and must come
 * out of its encoding as it went in; what is not taken is said in one line.
 *
 * The first octet says which of the two the rest is. */
#include <stdlib.h>

#include "base/str.h"
#include "server/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_say_why(const hc_err *err)
{
    must(err->code != HC_OK && err->text[0] && !strchr(err->text, '\n'));
}

static void must_travel(const hc_settings *s)
{
    hc_buf once = hc_buf_init(SIZE_MAX), again = hc_buf_init(SIZE_MAX);
    hc_settings copy;
    memset(&copy, 0, sizeof(copy));
    must(hc_settings_encode(s, &once, NULL) == 0);
    must(hc_settings_decode(hc_buf_slice(&once), &copy, NULL) == 0);
    must(hc_settings_encode(&copy, &again, NULL) == 0);
    must(hc_slice_equal(hc_buf_slice(&once), hc_buf_slice(&again)));
    hc_settings_done(&copy);
    hc_buf_done(&once);
    hc_buf_done(&again);
}

static void try_file(hc_slice yaml)
{
    hc_options table = hc_serve_options();
    hc_given_list given = {0};
    hc_serve_args args;
    hc_err err = {0};
    memset(&args, 0, sizeof(args));
    must(hc_settings_defaults(&args.settings, NULL) == 0);
    int rc = hc_options_from_file(table, yaml, "handclasp.yaml", &given, &err);
    if (rc == 0)
        rc = hc_options_apply(table, &given, &args, &args.notices, &err);
    if (rc == 0)
        must_travel(&args.settings);
    else
        must_say_why(&err);
    hc_given_done(&given);
    hc_serve_args_done(&args);
}

/* Behind a whole message, so that nothing stays at a zero that no option could give. */
static void try_message(hc_slice message)
{
    hc_settings s;
    hc_err err = {0};
    hc_buf whole = hc_buf_init(SIZE_MAX);
    must(hc_settings_defaults(&s, NULL) == 0);
    must(hc_settings_encode(&s, &whole, NULL) == 0);
    must(hc_buf_add(&whole, message) == 0);
    if (hc_settings_decode(hc_buf_slice(&whole), &s, &err) == 0)
        must_travel(&s);
    else
        must_say_why(&err);
    hc_settings_done(&s);
    hc_buf_done(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    hc_slice rest = hc_slice_of(data + 1, size - 1);
    if (data[0] == 'm')
        try_message(rest);
    else
        try_file(rest);
    return 0;
}
