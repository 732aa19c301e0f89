#include <stdio.h>

#include "base/mem.h"
#include "cli/bulk.h"
#include "cli/edit.h"

typedef struct role_args {
    hc_bulk_args bulk;
    hc_strings add, remove, set;
    bool none;
} role_args;

#define AT(member) .offset = offsetof(role_args, member), .size = sizeof(((role_args *)0)->member)

static const hc_option table[] = {
    HC_BULK_WHO("Names, or serials or fingerprints of one of their certificates."),
    {.name = "add",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = HC_LIMIT_ROLES,
     AT(add),
     .value = "ROLE",
     .help = "Give this role; +ROLE is the same."},
    {.name = "remove",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = HC_LIMIT_ROLES,
     AT(remove),
     .value = "ROLE",
     .help = "Take this role away; -ROLE is the same."},
    {.name = "set",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = HC_LIMIT_ROLES,
     AT(set),
     .value = "ROLE",
     .help = "Have these roles and no others."},
    {.name = "none",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(none),
     .help = "Have no role."},
    HC_BULK_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int change(void *arg, hc_records *r, const hc_target *t, hc_err *err)
{
    return hc_edit_roles(r, t->client_id, arg, err);
}

static int role(void *args, hc_err *err)
{
    const role_args *a = args;
    bool replaces = a->set.count || a->none, changes = a->add.count || a->remove.count;
    hc_role_edit edit = {replaces ? &a->set : &a->add, &a->remove, replaces};
    hc_bulk what = {"roles", false, change, &edit};
    if (!changes && !replaces)
        return hc_err_set(err, HC_EINVAL,
                          "which role? handclasp client role alice +staff -guest, or --set ROLE");
    if ((a->set.count > 0) + a->none + changes > 1)
        return hc_err_set(err, HC_EINVAL,
                          "--set and --none say all roles; leave out the others, or them");
    return hc_bulk_run(&a->bulk, &what, err);
}

/* "+staff" and "-guest" are "--add=staff" and "--remove=guest". */
static char *spelled_out(const char *word)
{
    static const char *const flags[] = {"--add=", "--remove="};
    bool adds = word[0] == '+' && word[1];
    bool removes = word[0] == '-' && word[1] && word[1] != '-' && strcmp(word, "-h") != 0 &&
                   strcmp(word, "-c") != 0;
    if (!adds && !removes)
        return hc_strdup(word);
    const char *flag = flags[removes];
    size_t size = strlen(flag) + strlen(word);
    char *out = hc_alloc(size);
    if (out)
        (void)snprintf(out, size, "%s%s", flag, word + 1);
    return out;
}

static int run(const hc_command *self, int argc, char **argv)
{
    char **words = hc_alloc_zero((size_t)argc + 1, sizeof(*words));
    int made = 0, rc = HC_EXIT_NO;
    while (words && made < argc && (words[made] = spelled_out(argv[made])) != NULL)
        made++;
    if (words && made == argc)
        rc = hc_command_main(self, argc, words);
    for (int i = 0; i < made; i++)
        hc_free(words[i]);
    hc_free(words);
    return rc;
}

const hc_command hc_cmd_client_role = {
    .name = "client role",
    .synopsis = "[OPTION]... CLIENT... [+ROLE]... [-ROLE]...",
    .summary = "give roles to clients, and take them away",
    .about = "A role is a word of up to 64 letters, digits and . _ : @ / + - that the application "
             "asks for: @client_required(role=\"staff\"). A change is in force on the next request "
             "of every open connection, within a second.\n\n"
             "Whom: words, a file of words, or every client that passes all filters given. A role "
             "named c or h is taken away with --remove, since -c and -h are options.",
    .examples = "  handclasp client role alice +staff -guest\n"
                "  handclasp client role alice --set staff\n"
                "  handclasp client role --role guest --remove guest --dry-run\n",
    .options = options,
    .run = run,
    .act = role,
    .args_size = sizeof(role_args),
};
