/* All events of the decoder for an input as lines of text, so that two ways to feed it can be
 * compared. For unit tests and the fuzzer. Adjacent DATA events become one line; bytes outside
 * printable ASCII are written \xHH.
 *
 * After END the decoder is reset and goes on; after an error it is fed once more and must say the
 * same again. */
#ifndef HC_TESTS_H1_TRACE_H
#define HC_TESTS_H1_TRACE_H

#include "http/h1.h"

/* `sizes`: of the pieces to feed, again and again; 0 counts as 1. Each piece is a block of its own
 * that is gone when the next one comes. Aborts where the decoder breaks a promise of h1.h. */
void h1_trace(const hc_h1_limits *limits, hc_slice in, const size_t *sizes, size_t size_count,
              hc_buf *out);

#endif
