#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/records.h"

#define OUTPUT_LIMIT (64u << 20)

typedef struct audit_args {
    hc_common_args common;
    char *client, *action, *since;
    uint64_t limit, before;
} audit_args;

#define AT(member) .offset = offsetof(audit_args, member), .size = sizeof(((audit_args *)0)->member)

/* Whoever misspells one is not to read that there was none. */
#define ACTIONS                                                                                    \
    "client.add, client.status, client.roles, client.attributes, client.remove, certificate.add, " \
    "certificate.revoke, certificate.pin, crl.make, ca.import, ca.rotate, ca.retire"

static const hc_option table[] = {
    {.name = "client",
     .type = HC_OPTION_TEXT,
     AT(client),
     .value = "NAME",
     .help = "Changes of the client that had this name then, also of one that is gone."},
    {.name = "action",
     .type = HC_OPTION_TEXT,
     AT(action),
     .value = "ACTION",
     .help = "Changes of this kind: " ACTIONS "."},
    {.name = "since",
     .type = HC_OPTION_TEXT,
     AT(since),
     .value = "TIME",
     .help = "Changes since a day or moment (2026-11-23, 2026-11-23T18:00:00Z), or within a time "
             "(24h, 7d)."},
    {.name = "limit",
     .type = HC_OPTION_NUMBER,
     AT(limit),
     .min = 1,
     .max = 100000,
     .value = "NUMBER",
     .initial = "100",
     .help = "At most so many."},
    {.name = "before",
     .type = HC_OPTION_NUMBER,
     AT(before),
     .max = INT64_MAX,
     .value = "SEQ",
     .help = "Those before the change of this number: the next page."},
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int parse_since(const char *text, int64_t *out_ms, hc_err *err)
{
    struct tm tm = {0};
    uint64_t ago_ms;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end == 'T')
        end = strptime(end, "T%H:%M:%S", &tm);
    if (end && (*end == '\0' || strcmp(end, "Z") == 0)) {
        *out_ms = (int64_t)timegm(&tm) * 1000;
        return 0;
    }
    if (!hc_parse_duration_ms(hc_slice_text(text), &ago_ms) || ago_ms > INT64_MAX / 2)
        return hc_err_set(err, HC_EINVAL,
                          "--since: a day such as 2026-11-23, a moment such as "
                          "2026-11-23T18:00:00Z or a time such as 24h is wanted");
    *out_ms = hc_clock_wall_ms() - (int64_t)ago_ms;
    return 0;
}

static int check_action(const char *action, hc_err *err)
{
    hc_slice rest = HC_SLICE_LITERAL(ACTIONS);
    while (rest.size) {
        ptrdiff_t comma = hc_slice_find(rest, ',');
        size_t size = comma < 0 ? rest.size : (size_t)comma;
        if (hc_slice_equal_text(hc_slice_of(rest.at, size), action))
            return 0;
        rest = hc_slice_from(rest, size + 2);
    }
    return hc_err_set(err, HC_EINVAL, "--action: \"%.60s\" is none of " ACTIONS, action);
}

typedef struct printer {
    hc_buf *out;
    bool json;
    uint64_t left; /* of the page */
    int64_t last;  /* on it */
    bool more;
} printer;

static int on_row(void *arg, const hc_audit_row *row)
{
    printer *p = arg;
    if (p->left == 0) {
        p->more = true;
        return 0;
    }
    p->left--;
    p->last = row->seq;
    json_t *json = hc_audit_json(row);
    char *text = NULL;
    int rc = json ? 0 : -HC_ENOMEM;
    if (rc == 0 && p->json) {
        text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
        rc = text ? hc_buf_printf(p->out, "%s\n", text) : -HC_ENOMEM;
    } else if (rc == 0) {
        rc = hc_audit_line(json, p->out);
    }
    free(text);
    json_decref(json);
    return rc;
}

static int audit(void *args, hc_err *err)
{
    const audit_args *a = args;
    hc_records r;
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    printer p = {.out = &out, .json = a->common.json, .left = a->limit};
    hc_audit_filter f = {.client_name = hc_slice_text(a->client),
                         .action = hc_slice_text(a->action),
                         .before = (int64_t)a->before,
                         .newest_first = true,
                         .limit = a->limit + 1};
    int rc = a->since ? parse_since(a->since, &f.since_ms, err) : 0;
    if (rc == 0 && a->action)
        rc = check_action(a->action, err);
    if (rc == 0)
        rc = hc_records_open(&a->common, HC_REGISTRY_READ, &r, err);
    if (rc != 0)
        return rc;
    rc = r.registry->engine->audit(r.registry, &f, on_row, &p, err);
    if (rc == 0 && p.more && !p.json)
        rc = hc_buf_printf(&out, "more: --before %lld\n", (long long)p.last);
    if (rc == 0)
        rc = hc_print(&out);
    else if (rc == -HC_ELIMIT)
        rc = hc_err_set(err, HC_ELIMIT, "too much at once; use a smaller --limit");
    hc_buf_done(&out);
    hc_records_close(&r);
    return rc;
}

const hc_command hc_cmd_audit = {
    .name = "audit",
    .synopsis = "[OPTION]...",
    .summary = "who changed which record, when, from what to what",
    .about = "Lists the changes of the registry, newest first, one a line: when, who, what, of "
             "which client and certificate, from what to what. With --json each line is an object "
             "of its own. Rows are never changed or removed, also where the client is.",
    .examples = "  handclasp audit --client alice\n"
                "  handclasp audit --since 24h --action client.status\n",
    .options = options,
    .run = hc_command_main,
    .act = audit,
    .args_size = sizeof(audit_args),
};
