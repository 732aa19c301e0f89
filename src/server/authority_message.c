#include "server/authority_message.h"

#define SHA256_BYTES 32
#define CRL_NAME_MAX 160

/* i64 as the u64 of the same bits. */
static int add_i64(hc_buf *out, int64_t v)
{
    return hc_buf_add_u64(out, (uint64_t)v);
}

static int add_ask(const hc_authority_message *m, hc_buf *out)
{
    if (m->text.size > HC_LIMIT_ASK_BYTES)
        return -HC_ELIMIT;
    int rc = hc_buf_add_u64(out, m->token);
    if (rc == 0)
        rc = add_i64(out, m->client_id);
    if (rc == 0)
        rc = hc_buf_add(out, hc_slice_of(m->sha256, SHA256_BYTES));
    return rc == 0 ? hc_buf_add(out, m->text) : rc;
}

static int add_seen(const hc_authority_message *m, hc_buf *out)
{
    int rc = m->seen_count && m->seen_count <= HC_AUTHORITY_SEEN_MAX ? 0 : -HC_ELIMIT;
    for (size_t i = 0; rc == 0 && i < m->seen_count; i++) {
        rc = add_i64(out, m->seen[i].certificate_id);
        if (rc == 0)
            rc = add_i64(out, m->seen[i].at_s);
    }
    return rc;
}

static int add_pin(const hc_authority_message *m, hc_buf *out)
{
    if (m->text.size == 0 || m->text.size > HC_LIMIT_CERT_BYTES)
        return -HC_ELIMIT;
    int rc = add_i64(out, m->certificate_id);
    return rc == 0 ? hc_buf_add(out, m->text) : rc;
}

static int add_answer(const hc_authority_message *m, hc_buf *out)
{
    if (m->text.size > HC_LIMIT_ANSWER_BYTES)
        return -HC_ELIMIT;
    int rc = hc_buf_add_u64(out, m->token);
    return rc == 0 ? hc_buf_add(out, m->text) : rc;
}

int hc_authority_encode(const hc_authority_message *m, hc_buf *out)
{
    size_t begin = out->size;
    int rc = hc_buf_add_u8(out, (uint8_t)m->type);
    if (rc == 0 && m->type == HC_AUTHORITY_ASK)
        rc = add_ask(m, out);
    else if (rc == 0 && m->type == HC_AUTHORITY_SEEN)
        rc = add_seen(m, out);
    else if (rc == 0 && m->type == HC_AUTHORITY_PIN)
        rc = add_pin(m, out);
    else if (rc == 0 && m->type == HC_AUTHORITY_ANSWER)
        rc = add_answer(m, out);
    else if (rc == 0 && m->type == HC_AUTHORITY_PINNED)
        rc = add_i64(out, m->certificate_id);
    else if (rc == 0 && m->type == HC_AUTHORITY_CRL)
        rc = m->text.size && m->text.size <= CRL_NAME_MAX ? hc_buf_add(out, m->text) : -HC_ELIMIT;
    else if (rc == 0)
        rc = -HC_EINVAL;
    if (rc != 0)
        out->size = begin;
    return rc;
}

/* All that is left, at most `max` octets. */
static bool rest(hc_cursor *c, size_t max, hc_slice *out)
{
    return c->left <= max && hc_cursor_bytes(c, c->left, out);
}

static bool read_i64(hc_cursor *c, int64_t *out)
{
    uint64_t bits;
    if (!hc_cursor_u64(c, &bits))
        return false;
    *out = (int64_t)bits;
    return true;
}

static bool read_ask(hc_cursor *c, hc_authority_message *out)
{
    hc_slice sha256;
    if (!hc_cursor_u64(c, &out->token) || !read_i64(c, &out->client_id) ||
        !hc_cursor_bytes(c, SHA256_BYTES, &sha256))
        return false;
    out->sha256 = sha256.at;
    return rest(c, HC_LIMIT_ASK_BYTES, &out->text);
}

static bool read_seen(hc_cursor *c, hc_authority_message *out, hc_seen *seen)
{
    size_t count = c->left / (2 * sizeof(int64_t));
    if (count == 0 || count > HC_AUTHORITY_SEEN_MAX)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!read_i64(c, &seen[i].certificate_id) || !read_i64(c, &seen[i].at_s))
            return false;
    out->seen = seen;
    out->seen_count = count;
    return true;
}

static bool read_payload(hc_cursor *c, hc_authority_message *out, hc_seen *seen)
{
    switch (out->type) {
    case HC_AUTHORITY_ASK:
        return read_ask(c, out);
    case HC_AUTHORITY_SEEN:
        return read_seen(c, out, seen);
    case HC_AUTHORITY_PIN:
        return read_i64(c, &out->certificate_id) && c->left > 0 &&
               rest(c, HC_LIMIT_CERT_BYTES, &out->text);
    case HC_AUTHORITY_CRL:
        return c->left > 0 && rest(c, CRL_NAME_MAX, &out->text);
    case HC_AUTHORITY_ANSWER:
        return hc_cursor_u64(c, &out->token) && rest(c, HC_LIMIT_ANSWER_BYTES, &out->text);
    case HC_AUTHORITY_PINNED:
        return read_i64(c, &out->certificate_id);
    default:
        return false;
    }
}

int hc_authority_decode(hc_slice packet, hc_authority_message *out, hc_seen *seen, hc_err *err)
{
    hc_cursor c = hc_cursor_of(packet);
    uint8_t type = 0;
    hc_authority_message m = {0};
    bool ok = packet.size <= HC_AUTHORITY_PACKET_MAX && hc_cursor_u8(&c, &type);
    m.type = (hc_authority_type)type;
    if (!ok || !read_payload(&c, &m, seen) || !hc_cursor_done(&c))
        return hc_err_set(err, HC_EFORMAT, "not a message of the authority's (type %u, %zu octets)",
                          type, packet.size);
    *out = m;
    return 0;
}
