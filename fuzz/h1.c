/* The HTTP/1.1 decoder: whatever comes and however it is split, the events are the same.
 *
 * The first byte chooses the limits, the next four the sizes of the pieces; the rest is the input.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../tests/unit/http/h1_trace.h"

#define PREFIX 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const hc_h1_limits limits[] = {
    {8190, 100, 8190, 1 << 30},
    {20, 3, 26, 12},
    {65536, 1000, 65536, UINT64_MAX},
};

static hc_buf traced(const hc_h1_limits *chosen, hc_slice in, const size_t *sizes, size_t count)
{
    hc_buf out = hc_buf_init(SIZE_MAX);
    h1_trace(chosen, in, sizes, count, &out);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX)
        return 0;
    const hc_h1_limits *chosen = &limits[data[0] % HC_COUNT(limits)];
    const size_t whole_size = SIZE_MAX;
    size_t sizes[PREFIX - 1];
    for (size_t i = 0; i < HC_COUNT(sizes); i++)
        sizes[i] = data[i + 1];
    hc_slice in = hc_slice_of(data + PREFIX, size - PREFIX);
    hc_buf whole = traced(chosen, in, &whole_size, 1);
    hc_buf split = traced(chosen, in, sizes, HC_COUNT(sizes));
    if (!hc_slice_equal(hc_buf_slice(&whole), hc_buf_slice(&split))) {
        fprintf(stderr, "whole:\n%.*ssplit:\n%.*s", HC_SLICE_ARGS(hc_buf_slice(&whole)),
                HC_SLICE_ARGS(hc_buf_slice(&split)));
        abort();
    }
    hc_buf_done(&whole);
    hc_buf_done(&split);
    return 0;
}
