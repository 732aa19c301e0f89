#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "unit.h"

static peer_pki pki;

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    peer_pki_init(&pki);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_pki_done(&pki);
    return 0;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
static void run(peer_pair *p, peer_server *s, SSL_CTX *client)
{
    peer_open(p, s, client);
    peer_handshake(p);
}

static void assert_done(const peer_pair *p, const char *what)
{
    if (p->result != HC_TLS_DONE || p->client_done != 1)
        fail_msg("%s: server %d %d \"%s\", client %d %d", what, p->result, p->failure, p->err.text,
                 p->client_done, p->client_reason);
}

static void an_end_is_told_from_a_truncation(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (int orderly = 0; orderly < 2; orderly++) {
        SSL_CTX *client = peer_client(&pki.client, 0);
        peer_pair p;
        uint8_t octet;
        size_t done;
        run(&p, &s, client);
        assert_done(&p, "end");
        if (orderly)
            (void)SSL_shutdown(p.client);
        peer_relay(&p);
        assert_int_equal(shutdown(p.relay[0], SHUT_WR), 0);
        assert_int_equal(hc_tls_read(p.server, &octet, 1, &done, &p.err), HC_TLS_CLOSED);
        assert_int_equal(p.err.code, orderly ? HC_OK : HC_ECLOSED);
        peer_close(&p);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void a_handshake_that_the_client_leaves_is_closed(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, 0);
    peer_pair p;
    peer_open(&p, &s, client);
    (void)SSL_do_handshake(p.client);
    peer_relay(&p);
    assert_int_equal(shutdown(p.relay[0], SHUT_WR), 0);
    p.failure = HC_TLS_FAILURE_REFUSED;
    assert_int_equal(hc_tls_handshake(p.server, &p.failure, &p.err), HC_TLS_CLOSED);
    assert_int_equal(p.err.code, HC_ECLOSED);
    assert_int_equal(p.failure, HC_TLS_FAILURE_OTHER);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void writing_to_a_dead_socket_is_closed(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, 0);
    peer_pair p;
    size_t done;
    run(&p, &s, client);
    assert_done(&p, "dead");
    (void)close(p.relay[0]);
    assert_int_equal(hc_tls_write(p.server, S("into the void"), &done, &p.err), HC_TLS_CLOSED);
    assert_int_equal(p.err.code, HC_ECLOSED);
    assert_int_equal(hc_tls_close_notify(p.server), HC_TLS_DONE);
    p.relay[0] = dup(p.relay[1]);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

/* Takes what lies in the server's socket to the client, and reads it there. */
static void take(peer_pair *p, uint8_t *got, size_t size, size_t *received)
{
    uint8_t octets[16384];
    ssize_t moved = read(p->relay[0], octets, sizeof(octets));
    if (moved > 0)
        assert_int_equal(write(p->relay[1], octets, (size_t)moved), moved);
    size_t done = 0;
    while (*received < size &&
           SSL_read_ex(p->client, got + *received, size - *received, &done) == 1)
        *received += done;
}

static void a_full_socket_makes_a_writer_wait_and_loses_nothing(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, 0);
    peer_pair p;
    enum { size = 1 << 21 };
    uint8_t *sent = malloc(size), *got = malloc(size), *moved = malloc(size);
    size_t at = 0, received = 0, done;
    int waits = 0;
    for (size_t i = 0; i < size; i++)
        sent[i] = (uint8_t)(i * 31 >> 3);
    run(&p, &s, client);
    while (received < size) {
        hc_tls_result result = HC_TLS_DONE;
        while (at < size && result == HC_TLS_DONE) {
            /* Another address each time: the writer's buffer may move between two calls. */
            uint8_t *from = waits % 2 ? moved : sent;
            memcpy(moved + at, sent + at, size - at);
            result = hc_tls_write(p.server, hc_slice_of(from + at, size - at), &done, &p.err);
            at += done;
        }
        if (result != HC_TLS_DONE) {
            assert_int_equal(result, HC_TLS_WANT_WRITE);
            waits++;
        }
        take(&p, got, size, &received);
    }
    assert_true(waits > 0);
    assert_memory_equal(sent, got, size);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
    free(sent);
    free(got);
    free(moved);
}

/* A loop that waits for the socket alone would otherwise never hear of it. */
static void what_stays_inside_the_library_is_announced(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        peer_pair p;
        static uint8_t octets[16384];
        size_t done, left = 3 * sizeof(octets);
        run(&p, &s, client);
        assert_done(&p, "records");
        for (int i = 0; i < 3; i++)
            assert_int_equal(SSL_write(p.client, octets, sizeof(octets)), sizeof(octets));
        peer_relay(&p);
        while (left) {
            struct pollfd socket = {.fd = SSL_get_fd(p.server), .events = POLLIN};
            assert_true(SSL_has_pending(p.server) || poll(&socket, 1, 0) == 1);
            assert_int_equal(hc_tls_read(p.server, octets, sizeof(octets), &done, &p.err),
                             HC_TLS_DONE);
            left -= done;
        }
        assert_false(SSL_has_pending(p.server));
        peer_close(&p);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void fill(int fd)
{
    static const uint8_t octets[4096];
    while (send(fd, octets, sizeof(octets), MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
}

static void drain(int fd)
{
    uint8_t octets[4096];
    while (recv(fd, octets, sizeof(octets), MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
}

static void close_notify_waits_for_room_and_is_sent_once(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, 0);
    peer_pair p;
    uint8_t octets[256];
    peer_open(&p, &s, client);
    /* before the handshake there is nothing to end */
    assert_int_equal(hc_tls_close_notify(p.server), HC_TLS_DONE);
    peer_handshake(&p);
    assert_done(&p, "close");
    fill(SSL_get_fd(p.server));
    assert_int_equal(hc_tls_close_notify(p.server), HC_TLS_WANT_WRITE);
    drain(p.relay[0]);
    assert_int_equal(hc_tls_close_notify(p.server), HC_TLS_DONE);
    assert_int_equal(hc_tls_close_notify(p.server), HC_TLS_DONE);
    ssize_t size = read(p.relay[0], octets, sizeof(octets));
    assert_true(size > 5);
    assert_int_equal(size, 5 + (octets[3] << 8 | octets[4]));
    assert_int_equal(write(p.relay[1], octets, (size_t)size), size);
    assert_int_equal(SSL_read(p.client, octets, 1), 0);
    assert_int_equal(SSL_get_shutdown(p.client) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_is_told_from_a_truncation),
        cmocka_unit_test(a_handshake_that_the_client_leaves_is_closed),
        cmocka_unit_test(writing_to_a_dead_socket_is_closed),
        cmocka_unit_test(a_full_socket_makes_a_writer_wait_and_loses_nothing),
        cmocka_unit_test(what_stays_inside_the_library_is_announced),
        cmocka_unit_test(close_notify_waits_for_room_and_is_sent_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
