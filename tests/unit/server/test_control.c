#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../faults.h"
#include "../unit.h"

/* One of each type, with every member it carries. */
static const hc_control_message samples[] = {
    {.type = HC_CONTROL_CONFIG, .fd = 0},
    {.type = HC_CONTROL_LISTEN, .fd = 0},
    {.type = HC_CONTROL_LANE, .worker = 7, .fd = 0},
    {.type = HC_CONTROL_RETIRE, .worker = 0xfffffffe, .fd = -1},
    {.type = HC_CONTROL_DRAIN, .grace_ms = 30000000000ULL, .fd = -1},
    {.type = HC_CONTROL_CONFIG_OK, .fd = -1},
    {.type = HC_CONTROL_CONFIG_BAD, .text = {(const uint8_t *)"no key", 6}, .fd = -1},
    {.type = HC_CONTROL_LANE_READY, .worker = 1, .fd = -1},
    {.type = HC_CONTROL_WORKER_BROKEN, .worker = 2, .text = {(const uint8_t *)"hung", 4}, .fd = -1},
    {.type = HC_CONTROL_WORKER_IDLE, .worker = 3, .fd = -1},
    {.type = HC_CONTROL_DRAINED, .fd = -1},
    {.type = HC_CONTROL_WORKER_SPENT, .worker = 4, .fd = -1},
    {.type = HC_CONTROL_STATUS, .fd = -1},
    {.type = HC_CONTROL_METRICS, .fd = 0},
    {.type = HC_CONTROL_ACCESS_LOG, .fd = 0},
    {.type = HC_CONTROL_ERROR_LOG, .fd = 0},
    {.type = HC_CONTROL_STATUS_IS, .text = {(const uint8_t *)"{}", 2}, .fd = -1},
};

static void assert_same(const hc_control_message *got, const hc_control_message *wanted)
{
    assert_int_equal(got->type, wanted->type);
    assert_int_equal(got->worker, wanted->worker);
    assert_int_equal(got->grace_ms, wanted->grace_ms);
    assert_slice_equal(got->text, wanted->text);
    assert_int_equal(got->fd >= 0, wanted->fd >= 0);
}

static void every_message_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < HC_COUNT(samples); i++) {
        hc_buf frame = hc_buf_init(HC_CONTROL_FRAME_MAX);
        hc_control_message got;
        size_t used;
        assert_int_equal(hc_control_encode(&samples[i], &frame), 0);
        assert_int_equal(hc_control_decode(hc_buf_slice(&frame), &used, &got, NULL), 0);
        assert_int_equal(used, frame.size);
        assert_same(&got, &samples[i]);
        hc_buf_done(&frame);
    }
}

static void a_cut_message_is_waited_for_at_every_octet(void **state)
{
    (void)state;
    for (size_t i = 0; i < HC_COUNT(samples); i++) {
        hc_buf frame = hc_buf_init(HC_CONTROL_FRAME_MAX);
        assert_int_equal(hc_control_encode(&samples[i], &frame), 0);
        for (size_t size = 0; size < frame.size; size++) {
            hc_control_message got;
            size_t used = 99;
            hc_slice cut = hc_slice_of(frame.at, size);
            assert_int_equal(hc_control_decode(cut, &used, &got, NULL), -HC_EAGAIN);
            assert_int_equal(used, 99);
        }
        hc_buf_done(&frame);
    }
}

static void malformed_messages_are_refused(void **state)
{
    static const hc_slice bad[] = {
        HC_SLICE_LITERAL("\0\0\0\0\x00\0\0\0"),           /* type 0 */
        HC_SLICE_LITERAL("\0\0\0\0\x63\0\0\0"),           /* a type nobody sends */
        HC_SLICE_LITERAL("\0\0\0\0\xff\0\0\0"),           /* beyond the table */
        HC_SLICE_LITERAL("\0\0\0\0\x15\0\1\0"),           /* the zero is not zero */
        HC_SLICE_LITERAL("\0\0\0\0\x15\1\0\0"),           /* a descriptor where there is none */
        HC_SLICE_LITERAL("\0\0\0\0\x02\0\0\0"),           /* none where there is one */
        HC_SLICE_LITERAL("\0\0\0\0\x02\2\0\0"),           /* two */
        HC_SLICE_LITERAL("\xff\xff\xff\xff\x15\0\0\0"),   /* larger than any */
        HC_SLICE_LITERAL("\1\0\0\0\x15\0\0\0!"),          /* trailing octets */
        HC_SLICE_LITERAL("\3\0\0\0\x12\0\0\0\1\0\0"),     /* a short number */
        HC_SLICE_LITERAL("\5\0\0\0\x12\0\0\0\1\0\0\0\0"), /* a long one */
        HC_SLICE_LITERAL("\4\0\0\0\x11\0\0\0\3\0ab"),     /* text beyond the frame */
        HC_SLICE_LITERAL("\4\0\0\0\x11\0\0\0\1\0ab"),     /* text that ends before it */
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(bad); i++) {
        hc_control_message got;
        size_t used;
        hc_err err = {0};
        assert_int_equal(hc_control_decode(bad[i], &used, &got, &err), -HC_EFORMAT);
        assert_int_equal(err.code, HC_EFORMAT);
    }
}

static void a_long_text_is_cut_not_refused(void **state)
{
    static uint8_t text[HC_CONTROL_TEXT_MAX + 100];
    (void)state;
    memset(text, 'x', sizeof(text));
    hc_control_message m = {.type = HC_CONTROL_CONFIG_BAD, .text = {text, sizeof(text)}, .fd = -1};
    hc_buf frame = hc_buf_init(HC_CONTROL_FRAME_MAX);
    hc_control_message got;
    size_t used;
    assert_int_equal(hc_control_encode(&m, &frame), 0);
    assert_int_equal(hc_control_decode(hc_buf_slice(&frame), &used, &got, NULL), 0);
    assert_int_equal(got.text.size, HC_CONTROL_TEXT_MAX);
    hc_buf_done(&frame);
}

static void an_unknown_type_is_not_encoded(void **state)
{
    (void)state;
    hc_buf frame = hc_buf_init(HC_CONTROL_FRAME_MAX);
    hc_control_message m = {.type = (hc_control_type)15, .fd = -1};
    assert_int_equal(hc_control_encode(&m, &frame), -HC_EINVAL);
    assert_int_equal(frame.size, 0);
    hc_buf_done(&frame);
}

/* --- over sockets
 * --------------------------------------------------------------------------------------------- */

typedef struct ends {
    hc_control a, b;
} ends;

static int connect_ends(void **state)
{
    ends *e = malloc(sizeof(*e));
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    hc_control_init(&e->a, pair[0]);
    hc_control_init(&e->b, pair[1]);
    *state = e;
    return 0;
}

static int close_ends(void **state)
{
    ends *e = *state;
    hc_control_done(&e->a);
    hc_control_done(&e->b);
    free(e);
    return 0;
}

/* A pipe whose write end travels: what is written to it says which descriptor it is. */
static int number_pipe(int *read_end)
{
    int pair[2];
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    *read_end = pair[0];
    return pair[1];
}

static void assert_reads(int fd, char wanted)
{
    char got = 0;
    assert_int_equal(read(fd, &got, 1), 1);
    assert_int_equal(got, wanted);
    assert_int_equal(close(fd), 0);
}

static void descriptors_arrive_with_their_own_messages(void **state)
{
    ends *e = *state;
    int readers[3];
    hc_control_message got;
    for (uint32_t i = 0; i < 3; i++) {
        hc_control_message idle = {.type = HC_CONTROL_RETIRE, .worker = i, .fd = -1};
        hc_control_message lane = {
            .type = HC_CONTROL_LANE, .worker = 100 + i, .fd = number_pipe(&readers[i])};
        assert_int_equal(hc_control_send(&e->a, &idle, NULL), 0);
        assert_int_equal(hc_control_send(&e->a, &lane, NULL), 0);
    }
    assert_int_equal(hc_control_flush(&e->a, NULL), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(hc_control_read(&e->b, &got, NULL), 0);
        assert_int_equal(got.type, HC_CONTROL_RETIRE);
        assert_int_equal(got.worker, i);
        assert_int_equal(got.fd, -1);
        assert_int_equal(hc_control_read(&e->b, &got, NULL), 0);
        assert_int_equal(got.worker, 100 + i);
        assert_int_not_equal(fcntl(got.fd, F_GETFD) & FD_CLOEXEC, 0);
        char number = (char)('a' + i);
        assert_int_equal(write(got.fd, &number, 1), 1);
        assert_int_equal(close(got.fd), 0);
        assert_reads(readers[i], number);
    }
    assert_int_equal(hc_control_read(&e->b, &got, NULL), -HC_EAGAIN);
}

static void a_full_socket_is_waited_for_and_nothing_is_lost(void **state)
{
    enum { COUNT = 3000 };
    ends *e = *state;
    int size = 4096, rc = 0;
    uint32_t next = 0, waits = 0;
    assert_int_equal(setsockopt(e->a.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        hc_control_message m = {
            .type = HC_CONTROL_WORKER_BROKEN, .worker = i, .text = S("a reason"), .fd = -1};
        assert_int_equal(hc_control_send(&e->a, &m, NULL), 0);
    }
    do {
        hc_control_message got;
        rc = hc_control_flush(&e->a, NULL);
        waits += rc == -HC_EAGAIN;
        while (hc_control_read(&e->b, &got, NULL) == 0) {
            assert_int_equal(got.worker, next++);
            assert_slice(got.text, "a reason");
        }
    } while (rc == -HC_EAGAIN);
    assert_int_equal(rc, 0);
    assert_int_equal(next, COUNT);
    assert_true(waits > 0);
}

static void a_closed_peer_is_told_from_a_cut_message(void **state)
{
    ends *e = *state;
    hc_control_message got;
    assert_int_equal(write(e->a.fd, "\4\0\0\0\x12\0\0\0\1", 9), 9);
    assert_int_equal(hc_control_read(&e->b, &got, NULL), -HC_EAGAIN);
    assert_int_equal(shutdown(e->a.fd, SHUT_WR), 0);
    assert_int_equal(hc_control_read(&e->b, &got, NULL), -HC_EFORMAT);
    assert_int_equal(shutdown(e->b.fd, SHUT_WR), 0);
    assert_int_equal(hc_control_read(&e->a, &got, NULL), -HC_ECLOSED);
}

static void writing_to_a_closed_peer_is_an_error_not_a_signal(void **state)
{
    ends *e = *state;
    hc_control_message m = {.type = HC_CONTROL_DRAINED, .fd = -1};
    hc_control_done(&e->b);
    assert_int_equal(hc_control_send(&e->a, &m, NULL), 0);
    assert_int_equal(hc_control_flush(&e->a, NULL), -HC_ECLOSED);
    assert_int_equal(hc_control_post(e->a.fd, &m), -HC_ECLOSED);
}

static void a_message_without_its_descriptor_is_refused(void **state)
{
    ends *e = *state;
    hc_control_message got;
    assert_int_equal(write(e->a.fd, "\0\0\0\0\2\1\0\0", 8), 8);
    assert_int_equal(hc_control_read(&e->b, &got, NULL), -HC_EFORMAT);
}

static void a_descriptor_must_fit_the_type(void **state)
{
    ends *e = *state;
    int reader;
    char octet;
    hc_control_message with = {.type = HC_CONTROL_RETIRE, .fd = number_pipe(&reader)};
    hc_control_message without = {.type = HC_CONTROL_LISTEN, .fd = -1};
    assert_int_equal(hc_control_send(&e->a, &with, NULL), -HC_EINVAL);
    assert_int_equal(read(reader, &octet, 1), 0); /* it was taken, so it is closed */
    assert_int_equal(close(reader), 0);
    assert_int_equal(hc_control_send(&e->a, &without, NULL), -HC_EINVAL);
    assert_int_equal(hc_control_post(e->a.fd, &without), -HC_EINVAL);
}

static void descriptors_that_were_not_taken_are_closed(void **state)
{
    ends *e = *state;
    int readers[2];
    char octet;
    hc_control_message m = {.type = HC_CONTROL_LISTEN, .fd = number_pipe(&readers[0])};
    assert_int_equal(hc_control_send(&e->a, &m, NULL), 0);
    assert_int_equal(hc_control_flush(&e->a, NULL), 0);
    assert_int_equal(write(e->a.fd, "", 1), 1); /* so that what follows is never looked at */
    m.fd = number_pipe(&readers[1]);
    assert_int_equal(hc_control_send(&e->a, &m, NULL), 0); /* queued, never flushed */
    hc_control_done(&e->a);
    hc_control_done(&e->b);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(read(readers[i], &octet, 1), 0);
        assert_int_equal(close(readers[i]), 0);
    }
}

static void a_posted_message_is_read_like_a_sent_one(void **state)
{
    ends *e = *state;
    for (size_t i = 0; i < HC_COUNT(samples); i++) {
        hc_control_message got;
        if (samples[i].fd >= 0)
            continue;
        assert_int_equal(hc_control_post(e->a.fd, &samples[i]), 0);
        assert_int_equal(hc_control_read(&e->b, &got, NULL), 0);
        assert_same(&got, &samples[i]);
    }
}

static void without_memory_nothing_is_queued_and_the_descriptor_is_closed(void **state)
{
    (void)state;
    for (size_t nth = 1; nth < 10; nth++) {
        int pair[2], reader;
        char octet;
        hc_control c;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        faults_begin(nth);
        hc_control_init(&c, pair[0]);
        hc_control_message m = {.type = HC_CONTROL_LISTEN, .fd = number_pipe(&reader)};
        hc_err err = {0};
        int rc = hc_control_send(&c, &m, &err);
        size_t queued = c.out.size;
        hc_control_done(&c);
        faults_end();
        assert_int_equal(faults_live, 0);
        assert_int_equal(read(reader, &octet, 1), 0);
        assert_int_equal(close(reader), 0);
        assert_int_equal(close(pair[1]), 0);
        if (rc == 0) {
            assert_true(nth > 1);
            return;
        }
        assert_int_equal(rc, -HC_ENOMEM);
        assert_int_equal(queued, 0);
    }
    fail();
}

int main(void)
{
#define OVER_SOCKETS(test) cmocka_unit_test_setup_teardown(test, connect_ends, close_ends)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_decodes_to_what_was_encoded),
        cmocka_unit_test(a_cut_message_is_waited_for_at_every_octet),
        cmocka_unit_test(malformed_messages_are_refused),
        cmocka_unit_test(a_long_text_is_cut_not_refused),
        cmocka_unit_test(an_unknown_type_is_not_encoded),
        OVER_SOCKETS(descriptors_arrive_with_their_own_messages),
        OVER_SOCKETS(a_full_socket_is_waited_for_and_nothing_is_lost),
        OVER_SOCKETS(a_closed_peer_is_told_from_a_cut_message),
        OVER_SOCKETS(writing_to_a_closed_peer_is_an_error_not_a_signal),
        OVER_SOCKETS(a_message_without_its_descriptor_is_refused),
        OVER_SOCKETS(a_descriptor_must_fit_the_type),
        OVER_SOCKETS(descriptors_that_were_not_taken_are_closed),
        OVER_SOCKETS(a_posted_message_is_read_like_a_sent_one),
        cmocka_unit_test(without_memory_nothing_is_queued_and_the_descriptor_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
