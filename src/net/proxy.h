/* PROXY protocol, version 1 and 2: a pure decoder over bytes. Asked only about peers that the
 * operator named. */
#ifndef HC_NET_PROXY_H
#define HC_NET_PROXY_H

#include "base/err.h"
#include "net/listener.h"

/* 0: a whole header; `consumed` octets of it are to be dropped, the addresses are filled in
 * (`known` false for UNKNOWN and LOCAL). -HC_EAGAIN: more octets are wanted. -HC_EFORMAT: not a
 * PROXY header, or longer than HC_LIMIT_PROXY_HEADER. */
typedef struct hc_proxy {
    bool known;
    hc_address source, destination;
} hc_proxy;
int hc_proxy_decode(hc_slice in, size_t *consumed, hc_proxy *out, hc_err *err) HC_MUST_CHECK;

#endif
