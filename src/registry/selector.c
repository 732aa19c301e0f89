#include "registry/selector.h"

#include "base/str.h"

/* What a word may be: all of it, or what stands before it says which. */
typedef enum meaning {
    MEANS_NAME = 1,
    MEANS_SERIAL = 2,
    MEANS_SHA256 = 4,
    MEANS_ANY = 7,
} meaning;

static unsigned meanings(hc_slice *word)
{
    static const struct {
        hc_slice prefix;
        meaning meaning;
    } prefixes[] = {
        {HC_SLICE_LITERAL("name:"), MEANS_NAME},
        {HC_SLICE_LITERAL("serial:"), MEANS_SERIAL},
        {HC_SLICE_LITERAL("sha256:"), MEANS_SHA256},
    };
    for (size_t i = 0; i < HC_COUNT(prefixes); i++) {
        if (hc_slice_starts_with(*word, prefixes[i].prefix)) {
            *word = hc_slice_from(*word, prefixes[i].prefix.size);
            return prefixes[i].meaning;
        }
    }
    return MEANS_ANY;
}

/* 64 hex digits; colons may stand between octets. */
static bool parse_sha256(hc_slice word, uint8_t out[32])
{
    bool colons = word.size == 95;
    if (!colons && word.size != 64)
        return false;
    for (size_t i = 0; i < 32; i++) {
        const uint8_t *at = word.at + i * (colons ? 3 : 2);
        int high = hc_hex_digit(at[0]), low = hc_hex_digit(at[1]);
        if (high < 0 || low < 0 || (colons && i < 31 && at[2] != ':'))
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

typedef struct matcher {
    hc_registry *r;
    int (*each)(void *arg, const hc_match *m);
    void *arg;
    size_t found;
    bool no_memory; /* for a description */
} matcher;

static int tell(matcher *x, const hc_match *m)
{
    if (x->found == HC_LIMIT_MATCHES)
        return 0;
    x->found++;
    return x->each(x->arg, m);
}

static int on_client(void *arg, const hc_client_row *row)
{
    return tell(
        arg, &(hc_match){.client_id = row->id, .client_name = row->name, .description = row->name});
}

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    char serial[HC_SERIAL_HEX_BYTES];
    hc_buf text = hc_buf_init(HC_LIMIT_REGISTRY_ROW);
    hc_serial_hex(&row->serial, serial);
    int rc =
        hc_buf_printf(&text, "certificate %s of %.*s, ", serial, HC_SLICE_ARGS(row->client_name));
    if (rc == 0)
        rc = hc_buf_add(&text, row->issuer);
    if (rc)
        ((matcher *)arg)->no_memory = true;
    else
        rc = tell(arg, &(hc_match){.client_id = row->client_id,
                                   .certificate_id = row->id,
                                   .client_name = row->client_name,
                                   .description = hc_buf_slice(&text)});
    hc_buf_done(&text);
    return rc;
}

static int match_certificates(matcher *x, hc_certificate_filter f, hc_err *err)
{
    f.limit = HC_LIMIT_MATCHES;
    return x->r->engine->certificates(x->r, &f, on_certificate, x, err);
}

/* Digits alone are read both ways, hex first. */
static int match_serial(matcher *x, hc_slice word, hc_err *err)
{
    hc_serial hex, decimal;
    bool is_hex = hc_serial_parse(word, false, &hex, NULL) == 0;
    bool is_decimal = hc_serial_parse(word, true, &decimal, NULL) == 0;
    int rc = 0;
    if (is_hex)
        rc = match_certificates(x, (hc_certificate_filter){.serial = &hex}, err);
    if (rc == 0 && is_decimal && !(is_hex && hc_serial_equal(&hex, &decimal)))
        rc = match_certificates(x, (hc_certificate_filter){.serial = &decimal}, err);
    return rc;
}

int hc_registry_match(hc_registry *r, hc_slice word, int (*each)(void *arg, const hc_match *m),
                      void *arg, hc_err *err)
{
    matcher x = {.r = r, .each = each, .arg = arg};
    uint8_t sha256[32];
    int rc = 0;
    unsigned may = meanings(&word);
    if (word.size == 0)
        return 0;
    if (may & MEANS_NAME && word.size <= HC_LIMIT_CLIENT_NAME)
        rc = r->engine->clients(r, &(hc_client_filter){.name = word}, on_client, &x, err);
    if (rc == 0 && may & MEANS_SERIAL)
        rc = match_serial(&x, word, err);
    if (rc == 0 && may & MEANS_SHA256 && parse_sha256(word, sha256))
        rc = match_certificates(&x, (hc_certificate_filter){.sha256 = sha256}, err);
    return x.no_memory ? hc_err_set(err, HC_ENOMEM, "out of memory") : rc;
}

typedef struct only {
    size_t count;
    int64_t client_id, certificate_id;
    hc_buf list;
} only;

static int on_match(void *arg, const hc_match *m)
{
    only *o = arg;
    o->client_id = m->client_id;
    o->certificate_id = m->certificate_id;
    int rc = o->count++ ? hc_buf_add_text(&o->list, "; ") : 0;
    return rc ? rc : hc_escape_add(&o->list, m->description);
}

int hc_registry_match_one(hc_registry *r, hc_slice word, int64_t *client_id,
                          int64_t *certificate_id, hc_err *err)
{
    only o = {.list = hc_buf_init((size_t)8 * HC_LIMIT_REGISTRY_ROW)};
    hc_buf shown = hc_buf_init(HC_LIMIT_REGISTRY_ROW);
    hc_slice few = word.size > 128 ? hc_slice_of(word.at, 128) : word;
    int rc = hc_escape_add(&shown, few);
    hc_err why = {0};
    if (rc == 0)
        rc = hc_registry_match(r, word, on_match, &o, &why);
    if (rc)
        rc = why.code ? hc_err_set(err, -rc, "%s", why.text)
                      : hc_err_set(err, HC_ENOMEM, "out of memory");
    else if (o.count == 0)
        rc = hc_err_set(err, HC_ENOENT, "%.*s: no client and no certificate is known by this",
                        HC_SLICE_ARGS(hc_buf_slice(&shown)));
    else if (o.count > 1)
        rc = hc_err_set(err, HC_EINVAL, "%.*s: means more than one: %.*s",
                        HC_SLICE_ARGS(hc_buf_slice(&shown)), HC_SLICE_ARGS(hc_buf_slice(&o.list)));
    else {
        *client_id = o.client_id;
        *certificate_id = o.certificate_id;
    }
    hc_buf_done(&o.list);
    hc_buf_done(&shown);
    return rc;
}
