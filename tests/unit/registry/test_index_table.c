#include "unit.h"

#include <stdlib.h>

#include "base/mem.h"
#include "faults.h"
#include "registry/table.h"

typedef struct item {
    uint32_t next;
    uint32_t key;
} item;

static uint64_t spread(uint32_t key)
{
    return key * 0x9e3779b97f4a7c15ULL >> 20;
}

static uint64_t hash_item(const void *arg, const void *at)
{
    return arg ? 7 : spread(((const item *)at)->key);
}

static uint32_t find(const hc_table *t, uint32_t key)
{
    uint32_t at = hc_table_first(t, t->arg ? 7 : spread(key));
    while (at && ((item *)hc_table_at(t, at))->key != key)
        at = ((item *)hc_table_at(t, at))->next;
    return at;
}

static uint32_t put(hc_table *t, uint32_t key)
{
    assert_int_equal(hc_table_reserve(t, 1), 0);
    uint32_t at = hc_table_take(t);
    item *i = hc_table_at(t, at);
    assert_int_equal(i->key, 0);
    i->key = key;
    hc_table_link(t, at);
    return at;
}

static void what_is_put_in_is_found_while_it_is_there(void **state)
{
    (void)state;
    enum { N = 20000 };
    hc_table t;
    static uint32_t numbers[N + 1];
    unsigned random = 1;
    hc_table_init(&t, sizeof(item), hash_item, NULL);
    assert_int_equal(find(&t, 1), 0);
    memset(numbers, 0, sizeof numbers);
    for (size_t step = 0; step < 5 * N; step++) {
        random = random * 1103515245 + 12345;
        uint32_t key = random / 65536 % N + 1;
        assert_int_equal(find(&t, key), numbers[key]);
        if (numbers[key]) {
            hc_table_remove(&t, numbers[key]);
            numbers[key] = 0;
        } else {
            numbers[key] = put(&t, key);
        }
    }
    size_t live = 0;
    for (uint32_t key = 1; key <= N; key++) {
        assert_int_equal(find(&t, key), numbers[key]);
        live += numbers[key] != 0;
    }
    assert_int_equal(t.live, live);
    assert_int_equal(t.made, 1 + live + t.unused_count);
    hc_table_done(&t);
}

static void an_item_stays_where_it_is_while_the_table_grows(void **state)
{
    (void)state;
    hc_table t;
    hc_table_init(&t, sizeof(item), hash_item, NULL);
    uint32_t first = put(&t, 1);
    item *at = hc_table_at(&t, first);
    for (uint32_t key = 2; key < 50000; key++)
        (void)put(&t, key);
    assert_ptr_equal(hc_table_at(&t, first), at);
    assert_int_equal(find(&t, 1), first);
    hc_table_done(&t);
}

static void buckets_stay_short(void **state)
{
    (void)state;
    hc_table t;
    size_t longest = 0;
    hc_table_init(&t, sizeof(item), hash_item, NULL);
    for (uint32_t key = 1; key < 50000; key++)
        (void)put(&t, key);
    for (uint32_t key = 1; key < 50000; key++) {
        size_t length = 0;
        for (uint32_t at = hc_table_first(&t, spread(key)); at;
             at = ((item *)hc_table_at(&t, at))->next)
            length++;
        longest = length > longest ? length : longest;
    }
    assert_true(longest < 20);
    hc_table_done(&t);
}

static void items_of_one_hash_are_all_found(void **state)
{
    (void)state;
    hc_table t = {0};
    hc_table_init(&t, sizeof(item), hash_item, &t);
    for (uint32_t key = 1; key <= 200; key++)
        (void)put(&t, key);
    for (uint32_t key = 1; key <= 200; key += 2)
        hc_table_remove(&t, find(&t, key));
    for (uint32_t key = 1; key <= 200; key++)
        assert_int_equal(find(&t, key) != 0, key % 2 == 0);
    hc_table_done(&t);
}

static void numbers_are_used_again(void **state)
{
    (void)state;
    hc_table t;
    hc_table_init(&t, sizeof(item), hash_item, NULL);
    for (uint32_t key = 1; key <= 3000; key++)
        (void)put(&t, key);
    size_t bytes = hc_table_bytes(&t);
    for (uint32_t round = 0; round < 10; round++)
        for (uint32_t key = 1; key <= 3000; key++) {
            hc_table_remove(&t, find(&t, key));
            (void)put(&t, key);
        }
    assert_int_equal(t.made, 3001);
    assert_int_equal(hc_table_bytes(&t), bytes);
    hc_table_done(&t);
}

static void what_was_reserved_needs_no_memory_any_more(void **state)
{
    (void)state;
    hc_table t;
    hc_table_init(&t, sizeof(item), hash_item, NULL);
    assert_int_equal(hc_table_reserve(&t, 5000), 0);
    faults_begin(1);
    for (uint32_t key = 1; key <= 5000; key++)
        (void)put(&t, key);
    assert_int_equal(faults_calls, 0);
    faults_end();
    hc_table_done(&t);
}

static void no_memory_leaves_the_table_as_it_was(void **state)
{
    (void)state;
    hc_table t;
    hc_table_init(&t, sizeof(item), hash_item, NULL);
    for (uint32_t key = 1; key <= 1000; key++)
        (void)put(&t, key);
    int rc = -HC_ENOMEM;
    for (size_t nth = 1; rc != 0; nth++) {
        faults_begin(nth);
        rc = hc_table_reserve(&t, 10000);
        faults_end();
        assert_int_equal(t.live, 1000);
        for (uint32_t key = 1; key <= 1000; key++)
            assert_true(find(&t, key));
    }
    assert_int_equal(hc_table_reserve(&t, SIZE_MAX / 2), -HC_ENOMEM);
    hc_table_done(&t);
}

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_in_is_found_while_it_is_there),
        cmocka_unit_test(an_item_stays_where_it_is_while_the_table_grows),
        cmocka_unit_test(buckets_stay_short),
        cmocka_unit_test(items_of_one_hash_are_all_found),
        cmocka_unit_test(numbers_are_used_again),
        cmocka_unit_test_teardown(what_was_reserved_needs_no_memory_any_more, restore),
        cmocka_unit_test_teardown(no_memory_leaves_the_table_as_it_was, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
