#include "lane/frame.h"

#include "faults.h"
#include "samples.h"

static int restore(void **state)
{
    (void)state;
    faults_end();
    return 0;
}

/* The payload of the only frame in `b`, whose header must say what it is. */
static hc_slice payload_of(const hc_buf *b, hc_lane_type type, uint8_t flags)
{
    hc_lane_header h;
    assert_true(b->size >= HC_LANE_HEADER_BYTES);
    assert_true(hc_lane_header_decode(b->at, &h));
    assert_int_equal(h.type, type);
    assert_int_equal(h.flags, flags);
    assert_int_equal(h.size, b->size - HC_LANE_HEADER_BYTES);
    return hc_slice_from(hc_buf_slice(b), HC_LANE_HEADER_BYTES);
}

static void assert_pairs(const hc_pair *got, size_t count)
{
    assert_int_equal(count, HC_COUNT(sample_pairs));
    for (size_t i = 0; i < count; i++) {
        assert_slice_equal(got[i].name, sample_pairs[i].name);
        assert_slice_equal(got[i].value, sample_pairs[i].value);
    }
}

static void a_header_survives_the_wire(void **state)
{
    (void)state;
    const uint8_t types[] = {1, 2, 3, 4, 5, 6, 16, 17, 18, 19, 20, 21, 22};
    for (size_t i = 0; i < HC_COUNT(types); i++) {
        hc_lane_header in = {HC_LIMIT_LANE_FRAME, types[i], i & 1 ? HC_LANE_HAS_FD : 0}, out;
        uint8_t octets[HC_LANE_HEADER_BYTES];
        hc_lane_header_encode(&in, octets);
        assert_true(hc_lane_header_decode(octets, &out));
        assert_int_equal(out.size, in.size);
        assert_int_equal(out.type, in.type);
        assert_int_equal(out.flags, in.flags);
    }
}

static void a_header_with_anything_unknown_is_refused(void **state)
{
    (void)state;
    const char *const broken[] = {
        "\x01\x00\x10\x00\x12\x00\x00\x00", /* one octet over the limit */
        "\xff\xff\xff\xff\x12\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00",
        "\x00\x00\x00\x00\x07\x00\x00\x00", "\x00\x00\x00\x00\x0f\x00\x00\x00",
        "\x00\x00\x00\x00\x17\x00\x00\x00", "\x00\x00\x00\x00\xff\x00\x00\x00",
        "\x00\x00\x00\x00\x12\x02\x00\x00", /* a flag nobody defined */
        "\x00\x00\x00\x00\x12\x00\x01\x00", "\x00\x00\x00\x00\x12\x00\x00\x80",
    };
    for (size_t i = 0; i < HC_COUNT(broken); i++) {
        hc_lane_header out = {.size = 77};
        assert_false(hc_lane_header_decode((const uint8_t *)broken[i], &out));
        assert_int_equal(out.size, 77);
    }
}

static void the_octets_of_a_frame_are_those_of_the_protocol(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_lane_add_hello(&b), 0);
    assert_int_equal(hc_lane_add_end(&b, true), 0);
    assert_int_equal(hc_lane_add_data(&b, S("abc")), 0);
    assert_int_equal(hc_lane_add_refused(&b, &(hc_lane_refused){S("ok"), S("no")}), 0);
    assert_int_equal(hc_lane_add_file(&b, &(hc_lane_file){1, 2}), 0);
    hc_lane_head head = {
        .status = 404, .reason = S("Gone"), .headers = sample_pairs, .header_count = 1};
    assert_int_equal(hc_lane_add_head(&b, &head), 0);
    assert_slice(hc_buf_slice(&b),
                 "\4\0\0\0\x10\0\0\0\3\0\0\0"
                 "\1\0\0\0\x14\0\0\0\1"
                 "\3\0\0\0\x12\0\0\0abc"
                 "\x8\0\0\0\x15\0\0\0\2\0ok\2\0no"
                 "\x10\0\0\0\x13\1\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
                 "\x22\0\0\0\x11\0\0\0\x94\1\4\0Gone\1\0\4\0Host\x0e\0\0\0localhost:8443");
    hc_buf_done(&b);
}

static void a_certificate_survives_the_wire(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_lane_cert in = sample_cert(), out;
    hc_pair pairs[3];
    hc_slice chain[2];
    assert_int_equal(hc_lane_add_cert(&b, &in), 0);
    hc_slice payload = payload_of(&b, HC_LANE_CERT, 0);
    assert_int_equal(hc_lane_decode_cert(payload, &out, pairs, 3, chain, 2, NULL), 0);
    assert_int_equal(out.slot, 63);
    assert_pairs(out.variables, out.variable_count);
    assert_slice(out.der, "leaf");
    assert_int_equal(out.chain_count, 2);
    assert_slice(out.chain[0], "issuer");
    assert_slice(out.chain[1], "issuer's issuer");
    hc_buf_done(&b);
}

static void a_certificate_without_room_slot_or_octets_is_refused(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_pair pairs[3];
    hc_slice chain[2];
    hc_lane_cert in = sample_cert(), out = {.slot = 9};
    assert_int_equal(hc_lane_add_cert(&b, &in), 0);
    hc_slice payload = payload_of(&b, HC_LANE_CERT, 0);
    hc_err err = {0};
    assert_int_equal(hc_lane_decode_cert(payload, &out, pairs, 2, chain, 2, &err), -HC_EFORMAT);
    assert_string_equal(err.text, "malformed CERT frame on a lane");
    assert_int_equal(hc_lane_decode_cert(payload, &out, pairs, 3, chain, 1, NULL), -HC_EFORMAT);
    hc_buf_clear(&b);
    in.slot = HC_LIMIT_LANE_CERT_SLOTS;
    assert_int_equal(hc_lane_add_cert(&b, &in), 0);
    payload = payload_of(&b, HC_LANE_CERT, 0);
    assert_int_equal(hc_lane_decode_cert(payload, &out, pairs, 3, chain, 2, NULL), -HC_EFORMAT);
    hc_buf_clear(&b);
    in.slot = 0;
    in.der = HC_SLICE_NONE;
    assert_int_equal(hc_lane_add_cert(&b, &in), 0);
    payload = payload_of(&b, HC_LANE_CERT, 0);
    assert_int_equal(hc_lane_decode_cert(payload, &out, pairs, 3, chain, 2, NULL), -HC_EFORMAT);
    assert_int_equal(out.slot, 9);
    hc_buf_done(&b);
}

static void the_servers_variables_survive_the_wire(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_lane_server in = sample_server(), out;
    hc_pair pairs[3];
    assert_int_equal(hc_lane_add_server(&b, &in), 0);
    hc_slice payload = payload_of(&b, HC_LANE_SERVER, 0);
    assert_int_equal(hc_lane_decode_server(payload, &out, pairs, 3, NULL), 0);
    assert_pairs(out.variables, out.variable_count);
    assert_true(out.multiprocess);
    assert_false(out.multithread);
    b.at[b.size - 1] = 2; /* a flag is 0 or 1 */
    assert_int_equal(hc_lane_decode_server(payload, &out, pairs, 3, NULL), -HC_EFORMAT);
    hc_buf_done(&b);
}

static void assert_request_integers(const hc_lane_request *r)
{
    hc_lane_request wanted = sample_request();
    assert_true(r->connection == wanted.connection);
    assert_true(r->body_size == wanted.body_size);
    assert_true(r->days_left == wanted.days_left);
    assert_int_equal(r->error, wanted.error);
    assert_int_equal(r->depth, wanted.depth);
    assert_int_equal(r->cipher_bits, wanted.cipher_bits);
    assert_int_equal(r->cipher_algorithm_bits, wanted.cipher_algorithm_bits);
    assert_int_equal(r->remote_port, wanted.remote_port);
    assert_int_equal(r->server_port, wanted.server_port);
    assert_int_equal(r->slot, wanted.slot);
    assert_int_equal(r->verdict, wanted.verdict);
    assert_int_equal(r->http_minor, wanted.http_minor);
    assert_int_equal(r->body_kind, wanted.body_kind);
    assert_int_equal(r->resumed, wanted.resumed);
}

static void a_request_survives_the_wire(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_lane_request in = sample_request(), out;
    hc_pair headers[3];
    assert_int_equal(hc_lane_add_request(&b, &in), 0);
    hc_slice payload = payload_of(&b, HC_LANE_REQUEST, 0);
    assert_int_equal(hc_lane_decode_request(payload, &out, headers, 3, NULL), 0);
    assert_request_integers(&out);
    assert_slice(out.verdict_name, "expired");
    assert_slice(out.verdict_detail, "since yesterday");
    assert_slice(out.client_verify, "FAILED:certificate has expired");
    assert_slice(out.remote_user, "alice");
    assert_slice(out.method, "POST");
    assert_slice(out.target, "/a%20b?x=1");
    assert_slice(out.path, "/a b");
    assert_slice(out.query, "x=1");
    assert_slice(out.host, "localhost:8443");
    assert_slice(out.remote_address, "127.0.0.1");
    assert_slice(out.server_address, "127.0.0.2");
    assert_slice(out.tls_protocol, "TLSv1.3");
    assert_slice(out.tls_cipher, "TLS_AES_256_GCM_SHA384");
    assert_slice(out.tls_session_id, "00ff");
    assert_slice(out.tls_sni, "localhost");
    assert_slice(out.body, "hello");
    assert_pairs(out.headers, out.header_count);
    hc_buf_done(&b);
}

static void a_body_in_a_file_is_flagged_and_not_sent_inline(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_lane_request in = sample_request(), out;
    hc_pair headers[3];
    in.body_kind = HC_LANE_BODY_FILE;
    in.body_size = (uint64_t)1 << 40;
    assert_int_equal(hc_lane_add_request(&b, &in), 0);
    hc_slice payload = payload_of(&b, HC_LANE_REQUEST, HC_LANE_HAS_FD);
    assert_int_equal(hc_lane_decode_request(payload, &out, headers, 3, NULL), 0);
    assert_int_equal(out.body.size, 0);
    assert_true(out.body_size == (uint64_t)1 << 40);
    hc_buf_done(&b);
}

/* Where in the payload of sample_request() what stands. */
enum { AT_BODY_SIZE = 8, AT_SLOT = 40, AT_MINOR = 43, AT_BODY_KIND = 44, AT_RESUMED = 45 };

static void a_request_with_a_member_out_of_range_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t octet;
    } broken[] = {{AT_BODY_SIZE, 4}, {AT_BODY_SIZE, 6},   {AT_BODY_SIZE + 7, 1},
                  {AT_SLOT, 64},     {AT_SLOT + 1, 0xff}, {AT_MINOR, 2},
                  {AT_BODY_KIND, 2}, {AT_BODY_KIND, 1},   {AT_RESUMED, 2}};
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_lane_request in = sample_request(), out = {.slot = 9};
    hc_pair headers[3];
    assert_int_equal(hc_lane_add_request(&b, &in), 0);
    hc_slice payload = payload_of(&b, HC_LANE_REQUEST, 0);
    for (size_t i = 0; i < HC_COUNT(broken); i++) {
        uint8_t *at = b.at + HC_LANE_HEADER_BYTES + broken[i].at;
        uint8_t was = *at;
        *at = broken[i].octet;
        assert_int_equal(hc_lane_decode_request(payload, &out, headers, 3, NULL), -HC_EFORMAT);
        *at = was;
    }
    assert_int_equal(hc_lane_decode_request(payload, &out, headers, 2, NULL), -HC_EFORMAT);
    assert_int_equal(out.slot, 9);
    assert_int_equal(hc_lane_decode_request(payload, &out, headers, 3, NULL), 0);
    b.at[HC_LANE_HEADER_BYTES + AT_SLOT] = b.at[HC_LANE_HEADER_BYTES + AT_SLOT + 1] = 0xff;
    assert_int_equal(hc_lane_decode_request(payload, &out, headers, 3, NULL), 0);
    assert_int_equal(out.slot, HC_LANE_NO_SLOT);
    hc_buf_done(&b);
}

static void a_head_survives_the_wire(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_lane_head in = sample_head(), out;
    hc_pair headers[3];
    assert_int_equal(hc_lane_add_head(&b, &in), 0);
    hc_slice payload = payload_of(&b, HC_LANE_HEAD, 0);
    assert_int_equal(hc_lane_decode_head(payload, &out, headers, 3, NULL), 0);
    assert_int_equal(out.status, 200);
    assert_slice(out.reason, "OK");
    assert_pairs(out.headers, out.header_count);
    assert_int_equal(hc_lane_decode_head(payload, &out, headers, 2, NULL), -HC_EFORMAT);
    hc_buf_done(&b);
}

static void a_head_whose_status_has_not_three_digits_is_refused(void **state)
{
    (void)state;
    const uint16_t statuses[] = {0, 99, 1000, 65535};
    for (size_t i = 0; i < HC_COUNT(statuses); i++) {
        hc_buf b = hc_buf_init(SIZE_MAX);
        hc_lane_head in = sample_head(), out;
        hc_pair headers[3];
        in.status = statuses[i];
        assert_int_equal(hc_lane_add_head(&b, &in), 0);
        hc_slice payload = payload_of(&b, HC_LANE_HEAD, 0);
        assert_int_equal(hc_lane_decode_head(payload, &out, headers, 3, NULL), -HC_EFORMAT);
        hc_buf_done(&b);
    }
}

static void a_part_of_a_file_must_fit_a_signed_offset(void **state)
{
    (void)state;
    const hc_lane_file files[] = {{0, 0},
                                  {5, INT64_MAX - 5},
                                  {5, INT64_MAX - 4},
                                  {UINT64_MAX, 1},
                                  {0, (uint64_t)INT64_MAX + 1}};
    for (size_t i = 0; i < HC_COUNT(files); i++) {
        hc_buf b = hc_buf_init(SIZE_MAX);
        hc_lane_file out = {77, 77};
        assert_int_equal(hc_lane_add_file(&b, &files[i]), 0);
        int rc = hc_lane_decode_file(payload_of(&b, HC_LANE_FILE, HC_LANE_HAS_FD), &out, NULL);
        assert_int_equal(rc, i < 2 ? 0 : -HC_EFORMAT);
        assert_true(out.offset == (i < 2 ? files[i].offset : 77));
        assert_true(out.size == (i < 2 ? files[i].size : 77));
        hc_buf_done(&b);
    }
}

static void hello_and_end_are_exactly_as_long_as_they_must_be(void **state)
{
    (void)state;
    uint32_t protocol = 0;
    bool failed = false;
    assert_int_equal(hc_lane_decode_hello(S("\x01\x02\x00\x00"), &protocol, NULL), 0);
    assert_int_equal(protocol, 0x0201);
    assert_int_equal(hc_lane_decode_hello(S("\x01\x02\x00"), &protocol, NULL), -HC_EFORMAT);
    assert_int_equal(hc_lane_decode_hello(S("\x01\x02\x00\x00\x00"), &protocol, NULL), -HC_EFORMAT);
    assert_int_equal(hc_lane_decode_end(S("\x01"), &failed, NULL), 0);
    assert_true(failed);
    assert_int_equal(hc_lane_decode_end(S("\x00"), &failed, NULL), 0);
    assert_false(failed);
    assert_int_equal(hc_lane_decode_end(S("\x02"), &failed, NULL), -HC_EFORMAT);
    assert_int_equal(hc_lane_decode_end(S(""), &failed, NULL), -HC_EFORMAT);
    assert_int_equal(hc_lane_decode_end(S("\x00\x00"), &failed, NULL), -HC_EFORMAT);
}

static void a_refusal_survives_the_wire(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_lane_refused in = sample_refused(), out;
    assert_int_equal(hc_lane_add_refused(&b, &in), 0);
    assert_int_equal(hc_lane_decode_refused(payload_of(&b, HC_LANE_REFUSED, 0), &out, NULL), 0);
    assert_slice(out.verdict, "no-certificate");
    assert_slice(out.reason, "not today");
    hc_buf_done(&b);
}

/* REFUSED with texts of so many octets, whether or not they may be so long. */
static int refused_of(size_t verdict, size_t reason)
{
    hc_buf b = hc_buf_init(SIZE_MAX);
    uint8_t *octets = test_calloc(1, verdict + reason);
    hc_lane_refused out;
    assert_int_equal(hc_buf_add_field16(&b, hc_slice_of(octets, verdict)), 0);
    assert_int_equal(hc_buf_add_field16(&b, hc_slice_of(octets, reason)), 0);
    int rc = hc_lane_decode_refused(hc_buf_slice(&b), &out, NULL);
    hc_buf_clear(&b);
    hc_lane_refused in = {hc_slice_of(octets, verdict), hc_slice_of(octets, reason)};
    int added = hc_lane_add_refused(&b, &in);
    assert_int_equal(added, rc == 0 ? 0 : -HC_ELIMIT);
    assert_true(added == 0 || b.size == 0);
    test_free(octets);
    hc_buf_done(&b);
    return rc;
}

static void a_refusal_longer_than_a_log_line_needs_is_refused(void **state)
{
    (void)state;
    assert_int_equal(refused_of(HC_LANE_VERDICT_NAME, HC_LANE_REASON), 0);
    assert_int_equal(refused_of(HC_LANE_VERDICT_NAME + 1, 0), -HC_EFORMAT);
    assert_int_equal(refused_of(0, HC_LANE_REASON + 1), -HC_EFORMAT);
    assert_int_equal(refused_of(UINT16_MAX, UINT16_MAX), -HC_EFORMAT);
}

static void a_client_survives_the_wire(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_lane_client in = sample_client(), out;
    assert_int_equal(hc_lane_add_client(&b, &in), 0);
    assert_int_equal(hc_lane_decode_client(payload_of(&b, HC_LANE_CLIENT, 0), &out, NULL), 0);
    assert_int_equal(out.slot, 63);
    assert_true(out.known);
    assert_slice(out.name, "alice");
    assert_slice(out.roles, "meter reader");
    assert_slice(out.attributes, "{\"room\":7}");
    hc_buf_clear(&b);
    assert_int_equal(hc_lane_add_client(&b, &(hc_lane_client){.slot = 5}), 0);
    assert_int_equal(hc_lane_decode_client(payload_of(&b, HC_LANE_CLIENT, 0), &out, NULL), 0);
    assert_int_equal(out.slot, 5);
    assert_false(out.known);
    assert_int_equal(out.name.size + out.roles.size + out.attributes.size, 0);
    hc_buf_done(&b);
}

/* CLIENT with texts of so many octets, whether or not they may be so long. */
static int client_of(uint16_t slot, uint8_t known, size_t name, size_t roles, size_t attributes)
{
    hc_buf b = hc_buf_init(SIZE_MAX);
    uint8_t *octets = test_calloc(1, 65536);
    hc_lane_client out = {.slot = 9};
    hc_err err = {0};
    assert_int_equal(hc_buf_add_u16(&b, slot), 0);
    assert_int_equal(hc_buf_add_u8(&b, known), 0);
    assert_int_equal(hc_buf_add_field16(&b, hc_slice_of(octets, name)), 0);
    assert_int_equal(hc_buf_add_field16(&b, hc_slice_of(octets, roles)), 0);
    assert_int_equal(hc_buf_add_field32(&b, hc_slice_of(octets, attributes)), 0);
    int rc = hc_lane_decode_client(hc_buf_slice(&b), &out, &err);
    assert_int_equal(out.slot, rc == 0 ? slot : 9);
    if (rc != 0)
        assert_string_equal(err.text, "malformed CLIENT frame on a lane");
    if (known <= 1) {
        hc_lane_client in = {slot, known == 1, hc_slice_of(octets, name),
                             hc_slice_of(octets, roles), hc_slice_of(octets, attributes)};
        hc_buf_clear(&b);
        assert_int_equal(hc_lane_add_client(&b, &in), rc == 0 ? 0 : -HC_ELIMIT);
        assert_true(rc == 0 || b.size == 0);
    }
    test_free(octets);
    hc_buf_done(&b);
    return rc;
}

static void a_client_that_no_record_could_be_is_refused(void **state)
{
    (void)state;
    const size_t name = HC_LIMIT_CLIENT_NAME, roles = HC_LIMIT_CLIENT_ROLES,
                 attributes = HC_LIMIT_CLIENT_ATTRIBUTES;
    assert_int_equal(client_of(0, 1, name, roles, attributes), 0);
    assert_int_equal(client_of(HC_LIMIT_LANE_CERT_SLOTS, 1, 1, 0, 0), -HC_EFORMAT);
    assert_int_equal(client_of(HC_LANE_NO_SLOT, 1, 1, 0, 0), -HC_EFORMAT);
    assert_int_equal(client_of(0, 2, 1, 0, 0), -HC_EFORMAT);
    assert_int_equal(client_of(0, 1, 0, 1, 1), -HC_EFORMAT);
    assert_int_equal(client_of(0, 1, name + 1, 0, 0), -HC_EFORMAT);
    assert_int_equal(client_of(0, 1, 1, roles + 1, 0), -HC_EFORMAT);
    assert_int_equal(client_of(0, 1, 1, 0, attributes + 1), -HC_EFORMAT);
    assert_int_equal(client_of(0, 0, 1, 0, 0), -HC_EFORMAT);
    assert_int_equal(client_of(0, 0, 0, 1, 0), -HC_EFORMAT);
    assert_int_equal(client_of(0, 0, 0, 0, 1), -HC_EFORMAT);
}

static void what_is_asked_and_answered_goes_as_it_is_up_to_its_limit(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    uint8_t *octets = test_calloc(1, HC_LIMIT_ANSWER_BYTES + 1);
    assert_int_equal(hc_lane_add_ask(&b, S("{}")), 0);
    assert_slice(payload_of(&b, HC_LANE_ASK, 0), "{}");
    hc_buf_clear(&b);
    assert_int_equal(hc_lane_add_answer(&b, S("{\"ok\":true}")), 0);
    assert_slice(payload_of(&b, HC_LANE_ANSWER, 0), "{\"ok\":true}");
    hc_buf_clear(&b);
    assert_int_equal(hc_lane_add_ask(&b, hc_slice_of(octets, HC_LIMIT_ASK_BYTES + 1)), -HC_ELIMIT);
    assert_int_equal(hc_lane_add_answer(&b, hc_slice_of(octets, HC_LIMIT_ANSWER_BYTES + 1)),
                     -HC_ELIMIT);
    assert_int_equal(b.size, 0);
    assert_int_equal(hc_lane_add_ask(&b, hc_slice_of(octets, HC_LIMIT_ASK_BYTES)), 0);
    hc_buf_clear(&b);
    assert_int_equal(hc_lane_add_answer(&b, hc_slice_of(octets, HC_LIMIT_ANSWER_BYTES)), 0);
    test_free(octets);
    hc_buf_done(&b);
}

/* Decodes by type; what comes out does not matter here. */
static int decode(hc_lane_type type, hc_slice payload)
{
    hc_pair pairs[3];
    hc_slice chain[2];
    hc_lane_cert cert;
    hc_lane_server server;
    hc_lane_request request;
    hc_lane_head head;
    hc_lane_refused refused;
    hc_lane_client client;
    if (type == HC_LANE_CLIENT)
        return hc_lane_decode_client(payload, &client, NULL);
    if (type == HC_LANE_REFUSED)
        return hc_lane_decode_refused(payload, &refused, NULL);
    if (type == HC_LANE_CERT)
        return hc_lane_decode_cert(payload, &cert, pairs, 3, chain, 2, NULL);
    if (type == HC_LANE_SERVER)
        return hc_lane_decode_server(payload, &server, pairs, 3, NULL);
    if (type == HC_LANE_REQUEST)
        return hc_lane_decode_request(payload, &request, pairs, 3, NULL);
    return hc_lane_decode_head(payload, &head, pairs, 3, NULL);
}

static int encode(hc_lane_type type, hc_buf *out)
{
    hc_lane_cert cert = sample_cert();
    hc_lane_client client = sample_client();
    hc_lane_server server = sample_server();
    hc_lane_request request = sample_request();
    hc_lane_head head = sample_head();
    hc_lane_refused refused = sample_refused();
    if (type == HC_LANE_CLIENT)
        return hc_lane_add_client(out, &client);
    if (type == HC_LANE_REFUSED)
        return hc_lane_add_refused(out, &refused);
    if (type == HC_LANE_CERT)
        return hc_lane_add_cert(out, &cert);
    if (type == HC_LANE_SERVER)
        return hc_lane_add_server(out, &server);
    if (type == HC_LANE_REQUEST)
        return hc_lane_add_request(out, &request);
    return hc_lane_add_head(out, &head);
}

static const hc_lane_type structured[] = {HC_LANE_CERT,    HC_LANE_CLIENT, HC_LANE_SERVER,
                                          HC_LANE_REQUEST, HC_LANE_HEAD,   HC_LANE_REFUSED};

static void a_payload_cut_anywhere_or_too_long_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < HC_COUNT(structured); i++) {
        hc_buf b = hc_buf_init(SIZE_MAX);
        assert_int_equal(encode(structured[i], &b), 0);
        hc_slice whole = hc_slice_from(hc_buf_slice(&b), HC_LANE_HEADER_BYTES);
        assert_int_equal(decode(structured[i], whole), 0);
        for (size_t size = 0; size < whole.size; size++) {
            /* A copy of its own, so that the address sanitizer sees a read past its end. */
            uint8_t *cut = test_malloc(size ? size : 1);
            memcpy(cut, whole.at, size);
            assert_int_equal(decode(structured[i], hc_slice_of(cut, size)), -HC_EFORMAT);
            test_free(cut);
        }
        assert_int_equal(hc_buf_add_byte(&b, 0), 0);
        whole = hc_slice_from(hc_buf_slice(&b), HC_LANE_HEADER_BYTES);
        assert_int_equal(decode(structured[i], whole), -HC_EFORMAT);
        hc_buf_done(&b);
    }
}

static void a_frame_that_cannot_be_added_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < HC_COUNT(structured); i++) {
        hc_buf whole = hc_buf_init(SIZE_MAX);
        assert_int_equal(encode(structured[i], &whole), 0);
        for (size_t limit = 3; limit < 3 + whole.size; limit++) {
            hc_buf b = hc_buf_init(limit);
            assert_int_equal(hc_buf_add_text(&b, "abc"), 0);
            assert_int_equal(encode(structured[i], &b), -HC_ELIMIT);
            assert_slice(hc_buf_slice(&b), "abc");
            hc_buf_done(&b);
        }
        for (size_t nth = 1;; nth++) {
            faults_begin(nth);
            hc_buf b = hc_buf_init(SIZE_MAX);
            int rc = encode(structured[i], &b);
            assert_true(rc == 0 || (rc == -HC_ENOMEM && b.size == 0));
            hc_buf_done(&b);
            assert_int_equal(faults_live, 0);
            faults_end();
            if (rc == 0)
                break;
        }
        hc_buf_done(&whole);
    }
}

static void a_payload_over_the_limit_is_taken_back(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    uint8_t *octets = test_calloc(1, HC_LIMIT_LANE_FRAME + 1);
    assert_int_equal(hc_lane_add_end(&b, false), 0);
    size_t before = b.size;
    assert_int_equal(hc_lane_add_data(&b, hc_slice_of(octets, HC_LIMIT_LANE_FRAME + 1)),
                     -HC_ELIMIT);
    assert_int_equal(b.size, before);
    assert_int_equal(hc_lane_add_data(&b, hc_slice_of(octets, HC_LIMIT_LANE_FRAME)), 0);
    assert_int_equal(b.size, before + HC_LANE_HEADER_BYTES + HC_LIMIT_LANE_FRAME);
    test_free(octets);
    hc_buf_done(&b);
}

static void more_members_than_a_frame_may_have_are_not_sent(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    hc_pair *many = test_calloc(70000, sizeof(*many));
    hc_slice *chain = test_calloc(HC_LIMIT_CERT_CHAIN + 1, sizeof(*chain));
    hc_lane_head head = {.status = 200, .headers = many, .header_count = HC_LANE_HEADERS};
    assert_int_equal(hc_lane_add_head(&b, &head), 0);
    hc_buf_clear(&b);
    head.header_count = HC_LANE_HEADERS + 1;
    assert_int_equal(hc_lane_add_head(&b, &head), -HC_ELIMIT);
    head.header_count = 65537; /* its low 16 bits say 1 */
    assert_int_equal(hc_lane_add_head(&b, &head), -HC_ELIMIT);
    hc_lane_cert cert = {.variables = many, .variable_count = HC_LANE_VARIABLES + 1, .der = S("x")};
    assert_int_equal(hc_lane_add_cert(&b, &cert), -HC_ELIMIT);
    cert.variable_count = 0;
    cert.chain = chain;
    cert.chain_count = HC_LIMIT_CERT_CHAIN + 1;
    assert_int_equal(hc_lane_add_cert(&b, &cert), -HC_ELIMIT);
    assert_int_equal(b.size, 0);
    test_free(chain);
    test_free(many);
    hc_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_survives_the_wire),
        cmocka_unit_test(a_header_with_anything_unknown_is_refused),
        cmocka_unit_test(the_octets_of_a_frame_are_those_of_the_protocol),
        cmocka_unit_test(a_certificate_survives_the_wire),
        cmocka_unit_test(a_certificate_without_room_slot_or_octets_is_refused),
        cmocka_unit_test(the_servers_variables_survive_the_wire),
        cmocka_unit_test(a_request_survives_the_wire),
        cmocka_unit_test(a_body_in_a_file_is_flagged_and_not_sent_inline),
        cmocka_unit_test(a_request_with_a_member_out_of_range_is_refused),
        cmocka_unit_test(a_head_survives_the_wire),
        cmocka_unit_test(a_head_whose_status_has_not_three_digits_is_refused),
        cmocka_unit_test(a_part_of_a_file_must_fit_a_signed_offset),
        cmocka_unit_test(hello_and_end_are_exactly_as_long_as_they_must_be),
        cmocka_unit_test(a_refusal_survives_the_wire),
        cmocka_unit_test(a_refusal_longer_than_a_log_line_needs_is_refused),
        cmocka_unit_test(a_client_survives_the_wire),
        cmocka_unit_test(a_client_that_no_record_could_be_is_refused),
        cmocka_unit_test(what_is_asked_and_answered_goes_as_it_is_up_to_its_limit),
        cmocka_unit_test(a_payload_cut_anywhere_or_too_long_is_refused),
        cmocka_unit_test_teardown(a_frame_that_cannot_be_added_leaves_the_buffer_as_it_was,
                                  restore),
        cmocka_unit_test(a_payload_over_the_limit_is_taken_back),
        cmocka_unit_test(more_members_than_a_frame_may_have_are_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
