/* Addresses of unix sockets whose paths do not fit into one. Internal to control_socket.c and
 * control_call.c. */
#ifndef HC_SERVER_CONTROL_ADDRESS_H
#define HC_SERVER_CONTROL_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

typedef struct hc_control_address {
    int folder; /* open while the address is used */
    struct sockaddr_un un;
    socklen_t size;
} hc_control_address;

/* sun_path holds 108 octets, a state folder's path may be longer: the address goes by an open
 * descriptor of the folder. */
int hc_control_address_of(const char *path, hc_control_address *out, hc_err *err) HC_MUST_CHECK;
void hc_control_address_done(hc_control_address *a);

#endif
