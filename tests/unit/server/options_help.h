/* Shared by the tests of options: parse a command line given as words. */
#ifndef HC_TESTS_UNIT_SERVER_OPTIONS_HELP_H
#define HC_TESTS_UNIT_SERVER_OPTIONS_HELP_H

#include "../unit.h"
#include "server/options.h"

#define ARGS(...) ((char *[]){__VA_ARGS__, NULL})

/* A folder without a state folder in it is the current one in these tests. */
static inline int parse_with(char *const *argv, char *const *environment, hc_serve_args *out,
                             hc_err *err)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    *err = (hc_err){0};
    return hc_serve_args_parse(argc, argv, environment, out, err);
}

static inline void assert_refused_with(char *const *argv, char *const *environment,
                                       const char *wanted)
{
    hc_serve_args a;
    hc_err err;
    assert_int_equal(parse_with(argv, environment, &a, &err), -HC_EINVAL);
    assert_int_equal(err.code, HC_EINVAL);
    assert_string_equal(err.text, wanted);
    assert_null(strchr(err.text, '\n'));
}

#define assert_refused(argv, wanted) assert_refused_with(argv, NULL, wanted)

static inline hc_serve_args parsed(char *const *argv, char *const *environment)
{
    hc_serve_args a;
    hc_err err;
    if (parse_with(argv, environment, &a, &err) != 0)
        fail_msg("refused: %s", err.text);
    return a;
}

#endif
