/* The registry at a size: a database of N clients with one certificate each is made, followed,
 * asked and changed. One line of JSON.
 *
 *   registry --folder DIR [--count N]
 *
 * Lookups are those of hc_index_find, in random order, of real certificates spread over all rows,
 * more of them than a processor's caches hold. A change is timed from its commit to the moment at
 * which the index answers by it. */
#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "registry/change.h"
#include "registry/follower.h"
#include "x509/reason.h"

#define AT_ONCE 10000 /* clients in one transaction */
#define PROBES  50000 /* certificates that are real and on record */
#define MISSES  10000
#define GROUP   64 /* lookups that are timed together */
#define GROUPS  20000
#define CHANGES 100
#define SERIAL  "\x70\x0f\xed\xcb\xa9\x87\x65\x43\x21" /* what is replaced in the model's DER */
#define REQUIRE(call)                                                                              \
    do {                                                                                           \
        if ((call) != 0) {                                                                         \
            fprintf(stderr, "registry: %s: %s\n", #call, err.text);                                \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

typedef struct bench {
    int64_t count;
    char url[512], path[400];
    hc_registry *writer;
    hc_cert **probes, **misses;
    hc_follower *follower;
    hc_lookup *lookup;
} bench;

static hc_err err;
static atomic_size_t held;

static void *counting_realloc(void *old, size_t size_bytes)
{
    size_t was = old ? malloc_usable_size(old) + 8 : 0;
    void *at = realloc(old, size_bytes);
    if (at)
        atomic_fetch_add(&held, malloc_usable_size(at) + 8 - was);
    return at;
}

static void counting_free(void *at)
{
    atomic_fetch_sub(&held, malloc_usable_size(at) + 8);
    free(at);
}

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static uint32_t random_below(uint32_t limit)
{
    static uint64_t state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % limit;
}

/* A certificate like all others but for its serial: the signature is nobody's concern here. */
static hc_slice make_model(uint8_t **der)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x = X509_new();
    BIGNUM *serial = BN_bin2bn((const uint8_t *)SERIAL, sizeof SERIAL - 1, NULL);
    (void)BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x));
    (void)X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_UTF8,
                                     (const uint8_t *)"Bench CA", -1, -1, 0);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                     (const uint8_t *)"client", -1, -1, 0);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    (void)X509_set_pubkey(x, key);
    if (!X509_sign(x, key, EVP_sha256())) {
        fprintf(stderr, "registry: cannot sign a certificate\n");
        exit(2);
    }
    int size = i2d_X509(x, der);
    X509_free(x);
    EVP_PKEY_free(key);
    BN_free(serial);
    return hc_slice_of(*der, (size_t)size);
}

/* The number is in the last eight octets of the serial. */
static hc_cert *make_cert(hc_slice model, uint64_t number)
{
    hc_cert *cert = NULL;
    uint8_t *der = malloc(model.size);
    memcpy(der, model.at, model.size);
    uint8_t *at = memmem(der, model.size, SERIAL, sizeof SERIAL - 1);
    for (int i = 0; i < 8; i++)
        at[1 + i] = (uint8_t)(number >> (56 - 8 * i));
    REQUIRE(hc_cert_from_der(hc_slice_of(der, model.size), &cert, &err));
    free(der);
    return cert;
}

static void make_certs(bench *b)
{
    uint8_t *der = NULL;
    hc_slice model = make_model(&der);
    b->probes = malloc(PROBES * sizeof *b->probes);
    b->misses = malloc(MISSES * sizeof *b->misses);
    for (uint64_t i = 0; i < PROBES; i++)
        b->probes[i] = make_cert(model, i);
    for (uint64_t i = 0; i < MISSES; i++)
        b->misses[i] = make_cert(model, UINT64_MAX - i);
    OPENSSL_free(der);
}

/* Of the rows every so many is a probe's; the others have serials and digests drawn at random. */
static void add_row(bench *b, int64_t number, const hc_cert *model)
{
    const hc_registry_engine *e = b->writer->engine;
    hc_actor actor = {HC_SLICE_LITERAL("bench"), 1};
    char name[32];
    uint8_t sha256[32], key[32];
    int64_t client, id, seq, every = b->count / PROBES;
    const hc_cert *probe =
        number % every == 0 && number / every < PROBES ? b->probes[number / every] : NULL;
    hc_slice called = {(uint8_t *)name,
                       (size_t)snprintf(name, sizeof name, "client-%07lld", (long long)number)};
    REQUIRE(hc_change_add_client(b->writer, &actor, called, HC_SLICE_LITERAL("meter"),
                                 HC_SLICE_NONE, &client, &err));
    (void)RAND_bytes(sha256, sizeof sha256);
    (void)RAND_bytes(key, sizeof key);
    hc_certificate_row row = {.client_id = client,
                              .issuer_sha256 = hc_cert_issuer_sha256(model),
                              .serial = {false, 16, {1}},
                              .sha256 = probe ? hc_cert_sha256(probe) : sha256,
                              .key_sha256 = key,
                              .issuer = HC_SLICE_LITERAL("CN=Bench CA"),
                              .subject = called,
                              .not_after_s = 1,
                              .status = HC_CERTIFICATE_ACTIVE,
                              .reason = HC_REASON_NONE,
                              .origin = HC_ORIGIN_IMPORTED};
    memcpy(row.serial.octets + 1, sha256, 15);
    if (probe)
        row.serial = *hc_cert_serial(probe);
    hc_audit_row audit = {.at_ms = 1,
                          .who = actor.who,
                          .action = HC_SLICE_LITERAL("certificate.add"),
                          .client_id = client,
                          .client_name = called};
    REQUIRE(e->certificate_add(b->writer, &row, &id, &err));
    audit.certificate_id = id;
    REQUIRE(e->audit_add(b->writer, &audit, &seq, &err));
}

static double create(bench *b)
{
    hc_registry_options o = {b->url, NULL, HC_REGISTRY_CREATE, 60000};
    double began = now_ms();
    REQUIRE(hc_registry_open(&o, &b->writer, &err));
    for (int64_t i = 0; i < b->count; i++) {
        if (i % AT_ONCE == 0)
            REQUIRE(hc_registry_begin(b->writer, true, &err));
        add_row(b, i, b->probes[0]);
        if (i % AT_ONCE == AT_ONCE - 1 || i + 1 == b->count)
            REQUIRE(hc_registry_commit(b->writer, &err));
    }
    return now_ms() - began;
}

static double start(bench *b)
{
    hc_follower_config config = {.url = b->url, .max_age_ms = 600000};
    double began = now_ms();
    REQUIRE(hc_follower_start(&config, true, &b->follower, &err));
    b->lookup = hc_follower_lookup(b->follower);
    return now_ms() - began;
}

/* A handshake has just read its certificate: it is in the processor's caches, the index is not. */
static void warm(hc_cert *const *certs)
{
    volatile uint8_t sink = 0;
    for (size_t i = 0; i < GROUP; i++)
        sink ^= (uint8_t)(hc_cert_sha256(certs[i])[0] ^ hc_cert_sha256(certs[i])[31] ^
                          hc_cert_serial(certs[i])->octets[0] ^ hc_cert_issuer_sha256(certs[i])[0] ^
                          hc_cert_issuer_sha256(certs[i])[31]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of groups: what else runs on the machine meanwhile does not count. */
static double lookup_ns(bench *b, hc_cert **certs, uint32_t count, hc_verdict_code wanted)
{
    static double spent[GROUPS];
    uint64_t at_ms = hc_clock_monotonic_ms();
    for (size_t n = 0; n < GROUPS; n++) {
        hc_cert *group[GROUP];
        hc_lookup_answer a[GROUP];
        for (size_t i = 0; i < GROUP; i++)
            group[i] = certs[random_below(count)];
        warm(group);
        double began = clock_ms(CLOCK_THREAD_CPUTIME_ID);
        for (size_t i = 0; i < GROUP; i++) {
            b->lookup->find(b->lookup, group[i], at_ms, &a[i]);
            hc_record_unref(a[i].record);
        }
        spent[n] = clock_ms(CLOCK_THREAD_CPUTIME_ID) - began;
        for (size_t i = 0; i < GROUP; i++)
            if (a[i].code != wanted) {
                fprintf(stderr, "registry: %s, not %s\n", hc_verdict_name(a[i].code),
                        hc_verdict_name(wanted));
                exit(2);
            }
    }
    qsort(spent, GROUPS, sizeof *spent, by_size);
    return spent[GROUPS / 2] * 1e6 / GROUP;
}

/* From the commit of a revocation until the index says so. */
static double one_change(bench *b, const hc_cert *cert)
{
    const struct timespec pause = {0, (long)random_below(50000000)}, blink = {0, 50000};
    hc_actor actor = {HC_SLICE_LITERAL("bench"), 1};
    hc_lookup_answer a;
    (void)nanosleep(&pause, NULL); /* in no step with the follower */
    b->lookup->find(b->lookup, cert, hc_clock_monotonic_ms(), &a);
    hc_record_unref(a.record);
    REQUIRE(hc_registry_begin(b->writer, true, &err));
    REQUIRE(hc_change_revoke_certificate(b->writer, &actor, a.certificate_id, 1, &err));
    REQUIRE(hc_registry_commit(b->writer, &err));
    double began = now_ms();
    for (;;) {
        b->lookup->find(b->lookup, cert, hc_clock_monotonic_ms(), &a);
        hc_record_unref(a.record);
        if (a.code == HC_VERDICT_REVOKED)
            return now_ms() - began;
        (void)nanosleep(&blink, NULL);
    }
}

static size_t resident(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        (void)fclose(f);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void measure(bench *b)
{
    struct stat st;
    hc_follower_facts facts;
    double changes[CHANGES], count = (double)b->count;
    double create_ms = create(b);
    size_t held_before = atomic_load(&held), resident_before = resident();
    double start_ms = start(b);
    double bytes = (double)(atomic_load(&held) - held_before) / count;
    double grown = (double)(resident() - resident_before) / count;
    hc_follower_facts_now(b->follower, &facts);
    double hit_ns = lookup_ns(b, b->probes, PROBES, HC_VERDICT_OK);
    double miss_ns = lookup_ns(b, b->misses, MISSES, HC_VERDICT_NOT_IN_REGISTRY);
    for (size_t i = 0; i < CHANGES; i++)
        changes[i] = one_change(b, b->probes[i * (PROBES / CHANGES)]);
    qsort(changes, CHANGES, sizeof *changes, by_size);
    (void)stat(b->path, &st);
    printf("{\"certificates\": %zu, \"create_s\": %.2f, \"file_bytes_each\": %.1f, \"start_s\": "
           "%.3f, \"bytes_each\": %.1f, \"says_bytes_each\": %.1f, \"resident_bytes_each\": %.1f, "
           "\"hit_ns\": %.0f, \"miss_ns\": %.0f, \"change_ms_p50\": %.1f, \"change_ms_p99\": "
           "%.1f}\n",
           facts.certificates, create_ms / 1e3, (double)st.st_size / count, start_ms / 1e3, bytes,
           (double)facts.bytes / count, grown, hit_ns, miss_ns, changes[CHANGES / 2],
           changes[CHANGES * 99 / 100 - 1]);
}

int main(int argc, char **argv)
{
    static const hc_mem counting = {counting_realloc, counting_free};
    bench b = {.count = 1000000};
    const char *folder = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--folder") == 0)
            folder = argv[i + 1];
        else if (strcmp(argv[i], "--count") == 0)
            b.count = strtoll(argv[i + 1], NULL, 10);
    }
    if (!folder || b.count < PROBES) {
        fprintf(stderr, "usage: registry --folder DIR [--count N]   (N at least %d)\n", PROBES);
        return 2;
    }
    (void)snprintf(b.path, sizeof b.path, "%s/registry.db", folder);
    (void)snprintf(b.url, sizeof b.url, "sqlite:%s", b.path);
    hc_mem_set(&counting);
    make_certs(&b);
    measure(&b);
    hc_follower_stop(b.follower);
    hc_registry_close(b.writer);
    return 0;
}
