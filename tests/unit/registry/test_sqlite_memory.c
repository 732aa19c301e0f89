#include "registry_case.h"

#include <jansson.h>
#include <sqlite3.h>

#include "../faults.h"
#include "index_world.h"
#include "registry/selector.h"

/* SQLite's and jansson's memory through base/mem.h too, with the size before it. */
static void *sized_realloc(void *old, int size)
{
    char *at = hc_realloc(old ? (char *)old - 16 : NULL, (size_t)size + 16);
    if (!at)
        return NULL;
    memcpy(at, &size, sizeof(size));
    return at + 16;
}

static void *sized_malloc(int size)
{
    return sized_realloc(NULL, size);
}

static void sized_free(void *at)
{
    hc_free(at ? (char *)at - 16 : NULL);
}

static int sized_size(void *at)
{
    int size = 0;
    if (at)
        memcpy(&size, (char *)at - 16, sizeof(size));
    return size;
}

static int sized_round(int size)
{
    return (size + 7) & ~7;
}

static int sized_init(void *arg)
{
    (void)arg;
    return SQLITE_OK;
}

static void sized_shutdown(void *arg)
{
    (void)arg;
}

static void *json_malloc_failing(size_t size)
{
    return hc_alloc(size);
}

static const hc_actor root = {.who = HC_SLICE_LITERAL("root"), .now_ms = 1800000000000};

static int on_match(void *arg, const hc_match *m)
{
    (void)arg;
    (void)m;
    return 0;
}

/* A little of everything; the first failure ends it. */
static int changes(hc_registry *r, const hc_cert *cert)
{
    int64_t id = 0, certificate = 0;
    const hc_serial serial = {.size = 1, .octets = {9}};
    int rc =
        hc_change_add_client(r, &root, S("alice"), S("meter admin"), S("{\"a\":1}"), &id, &why);
    const hc_certificate_new new = {
        .client_id = id, .cert = cert, .origin = HC_ORIGIN_ISSUED, .keep_der = true};
    if (rc == 0)
        rc = hc_change_add_serial(r, &root, id, hc_cert_issuer_sha256(cert), S("CN=CA"), S("key"),
                                  &serial, &certificate, &why);
    if (rc == 0)
        rc = hc_change_add_certificate(r, &root, &new, &certificate, &why);
    if (rc == 0)
        rc = hc_change_client_roles(r, &root, id, S("x"), &why);
    if (rc == 0)
        rc = hc_change_client_attributes(r, &root, id, S("{}"), &why);
    if (rc == 0)
        rc = hc_change_client_status(r, &root, id, HC_CLIENT_REVOKED, S("lost"), 1, &why);
    if (rc == 0)
        rc = hc_registry_match(r, S("1f"), on_match, NULL, &why);
    if (rc == 0)
        rc = hc_registry_match_one(r, S("alice"), &id, &certificate, &why);
    return rc;
}

static int all(const registry_case *c, const hc_cert *cert)
{
    hc_registry *r = NULL;
    const hc_registry_options o = {.url = c->url, .access = HC_REGISTRY_WRITE, .wait_ms = 100};
    why = (hc_err){0};
    int rc = c->store ? memory_engine_open(c->store, &r, &why) : hc_registry_open(&o, &r, &why);
    if (rc)
        return rc;
    rc = hc_registry_begin(r, true, &why);
    if (rc == 0)
        rc = changes(r, cert);
    if (rc == 0)
        rc = hc_registry_commit(r, &why);
    hc_registry_close(r);
    return rc;
}

static void test_without_memory_all_of_a_change_is_there_or_nothing(void **state)
{
    registry_case *c = *state;
    hc_cert *cert = world_cert("CA", "1F", "key", "a");
    size_t failures = 0;
    for (size_t nth = 1;; nth++) {
        assert_true(nth < 20000);
        faults_begin(nth);
        int rc = all(c, cert);
        size_t calls = faults_calls;
        faults_end();
        if (rc == 0 && calls < nth)
            break;
        failures += rc != 0;
        /* jansson's parser takes a string that it has no memory for to be none. */
        bool parser = rc == -HC_EINVAL && strstr(why.text, "attributes: no JSON");
        if (rc != 0 && !parser && (rc != -HC_ENOMEM || why.code != HC_ENOMEM))
            fail_msg("allocation %zu: %d %s", nth, rc, why.text);
        size_t wanted = rc == 0;
        assert_int_equal(clients_of(c->r, (hc_client_filter){0}).count, wanted);
        assert_int_equal(certificates_of(c->r, (hc_certificate_filter){0}).count, 2 * wanted);
        assert_int_equal(audit_of(c->r, (hc_audit_filter){0}).count, 8 * wanted);
        if (rc == 0) {
            /* SQLite did without that one. Anew. */
            bool memory = c->store != NULL;
            registry_case_end(state);
            *state = memory ? ENGINE_MEMORY : ENGINE_SQLITE;
            registry_case_begin(state);
            c = *state;
        }
    }
    assert_true(failures > 20);
    hc_cert_unref(cert);
}

static const struct CMUnitTest tests[] = {
    WITH_EVERY_ENGINE(test_without_memory_all_of_a_change_is_there_or_nothing),
};

int main(void)
{
    static const sqlite3_mem_methods methods = {sized_malloc,   sized_free,  sized_realloc,
                                                sized_size,     sized_round, sized_init,
                                                sized_shutdown, NULL};
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) || sqlite3_initialize())
        return 1;
    json_set_alloc_funcs(json_malloc_failing, hc_free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
