#include "server/status.h"

#include <jansson.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define DAY_S 86400

static void add_worker(void *arg, const hc_worker_facts *f)
{
    uint64_t now_ms = hc_clock_monotonic_ms();
    json_t *o = json_pack("{s:I, s:I, s:s, s:I}", "number", (json_int_t)f->number, "pid",
                          (json_int_t)f->pid, "state", hc_worker_state_name(f->state), "age_s",
                          (json_int_t)((now_ms - f->started_ms) / 1000));
    if (o && f->ready_ms)
        (void)json_object_set_new(o, "ready_for_s",
                                  json_integer((json_int_t)((now_ms - f->ready_ms) / 1000)));
    (void)json_array_append_new(arg, o);
}

static json_t *workers_json(const hc_status *s)
{
    json_t *list = json_array();
    if (s->workers && list)
        hc_workers_each(s->workers, add_worker, list);
    return list;
}

static json_t *listening_json(const hc_listeners *l, const char *scheme)
{
    json_t *list = json_array();
    for (size_t i = 0; i < l->count; i++) {
        hc_buf text = hc_buf_init(HC_LIMIT_LOG_LINE);
        if (hc_listeners_one_text(l, i, scheme, &text) == 0)
            (void)json_array_append_new(list, json_stringn((const char *)text.at, text.size));
        hc_buf_done(&text);
    }
    return list;
}

static void add_certificate(json_t *list, const char *kind, const json_t *ends)
{
    char text[32];
    int64_t end_s = json_integer_value(json_object_get(ends, kind));
    time_t end = (time_t)end_s;
    struct tm tm;
    if (end_s == 0 || !gmtime_r(&end, &tm) ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return;
    int64_t left_s = end_s - hc_clock_wall_s();
    int64_t days = left_s >= 0 ? left_s / DAY_S : -((-left_s + DAY_S - 1) / DAY_S);
    (void)json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "kind", kind, "not_after", text,
                                                "days_left", (json_int_t)days));
}

/* Takes the ends of the certificates out of what the front said. */
static json_t *certificates_json(json_t *front)
{
    static const char *const kinds[] = {"server", "ca", "crl"};
    json_t *list = json_array(), *ends = json_object_get(front, "not_after");
    for (size_t i = 0; i < HC_COUNT(kinds); i++)
        add_certificate(list, kinds[i], ends);
    (void)json_object_del(front, "not_after");
    return list;
}

static json_t *front_json(const hc_status *s)
{
    json_t *said = s->front_says.size
                       ? json_loadb((const char *)s->front_says.at, s->front_says.size, 0, NULL)
                       : NULL;
    json_t *o = json_pack("{s:I, s:s, s:b}", "pid", (json_int_t)s->front->pid, "state",
                          hc_front_state_name(s->front->state), "answers", said != NULL);
    if (said)
        (void)json_object_update(o, said);
    json_decref(said);
    return o;
}

static json_t *authority_json(const hc_authority_child *a)
{
    if (a->state == HC_AUTHORITY_NONE)
        return NULL;
    return json_pack("{s:I, s:s}", "pid", (json_int_t)a->pid, "state",
                     hc_authority_state_name(a->state));
}

int hc_status_write(const hc_status *s, hc_buf *out)
{
    const hc_settings *set = &s->plan->settings;
    json_t *front = front_json(s), *certificates = certificates_json(front);
    json_t *o = json_pack(
        "{s:s, s:I, s:I, s:s*, s:o, s:o, s:s, s:s, s:s, s:s*, s:o, s:o, s:o*, s:o}", "phase",
        s->phase, "pid", (json_int_t)getpid(), "uptime_s",
        (json_int_t)(hc_clock_wall_s() - s->started_s), "app", set->app, "listening",
        listening_json(s->listeners, "https"), "metrics", listening_json(s->metrics, "http"),
        "client_cert", hc_client_cert_mode_name(set->policy.mode), "registry",
        set->registry ? set->registry : "none", "processes", s->plan->apart ? "apart" : "together",
        "state", set->state, "certificates", certificates, "front", front, "authority",
        authority_json(s->authority), "workers", workers_json(s));
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    int rc = text ? hc_buf_add_text(out, text) : -HC_ENOMEM;
    free(text);
    json_decref(o);
    return rc;
}
