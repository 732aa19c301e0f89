#include <stdio.h>

#include "base/clock.h"
#include "cli/selection.h"

#define OUTPUT_LIMIT (64u << 20)

typedef struct list_args {
    hc_filtered_args filtered;
    uint64_t limit, after;
} list_args;

#define AT(member) .offset = offsetof(list_args, member), .size = sizeof(((list_args *)0)->member)

static const hc_option table[] = {
    HC_FILTER_OPTIONS,
    {.name = "limit",
     .type = HC_OPTION_NUMBER,
     AT(limit),
     .min = 1,
     .max = 10000,
     .value = "NUMBER",
     .initial = "100",
     .help = "At most so many clients."},
    {.name = "after",
     .type = HC_OPTION_NUMBER,
     AT(after),
     .max = INT64_MAX,
     .value = "ID",
     .help = "Those behind the client of this id: the next page."},
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct page {
    json_t *rows;
    uint64_t limit;
    int64_t last;
    bool more;
} page;

static int on_client(void *arg, const hc_client_row *row)
{
    page *p = arg;
    if (json_array_size(p->rows) == p->limit) {
        p->more = true;
        return 0;
    }
    p->last = row->id;
    return json_array_append_new(p->rows, hc_client_json(row)) == 0 ? 0 : -HC_ENOMEM;
}

static int print_text(const page *p)
{
    static const hc_column columns[] = {{"NAME", "name"},
                                        {"STATUS", "status"},
                                        {"CERTIFICATES", "certificates"},
                                        {"LAST SEEN", "last_seen"},
                                        {"ROLES", "roles"}};
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    int rc = json_array_size(p->rows) == 0
                 ? hc_buf_add_text(&out, "no client\n")
                 : hc_table_add(&out, p->rows, columns, HC_COUNT(columns));
    if (rc == 0 && p->more)
        rc = hc_buf_printf(&out, "more: --after %lld\n", (long long)p->last);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int list(void *args, hc_err *err)
{
    const list_args *a = args;
    hc_records r;
    page p = {.limit = a->limit};
    hc_client_filter f = {.after = (int64_t)a->after, .limit = a->limit + 1};
    int rc = hc_records_open(&a->filtered.common, HC_REGISTRY_READ, &r, err);
    if (rc != 0)
        return rc;
    p.rows = json_array();
    hc_filter_fill(&a->filtered.filter, hc_clock_wall_s(), &f);
    rc = r.registry->engine->clients(r.registry, &f, on_client, &p, err);
    if (rc == 0 && a->filtered.common.json)
        rc = hc_print_json(json_pack("{s:O, s:o}", "clients", p.rows, "next",
                                     p.more ? json_integer(p.last) : json_null()));
    else if (rc == 0)
        rc = print_text(&p);
    json_decref(p.rows);
    hc_records_close(&r);
    return rc;
}

const hc_command hc_cmd_client_list = {
    .name = "client list",
    .synopsis = "[OPTION]...",
    .summary = "list clients",
    .about = "Lists the clients that pass every filter given, in the order in which their records "
             "were made, a page at a time.",
    .examples = "  handclasp client list --expiring 30d\n"
                "  handclasp client list --unused 90d --status active --json\n",
    .options = options,
    .run = hc_command_main,
    .act = list,
    .args_size = sizeof(list_args),
};
