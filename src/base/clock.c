#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t system_us(clockid_t id)
{
    struct timespec now = {0};
    (void)clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static int64_t system_wall_s(void)
{
    return (int64_t)(system_us(CLOCK_REALTIME) / 1000000u);
}

static uint64_t system_monotonic_ms(void)
{
    return system_us(CLOCK_MONOTONIC) / 1000u;
}

static const hc_clock system_clock = {system_wall_s, system_monotonic_ms};
static hc_clock current = {system_wall_s, system_monotonic_ms};

int64_t hc_clock_wall_s(void)
{
    return current.wall_s();
}

int64_t hc_clock_wall_ms(void)
{
    if (current.wall_s != system_wall_s)
        return current.wall_s() * 1000;
    return (int64_t)(system_us(CLOCK_REALTIME) / 1000u);
}

uint64_t hc_clock_monotonic_ms(void)
{
    return current.monotonic_ms();
}

uint64_t hc_clock_monotonic_us(void)
{
    return system_us(CLOCK_MONOTONIC);
}

void hc_clock_set(const hc_clock *table)
{
    current = table ? *table : system_clock;
    if (!current.wall_s)
        current.wall_s = system_wall_s;
    if (!current.monotonic_ms)
        current.monotonic_ms = system_monotonic_ms;
}
