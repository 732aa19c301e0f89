/* Clocks, through a small table that a test can replace. Thread-safe. */
#ifndef HC_BASE_CLOCK_H
#define HC_BASE_CLOCK_H

#include <stdint.h>

typedef struct hc_clock {
    int64_t (*wall_s)(void);        /* seconds since 1970, UTC */
    uint64_t (*monotonic_ms)(void); /* milliseconds since some start */
} hc_clock;

int64_t hc_clock_wall_s(void);
/* Milliseconds, for log lines; whole seconds where the clock is replaced. */
int64_t hc_clock_wall_ms(void);
uint64_t hc_clock_monotonic_ms(void);
/* Microseconds since some start, for durations in the access log. Not replaced. */
uint64_t hc_clock_monotonic_us(void);
/* NULL restores the system's clocks. For tests, before any thread runs. */
void hc_clock_set(const hc_clock *table);

#endif
