/* Listening sockets from their text form (gunicorn's --bind): "HOST:PORT", "[::1]:8443", ":8443",
 * "unix:PATH", "fd://N"; and addresses and networks as text. Nothing here keeps state; any thread.
 */
#ifndef HC_NET_LISTENER_H
#define HC_NET_LISTENER_H

#include <sys/socket.h>

#include "base/err.h"
#include "base/slice.h"

typedef struct hc_address {
    struct sockaddr_storage storage;
    socklen_t size;
} hc_address;

#define HC_ADDRESS_TEXT_BYTES 112 /* fits an IPv6 address with scope, and sun_path */

/* Opens, binds and listens: non-blocking, close-on-exec; a host name that means several addresses
 * gives several (at most `room`), all on one port where the port is 0. ":PORT" is every interface,
 * IPv4 and IPv6. "fd://N" takes over a socket that listens already (systemd). Errors name the
 * address and what to do (in use, no permission). A unix socket that nobody serves is replaced; a
 * file that is no socket never. May block in the resolver. On failure nothing stays open and the
 * outputs are untouched. */
int hc_listener_open(hc_slice bind, int backlog, int *fds, size_t room, size_t *count,
                     hc_err *err) HC_MUST_CHECK;
/* Whether it is written as hc_listener_open wants it; asks no resolver and opens nothing. */
int hc_listener_check(hc_slice bind, hc_err *err) HC_MUST_CHECK;
/* Address text without port ("127.0.0.1", "::1", "" for unix), and the port (0 for unix; may be
 * NULL). An IPv4 address that came through an IPv6 socket is written as IPv4. */
void hc_address_text(const hc_address *a, char out[HC_ADDRESS_TEXT_BYTES], uint16_t *port);
/* The socket's own end (getsockname). */
int hc_address_of_socket(int fd, hc_address *out, hc_err *err) HC_MUST_CHECK;

/* Networks, for --proxy-allow-from: "127.0.0.1", "10.0.0.0/8", "::1", "unix", "*". */
typedef struct hc_network {
    uint8_t bytes[16];
    uint8_t prefix_bits; /* of the v4-mapped form */
    bool any, unix_socket;
} hc_network;
/* Bits behind the prefix must be zero: "10.0.0.1/8" is refused. */
int hc_network_parse(hc_slice text, hc_network *out, hc_err *err) HC_MUST_CHECK;
/* "::/0" is every IPv6 address and no IPv4 one. */
bool hc_network_contains(const hc_network *n, const hc_address *a);

#endif
