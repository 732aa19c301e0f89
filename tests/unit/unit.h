/* What every unit test includes: cmocka with the headers it wants before it, and checks for slices.
 */
#ifndef HC_TESTS_UNIT_UNIT_H
#define HC_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/slice.h"

/* A literal may hold NULs. */
#define S(literal) HC_SLICE_LITERAL(literal)

#define assert_slice(got, literal) assert_slice_equal(got, S(literal))
#define assert_slice_equal(got, wanted)                                                            \
    do {                                                                                           \
        hc_slice got_ = (got), wanted_ = (wanted);                                                 \
        assert_int_equal(got_.size, wanted_.size);                                                 \
        if (wanted_.size)                                                                          \
            assert_memory_equal(got_.at, wanted_.at, wanted_.size);                                \
    } while (0)

#endif
