#include "lane/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"
#include "samples.h"

typedef struct ends {
    int raw;      /* what the other process would write to */
    hc_channel c; /* the end under test */
} ends;

static void setup_as(ends *e, bool non_blocking)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    e->raw = fds[0];
    if (non_blocking)
        assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    hc_channel_init(&e->c, fds[1]);
}

static void done(ends *e)
{
    if (e->raw >= 0)
        assert_int_equal(close(e->raw), 0);
    hc_channel_done(&e->c);
    assert_int_equal(close(e->c.fd), 0);
}

static int restore(void **state)
{
    (void)state;
    faults_end();
    return 0;
}

static int open_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* A pipe's two ends with something in it that tells it from others. */
static int marked_fd(const char *mark)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], mark, 1), 1);
    assert_int_equal(close(fds[1]), 0);
    return fds[0];
}

static void assert_marked(int fd, char mark)
{
    char got = 0;
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(read(fd, &got, 1), 1);
    assert_int_equal(got, mark);
    assert_int_equal(close(fd), 0);
}

static void send_octets(int to, hc_slice octets, const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(16 * sizeof(int))];
    } control = {.space = {0}};
    struct iovec io = {(void *)(uintptr_t)octets.at, octets.size};
    struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1};
    if (fd_count) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *m = CMSG_FIRSTHDR(&msg);
        m->cmsg_level = SOL_SOCKET;
        m->cmsg_type = SCM_RIGHTS;
        m->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(m), fds, fd_count * sizeof(int));
    }
    assert_int_equal(sendmsg(to, &msg, MSG_NOSIGNAL), octets.size);
}

static void send_buf(int to, hc_buf *b)
{
    send_octets(to, hc_buf_slice(b), NULL, 0);
    hc_buf_done(b);
}

static void assert_frame(hc_channel *c, hc_lane_type type, hc_slice wanted)
{
    hc_lane_header h;
    hc_slice payload;
    int fd = 77;
    assert_int_equal(hc_channel_read(c, &h, &payload, &fd, NULL), 0);
    assert_int_equal(h.type, type);
    assert_int_equal(fd, -1);
    assert_slice_equal(payload, wanted);
}

static int next_code(hc_channel *c)
{
    hc_lane_header h;
    hc_slice payload;
    int fd;
    return hc_channel_read(c, &h, &payload, &fd, NULL);
}

static void frames_sent_together_come_out_one_by_one(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, true);
    hc_buf b = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_lane_add_data(&b, S("one")), 0);
    assert_int_equal(hc_lane_add_data(&b, S("")), 0);
    assert_int_equal(hc_lane_add_end(&b, false), 0);
    assert_false(hc_channel_has_frame(&e.c));
    send_buf(e.raw, &b);
    assert_frame(&e.c, HC_LANE_DATA, S("one"));
    assert_true(hc_channel_has_frame(&e.c));
    assert_frame(&e.c, HC_LANE_DATA, S(""));
    assert_frame(&e.c, HC_LANE_END, S("\0"));
    assert_false(hc_channel_has_frame(&e.c));
    assert_int_equal(next_code(&e.c), -HC_EAGAIN);
    done(&e);
}

static void a_frame_that_comes_octet_by_octet_is_read_when_it_is_whole(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, true);
    hc_buf b = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_lane_add_data(&b, S("payload")), 0);
    for (size_t i = 0; i < b.size; i++) {
        assert_int_equal(next_code(&e.c), -HC_EAGAIN);
        assert_false(hc_channel_has_frame(&e.c));
        send_octets(e.raw, hc_slice_of(b.at + i, 1), NULL, 0);
    }
    assert_frame(&e.c, HC_LANE_DATA, S("payload"));
    hc_buf_done(&b);
    done(&e);
}

static void the_end_between_frames_is_an_end_and_within_one_an_error(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_lane_add_data(&b, S("payload")), 0);
    for (size_t size = 0; size <= b.size; size++) {
        ends e;
        setup_as(&e, false);
        if (size)
            send_octets(e.raw, hc_slice_of(b.at, size), NULL, 0);
        assert_int_equal(close(e.raw), 0);
        e.raw = -1;
        if (size == b.size)
            assert_frame(&e.c, HC_LANE_DATA, S("payload"));
        assert_int_equal(next_code(&e.c), size == 0 || size == b.size ? -HC_ECLOSED : -HC_EFORMAT);
        done(&e);
    }
    hc_buf_done(&b);
}

static void a_reset_between_frames_is_an_end(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, false);
    assert_int_equal(hc_lane_add_end(&e.c.out, false), 0);
    assert_int_equal(hc_channel_flush(&e.c, NULL), 0);
    assert_int_equal(close(e.raw), 0); /* with octets unread: the other end sees ECONNRESET */
    e.raw = -1;
    assert_int_equal(next_code(&e.c), -HC_ECLOSED);
    done(&e);
}

static void a_broken_header_is_an_error(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, true);
    send_octets(e.raw, S("\0\0\0\0\x63\0\0\0"), NULL, 0);
    assert_int_equal(next_code(&e.c), -HC_EFORMAT);
    assert_true(hc_channel_has_frame(&e.c));
    assert_int_equal(next_code(&e.c), -HC_EFORMAT);
    done(&e);
}

static void a_descriptor_comes_with_its_frame(void **state)
{
    (void)state;
    int before = open_fds();
    ends e;
    setup_as(&e, true);
    hc_buf b = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_lane_add_data(&b, S("first")), 0);
    send_octets(e.raw, hc_buf_slice(&b), NULL, 0);
    hc_buf_clear(&b);
    int fd = marked_fd("x");
    assert_int_equal(hc_lane_add_file(&b, &(hc_lane_file){0, 1}), 0);
    send_octets(e.raw, hc_buf_slice(&b), &fd, 1);
    assert_int_equal(close(fd), 0);
    hc_buf_clear(&b);
    assert_int_equal(hc_lane_add_end(&b, false), 0);
    send_buf(e.raw, &b);

    hc_lane_header h;
    hc_slice payload;
    assert_frame(&e.c, HC_LANE_DATA, S("first"));
    assert_int_equal(hc_channel_read(&e.c, &h, &payload, &fd, NULL), 0);
    assert_int_equal(h.type, HC_LANE_FILE);
    assert_marked(fd, 'x');
    assert_frame(&e.c, HC_LANE_END, S("\0"));
    done(&e);
    assert_int_equal(open_fds(), before);
}

static void descriptors_of_several_frames_keep_their_order(void **state)
{
    (void)state;
    int before = open_fds();
    ends e;
    setup_as(&e, true);
    for (int i = 0; i < 3; i++) {
        hc_buf b = hc_buf_init(SIZE_MAX);
        int fd = marked_fd(&"abc"[i]);
        assert_int_equal(hc_lane_add_file(&b, &(hc_lane_file){0, 1}), 0);
        send_octets(e.raw, hc_buf_slice(&b), &fd, 1);
        assert_int_equal(close(fd), 0);
        hc_buf_done(&b);
    }
    for (int i = 0; i < 3; i++) {
        hc_lane_header h;
        hc_slice payload;
        int fd;
        assert_int_equal(hc_channel_read(&e.c, &h, &payload, &fd, NULL), 0);
        assert_marked(fd, "abc"[i]);
    }
    done(&e);
    assert_int_equal(open_fds(), before);
}

static void a_descriptor_nobody_takes_is_closed_with_the_channel(void **state)
{
    (void)state;
    int before = open_fds();
    ends e;
    setup_as(&e, true);
    int fd = marked_fd("x");
    send_octets(e.raw, S("\x10\0\0\0\x13\1\0\0"), &fd,
                1); /* a FILE frame's header, no payload yet */
    assert_int_equal(close(fd), 0);
    assert_int_equal(next_code(&e.c), -HC_EAGAIN);
    assert_int_equal(e.c.fd_count, 1);
    done(&e);
    assert_int_equal(open_fds(), before);
}

static void a_frame_without_its_descriptor_is_an_error(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, true);
    send_octets(e.raw, S("\x10\0\0\0\x13\1\0\0"), NULL, 0);
    assert_int_equal(next_code(&e.c), -HC_EFORMAT);
    done(&e);
}

static void a_descriptor_without_a_frame_is_an_error_and_closed(void **state)
{
    (void)state;
    int before = open_fds();
    ends e;
    setup_as(&e, true);
    hc_buf b = hc_buf_init(SIZE_MAX);
    int fd = marked_fd("x");
    assert_int_equal(hc_lane_add_data(&b, S("data")), 0);
    send_octets(e.raw, hc_buf_slice(&b), &fd, 1);
    assert_int_equal(close(fd), 0);
    assert_frame(&e.c, HC_LANE_DATA, S("data"));
    assert_int_equal(next_code(&e.c), -HC_EFORMAT);
    assert_int_equal(e.c.fd_count, 0);
    hc_buf_done(&b);
    done(&e);
    assert_int_equal(open_fds(), before);
}

static void more_descriptors_than_there_is_room_for_are_an_error_and_closed(void **state)
{
    (void)state;
    for (size_t count = HC_LANE_FDS; count <= HC_LANE_FDS + 2; count++) {
        int before = open_fds();
        ends e;
        setup_as(&e, true);
        int fds[HC_LANE_FDS + 2];
        for (size_t i = 0; i < count; i++)
            fds[i] = marked_fd("x");
        send_octets(e.raw, S("\x10\0\0\0\x13\1"), fds, count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(close(fds[i]), 0);
        assert_int_equal(next_code(&e.c), count > HC_LANE_FDS ? -HC_EFORMAT : -HC_EAGAIN);
        done(&e);
        assert_int_equal(open_fds(), before);
    }
}

static void descriptors_that_pile_up_over_messages_are_an_error_and_closed(void **state)
{
    (void)state;
    int before = open_fds();
    ends e;
    setup_as(&e, true);
    int fd = marked_fd("x");
    for (size_t i = 0; i <= HC_LANE_FDS; i++)
        send_octets(e.raw, S("\0"), &fd, 1); /* five octets of one header, a descriptor with each */
    assert_int_equal(close(fd), 0);
    assert_int_equal(next_code(&e.c), -HC_EFORMAT);
    assert_int_equal(e.c.fd_count, 0);
    done(&e);
    assert_int_equal(open_fds(), before);
}

static void a_peek_tells_the_next_type_and_takes_nothing(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, false); /* must not wait all the same */
    uint8_t type = 77;
    hc_buf b = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_lane_add_data(&b, S("one")), 0);
    assert_int_equal(hc_lane_add_end(&b, true), 0);
    for (size_t i = 0; i < HC_LANE_HEADER_BYTES; i++) {
        assert_int_equal(hc_channel_peek_now(&e.c, &type, NULL), -HC_EAGAIN);
        send_octets(e.raw, hc_slice_of(b.at + i, 1), NULL, 0);
    }
    assert_int_equal(type, 77);
    assert_int_equal(hc_channel_peek_now(&e.c, &type, NULL), 0);
    assert_int_equal(type, HC_LANE_DATA);
    send_octets(e.raw, hc_slice_from(hc_buf_slice(&b), HC_LANE_HEADER_BYTES), NULL, 0);
    assert_int_equal(hc_channel_peek_now(&e.c, &type, NULL), 0);
    assert_frame(&e.c, HC_LANE_DATA, S("one"));
    assert_int_equal(hc_channel_peek_now(&e.c, &type, NULL), 0);
    assert_int_equal(type, HC_LANE_END);
    assert_frame(&e.c, HC_LANE_END, S("\1"));
    send_octets(e.raw, S("\0\0\0\0\x63\0\0\0"), NULL, 0);
    assert_int_equal(hc_channel_peek_now(&e.c, &type, NULL), -HC_EFORMAT);
    hc_buf_done(&b);
    done(&e);
}

static void a_peek_at_the_end_is_an_end(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, false);
    uint8_t type;
    assert_int_equal(shutdown(e.raw, SHUT_WR), 0);
    assert_int_equal(hc_channel_peek_now(&e.c, &type, NULL), -HC_ECLOSED);
    assert_int_equal(next_code(&e.c), -HC_ECLOSED);
    done(&e);
}

static void a_flush_that_must_not_wait_does_not(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, false);
    uint8_t *octets = test_calloc(1, HC_LIMIT_LANE_FRAME);
    assert_int_equal(hc_lane_add_data(&e.c.out, hc_slice_of(octets, HC_LIMIT_LANE_FRAME)), 0);
    assert_int_equal(hc_channel_flush_now(&e.c, NULL), -HC_EAGAIN);
    assert_true(e.c.out_done > 0 && e.c.out_done < e.c.out.size);
    test_free(octets);
    done(&e);
}

static void a_flushed_descriptor_goes_with_the_octet_it_was_meant_for(void **state)
{
    (void)state;
    int before = open_fds();
    ends e;
    setup_as(&e, false);
    hc_channel other;
    hc_channel_init(&other, e.raw);
    int fd = marked_fd("y");
    assert_int_equal(hc_lane_add_data(&e.c.out, S("before")), 0);
    e.c.out_fd = fd;
    e.c.out_fd_at = e.c.out.size;
    assert_int_equal(hc_lane_add_file(&e.c.out, &(hc_lane_file){0, 1}), 0);
    assert_int_equal(hc_lane_add_end(&e.c.out, false), 0);
    assert_int_equal(hc_channel_flush(&e.c, NULL), 0);
    assert_int_equal(e.c.out_fd, -1);
    assert_int_equal(close(fd), 0); /* it stays the caller's */

    hc_lane_header h;
    hc_slice payload;
    assert_frame(&other, HC_LANE_DATA, S("before"));
    assert_int_equal(hc_channel_read(&other, &h, &payload, &fd, NULL), 0);
    assert_int_equal(h.type, HC_LANE_FILE);
    assert_marked(fd, 'y');
    assert_frame(&other, HC_LANE_END, S("\0"));
    hc_channel_done(&other);
    done(&e);
    assert_int_equal(open_fds(), before);
}

static void a_flush_that_would_block_goes_on_where_it_stopped(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, true);
    hc_channel other;
    hc_channel_init(&other, e.raw);
    uint8_t *octets = test_malloc(HC_LIMIT_LANE_FRAME);
    for (size_t i = 0; i < HC_LIMIT_LANE_FRAME; i++)
        octets[i] = (uint8_t)(i * 31 >> 3);
    hc_slice frame = hc_slice_of(octets, HC_LIMIT_LANE_FRAME);
    assert_int_equal(hc_lane_add_data(&e.c.out, frame), 0);
    assert_int_equal(hc_channel_flush(&e.c, NULL), -HC_EAGAIN);
    assert_int_equal(fcntl(e.raw, F_SETFL, O_NONBLOCK), 0);
    int rc = -HC_EAGAIN, flushed = -HC_EAGAIN;
    hc_lane_header h;
    hc_slice payload;
    int fd;
    while (rc == -HC_EAGAIN) {
        rc = hc_channel_read(&other, &h, &payload, &fd, NULL);
        if (flushed == -HC_EAGAIN)
            flushed = hc_channel_flush(&e.c, NULL);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(flushed, 0);
    assert_slice_equal(payload, frame);
    assert_int_equal(e.c.out.capacity, 0); /* a megabyte does not stay with an idle lane */
    assert_int_equal(next_code(&other), -HC_EAGAIN);
    assert_true(other.in.capacity < HC_LIMIT_LANE_FRAME);
    test_free(octets);
    hc_channel_done(&other);
    done(&e);
}

static void writing_to_a_closed_lane_is_an_end_and_no_signal(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, false);
    assert_int_equal(close(e.raw), 0);
    e.raw = -1;
    assert_int_equal(hc_lane_add_end(&e.c.out, false), 0);
    assert_int_equal(hc_channel_flush(&e.c, NULL), -HC_ECLOSED);
    done(&e);
}

static void a_descriptor_that_is_no_socket_is_an_io_error(void **state)
{
    (void)state;
    hc_channel c;
    int fd = marked_fd("x");
    hc_channel_init(&c, fd);
    hc_err err = {0};
    hc_lane_header h;
    hc_slice payload;
    int got;
    assert_int_equal(hc_channel_read(&c, &h, &payload, &got, &err), -HC_EIO);
    assert_non_null(strstr(err.text, "cannot read from a lane: "));
    assert_int_equal(hc_lane_add_end(&c.out, false), 0);
    assert_int_equal(hc_channel_flush(&c, &err), -HC_EIO);
    assert_non_null(strstr(err.text, "cannot write to a lane: "));
    hc_channel_done(&c);
    assert_int_equal(close(fd), 0);
}

static void no_memory_for_a_frame_is_told_and_can_be_tried_again(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, true);
    hc_buf b = hc_buf_init(SIZE_MAX);
    uint8_t octets[40000] = {7};
    assert_int_equal(hc_lane_add_data(&b, hc_slice_of(octets, sizeof(octets))), 0);
    send_buf(e.raw, &b);
    size_t nth = 1;
    for (; nth <= 2; nth++) {
        faults_begin(nth);
        assert_int_equal(next_code(&e.c), -HC_ENOMEM);
    }
    faults_begin(0);
    assert_frame(&e.c, HC_LANE_DATA, hc_slice_of(octets, sizeof(octets)));
    faults_end();
    done(&e);
}

static void *send_later(void *arg)
{
    const int *to = arg;
    hc_buf b = hc_buf_init(SIZE_MAX);
    if (hc_lane_add_hello(&b) == 0)
        (void)!write(*to, b.at, b.size);
    hc_buf_done(&b);
    return NULL;
}

static void a_blocking_channel_waits_for_its_frame(void **state)
{
    (void)state;
    ends e;
    setup_as(&e, false);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_later, &e.raw), 0);
    assert_frame(&e.c, HC_LANE_HELLO, S("\3\0\0\0"));
    assert_int_equal(pthread_join(thread, NULL), 0);
    done(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_sent_together_come_out_one_by_one),
        cmocka_unit_test(a_frame_that_comes_octet_by_octet_is_read_when_it_is_whole),
        cmocka_unit_test(the_end_between_frames_is_an_end_and_within_one_an_error),
        cmocka_unit_test(a_reset_between_frames_is_an_end),
        cmocka_unit_test(a_broken_header_is_an_error),
        cmocka_unit_test(a_descriptor_comes_with_its_frame),
        cmocka_unit_test(descriptors_of_several_frames_keep_their_order),
        cmocka_unit_test(a_descriptor_nobody_takes_is_closed_with_the_channel),
        cmocka_unit_test(a_frame_without_its_descriptor_is_an_error),
        cmocka_unit_test(a_descriptor_without_a_frame_is_an_error_and_closed),
        cmocka_unit_test(more_descriptors_than_there_is_room_for_are_an_error_and_closed),
        cmocka_unit_test(descriptors_that_pile_up_over_messages_are_an_error_and_closed),
        cmocka_unit_test(a_peek_tells_the_next_type_and_takes_nothing),
        cmocka_unit_test(a_peek_at_the_end_is_an_end),
        cmocka_unit_test(a_flush_that_must_not_wait_does_not),
        cmocka_unit_test(a_flushed_descriptor_goes_with_the_octet_it_was_meant_for),
        cmocka_unit_test(a_flush_that_would_block_goes_on_where_it_stopped),
        cmocka_unit_test(writing_to_a_closed_lane_is_an_end_and_no_signal),
        cmocka_unit_test(a_descriptor_that_is_no_socket_is_an_io_error),
        cmocka_unit_test_teardown(no_memory_for_a_frame_is_told_and_can_be_tried_again, restore),
        cmocka_unit_test(a_blocking_channel_waits_for_its_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
