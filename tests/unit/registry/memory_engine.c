#include "memory_engine.h"

#include <string.h>

#include "base/arena.h"
#include "base/mem.h"

typedef struct entry {
    hc_audit_row row;
    uint64_t mark;
} entry;

/* Rows in the order of their id. Their texts are in the store's arena, are never changed and stay
 * until the store ends, so a state is copied by its rows alone. */
typedef struct state {
    hc_client_row *clients;
    hc_certificate_row *certificates;
    entry *audit;
    size_t client_count, certificate_count, audit_count;
    int64_t last_client, last_certificate, last_seq;
} state;

typedef struct memory memory;

struct memory_store {
    state committed, working; /* what all see, and what the writer sees */
    memory *writer;
    size_t readers; /* transactions for reading */
    uint64_t commits, epoch;
    uint64_t random;
    hc_arena texts;
};

struct memory {
    hc_registry registry;
    memory_store *store;
    bool reading, failed, looked;
    uint64_t seen_commits;
};

static memory *memory_of(hc_registry *r)
{
    return (memory *)r;
}

static uint64_t draw(memory_store *store)
{
    store->random = store->random * 6364136223846793005u + 1442695040888963407u;
    return store->random ^ store->random >> 32;
}

static const state *visible(const memory *m)
{
    return m->store->writer == m ? &m->store->working : &m->store->committed;
}

static int no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "out of memory");
}

static void state_done(state *s)
{
    hc_free(s->clients);
    hc_free(s->certificates);
    hc_free(s->audit);
    *s = (state){0};
}

static void *copy_array(const void *from, size_t count, size_t each, bool *failed)
{
    void *out = hc_alloc_zero(count + 1, each);
    if (!out)
        *failed = true;
    else if (count)
        memcpy(out, from, count * each);
    return out;
}

/* With room for one more row in each table. */
static int state_copy(const state *from, state *out, hc_err *err)
{
    bool failed = false;
    *out = *from;
    out->clients = copy_array(from->clients, from->client_count, sizeof(hc_client_row), &failed);
    out->certificates = copy_array(from->certificates, from->certificate_count,
                                   sizeof(hc_certificate_row), &failed);
    out->audit = copy_array(from->audit, from->audit_count, sizeof(entry), &failed);
    if (!failed)
        return 0;
    state_done(out);
    return no_memory(err);
}

static int copy_texts(hc_arena *arena, hc_slice *const *slices, size_t count, hc_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (hc_arena_copy(arena, *slices[i], slices[i]))
            return no_memory(err);
    }
    return 0;
}

static int copy_sha256(hc_arena *arena, const uint8_t **at, hc_err *err)
{
    hc_slice copy = HC_SLICE_NONE;
    if (*at && hc_arena_copy(arena, hc_slice_of(*at, 32), &copy))
        return no_memory(err);
    *at = copy.at;
    return 0;
}

static int begin(hc_registry *r, bool write, hc_err *err)
{
    memory *m = memory_of(r);
    memory_store *store = m->store;
    if (m->reading || store->writer == m)
        return hc_err_set(err, HC_EINVAL, "there is a transaction already");
    if (write && store->writer)
        return hc_err_set(err, HC_EBUSY, "another writes");
    m->failed = false;
    if (!write) {
        m->reading = true;
        store->readers++;
        return 0;
    }
    int rc = state_copy(&store->committed, &store->working, err);
    if (rc == 0)
        store->writer = m;
    return rc;
}

static void rollback(hc_registry *r)
{
    memory *m = memory_of(r);
    if (m->reading) {
        m->reading = false;
        m->store->readers--;
    } else if (m->store->writer == m) {
        m->store->writer = NULL;
        state_done(&m->store->working);
    }
}

static int commit(hc_registry *r, hc_err *err)
{
    memory *m = memory_of(r);
    memory_store *store = m->store;
    bool writing = store->writer == m;
    int rc = 0;
    if (m->failed || (!writing && !m->reading))
        rc = hc_err_set(err, HC_EINVAL, "no transaction that could be committed");
    else if (writing && store->readers)
        rc = hc_err_set(err, HC_EBUSY, "others read");
    if (rc == 0 && writing) {
        state_done(&store->committed);
        store->committed = store->working;
        store->working = (state){0};
        store->commits++;
    }
    rollback(r);
    return rc;
}

static void close_memory(hc_registry *r)
{
    rollback(r);
    hc_free(r);
}

/* The state to change. */
static int change(memory *m, state **out, hc_err *err)
{
    if (m->store->writer != m || m->failed)
        return hc_err_set(err, HC_EINVAL, "no change without a transaction that is in order");
    *out = &m->store->working;
    return 0;
}

static int failed(memory *m, int rc)
{
    m->failed = rc != 0;
    return rc;
}

/* Room for one more. */
static int grow(void **array, size_t count, size_t each, hc_err *err)
{
    void *bigger = hc_realloc(*array, (count + 2) * each);
    if (!bigger)
        return no_memory(err);
    *array = bigger;
    return 0;
}

static hc_client_row *client_of(const state *s, int64_t id)
{
    for (size_t i = 0; i < s->client_count; i++) {
        if (s->clients[i].id == id)
            return &s->clients[i];
    }
    return NULL;
}

static int keep_client(memory *m, const state *s, hc_client_row *row, hc_err *err)
{
    hc_slice *const texts[] = {&row->name, &row->reason, &row->roles, &row->attributes};
    for (size_t i = 0; i < s->client_count; i++) {
        if (s->clients[i].id != row->id && hc_slice_equal(s->clients[i].name, row->name))
            return hc_err_set(err, HC_EEXIST, "there is a client of this name");
    }
    return copy_texts(&m->store->texts, texts, HC_COUNT(texts), err);
}

static int client_add(hc_registry *r, const hc_client_row *row, int64_t *id, hc_err *err)
{
    memory *m = memory_of(r);
    state *s = NULL;
    hc_client_row copy = *row;
    int rc = change(m, &s, err);
    if (rc)
        return rc;
    copy.id = s->last_client + 1;
    rc = keep_client(m, s, &copy, err);
    if (rc == 0)
        rc = grow((void **)&s->clients, s->client_count, sizeof(*s->clients), err);
    if (rc == 0) {
        *id = ++s->last_client;
        s->clients[s->client_count++] = copy;
    }
    return failed(m, rc);
}

static int client_set(hc_registry *r, const hc_client_row *row, hc_err *err)
{
    memory *m = memory_of(r);
    state *s = NULL;
    hc_client_row copy = *row;
    int rc = change(m, &s, err);
    if (rc)
        return rc;
    hc_client_row *there = client_of(s, row->id);
    rc = there ? keep_client(m, s, &copy, err) : hc_err_set(err, HC_ENOENT, "no such client");
    if (rc == 0)
        *there = copy;
    return failed(m, rc);
}

static int client_remove(hc_registry *r, int64_t id, hc_err *err)
{
    memory *m = memory_of(r);
    state *s = NULL;
    int rc = change(m, &s, err);
    if (rc)
        return rc;
    hc_client_row *there = client_of(s, id);
    if (!there)
        return failed(m, hc_err_set(err, HC_ENOENT, "no such client"));
    size_t behind = (size_t)(s->clients + s->client_count - there) - 1;
    memmove(there, there + 1, behind * sizeof(*there));
    s->client_count--;
    size_t kept = 0;
    for (size_t i = 0; i < s->certificate_count; i++) {
        if (s->certificates[i].client_id != id)
            s->certificates[kept++] = s->certificates[i];
    }
    s->certificate_count = kept;
    return 0;
}

static bool contains(hc_slice in, hc_slice part)
{
    for (size_t i = 0; i + part.size <= in.size; i++) {
        if (memcmp(in.at + i, part.at, part.size) == 0)
            return true;
    }
    return false;
}

static bool has_role(hc_slice roles, hc_slice role)
{
    for (size_t i = 0; i + role.size <= roles.size; i++) {
        size_t end = i + role.size;
        if (memcmp(roles.at + i, role.at, role.size) == 0 && (i == 0 || roles.at[i - 1] == ' ') &&
            (end == roles.size || roles.at[end] == ' '))
            return true;
    }
    return false;
}

/* With what the engine fills in from the certificates; whether one is about to end, or was seen. */
static hc_client_row whole(const state *s, const hc_client_row *row, const hc_client_filter *f,
                           bool *expiring, bool *used)
{
    hc_client_row out = *row;
    out.first_seen_s = out.last_seen_s = 0;
    out.certificates = 0;
    *expiring = *used = false;
    for (size_t i = 0; i < s->certificate_count; i++) {
        const hc_certificate_row *k = &s->certificates[i];
        if (k->client_id != row->id)
            continue;
        out.certificates++;
        if (k->first_seen_s && (!out.first_seen_s || k->first_seen_s < out.first_seen_s))
            out.first_seen_s = k->first_seen_s;
        if (k->last_seen_s > out.last_seen_s)
            out.last_seen_s = k->last_seen_s;
        *expiring |= k->status == HC_CERTIFICATE_ACTIVE && k->not_after_s &&
                     k->not_after_s < f->expiring_before_s;
        *used |= k->last_seen_s >= f->unused_since_s;
    }
    *used |= row->created_s >= f->unused_since_s;
    return out;
}

static int clients(hc_registry *r, const hc_client_filter *f, hc_client_each each, void *arg,
                   hc_err *err)
{
    const state *s = visible(memory_of(r));
    uint64_t told = 0;
    (void)err;
    for (size_t i = 0; i < s->client_count && (!f->limit || told < f->limit); i++) {
        bool expiring, used;
        hc_client_row row = whole(s, &s->clients[i], f, &expiring, &used);
        if (row.id <= f->after || (f->id && row.id != f->id) ||
            (f->name.size && !hc_slice_equal(row.name, f->name)) ||
            (f->search.size && !contains(row.name, f->search)) ||
            (f->status && row.status != f->status) ||
            (f->role.size && !has_role(row.roles, f->role)) ||
            (f->expiring_before_s && !expiring) || (f->unused_since_s && used))
            continue;
        told++;
        int rc = each(arg, &row);
        if (rc)
            return rc;
    }
    return 0;
}

static bool same_sha256(const uint8_t *a, const uint8_t *b)
{
    return a && b && memcmp(a, b, 32) == 0;
}

static bool same_key(const hc_certificate_row *a, const hc_certificate_row *b)
{
    if (a->sha256 || b->sha256)
        return same_sha256(a->sha256, b->sha256);
    return same_sha256(a->issuer_sha256, b->issuer_sha256) &&
           hc_serial_equal(&a->serial, &b->serial) &&
           hc_slice_equal(a->issuer_key_id, b->issuer_key_id);
}

static int keep_certificate(memory *m, const state *s, hc_certificate_row *row, hc_err *err)
{
    hc_slice *const texts[] = {&row->issuer_key_id, &row->issuer,      &row->subject,
                               &row->sans,          &row->approved_by, &row->der};
    for (size_t i = 0; i < s->certificate_count; i++) {
        if (s->certificates[i].id != row->id && same_key(&s->certificates[i], row))
            return hc_err_set(err, HC_EEXIST, "there is such a certificate");
    }
    hc_arena *arena = &m->store->texts;
    int rc = copy_texts(arena, texts, HC_COUNT(texts), err);
    if (rc == 0)
        rc = copy_sha256(arena, &row->issuer_sha256, err);
    if (rc == 0)
        rc = copy_sha256(arena, &row->sha256, err);
    return rc ? rc : copy_sha256(arena, &row->key_sha256, err);
}

static int certificate_add(hc_registry *r, const hc_certificate_row *row, int64_t *id, hc_err *err)
{
    memory *m = memory_of(r);
    state *s = NULL;
    hc_certificate_row copy = *row;
    int rc = change(m, &s, err);
    if (rc)
        return rc;
    copy.id = s->last_certificate + 1;
    rc = client_of(s, row->client_id) ? keep_certificate(m, s, &copy, err)
                                      : hc_err_set(err, HC_ENOENT, "no such client");
    if (rc == 0)
        rc = grow((void **)&s->certificates, s->certificate_count, sizeof(*s->certificates), err);
    if (rc == 0) {
        *id = ++s->last_certificate;
        s->certificates[s->certificate_count++] = copy;
    }
    return failed(m, rc);
}

static hc_certificate_row *certificate_of(const state *s, int64_t id)
{
    for (size_t i = 0; i < s->certificate_count; i++) {
        if (s->certificates[i].id == id)
            return &s->certificates[i];
    }
    return NULL;
}

static int certificate_set(hc_registry *r, const hc_certificate_row *row, hc_err *err)
{
    memory *m = memory_of(r);
    state *s = NULL;
    int rc = change(m, &s, err);
    if (rc)
        return rc;
    hc_certificate_row *there = certificate_of(s, row->id);
    if (!there)
        return failed(m, hc_err_set(err, HC_ENOENT, "no such certificate"));
    hc_certificate_row now = *there;
    now.status = row->status;
    now.revoked_s = row->revoked_s;
    now.reason = row->reason;
    if (!now.sha256 && row->sha256) {
        now.sha256 = row->sha256;
        now.not_before_s = row->not_before_s;
        now.not_after_s = row->not_after_s;
    }
    if (!now.key_sha256)
        now.key_sha256 = row->key_sha256;
    if (!now.subject.size)
        now.subject = row->subject;
    if (!now.sans.size)
        now.sans = row->sans;
    rc = keep_certificate(m, s, &now, err);
    if (rc == 0)
        *there = now;
    return failed(m, rc);
}

static int certificates(hc_registry *r, const hc_certificate_filter *f, hc_certificate_each each,
                        void *arg, hc_err *err)
{
    const state *s = visible(memory_of(r));
    uint64_t told = 0;
    (void)err;
    for (size_t i = 0; i < s->certificate_count && (!f->limit || told < f->limit); i++) {
        hc_certificate_row row = s->certificates[i];
        if (row.id <= f->after || (f->id && row.id != f->id) ||
            (f->client_id && row.client_id != f->client_id) ||
            (f->serial && !hc_serial_equal(&row.serial, f->serial)) ||
            (f->issuer_sha256 && !same_sha256(row.issuer_sha256, f->issuer_sha256)) ||
            (f->sha256 && !same_sha256(row.sha256, f->sha256)) ||
            (f->key_sha256 && !same_sha256(row.key_sha256, f->key_sha256)) ||
            (f->status && row.status != f->status) ||
            (f->expiring_before_s && !(row.not_after_s && row.not_after_s < f->expiring_before_s)))
            continue;
        told++;
        row.der = HC_SLICE_NONE;
        row.client_name = client_of(s, row.client_id)->name;
        int rc = each(arg, &row);
        if (rc)
            return rc;
    }
    return 0;
}

static int certificate_der(hc_registry *r, int64_t id, int (*each)(void *arg, hc_slice der),
                           void *arg, hc_err *err)
{
    const hc_certificate_row *row = certificate_of(visible(memory_of(r)), id);
    if (!row || !row->der.size)
        return hc_err_set(err, HC_ENOENT, "no certificate is kept under this number");
    return each(arg, row->der);
}

static int seen(hc_registry *r, const hc_seen *list, size_t count, hc_err *err)
{
    state *s = NULL;
    int rc = change(memory_of(r), &s, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        hc_certificate_row *row = certificate_of(s, list[i].certificate_id);
        if (!row)
            continue;
        if (!row->first_seen_s || list[i].at_s < row->first_seen_s)
            row->first_seen_s = list[i].at_s;
        if (list[i].at_s > row->last_seen_s)
            row->last_seen_s = list[i].at_s;
    }
    return rc;
}

static int audit_add(hc_registry *r, const hc_audit_row *row, int64_t *seq, hc_err *err)
{
    memory *m = memory_of(r);
    state *s = NULL;
    entry e = {.row = *row, .mark = draw(m->store)};
    hc_slice *const texts[] = {&e.row.who,         &e.row.action, &e.row.client_name,
                               &e.row.certificate, &e.row.was,    &e.row.now};
    int rc = change(m, &s, err);
    if (rc)
        return rc;
    rc = copy_texts(&m->store->texts, texts, HC_COUNT(texts), err);
    if (rc == 0)
        rc = grow((void **)&s->audit, s->audit_count, sizeof(*s->audit), err);
    if (rc == 0) {
        *seq = e.row.seq = ++s->last_seq;
        s->audit[s->audit_count++] = e;
    }
    return failed(m, rc);
}

static bool audit_wanted(const hc_audit_row *row, const hc_audit_filter *f)
{
    return row->seq > f->after && (!f->before || row->seq < f->before) &&
           (!f->client_id || row->client_id == f->client_id) &&
           (!f->certificate_id || row->certificate_id == f->certificate_id) &&
           (!f->client_name.size || hc_slice_equal(row->client_name, f->client_name)) &&
           (!f->action.size || hc_slice_equal(row->action, f->action)) &&
           (!f->who.size || hc_slice_equal(row->who, f->who)) && row->at_ms >= f->since_ms;
}

static int audit(hc_registry *r, const hc_audit_filter *f, hc_audit_each each, void *arg,
                 hc_err *err)
{
    const state *s = visible(memory_of(r));
    uint64_t told = 0;
    (void)err;
    for (size_t i = 0; i < s->audit_count && (!f->limit || told < f->limit); i++) {
        const hc_audit_row *row = &s->audit[f->newest_first ? s->audit_count - 1 - i : i].row;
        if (!audit_wanted(row, f))
            continue;
        told++;
        int rc = each(arg, row);
        if (rc)
            return rc;
    }
    return 0;
}

static int changed(hc_registry *r, bool *out, hc_err *err)
{
    memory *m = memory_of(r);
    (void)err;
    *out = !m->looked || m->seen_commits != m->store->commits;
    m->looked = true;
    m->seen_commits = m->store->commits;
    return 0;
}

static int head(hc_registry *r, hc_registry_head *out, hc_err *err)
{
    memory *m = memory_of(r);
    const state *s = visible(m);
    const entry *newest = s->audit_count ? &s->audit[s->audit_count - 1] : NULL;
    (void)err;
    *out = (hc_registry_head){.seq = newest ? newest->row.seq : 0,
                              .epoch = m->store->epoch,
                              .mark = newest ? newest->mark : 0};
    return 0;
}

static bool since_is_ours(const memory *m, const state *s, const hc_registry_head *since)
{
    if (since->epoch != m->store->epoch)
        return false;
    for (size_t i = 0; i < s->audit_count; i++) {
        if (s->audit[i].row.seq == since->seq)
            return s->audit[i].mark == since->mark;
    }
    return since->seq == 0;
}

static bool touched(const state *s, int64_t client_id, int64_t seq)
{
    for (size_t i = 0; i < s->audit_count; i++) {
        if (s->audit[i].row.seq > seq && s->audit[i].row.client_id == client_id)
            return true;
    }
    return false;
}

static int changes(hc_registry *r, const hc_registry_head *since, uint64_t limit,
                   int (*each)(void *arg, int64_t client_id), void *arg, hc_err *err)
{
    memory *m = memory_of(r);
    const state *s = visible(m);
    uint64_t told = 0;
    if (!since_is_ours(m, s, since))
        return hc_err_set(err, HC_ENOENT, "another database than before, or a backup");
    for (int64_t id = 1; id <= s->last_client; id++) {
        if (!touched(s, id, since->seq))
            continue;
        if (++told > limit)
            return hc_err_set(err, HC_ELIMIT, "more clients changed");
        int rc = each(arg, id);
        if (rc)
            return rc;
    }
    return 0;
}

static int scan(hc_registry *r, int64_t client_id, hc_client_each client,
                hc_certificate_each certificate, void *arg, hc_err *err)
{
    const state *s = visible(memory_of(r));
    (void)err;
    for (size_t i = 0; i < s->client_count; i++) {
        const hc_client_row *c = &s->clients[i];
        if (client_id && c->id != client_id)
            continue;
        int rc = client(arg, c);
        for (size_t k = 0; k < s->certificate_count && rc == 0; k++) {
            if (s->certificates[k].client_id == c->id)
                rc = certificate(arg, &s->certificates[k]);
        }
        if (rc)
            return rc;
    }
    return 0;
}

static const hc_registry_engine engine = {
    .scheme = "memory",
    .close = close_memory,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .client_add = client_add,
    .client_set = client_set,
    .client_remove = client_remove,
    .clients = clients,
    .certificate_add = certificate_add,
    .certificate_set = certificate_set,
    .certificates = certificates,
    .certificate_der = certificate_der,
    .seen = seen,
    .audit_add = audit_add,
    .audit = audit,
    .changed = changed,
    .head = head,
    .changes = changes,
    .scan = scan,
};

memory_store *memory_store_new(void)
{
    memory_store *store = hc_alloc_zero(1, sizeof(*store));
    if (!store)
        return NULL;
    store->texts = hc_arena_init((size_t)1 << 30);
    store->random = (uint64_t)(uintptr_t)store;
    store->epoch = draw(store);
    return store;
}

void memory_store_free(memory_store *store)
{
    if (!store)
        return;
    state_done(&store->committed);
    state_done(&store->working);
    hc_arena_done(&store->texts);
    hc_free(store);
}

int memory_engine_open(memory_store *store, hc_registry **out, hc_err *err)
{
    memory *m = hc_alloc_zero(1, sizeof(*m));
    if (!m)
        return no_memory(err);
    m->registry.engine = &engine;
    m->store = store;
    *out = &m->registry;
    return 0;
}
