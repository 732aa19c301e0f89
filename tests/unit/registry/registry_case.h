/* One test for every engine: a registry of its own, empty, opened for writing. A test includes this
 * once. */
#ifndef HC_TESTS_UNIT_REGISTRY_REGISTRY_CASE_H
#define HC_TESTS_UNIT_REGISTRY_REGISTRY_CASE_H

#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory_engine.h"
#include "registry/change.h"

typedef struct registry_case {
    memory_store *store; /* NULL: SQLite */
    char folder[64], path[96], url[112];
    hc_registry *r;
} registry_case;

/* What went wrong in the last call that was given it. */
static hc_err why;

#define assert_done(call)                                                                          \
    do {                                                                                           \
        why = (hc_err){0};                                                                         \
        if ((call) != 0)                                                                           \
            fail_msg("%s", why.text);                                                              \
    } while (0)
#define assert_fails(call, code_)                                                                  \
    do {                                                                                           \
        why = (hc_err){0};                                                                         \
        assert_int_equal((call), -(code_));                                                        \
        assert_int_equal(why.code, (code_));                                                       \
        assert_true(*why.text != '\0');                                                            \
    } while (0)

#define ENGINE_SQLITE ((void *)(uintptr_t)1)
#define ENGINE_MEMORY ((void *)(uintptr_t)2)
#define WITH_SQLITE(f)                                                                             \
    {                                                                                              \
#f " [sqlite]", f, registry_case_begin, registry_case_end, ENGINE_SQLITE                   \
    }
#define WITH_EVERY_ENGINE(f)                                                                       \
    WITH_SQLITE(f),                                                                                \
    {                                                                                              \
#f " [memory]", f, registry_case_begin, registry_case_end, ENGINE_MEMORY                   \
    }

static inline hc_registry *registry_case_open_as(registry_case *c, hc_registry_access access)
{
    hc_registry *r = NULL;
    const hc_registry_options o = {.url = c->url, .access = access, .wait_ms = 5000};
    if (c->store)
        assert_done(memory_engine_open(c->store, &r, &why));
    else
        assert_done(hc_registry_open(&o, &r, &why));
    return r;
}

static inline int registry_case_begin(void **state)
{
    registry_case *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    if (*state == ENGINE_MEMORY)
        assert_non_null(c->store = memory_store_new());
    /* In memory where there is such a folder: nothing here cuts the power. */
    const char *tmp = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(c->folder, sizeof(c->folder), "%s/registry-XXXXXX", tmp);
    assert_non_null(mkdtemp(c->folder));
    snprintf(c->path, sizeof(c->path), "%s/registry.db", c->folder);
    snprintf(c->url, sizeof(c->url), "sqlite:%s", c->path);
    c->r = registry_case_open_as(c, HC_REGISTRY_CREATE);
    *state = c;
    return 0;
}

static inline int registry_case_end(void **state)
{
    registry_case *c = *state;
    hc_registry_close(c->r);
    memory_store_free(c->store);
    DIR *folder = opendir(c->folder);
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        if (e->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(folder), e->d_name, 0), 0);
    }
    closedir(folder);
    assert_int_equal(rmdir(c->folder), 0);
    free(c);
    return 0;
}

static inline void registry_begin(hc_registry *r)
{
    assert_done(hc_registry_begin(r, true, &why));
}

static inline void registry_commit(hc_registry *r)
{
    assert_done(hc_registry_commit(r, &why));
}

/* Rows that were told, as text: "1:alice 2:bob". */
typedef struct row_list {
    size_t count;
    char text[4096];
} row_list;

static inline void rows_add(row_list *x, int64_t id, hc_slice name)
{
    size_t used = strlen(x->text);
    snprintf(x->text + used, sizeof(x->text) - used, "%s%lld:%.*s", used ? " " : "", (long long)id,
             HC_SLICE_ARGS(name));
    x->count++;
}

static inline int rows_client(void *arg, const hc_client_row *row)
{
    rows_add(arg, row->id, row->name);
    return 0;
}

static inline int rows_certificate(void *arg, const hc_certificate_row *row)
{
    char hex[HC_SERIAL_HEX_BYTES];
    hc_serial_hex(&row->serial, hex);
    rows_add(arg, row->id, hc_slice_text(hex));
    return 0;
}

static inline int rows_audit(void *arg, const hc_audit_row *row)
{
    rows_add(arg, row->seq, row->action);
    return 0;
}

static inline row_list clients_of(hc_registry *r, hc_client_filter f)
{
    row_list x = {0};
    assert_done(r->engine->clients(r, &f, rows_client, &x, &why));
    return x;
}

static inline row_list certificates_of(hc_registry *r, hc_certificate_filter f)
{
    row_list x = {0};
    assert_done(r->engine->certificates(r, &f, rows_certificate, &x, &why));
    return x;
}

static inline row_list audit_of(hc_registry *r, hc_audit_filter f)
{
    row_list x = {0};
    assert_done(r->engine->audit(r, &f, rows_audit, &x, &why));
    return x;
}

static inline hc_serial serial_of(const char *hex)
{
    hc_serial out;
    assert_done(hc_serial_parse(hc_slice_text(hex), false, &out, &why));
    return out;
}

static inline const uint8_t *octets32(uint8_t fill)
{
    static uint8_t all[256][32];
    memset(all[fill], fill, 32);
    return all[fill];
}

/* Within a transaction. */
static inline int64_t client_new(hc_registry *r, const char *name)
{
    int64_t id = 0;
    const hc_client_row row = {
        .name = hc_slice_text(name), .status = HC_CLIENT_ACTIVE, .created_s = 1000};
    assert_done(r->engine->client_add(r, &row, &id, &why));
    return id;
}

static inline hc_certificate_row certificate_row(int64_t client, const char *hex, uint8_t fill)
{
    return (hc_certificate_row){
        .client_id = client,
        .issuer_sha256 = octets32(7),
        .serial = serial_of(hex),
        .sha256 = fill ? octets32(fill) : NULL,
        .status = HC_CERTIFICATE_ACTIVE,
        .origin = HC_ORIGIN_IMPORTED,
        .reason = -1,
    };
}

static inline int64_t certificate_new(hc_registry *r, int64_t client, const char *hex, uint8_t fill)
{
    int64_t id = 0;
    const hc_certificate_row row = certificate_row(client, hex, fill);
    assert_done(r->engine->certificate_add(r, &row, &id, &why));
    return id;
}

static inline int64_t audit_new(hc_registry *r, int64_t client, const char *action)
{
    int64_t seq = 0;
    const hc_audit_row row = {
        .at_ms = 1000 * client, .client_id = client, .action = hc_slice_text(action)};
    assert_done(r->engine->audit_add(r, &row, &seq, &why));
    return seq;
}

#endif
