#include "lane/frame.h"

#define FLAGS_KNOWN HC_LANE_HAS_FD

static bool type_known(uint8_t type)
{
    return (type >= HC_LANE_CERT && type <= HC_LANE_ANSWER) ||
           (type >= HC_LANE_HELLO && type <= HC_LANE_ASK);
}

bool hc_lane_header_decode(const uint8_t in[HC_LANE_HEADER_BYTES], hc_lane_header *out)
{
    hc_cursor c = hc_cursor_of(hc_slice_of(in, HC_LANE_HEADER_BYTES));
    hc_lane_header h;
    uint16_t zero;
    if (!hc_cursor_u32(&c, &h.size) || !hc_cursor_u8(&c, &h.type) || !hc_cursor_u8(&c, &h.flags) ||
        !hc_cursor_u16(&c, &zero))
        return false;
    if (h.size > HC_LIMIT_LANE_FRAME || !type_known(h.type) || (h.flags & ~FLAGS_KNOWN) || zero)
        return false;
    *out = h;
    return true;
}

static void put_u32(uint8_t *out, uint32_t v)
{
    for (size_t i = 0; i < sizeof(v); i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

void hc_lane_header_encode(const hc_lane_header *h, uint8_t out[HC_LANE_HEADER_BYTES])
{
    put_u32(out, h->size);
    out[4] = h->type;
    out[5] = h->flags;
    out[6] = out[7] = 0;
}

int hc_lane_begin(hc_buf *out, hc_lane_type type, uint8_t flags, size_t *at)
{
    hc_lane_header h = {.type = (uint8_t)type, .flags = flags};
    uint8_t octets[HC_LANE_HEADER_BYTES];
    hc_lane_header_encode(&h, octets);
    size_t start = out->size;
    int rc = hc_buf_add(out, hc_slice_of(octets, sizeof(octets)));
    if (rc == 0)
        *at = start;
    return rc;
}

int hc_lane_end(hc_buf *out, size_t at)
{
    size_t size = out->size - at - HC_LANE_HEADER_BYTES;
    if (size > HC_LIMIT_LANE_FRAME) {
        out->size = at;
        return -HC_ELIMIT;
    }
    put_u32(out->at + at, (uint32_t)size);
    return 0;
}

/* Ends the frame, or takes back what was written of it. */
static int finish(hc_buf *out, size_t at, int rc)
{
    if (rc == 0)
        return hc_lane_end(out, at);
    out->size = at;
    return rc;
}

static int add_pairs(hc_buf *out, const hc_pair *pairs, size_t count, size_t max)
{
    if (count > max)
        return -HC_ELIMIT;
    int rc = hc_buf_add_u16(out, (uint16_t)count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = hc_buf_add_field16(out, pairs[i].name);
        if (rc == 0)
            rc = hc_buf_add_field32(out, pairs[i].value);
    }
    return rc;
}

int hc_lane_add_cert(hc_buf *out, const hc_lane_cert *cert)
{
    size_t at;
    int rc = hc_lane_begin(out, HC_LANE_CERT, 0, &at);
    if (rc != 0)
        return rc;
    rc = cert->chain_count > HC_LIMIT_CERT_CHAIN ? -HC_ELIMIT : hc_buf_add_u16(out, cert->slot);
    if (rc == 0)
        rc = add_pairs(out, cert->variables, cert->variable_count, HC_LANE_VARIABLES);
    if (rc == 0)
        rc = hc_buf_add_field32(out, cert->der);
    if (rc == 0)
        rc = hc_buf_add_u16(out, (uint16_t)cert->chain_count);
    for (size_t i = 0; rc == 0 && i < cert->chain_count; i++)
        rc = hc_buf_add_field32(out, cert->chain[i]);
    return finish(out, at, rc);
}

/* Nobody has no name, and somebody has one. */
static bool client_fits(const hc_lane_client *c)
{
    return c->slot < HC_LIMIT_LANE_CERT_SLOTS && c->known == (c->name.size > 0) &&
           (c->known || (c->roles.size == 0 && c->attributes.size == 0)) &&
           c->name.size <= HC_LIMIT_CLIENT_NAME && c->roles.size <= HC_LIMIT_CLIENT_ROLES &&
           c->attributes.size <= HC_LIMIT_CLIENT_ATTRIBUTES;
}

int hc_lane_add_client(hc_buf *out, const hc_lane_client *client)
{
    size_t at;
    int rc = hc_lane_begin(out, HC_LANE_CLIENT, 0, &at);
    if (rc != 0)
        return rc;
    rc = client_fits(client) ? hc_buf_add_u16(out, client->slot) : -HC_ELIMIT;
    if (rc == 0)
        rc = hc_buf_add_u8(out, client->known);
    if (rc == 0)
        rc = hc_buf_add_field16(out, client->name);
    if (rc == 0)
        rc = hc_buf_add_field16(out, client->roles);
    if (rc == 0)
        rc = hc_buf_add_field32(out, client->attributes);
    return finish(out, at, rc);
}

int hc_lane_add_server(hc_buf *out, const hc_lane_server *server)
{
    size_t at;
    int rc = hc_lane_begin(out, HC_LANE_SERVER, 0, &at);
    if (rc != 0)
        return rc;
    rc = add_pairs(out, server->variables, server->variable_count, HC_LANE_VARIABLES);
    if (rc == 0)
        rc = hc_buf_add_u8(out, server->multiprocess);
    if (rc == 0)
        rc = hc_buf_add_u8(out, server->multithread);
    return finish(out, at, rc);
}

/* The strings of a request, in the order of the wire. */
enum { REQUEST_STRINGS = 15 };

static void request_strings(hc_lane_request *r, hc_slice *at[REQUEST_STRINGS])
{
    hc_slice *const order[REQUEST_STRINGS] = {
        &r->verdict_name, &r->verdict_detail, &r->client_verify,  &r->remote_user,
        &r->method,       &r->target,         &r->path,           &r->query,
        &r->host,         &r->remote_address, &r->server_address, &r->tls_protocol,
        &r->tls_cipher,   &r->tls_session_id, &r->tls_sni,
    };
    memcpy(at, order, sizeof(order));
}

static int add_request_integers(hc_buf *out, const hc_lane_request *r)
{
    const uint64_t wide[] = {r->connection, r->body_size, (uint64_t)r->days_left};
    const uint16_t narrow[] = {r->cipher_bits, r->cipher_algorithm_bits, r->remote_port,
                               r->server_port, r->slot};
    const uint8_t octets[] = {r->verdict, r->http_minor, r->body_kind, r->resumed};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < HC_COUNT(wide); i++)
        rc = hc_buf_add_u64(out, wide[i]);
    if (rc == 0)
        rc = hc_buf_add_u32(out, r->error);
    if (rc == 0)
        rc = hc_buf_add_u32(out, r->depth);
    for (size_t i = 0; rc == 0 && i < HC_COUNT(narrow); i++)
        rc = hc_buf_add_u16(out, narrow[i]);
    return rc == 0 ? hc_buf_add(out, hc_slice_of(octets, sizeof(octets))) : rc;
}

int hc_lane_add_request(hc_buf *out, const hc_lane_request *r)
{
    size_t at;
    uint8_t flags = r->body_kind == HC_LANE_BODY_FILE ? HC_LANE_HAS_FD : 0;
    int rc = hc_lane_begin(out, HC_LANE_REQUEST, flags, &at);
    if (rc != 0)
        return rc;
    hc_lane_request copy = *r;
    hc_slice *strings[REQUEST_STRINGS];
    request_strings(&copy, strings);
    rc = add_request_integers(out, r);
    for (size_t i = 0; rc == 0 && i < REQUEST_STRINGS; i++)
        rc = hc_buf_add_field32(out, *strings[i]);
    if (rc == 0)
        rc = add_pairs(out, r->headers, r->header_count, HC_LANE_HEADERS);
    if (rc == 0)
        rc = hc_buf_add_field32(out, flags ? HC_SLICE_NONE : r->body);
    return finish(out, at, rc);
}

int hc_lane_add_head(hc_buf *out, const hc_lane_head *head)
{
    size_t at;
    int rc = hc_lane_begin(out, HC_LANE_HEAD, 0, &at);
    if (rc != 0)
        return rc;
    rc = hc_buf_add_u16(out, head->status);
    if (rc == 0)
        rc = hc_buf_add_field16(out, head->reason);
    if (rc == 0)
        rc = add_pairs(out, head->headers, head->header_count, HC_LANE_HEADERS);
    return finish(out, at, rc);
}

int hc_lane_add_file(hc_buf *out, const hc_lane_file *file)
{
    size_t at;
    int rc = hc_lane_begin(out, HC_LANE_FILE, HC_LANE_HAS_FD, &at);
    if (rc != 0)
        return rc;
    rc = hc_buf_add_u64(out, file->offset);
    if (rc == 0)
        rc = hc_buf_add_u64(out, file->size);
    return finish(out, at, rc);
}

static int add_octets(hc_buf *out, hc_lane_type type, hc_slice octets)
{
    size_t at;
    int rc = hc_lane_begin(out, type, 0, &at);
    return rc == 0 ? finish(out, at, hc_buf_add(out, octets)) : rc;
}

int hc_lane_add_hello(hc_buf *out)
{
    uint8_t octets[4];
    put_u32(octets, HC_LANE_PROTOCOL);
    return add_octets(out, HC_LANE_HELLO, hc_slice_of(octets, sizeof(octets)));
}

int hc_lane_add_data(hc_buf *out, hc_slice octets)
{
    return add_octets(out, HC_LANE_DATA, octets);
}

int hc_lane_add_end(hc_buf *out, bool failed)
{
    uint8_t octet = failed;
    return add_octets(out, HC_LANE_END, hc_slice_of(&octet, 1));
}

int hc_lane_add_ask(hc_buf *out, hc_slice question)
{
    return question.size <= HC_LIMIT_ASK_BYTES ? add_octets(out, HC_LANE_ASK, question)
                                               : -HC_ELIMIT;
}

int hc_lane_add_answer(hc_buf *out, hc_slice answer)
{
    return answer.size <= HC_LIMIT_ANSWER_BYTES ? add_octets(out, HC_LANE_ANSWER, answer)
                                                : -HC_ELIMIT;
}

static bool refused_fits(const hc_lane_refused *r)
{
    return r->verdict.size <= HC_LANE_VERDICT_NAME && r->reason.size <= HC_LANE_REASON;
}

int hc_lane_add_refused(hc_buf *out, const hc_lane_refused *refused)
{
    size_t at;
    int rc = hc_lane_begin(out, HC_LANE_REFUSED, 0, &at);
    if (rc != 0)
        return rc;
    rc = refused_fits(refused) ? hc_buf_add_field16(out, refused->verdict) : -HC_ELIMIT;
    if (rc == 0)
        rc = hc_buf_add_field16(out, refused->reason);
    return finish(out, at, rc);
}

static int malformed(hc_err *err, const char *what)
{
    return hc_err_set(err, HC_EFORMAT, "malformed %s frame on a lane", what);
}

/* False leaves the cursor failed, so that the decoder need look at nothing else. */
static bool read_pairs(hc_cursor *c, hc_pair *pairs, size_t room, size_t *count)
{
    uint16_t n;
    if (!hc_cursor_u16(c, &n))
        return false;
    c->failed = n > room;
    for (size_t i = 0; !c->failed && i < n; i++) {
        if (hc_cursor_field16(c, &pairs[i].name))
            (void)hc_cursor_field32(c, &pairs[i].value);
    }
    *count = n;
    return !c->failed;
}

int hc_lane_decode_cert(hc_slice payload, hc_lane_cert *out, hc_pair *pairs, size_t pair_room,
                        hc_slice *chain, size_t chain_room, hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    hc_lane_cert cert = {.variables = pairs, .chain = chain};
    uint16_t count = 0;
    if (!hc_cursor_u16(&c, &cert.slot) || !read_pairs(&c, pairs, pair_room, &cert.variable_count) ||
        !hc_cursor_field32(&c, &cert.der) || !hc_cursor_u16(&c, &count) || count > chain_room)
        return malformed(err, "CERT");
    for (size_t i = 0; i < count; i++) {
        if (!hc_cursor_field32(&c, &chain[i]))
            return malformed(err, "CERT");
    }
    if (!hc_cursor_done(&c) || cert.slot >= HC_LIMIT_LANE_CERT_SLOTS || cert.der.size == 0)
        return malformed(err, "CERT");
    cert.chain_count = count;
    *out = cert;
    return 0;
}

/* A flag is 0 or 1: anything else is another protocol. */
static bool read_flag(hc_cursor *c, bool *out)
{
    uint8_t octet;
    if (!hc_cursor_u8(c, &octet) || octet > 1)
        return false;
    *out = octet == 1;
    return true;
}

int hc_lane_decode_client(hc_slice payload, hc_lane_client *out, hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    hc_lane_client client;
    if (!hc_cursor_u16(&c, &client.slot) || !read_flag(&c, &client.known) ||
        !hc_cursor_field16(&c, &client.name) || !hc_cursor_field16(&c, &client.roles) ||
        !hc_cursor_field32(&c, &client.attributes) || !hc_cursor_done(&c) || !client_fits(&client))
        return malformed(err, "CLIENT");
    *out = client;
    return 0;
}

int hc_lane_decode_server(hc_slice payload, hc_lane_server *out, hc_pair *pairs, size_t pair_room,
                          hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    hc_lane_server server = {.variables = pairs};
    if (!read_pairs(&c, pairs, pair_room, &server.variable_count) ||
        !read_flag(&c, &server.multiprocess) || !read_flag(&c, &server.multithread) ||
        !hc_cursor_done(&c))
        return malformed(err, "SERVER");
    *out = server;
    return 0;
}

static bool read_request_integers(hc_cursor *c, hc_lane_request *r)
{
    uint64_t days_left;
    if (!hc_cursor_u64(c, &r->connection) || !hc_cursor_u64(c, &r->body_size) ||
        !hc_cursor_u64(c, &days_left) || !hc_cursor_u32(c, &r->error) ||
        !hc_cursor_u32(c, &r->depth) || !hc_cursor_u16(c, &r->cipher_bits) ||
        !hc_cursor_u16(c, &r->cipher_algorithm_bits) || !hc_cursor_u16(c, &r->remote_port) ||
        !hc_cursor_u16(c, &r->server_port) || !hc_cursor_u16(c, &r->slot) ||
        !hc_cursor_u8(c, &r->verdict) || !hc_cursor_u8(c, &r->http_minor) ||
        !hc_cursor_u8(c, &r->body_kind) || !hc_cursor_u8(c, &r->resumed))
        return false;
    r->days_left = (int64_t)days_left;
    return (r->slot < HC_LIMIT_LANE_CERT_SLOTS || r->slot == HC_LANE_NO_SLOT) &&
           r->http_minor <= 1 && r->body_kind <= HC_LANE_BODY_FILE && r->resumed <= 1;
}

int hc_lane_decode_request(hc_slice payload, hc_lane_request *out, hc_pair *headers,
                           size_t header_room, hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    hc_lane_request r = {.headers = headers};
    hc_slice *strings[REQUEST_STRINGS];
    request_strings(&r, strings);
    if (!read_request_integers(&c, &r))
        return malformed(err, "REQUEST");
    for (size_t i = 0; i < REQUEST_STRINGS; i++)
        (void)hc_cursor_field32(&c, strings[i]);
    if (!read_pairs(&c, headers, header_room, &r.header_count) || !hc_cursor_field32(&c, &r.body) ||
        !hc_cursor_done(&c))
        return malformed(err, "REQUEST");
    uint64_t inline_size = r.body_kind == HC_LANE_BODY_INLINE ? r.body_size : 0;
    if (r.body.size != inline_size)
        return malformed(err, "REQUEST");
    *out = r;
    return 0;
}

int hc_lane_decode_head(hc_slice payload, hc_lane_head *out, hc_pair *headers, size_t header_room,
                        hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    hc_lane_head head = {.headers = headers};
    if (!hc_cursor_u16(&c, &head.status) || !hc_cursor_field16(&c, &head.reason) ||
        !read_pairs(&c, headers, header_room, &head.header_count) || !hc_cursor_done(&c) ||
        head.status < 100 || head.status > 999)
        return malformed(err, "HEAD");
    *out = head;
    return 0;
}

int hc_lane_decode_file(hc_slice payload, hc_lane_file *out, hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    hc_lane_file file;
    if (!hc_cursor_u64(&c, &file.offset) || !hc_cursor_u64(&c, &file.size) || !hc_cursor_done(&c) ||
        file.offset > INT64_MAX || file.size > INT64_MAX - file.offset) /* off_t is signed */
        return malformed(err, "FILE");
    *out = file;
    return 0;
}

int hc_lane_decode_hello(hc_slice payload, uint32_t *protocol, hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    uint32_t value;
    if (!hc_cursor_u32(&c, &value) || !hc_cursor_done(&c))
        return malformed(err, "HELLO");
    *protocol = value;
    return 0;
}

int hc_lane_decode_end(hc_slice payload, bool *failed, hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    bool value;
    if (!read_flag(&c, &value) || !hc_cursor_done(&c))
        return malformed(err, "END");
    *failed = value;
    return 0;
}

int hc_lane_decode_refused(hc_slice payload, hc_lane_refused *out, hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    hc_lane_refused refused;
    if (!hc_cursor_field16(&c, &refused.verdict) || !hc_cursor_field16(&c, &refused.reason) ||
        !hc_cursor_done(&c) || !refused_fits(&refused))
        return malformed(err, "REFUSED");
    *out = refused;
    return 0;
}
