#include "cli/selection.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "registry/selector.h"
#include "server/read_file.h"

#define FROM_LIMIT_BYTES (64u << 20)

const hc_option_choice hc_client_status_choices[] = {{"active", HC_CLIENT_ACTIVE},
                                                     {"suspended", HC_CLIENT_SUSPENDED},
                                                     {"revoked", HC_CLIENT_REVOKED},
                                                     {NULL, 0}};

bool hc_filter_given(const hc_filter_args *a)
{
    return a->status || a->role || a->search || a->expiring_ms || a->unused_ms;
}

void hc_filter_fill(const hc_filter_args *a, int64_t now_s, hc_client_filter *out)
{
    out->status = a->status;
    out->role = hc_slice_text(a->role);
    out->search = hc_slice_text(a->search);
    out->expiring_before_s = a->expiring_ms ? now_s + (int64_t)(a->expiring_ms / 1000) : 0;
    out->unused_since_s = a->unused_ms ? now_s - (int64_t)(a->unused_ms / 1000) : 0;
}

void hc_targets_done(hc_targets *t)
{
    hc_free(t->at);
    *t = (hc_targets){NULL, 0, 0};
}

static int add_target(hc_targets *t, hc_target one, hc_err *err)
{
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 16;
        hc_target *at = hc_realloc(t->at, room * sizeof(*at));
        if (!at)
            return hc_err_set(err, HC_ENOMEM, "out of memory");
        t->at = at;
        t->room = room;
    }
    t->at[t->count++] = one;
    return 0;
}

int hc_select_one(hc_registry *r, const char *word, hc_target *out, hc_err *err)
{
    int rc =
        hc_registry_match_one(r, hc_slice_text(word), &out->client_id, &out->certificate_id, err);
    if (rc != -HC_EINVAL || !err)
        return rc;
    /* No matter of usage: nobody could know. */
    char found[400];
    (void)snprintf(found, sizeof(found), "%.*s", (int)sizeof(found) - 1, err->text);
    return hc_err_set(err, HC_EDENIED,
                      "%s; put name: or serial: before the word that is meant, or give the "
                      "fingerprint that `client show` tells",
                      found);
}

static int add_word(hc_registry *r, const char *word, hc_targets *out, hc_err *err)
{
    hc_target one = {0, 0};
    int rc = hc_select_one(r, word, &one, err);
    return rc == 0 ? add_target(out, one, err) : rc;
}

static int add_line(hc_registry *r, const char *from, size_t number, hc_slice line, hc_targets *out,
                    hc_err *err)
{
    char word[512];
    if (line.size > 0 && line.at[line.size - 1] == '\r')
        line.size--;
    line = hc_slice_trim(line);
    if (line.size == 0 || line.at[0] == '#')
        return 0;
    if (line.size >= sizeof(word) || hc_slice_find(line, 0) >= 0)
        return hc_err_set(err, HC_EFORMAT, "%.200s:%zu: neither a name nor a serial or fingerprint",
                          from, number);
    memcpy(word, line.at, line.size);
    word[line.size] = '\0';
    int rc = add_word(r, word, out, err);
    return rc == 0 ? 0 : hc_err_context(err, "%.200s:%zu", from, number);
}

static int add_file(hc_registry *r, const char *from, hc_targets *out, hc_err *err)
{
    hc_file_bytes file = {NULL, NULL, 0};
    int rc = hc_read_file(from, FROM_LIMIT_BYTES, &file, err);
    hc_slice rest = hc_slice_of(file.at, file.size);
    if (hc_slice_starts_with(rest, HC_SLICE_LITERAL("\xef\xbb\xbf")))
        rest = hc_slice_from(rest, 3);
    for (size_t number = 1; rc == 0 && rest.size; number++) {
        ptrdiff_t end = hc_slice_find(rest, '\n');
        hc_slice line = end < 0 ? rest : hc_slice_of(rest.at, (size_t)end);
        rc = add_line(r, from, number, line, out, err);
        rest = hc_slice_from(rest, line.size + 1);
    }
    hc_file_bytes_done(&file);
    return rc;
}

typedef struct collector {
    hc_targets *out;
    hc_err *err;
} collector;

static int on_client(void *arg, const hc_client_row *row)
{
    const collector *c = arg;
    return add_target(c->out, (hc_target){row->id, 0}, c->err);
}

static int by_ids(const void *a, const void *b)
{
    const hc_target *x = a, *y = b;
    if (x->client_id != y->client_id)
        return x->client_id < y->client_id ? -1 : 1;
    return x->certificate_id < y->certificate_id ? -1 : x->certificate_id > y->certificate_id;
}

static void drop_repeated(hc_targets *t)
{
    size_t kept = 0;
    if (t->count)
        qsort(t->at, t->count, sizeof(*t->at), by_ids);
    for (size_t i = 0; i < t->count; i++)
        if (kept == 0 || by_ids(&t->at[kept - 1], &t->at[i]) != 0)
            t->at[kept++] = t->at[i];
    t->count = kept;
}

int hc_select(hc_registry *r, const hc_strings *words, const char *from,
              const hc_filter_args *filter, hc_targets *out, hc_err *err)
{
    hc_client_filter f = {0};
    collector c = {out, err};
    int rc = 0;
    bool filtered = hc_filter_given(filter);
    if ((words->count > 0) + (from != NULL) + filtered != 1)
        return hc_err_set(err, HC_EINVAL,
                          "whom? Give names, serials or fingerprints, or --from FILE, or filters "
                          "such as --role: one of the three");
    for (size_t i = 0; rc == 0 && i < words->count; i++)
        rc = add_word(r, words->at[i], out, err);
    if (rc == 0 && from)
        rc = add_file(r, from, out, err);
    hc_filter_fill(filter, hc_clock_wall_s(), &f);
    if (rc == 0 && filtered)
        rc = r->engine->clients(r, &f, on_client, &c, err);
    drop_repeated(out);
    return rc;
}
