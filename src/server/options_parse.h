/* A table of options, and what can be done with one: read flags, environment and file, set, show,
 * explain.
 *
 * An entry says where in a structure the value lives and of which type it is; the same table drives
 * every use, so that none can fall behind. Commands with few options have a small table of their
 * own. Nothing here logs or exits; the caller owns what it gets, and frees it also after an error.
 */
#ifndef HC_SERVER_OPTIONS_PARSE_H
#define HC_SERVER_OPTIONS_PARSE_H

#include "base/buf.h"
#include "base/err.h"
#include "server/settings.h"

typedef enum hc_option_type {
    HC_OPTION_SWITCH,   /* bool */
    HC_OPTION_NUMBER,   /* unsigned of 4 or 8 octets */
    HC_OPTION_BYTES,    /* the same; "64k" is taken */
    HC_OPTION_DURATION, /* uint64_t, milliseconds; a bare number is seconds */
    HC_OPTION_OCTAL,    /* unsigned */
    HC_OPTION_TEXT,     /* char * */
    HC_OPTION_LIST,     /* hc_strings */
    HC_OPTION_CHOICE,   /* enum (4 octets) or bool, by name */
    HC_OPTION_CUSTOM,   /* functions of its own */
    HC_OPTION_IGNORED,  /* taken for the sake of gunicorn's users; the help text says why it has no
                           effect */
    HC_OPTION_REFUSED,  /* known, and the help text says what to do instead */
} hc_option_type;

enum {
    HC_OPTION_RELOADABLE = 1,
    HC_OPTION_REPEATABLE = 2,
    HC_OPTION_HIDDEN = 4,    /* in no help, sample or manual */
    HC_OPTION_FLAG_ONLY = 8, /* neither in the environment nor in a file */
    HC_OPTION_NOT_IN_FILE = 16,
    HC_OPTION_POSITIONAL = 32, /* the argument without a name */
    HC_OPTION_COMMAS = 64,     /* a value is a list with commas, as gunicorn has it */
    HC_OPTION_NO_VALUE = 128,  /* IGNORED or REFUSED, as a flag that takes none */
    HC_OPTION_STOPS = 256,     /* --help: what follows on the command line is not looked at */
    HC_OPTION_OTHERS = 512, /* another server's option: shown in the manual's list of these alone */
};

typedef struct hc_option_choice {
    const char *name; /* NULL ends the list */
    unsigned value;
} hc_option_choice;

typedef struct hc_option hc_option;

typedef struct hc_option_custom {
    int (*set)(void *target, const hc_option *option, hc_slice value, hc_err *err);
    /* The index-th value as text: 1 where there is one, 0 where there is none (any more), or
     * negative. NULL: the value shows under another option. */
    int (*get)(const void *target, size_t index, hc_buf *out);
    void (*clear)(void *target);
} hc_option_custom;

struct hc_option {
    const char *name;   /* "bind": --bind, HANDCLASP_BIND, bind: … */
    const char *alias;  /* another name for the same, or NULL */
    const char *writes; /* the option whose value this one sets in another spelling, or NULL */
    char letter;        /* -b; 0 where it has none */
    hc_option_type type;
    unsigned flags;
    size_t offset, size; /* of the value in the target */
    uint64_t min, max;   /* NUMBER, BYTES, DURATION (ms), OCTAL; max of a LIST is its entries */
    const hc_option_choice *choices;
    const hc_option_custom *custom;
    const char *value;        /* what help calls it: "ADDRESS" */
    const char *initial;      /* the default as text; NULL: none, or made at run time */
    const char *initial_help; /* for help where `initial` says it badly */
    const char *section;      /* heading in help and manual */
    const char *help;
};

typedef struct hc_options {
    const hc_option *at;
    size_t count;
} hc_options;

/* One value that was given, not yet applied. */
typedef struct hc_given {
    const hc_option *option;
    char *value;
    char *where; /* "--bind", "HANDCLASP_BIND", "x/handclasp.yaml:3: bind" */
} hc_given;

typedef struct hc_given_list {
    hc_given *at;
    size_t count, room;
} hc_given_list;

int hc_given_add(hc_given_list *l, const hc_option *o, hc_slice value, hc_slice where,
                 hc_err *err) HC_MUST_CHECK;
void hc_given_done(hc_given_list *l);

/* By name or alias; '_' is as good as '-'. NULL where there is none. */
const hc_option *hc_option_find(hc_options table, hc_slice name);
/* The visible name that is nearest to a misspelled one; NULL where none is near. */
const char *hc_option_nearest(hc_options table, hc_slice name);

int hc_options_from_flags(hc_options table, int argc, char *const *argv, hc_given_list *out,
                          hc_err *err) HC_MUST_CHECK;
/* `notices` gets a line for each HANDCLASP_ name that is no option: a misspelling, or a variable
 * that a container platform made up from a service's name, so not an error. */
int hc_options_from_environment(hc_options table, char *const *environment, hc_given_list *out,
                                hc_strings *notices, hc_err *err) HC_MUST_CHECK;
/* `name` is for messages. */
int hc_options_from_file(hc_options table, hc_slice yaml, const char *name, hc_given_list *out,
                         hc_err *err) HC_MUST_CHECK;
/* Applies one level over what is there: the first value of a list replaces those of the levels
 * below. */
int hc_options_apply(hc_options table, const hc_given_list *given, void *target,
                     hc_strings *notices, hc_err *err) HC_MUST_CHECK;
int hc_options_apply_defaults(hc_options table, void *target, hc_err *err) HC_MUST_CHECK;

int hc_option_set(const hc_option *o, void *target, hc_slice value, hc_err *err) HC_MUST_CHECK;
/* The index-th value as text: 1 where there is one, 0 where there is none (any more), or negative.
 */
int hc_option_get(const hc_option *o, const void *target, size_t index, hc_buf *out) HC_MUST_CHECK;
/* Frees; the value is then none. */
void hc_option_clear(const hc_option *o, void *target);
void hc_options_done(hc_options table, void *target);

/* The option list of --help, with every default. */
int hc_options_help(hc_options table, hc_buf *out) HC_MUST_CHECK;
/* The same as sections of a manual page, roff. */
int hc_options_manual(hc_options table, hc_buf *out) HC_MUST_CHECK;
/* `words` broken into lines that begin at `indent`, with `lead` at the very left of each but the
 * first; the cursor stands at `indent`. Ends the last line. */
int hc_text_wrap(hc_buf *out, hc_slice words, size_t indent, const char *lead) HC_MUST_CHECK;
/* Text with what roff would act on escaped. */
int hc_roff_add(hc_buf *out, hc_slice text) HC_MUST_CHECK;
/* handclasp.yaml with every option, commented out, at its default. */
int hc_options_sample(hc_options table, hc_buf *out) HC_MUST_CHECK;

int hc_strings_add(hc_strings *s, hc_slice text, hc_err *err) HC_MUST_CHECK;
void hc_strings_done(hc_strings *s);

#endif
