#include "registry/index_store.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/mem.h"
#include "registry/siphash.h"
#include "x509/reason.h"

#define SHA256_BYTES 32
/* What hc_record_new and malloc add to the texts. */
#define RECORD_HEAD  24
#define MALLOC_HEAD  8
#define MALLOC_ALIGN 16

static hc_index_entry *entry_at(const hc_store *s, uint32_t number)
{
    return hc_table_at(&s->entries, number);
}

static hc_index_client *client_at(const hc_store *s, uint32_t number)
{
    return hc_table_at(&s->clients, number);
}

static const uint8_t *issuer_at(const hc_store *s, uint32_t number)
{
    return ((hc_index_issuer *)hc_table_at(&s->issuers, number))->sha256;
}

static uint8_t size_and_sign(const hc_serial *serial)
{
    return serial->negative ? serial->size | HC_INDEX_NEGATIVE : serial->size;
}

static uint64_t hash_key(const hc_store *s, const uint8_t issuer[SHA256_BYTES], uint8_t size,
                         const uint8_t *serial)
{
    uint8_t key[SHA256_BYTES + 1 + HC_LIMIT_SERIAL_OCTETS];
    size_t octets = size & ~HC_INDEX_NEGATIVE;
    memcpy(key, issuer, SHA256_BYTES);
    key[SHA256_BYTES] = size;
    memcpy(key + SHA256_BYTES + 1, serial, octets);
    return hc_siphash(s->seed, hc_slice_of(key, SHA256_BYTES + 1 + octets));
}

static uint64_t hash_entry(const void *store, const void *item)
{
    const hc_store *s = store;
    const hc_index_entry *e = item;
    return hash_key(s, issuer_at(s, e->issuer), e->serial_size, e->serial);
}

/* Numbers that the database gives out one after the other fill the buckets evenly as they are. */
static uint64_t hash_client(const void *store, const void *item)
{
    (void)store;
    const hc_index_client *c = item;
    return (uint64_t)hc_record_client_id(c->record);
}

static uint64_t hash_issuer(const void *store, const void *item)
{
    const hc_store *s = store;
    const hc_index_issuer *i = item;
    return hc_siphash(s->seed, hc_slice_of(i->sha256, SHA256_BYTES));
}

hc_store *hc_store_new(const uint64_t seed[2], size_t limit)
{
    hc_store *s = hc_alloc_zero(1, sizeof *s);
    if (!s)
        return NULL;
    memcpy(s->seed, seed, sizeof s->seed);
    s->limit = limit;
    hc_table_init(&s->entries, sizeof(hc_index_entry), hash_entry, s);
    hc_table_init(&s->clients, sizeof(hc_index_client), hash_client, s);
    hc_table_init(&s->issuers, sizeof(hc_index_issuer), hash_issuer, s);
    return s;
}

void hc_store_free(hc_store *s)
{
    if (!s)
        return;
    for (uint32_t i = 1; i < s->clients.made; i++)
        hc_record_unref(client_at(s, i)->record);
    hc_table_done(&s->entries);
    hc_table_done(&s->clients);
    hc_table_done(&s->issuers);
    hc_free(s);
}

size_t hc_store_bytes(const hc_store *s)
{
    return sizeof *s + hc_table_bytes(&s->entries) + hc_table_bytes(&s->clients) +
           hc_table_bytes(&s->issuers) + s->record_bytes;
}

static size_t bytes_of(const hc_record *r)
{
    size_t used = RECORD_HEAD + hc_record_name(r).size + hc_record_roles(r).size +
                  hc_record_attributes(r).size + MALLOC_HEAD;
    return (used + MALLOC_ALIGN - 1) / MALLOC_ALIGN * MALLOC_ALIGN;
}

static uint32_t find_client(const hc_store *s, int64_t id)
{
    uint32_t at = hc_table_first(&s->clients, (uint64_t)id);
    while (at && hc_record_client_id(client_at(s, at)->record) != id)
        at = client_at(s, at)->next;
    return at;
}

/* Room for one is reserved. */
static uint32_t intern_issuer(hc_store *s, const uint8_t sha256[SHA256_BYTES])
{
    hc_index_issuer wanted = {0};
    memcpy(wanted.sha256, sha256, SHA256_BYTES);
    uint32_t at = hc_table_first(&s->issuers, hash_issuer(s, &wanted));
    while (at && memcmp(issuer_at(s, at), sha256, SHA256_BYTES) != 0)
        at = ((hc_index_issuer *)hc_table_at(&s->issuers, at))->next;
    if (!at) {
        at = hc_table_take(&s->issuers);
        *(hc_index_issuer *)hc_table_at(&s->issuers, at) = wanted;
        hc_table_link(&s->issuers, at);
    }
    return at;
}

/* From here on the store owns a reference of the record. */
static uint32_t add_client(hc_store *s, hc_record *record, uint8_t status, int64_t status_s)
{
    uint32_t at = hc_table_take(&s->clients);
    hc_index_client *c = client_at(s, at);
    *c = (hc_index_client){.record = record, .status = status, .status_s = status_s};
    s->record_bytes += bytes_of(record);
    hc_table_link(&s->clients, at);
    return at;
}

static void add_entry(hc_store *s, const hc_index_entry *row, uint32_t client,
                      const uint8_t issuer[SHA256_BYTES])
{
    uint32_t at = hc_table_take(&s->entries);
    hc_index_entry *e = entry_at(s, at);
    *e = *row;
    e->client = client;
    e->issuer = intern_issuer(s, issuer);
    e->sibling = client_at(s, client)->first;
    client_at(s, client)->first = at;
    hc_table_link(&s->entries, at);
}

static void remove_client(hc_store *s, uint32_t number)
{
    hc_index_client *c = client_at(s, number);
    hc_record *record = c->record;
    for (uint32_t at = c->first; at;) {
        uint32_t next = entry_at(s, at)->sibling;
        hc_table_remove(&s->entries, at);
        at = next;
    }
    s->record_bytes -= bytes_of(record);
    hc_table_remove(&s->clients, number);
    hc_record_unref(record);
}

typedef struct scan {
    hc_store *store;
    const hc_store *known;
    uint32_t client; /* the one whose certificates come now */
    hc_err *err;
} scan;

static int no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "no memory for the registry's index");
}

static hc_record *record_of(const hc_store *known, const hc_client_row *row)
{
    uint32_t at = known ? find_client(known, row->id) : 0;
    hc_record *same = at ? client_at(known, at)->record : NULL;
    if (same && hc_slice_equal(hc_record_name(same), row->name) &&
        hc_slice_equal(hc_record_roles(same), row->roles) &&
        hc_slice_equal(hc_record_attributes(same), row->attributes))
        return hc_record_ref(same);
    return hc_record_new(row->id, row->name, row->roles, row->attributes);
}

static int on_client(void *arg, const hc_client_row *row)
{
    scan *n = arg;
    if (row->name.size > HC_LIMIT_CLIENT_NAME || row->roles.size > HC_LIMIT_CLIENT_ROLES ||
        row->attributes.size > HC_LIMIT_CLIENT_ATTRIBUTES)
        return hc_err_set(n->err, HC_EFORMAT,
                          "client %lld in the registry has a name, roles or attributes that are "
                          "too long: shorten them",
                          (long long)row->id);
    if (hc_table_reserve(&n->store->clients, 1) != 0)
        return no_memory(n->err);
    hc_record *record = record_of(n->known, row);
    if (!record)
        return no_memory(n->err);
    n->client = add_client(n->store, record, (uint8_t)row->status, row->status_s);
    return 0;
}

static bool sha256_of(hc_slice bytes, uint8_t out[SHA256_BYTES])
{
    return EVP_Digest(bytes.at, bytes.size, out, NULL, EVP_sha256(), NULL) == 1;
}

static int entry_of(const hc_certificate_row *row, hc_index_entry *e, hc_err *err)
{
    *e = (hc_index_entry){.id = row->id,
                          .revoked_s = row->revoked_s,
                          .serial_size = size_and_sign(&row->serial),
                          .pin = HC_PIN_NONE,
                          .revoked = row->status != HC_CERTIFICATE_ACTIVE,
                          .reason = HC_REASON_NONE};
    if (*hc_reason_name(row->reason))
        e->reason = (int8_t)row->reason;
    memcpy(e->serial, row->serial.octets, row->serial.size);
    if (row->sha256) {
        e->pin = HC_PIN_DATABASE;
        memcpy(e->sha256, row->sha256, SHA256_BYTES);
    } else if (row->issuer_key_id.size) {
        e->pin = HC_PIN_NONE_KEYED;
        if (!sha256_of(row->issuer_key_id, e->sha256))
            return no_memory(err);
    }
    return 0;
}

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    scan *n = arg;
    hc_store *s = n->store;
    if (!n->client || hc_record_client_id(client_at(s, n->client)->record) != row->client_id ||
        row->serial.size > HC_LIMIT_SERIAL_OCTETS || !row->issuer_sha256)
        return hc_err_set(n->err, HC_EFORMAT, "certificate %lld in the registry is malformed",
                          (long long)row->id);
    if (s->entries.live >= s->limit)
        return hc_err_set(n->err, HC_ELIMIT, "the registry has more than %zu certificates",
                          s->limit);
    if (hc_table_reserve(&s->issuers, 1) != 0 || hc_table_reserve(&s->entries, 1) != 0)
        return no_memory(n->err);
    hc_index_entry e;
    int rc = entry_of(row, &e, n->err);
    if (rc == 0)
        add_entry(s, &e, n->client, row->issuer_sha256);
    return rc;
}

int hc_store_scan(hc_store *s, const hc_store *known, hc_registry *r, int64_t client_id,
                  hc_err *err)
{
    scan n = {s, known, 0, err};
    return r->engine->scan(r, client_id, on_client, on_certificate, &n, err);
}

int hc_store_reserve(hc_store *s, const hc_store *from, hc_err *err)
{
    if ((size_t)s->entries.live + from->entries.live > s->limit)
        return hc_err_set(err, HC_ELIMIT, "the registry has more than %zu certificates", s->limit);
    if (hc_table_reserve(&s->clients, from->clients.live) != 0 ||
        hc_table_reserve(&s->issuers, from->issuers.live) != 0 ||
        hc_table_reserve(&s->entries, from->entries.live) != 0)
        return no_memory(err);
    return 0;
}

static bool pinned_here(const hc_index_entry *e)
{
    return e->pin == HC_PIN_HERE || e->pin == HC_PIN_HERE_UNTOLD;
}

static bool has_no_pin(const hc_index_entry *e)
{
    return e->pin == HC_PIN_NONE || e->pin == HC_PIN_NONE_KEYED;
}

/* The row of `e`, an entry of `old`, gets the pin that it has there. */
static void keep_pin(hc_store *s, const hc_store *old, const hc_index_entry *e)
{
    uint32_t client = find_client(s, hc_record_client_id(client_at(old, e->client)->record));
    for (uint32_t at = client ? client_at(s, client)->first : 0; at;
         at = entry_at(s, at)->sibling) {
        hc_index_entry *same = entry_at(s, at);
        if (same->id == e->id && has_no_pin(same) && same->serial_size == e->serial_size &&
            memcmp(same->serial, e->serial, sizeof e->serial) == 0 &&
            memcmp(issuer_at(s, same->issuer), issuer_at(old, e->issuer), SHA256_BYTES) == 0) {
            memcpy(same->sha256, e->sha256, SHA256_BYTES);
            same->pin = HC_PIN_HERE_UNTOLD;
            s->pinned_here = true;
        }
    }
}

void hc_store_keep_pins(hc_store *s, const hc_store *old)
{
    for (uint32_t i = 1; old->pinned_here && i < old->entries.made; i++)
        if (pinned_here(entry_at(old, i)))
            keep_pin(s, old, entry_at(old, i));
}

void hc_store_replace_client(hc_store *s, hc_store *from, int64_t client_id)
{
    uint32_t was = find_client(s, client_id), is = find_client(from, client_id);
    if (was) {
        for (uint32_t at = client_at(s, was)->first; at; at = entry_at(s, at)->sibling)
            if (pinned_here(entry_at(s, at)))
                keep_pin(from, s, entry_at(s, at));
        remove_client(s, was);
    }
    if (!is)
        return;
    const hc_index_client *c = client_at(from, is);
    uint32_t client = add_client(s, hc_record_ref(c->record), c->status, c->status_s);
    for (uint32_t at = c->first; at; at = entry_at(from, at)->sibling)
        add_entry(s, entry_at(from, at), client, issuer_at(from, entry_at(from, at)->issuer));
    s->pinned_here |= from->pinned_here;
}

static bool is_of(const hc_store *s, const hc_index_entry *e, const hc_cert *cert)
{
    const hc_serial *serial = hc_cert_serial(cert);
    return e->serial_size == size_and_sign(serial) &&
           memcmp(e->serial, serial->octets, serial->size) == 0 &&
           memcmp(issuer_at(s, e->issuer), hc_cert_issuer_sha256(cert), SHA256_BYTES) == 0;
}

static bool fits(const hc_index_entry *e, const hc_cert *cert)
{
    uint8_t key_id[SHA256_BYTES];
    if (e->pin == HC_PIN_NONE)
        return true;
    if (e->pin == HC_PIN_NONE_KEYED)
        return sha256_of(hc_cert_issuer_key_id(cert), key_id) &&
               memcmp(e->sha256, key_id, SHA256_BYTES) == 0;
    return memcmp(e->sha256, hc_cert_sha256(cert), SHA256_BYTES) == 0;
}

/* Of several that fit: one that has this certificate, else one that is revoked, else one that the
 * database vouches for, else the oldest. */
static bool better(const hc_index_entry *a, const hc_index_entry *b)
{
    if (has_no_pin(a) != has_no_pin(b))
        return has_no_pin(b);
    if (a->revoked != b->revoked)
        return a->revoked;
    if (pinned_here(a) != pinned_here(b))
        return pinned_here(b);
    return a->id < b->id;
}

hc_index_entry *hc_store_find(const hc_store *s, const hc_cert *cert, bool *known)
{
    const hc_serial *serial = hc_cert_serial(cert);
    uint64_t hash = hash_key(s, hc_cert_issuer_sha256(cert), size_and_sign(serial), serial->octets);
    hc_index_entry *best = NULL;
    *known = false;
    for (uint32_t at = hc_table_first(&s->entries, hash); at; at = entry_at(s, at)->next) {
        hc_index_entry *e = entry_at(s, at);
        if (!is_of(s, e, cert))
            continue;
        *known = true;
        if (fits(e, cert) && (!best || better(e, best)))
            best = e;
    }
    return best;
}

bool hc_store_wants_pin(const hc_index_entry *e)
{
    return e->pin == HC_PIN_HERE_UNTOLD || (has_no_pin(e) && !e->revoked);
}

void hc_store_pin(hc_store *s, hc_index_entry *e, const hc_cert *cert)
{
    memcpy(e->sha256, hc_cert_sha256(cert), SHA256_BYTES);
    e->pin = HC_PIN_HERE;
    s->pinned_here = true;
}
