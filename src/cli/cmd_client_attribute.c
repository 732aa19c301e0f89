#include "cli/bulk.h"
#include "cli/edit.h"

typedef struct attribute_args {
    hc_bulk_args bulk;
    hc_strings json_set, unset;
} attribute_args;

#define AT(member)                                                                                 \
    .offset = offsetof(attribute_args, member), .size = sizeof(((attribute_args *)0)->member)

static const hc_option table[] = {
    HC_BULK_WHO("A name, or the serial or fingerprint of a certificate; behind it KEY=VALUE."),
    {.name = "json-set",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = 1000,
     AT(json_set),
     .value = "KEY=JSON",
     .help = "Set it to a number, list, object or other value of JSON."},
    {.name = "unset",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = 1000,
     AT(unset),
     .value = "KEY",
     .help = "Take this attribute away."},
    HC_BULK_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct wish {
    json_t *set; /* attributes that are given a value */
    const hc_strings *unset;
} wish;

static int change(void *arg, hc_records *r, const hc_target *t, hc_err *err)
{
    const wish *w = arg;
    return hc_edit_attributes(r, t->client_id, w->set, w->unset, err);
}

static int gather(const attribute_args *a, const hc_strings *words, json_t *set, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && words->at && i < words->count; i++)
        rc = hc_attribute_parse(set, words->at[i], false, err);
    for (size_t i = 0; rc == 0 && i < a->json_set.count; i++)
        rc = hc_attribute_parse(set, a->json_set.at[i], true, err);
    if (rc == 0 && json_object_size(set) == 0 && a->unset.count == 0)
        rc = hc_err_set(err, HC_EINVAL,
                        "which attribute? handclasp client attribute alice site=hall-2");
    return rc;
}

static int attribute(void *args, hc_err *err)
{
    const attribute_args *a = args;
    wish w = {json_object(), &a->unset};
    hc_bulk what = {"attributes", false, change, &w};
    hc_bulk_args bulk = a->bulk;
    /* Where a file or filters say whom, every word is an attribute. */
    size_t names = bulk.from || hc_filter_given(&bulk.filtered.filter) || !bulk.who.count ? 0 : 1;
    hc_strings words = {bulk.who.at ? bulk.who.at + names : NULL, bulk.who.count - names};
    bulk.who.count = names;
    int rc = gather(a, &words, w.set, err);
    if (rc == 0)
        rc = hc_bulk_run(&bulk, &what, err);
    json_decref(w.set);
    return rc;
}

const hc_command hc_cmd_client_attribute = {
    .name = "client attribute",
    .synopsis = "[OPTION]... CLIENT [KEY=VALUE]...",
    .summary = "set attributes of a client for the application",
    .about = "Attributes are what the application wants to know of a client: a JSON object of up "
             "to 16 KiB, in current_client.attributes. KEY=VALUE sets a text, --json-set any "
             "value. A change is in force on the next request of every open connection, within a "
             "second.",
    .examples =
        "  handclasp client attribute alice site=hall-2\n"
        "  handclasp client attribute alice --json-set 'limits={\"kwh\": 40}' --unset site\n",
    .options = options,
    .run = hc_command_main,
    .act = attribute,
    .args_size = sizeof(attribute_args),
};
