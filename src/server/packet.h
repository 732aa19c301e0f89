/* One packet over a SOCK_SEQPACKET socket, and a descriptor with it where there is one. */
#ifndef HC_SERVER_PACKET_H
#define HC_SERVER_PACKET_H

#include <sys/types.h>

#include "base/slice.h"

/* `fd` -1: none; stays the caller's. As send: -1 and errno. */
ssize_t hc_packet_send(int socket, hc_slice packet, int fd, int flags);
/* As recv. `fd` is the caller's, -1 where none came; a second one is closed. -1 with EMSGSIZE where
 * the packet was cut. */
ssize_t hc_packet_receive(int socket, void *at, size_t size, int flags, int *fd);

#endif
