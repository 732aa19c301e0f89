/* The decoder of what front and authority say: it reads no further than the octets reach, and what
 * it takes encodes to the same octets. */
#include <stdlib.h>

#include "server/authority_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static hc_seen seen[HC_AUTHORITY_SEEN_MAX];
    hc_authority_message m;
    hc_err err;
    if (hc_authority_decode(hc_slice_of(data, size), &m, seen, &err) != 0)
        return 0;
    hc_buf again = hc_buf_init(HC_AUTHORITY_PACKET_MAX);
    if (hc_authority_encode(&m, &again) != 0 ||
        !hc_slice_equal(hc_buf_slice(&again), hc_slice_of(data, size)))
        abort();
    hc_buf_done(&again);
    return 0;
}
