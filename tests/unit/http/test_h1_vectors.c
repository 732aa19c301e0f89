/* The decoder against every vector of tests/vectors/http. */
#include "unit.h"

#include "h1_trace.h"
#include "vectors.h"

#define WHOLE ((size_t[]){SIZE_MAX})

static hc_slice next_line(hc_slice *text)
{
    ptrdiff_t end = hc_slice_find(*text, '\n');
    hc_slice line = hc_slice_of(text->at, end < 0 ? text->size : (size_t)end);
    *text = hc_slice_from(*text, line.size + 1);
    return line;
}

/* A line that must be expected; the others may be. */
static bool is_outcome(hc_slice line)
{
    return hc_slice_starts_with(line, HC_SLICE_LITERAL("accept ")) ||
           hc_slice_starts_with(line, HC_SLICE_LITERAL("reject ")) ||
           hc_slice_equal_text(line, "end") || hc_slice_equal_text(line, "more");
}

static bool matches(hc_slice expected, hc_slice trace)
{
    while (expected.size) {
        hc_slice wanted = next_line(&expected);
        bool found = false;
        while (trace.size && !found) {
            hc_slice line = next_line(&trace);
            found = hc_slice_equal(line, wanted);
            if (!found && is_outcome(line))
                return false;
        }
        if (!found)
            return false;
    }
    while (trace.size) {
        if (is_outcome(next_line(&trace)))
            return false;
    }
    return true;
}

static hc_buf traced(const vector *v, const size_t *sizes, size_t count)
{
    hc_buf out = hc_buf_init(SIZE_MAX);
    h1_trace(&v->limits, hc_buf_slice(&v->input), sizes, count, &out);
    return out;
}

static void test_every_vector_gives_what_it_says(void **state)
{
    const vectors *all = *state;
    size_t wrong = 0;
    assert_true(all->count >= 150);
    for (size_t i = 0; i < all->count; i++) {
        const vector *v = &all->at[i];
        hc_buf trace = traced(v, WHOLE, 1);
        if (!matches(hc_buf_slice(&v->expected), hc_buf_slice(&trace))) {
            wrong++;
            print_error("%s\nwanted:\n%.*sgot:\n%.*s\n", v->name,
                        HC_SLICE_ARGS(hc_buf_slice(&v->expected)),
                        HC_SLICE_ARGS(hc_buf_slice(&trace)));
        }
        hc_buf_done(&trace);
    }
    assert_int_equal(wrong, 0);
}

static void assert_same(const vector *v, const hc_buf *whole, const size_t *sizes, size_t count)
{
    hc_buf split = traced(v, sizes, count);
    if (!hc_slice_equal(hc_buf_slice(whole), hc_buf_slice(&split)))
        fail_msg("%s\nwhole:\n%.*sin pieces from %zu:\n%.*s", v->name,
                 HC_SLICE_ARGS(hc_buf_slice(whole)), sizes[0], HC_SLICE_ARGS(hc_buf_slice(&split)));
    hc_buf_done(&split);
}

static void test_every_vector_split_in_two_anywhere_is_read_the_same(void **state)
{
    const vectors *all = *state;
    for (size_t i = 0; i < all->count; i++) {
        const vector *v = &all->at[i];
        hc_buf whole = traced(v, WHOLE, 1);
        for (size_t at = 1; at < v->input.size; at++)
            assert_same(v, &whole, (size_t[]){at, SIZE_MAX}, 2);
        hc_buf_done(&whole);
    }
}

static void test_every_vector_in_small_pieces_is_read_the_same(void **state)
{
    const vectors *all = *state;
    for (size_t i = 0; i < all->count; i++) {
        const vector *v = &all->at[i];
        hc_buf whole = traced(v, WHOLE, 1);
        for (size_t size = 1; size <= 7; size++)
            assert_same(v, &whole, &size, 1);
        assert_same(v, &whole, (size_t[]){3, 1, 5, 2}, 4);
        hc_buf_done(&whole);
    }
}

static int read_vectors(void **state)
{
    static vectors all;
    all = vectors_read(HC_VECTORS);
    *state = &all;
    return 0;
}

static int free_vectors(void **state)
{
    vectors_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_vector_gives_what_it_says),
        cmocka_unit_test(test_every_vector_split_in_two_anywhere_is_read_the_same),
        cmocka_unit_test(test_every_vector_in_small_pieces_is_read_the_same),
    };
    return cmocka_run_group_tests(tests, read_vectors, free_vectors);
}
