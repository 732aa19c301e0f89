/* What either end of a lane makes of octets from the other: they go through a real channel, every
 * frame is decoded by its type, and what decodes must encode to the same octets again. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lane/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static hc_pair pairs[HC_LANE_VARIABLES];
static hc_slice chain[HC_LIMIT_CERT_CHAIN];

static void check(bool holds)
{
    if (!holds)
        abort();
}

static int decode_and_encode(const hc_lane_header *h, hc_slice payload, hc_buf *again)
{
    hc_err err = {0};
    hc_lane_cert cert;
    hc_lane_client client;
    hc_lane_server server;
    hc_lane_request request;
    hc_lane_head head;
    hc_lane_file file;
    hc_lane_refused refused;
    uint32_t protocol;
    bool failed;
    switch (h->type) {
    case HC_LANE_CERT:
        if (hc_lane_decode_cert(payload, &cert, pairs, HC_LANE_VARIABLES, chain, HC_COUNT(chain),
                                &err) != 0)
            return 0;
        return hc_lane_add_cert(again, &cert);
    case HC_LANE_CLIENT:
        return hc_lane_decode_client(payload, &client, &err) == 0
                   ? hc_lane_add_client(again, &client)
                   : 0;
    case HC_LANE_ASK:
        return payload.size <= HC_LIMIT_ASK_BYTES ? hc_lane_add_ask(again, payload) : 0;
    case HC_LANE_ANSWER:
        return payload.size <= HC_LIMIT_ANSWER_BYTES ? hc_lane_add_answer(again, payload) : 0;
    case HC_LANE_SERVER:
        if (hc_lane_decode_server(payload, &server, pairs, HC_LANE_VARIABLES, &err) != 0)
            return 0;
        return hc_lane_add_server(again, &server);
    case HC_LANE_REQUEST:
        if (hc_lane_decode_request(payload, &request, pairs, HC_LANE_HEADERS, &err) != 0)
            return 0;
        return hc_lane_add_request(again, &request);
    case HC_LANE_HEAD:
        if (hc_lane_decode_head(payload, &head, pairs, HC_LANE_HEADERS, &err) != 0)
            return 0;
        return hc_lane_add_head(again, &head);
    case HC_LANE_FILE:
        if (hc_lane_decode_file(payload, &file, &err) != 0)
            return 0;
        return hc_lane_add_file(again, &file);
    case HC_LANE_HELLO:
        return hc_lane_decode_hello(payload, &protocol, &err) == 0 && protocol == HC_LANE_PROTOCOL
                   ? hc_lane_add_hello(again)
                   : 0;
    case HC_LANE_END:
        return hc_lane_decode_end(payload, &failed, &err) == 0 ? hc_lane_add_end(again, failed) : 0;
    case HC_LANE_DATA:
        return hc_lane_add_data(again, payload);
    default:
        return hc_lane_decode_refused(payload, &refused, &err) == 0
                   ? hc_lane_add_refused(again, &refused)
                   : 0;
    }
}

static void on_frame(const hc_lane_header *h, hc_slice payload)
{
    hc_buf again = hc_buf_init(SIZE_MAX);
    check(decode_and_encode(h, payload, &again) == 0);
    if (again.size) {
        check(hc_slice_equal(hc_slice_from(hc_buf_slice(&again), HC_LANE_HEADER_BYTES), payload));
    }
    hc_buf_done(&again);
}

/* Payloads alone, for each decoder: the fuzzer need not find out how long a frame is. */
static void decode_payload(uint8_t type, const uint8_t *data, size_t size)
{
    static const uint8_t types[] = {HC_LANE_CERT, HC_LANE_SERVER,  HC_LANE_REQUEST,
                                    HC_LANE_HEAD, HC_LANE_FILE,    HC_LANE_HELLO,
                                    HC_LANE_END,  HC_LANE_REFUSED, HC_LANE_CLIENT};
    hc_lane_header h = {.type = types[type % HC_COUNT(types)]};
    on_frame(&h, hc_slice_of(data, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1) {
        decode_payload(data[0] >> 1, data + 1, size - 1);
        return 0;
    }
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return 0;
    hc_channel c;
    hc_channel_init(&c, ends[0]);
    hc_lane_header h;
    hc_slice payload;
    int fd;
    if (send(ends[1], data + 1, size - 1, MSG_DONTWAIT) >= 0 && shutdown(ends[1], SHUT_WR) == 0) {
        while (hc_channel_read(&c, &h, &payload, &fd, NULL) == 0) {
            check(fd == -1);
            on_frame(&h, payload);
        }
    }
    hc_channel_done(&c);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return 0;
}
