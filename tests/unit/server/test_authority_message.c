/* What front and authority say: each message survives the way, and nothing else is taken for one.
 */
#include "server/authority_message.h"

#include "../unit.h"

static const uint8_t sha256[32] = {1, 2, [31] = 3};
static hc_seen room[HC_AUTHORITY_SEEN_MAX];

static hc_buf encoded(const hc_authority_message *m)
{
    hc_buf out = hc_buf_init(HC_AUTHORITY_PACKET_MAX);
    assert_int_equal(hc_authority_encode(m, &out), 0);
    return out;
}

static hc_authority_message decoded(const hc_buf *packet)
{
    hc_authority_message m;
    hc_err err = {0};
    if (hc_authority_decode(hc_buf_slice(packet), &m, room, &err) != 0)
        fail_msg("%s", err.text);
    return m;
}

static void a_question_arrives_as_it_was_sent(void **state)
{
    (void)state;
    hc_authority_message m = {.type = HC_AUTHORITY_ASK,
                              .token = UINT64_MAX,
                              .client_id = -5,
                              .sha256 = sha256,
                              .text = HC_SLICE_LITERAL("{\"do\":\"certificates\"}")};
    hc_buf packet = encoded(&m);
    hc_authority_message got = decoded(&packet);
    assert_int_equal(got.type, HC_AUTHORITY_ASK);
    assert_true(got.token == UINT64_MAX);
    assert_int_equal(got.client_id, -5);
    assert_memory_equal(got.sha256, sha256, sizeof sha256);
    assert_true(hc_slice_equal(got.text, m.text));
    hc_buf_done(&packet);
}

static void an_answer_a_pin_and_a_batch_arrive_as_they_were_sent(void **state)
{
    (void)state;
    hc_buf packet = encoded(&(hc_authority_message){
        .type = HC_AUTHORITY_ANSWER, .token = 9, .text = HC_SLICE_LITERAL("{}")});
    hc_authority_message got = decoded(&packet);
    assert_int_equal(got.token, 9);
    assert_true(hc_slice_equal_text(got.text, "{}"));
    hc_buf_done(&packet);
    packet = encoded(&(hc_authority_message){
        .type = HC_AUTHORITY_PIN, .certificate_id = 4, .text = HC_SLICE_LITERAL("der")});
    got = decoded(&packet);
    assert_int_equal(got.certificate_id, 4);
    assert_true(hc_slice_equal_text(got.text, "der"));
    hc_buf_done(&packet);
    packet =
        encoded(&(hc_authority_message){.type = HC_AUTHORITY_PINNED, .certificate_id = INT64_MAX});
    got = decoded(&packet);
    assert_true(got.certificate_id == INT64_MAX);
    hc_buf_done(&packet);
    packet = encoded(
        &(hc_authority_message){.type = HC_AUTHORITY_CRL, .text = HC_SLICE_LITERAL("a.crl")});
    got = decoded(&packet);
    assert_true(hc_slice_equal_text(got.text, "a.crl"));
    hc_buf_done(&packet);
    const hc_seen seen[] = {{1, 100}, {2, 200}};
    packet =
        encoded(&(hc_authority_message){.type = HC_AUTHORITY_SEEN, .seen = seen, .seen_count = 2});
    got = decoded(&packet);
    assert_int_equal(got.seen_count, 2);
    assert_int_equal(got.seen[1].certificate_id, 2);
    assert_int_equal(got.seen[1].at_s, 200);
    hc_buf_done(&packet);
}

static void a_message_that_is_cut_is_none(void **state)
{
    (void)state;
    hc_seen seen = {1, 2};
    const hc_authority_message messages[] = {
        {.type = HC_AUTHORITY_SEEN, .seen = &seen, .seen_count = 1},
        {.type = HC_AUTHORITY_ASK, .sha256 = sha256},
        {.type = HC_AUTHORITY_ANSWER},
        {.type = HC_AUTHORITY_PINNED, .certificate_id = 1},
        {.type = HC_AUTHORITY_CRL, .text = HC_SLICE_LITERAL("a")},
    };
    for (size_t i = 0; i < HC_COUNT(messages); i++) {
        hc_buf packet = encoded(&messages[i]);
        for (size_t size = 0; size < packet.size; size++) {
            hc_authority_message got;
            hc_err err = {0};
            assert_int_equal(hc_authority_decode(hc_slice_of(packet.at, size), &got, room, &err),
                             -HC_EFORMAT);
        }
        hc_buf_done(&packet);
    }
}

static void what_is_too_much_is_neither_sent_nor_taken(void **state)
{
    (void)state;
    static uint8_t much[HC_AUTHORITY_PACKET_MAX];
    hc_buf out = hc_buf_init(sizeof much);
    hc_authority_message m = {.type = HC_AUTHORITY_ASK,
                              .sha256 = sha256,
                              .text = hc_slice_of(much, HC_LIMIT_ASK_BYTES + 1)};
    assert_int_equal(hc_authority_encode(&m, &out), -HC_ELIMIT);
    m = (hc_authority_message){.type = HC_AUTHORITY_ANSWER,
                               .text = hc_slice_of(much, HC_LIMIT_ANSWER_BYTES + 1)};
    assert_int_equal(hc_authority_encode(&m, &out), -HC_ELIMIT);
    m = (hc_authority_message){.type = HC_AUTHORITY_PIN};
    assert_int_equal(hc_authority_encode(&m, &out), -HC_ELIMIT);
    m = (hc_authority_message){
        .type = HC_AUTHORITY_SEEN, .seen = room, .seen_count = HC_AUTHORITY_SEEN_MAX + 1};
    assert_int_equal(hc_authority_encode(&m, &out), -HC_ELIMIT);
    m = (hc_authority_message){.type = (hc_authority_type)7};
    assert_int_equal(hc_authority_encode(&m, &out), -HC_EINVAL);
    assert_int_equal(out.size, 0);
    for (unsigned type = 0; type < 256; type++) {
        hc_authority_message got;
        hc_err err = {0};
        much[0] = (uint8_t)type;
        assert_int_equal(hc_authority_decode(hc_slice_of(much, sizeof much), &got, room, &err),
                         -HC_EFORMAT);
    }
    much[0] = 0;
    hc_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_arrives_as_it_was_sent),
        cmocka_unit_test(an_answer_a_pin_and_a_batch_arrive_as_they_were_sent),
        cmocka_unit_test(a_message_that_is_cut_is_none),
        cmocka_unit_test(what_is_too_much_is_neither_sent_nor_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
