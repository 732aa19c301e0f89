/* The PROXY protocol decoder: whatever the octets, it reads no further than they reach, and its
 * answer is stable. */
#include <stdlib.h>

#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hc_proxy whole, part;
    hc_err err;
    size_t consumed = 0;
    int rc = hc_proxy_decode(hc_slice_of(data, size), &consumed, &whole, &err);
    if (rc == 0) {
        char text[HC_ADDRESS_TEXT_BYTES];
        if (consumed == 0 || consumed > size)
            abort();
        if (whole.known) {
            hc_address_text(&whole.source, text, NULL);
            hc_address_text(&whole.destination, text, NULL);
        }
        /* What follows the header belongs to TLS and changes nothing. */
        size_t again = 0;
        if (hc_proxy_decode(hc_slice_of(data, consumed), &again, &part, NULL) != 0 ||
            again != consumed || part.known != whole.known)
            abort();
    } else if (rc != -HC_EAGAIN && rc != -HC_EFORMAT) {
        abort();
    }
    /* A header that is whole asks for more as long as it is not, and never fails before. */
    for (size_t i = 0; rc == 0 && i < consumed; i++) {
        if (hc_proxy_decode(hc_slice_of(data, i), &(size_t){0}, &part, NULL) != -HC_EAGAIN)
            abort();
    }
    return 0;
}
