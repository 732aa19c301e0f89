#include <time.h>

#include "http/response.h"

#define LAST_SECOND_OF_9999 253402300799LL

static char *put_text(char *at, const char *text, size_t size)
{
    memcpy(at, text, size);
    return at + size;
}

static char *put_2(char *at, int value)
{
    at[0] = (char)('0' + value / 10 % 10);
    at[1] = (char)('0' + value % 10);
    return at + 2;
}

/* IMF-fixdate (RFC 9110 section 5.6.7). strftime would follow the locale. */
void hc_http_date(int64_t wall_s, char out[30])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (wall_s < 0)
        wall_s = 0;
    if (wall_s > LAST_SECOND_OF_9999)
        wall_s = LAST_SECOND_OF_9999;
    time_t seconds = (time_t)wall_s;
    struct tm tm = {.tm_year = 70};
    (void)gmtime_r(&seconds, &tm);
    int year = tm.tm_year + 1900;
    char *at = put_text(out, days + tm.tm_wday * 3, 3);
    at = put_text(at, ", ", 2);
    at = put_2(at, tm.tm_mday);
    at = put_text(at, " ", 1);
    at = put_text(at, months + tm.tm_mon * 3, 3);
    at = put_text(at, " ", 1);
    at = put_2(at, year / 100);
    at = put_2(at, year % 100);
    at = put_text(at, " ", 1);
    at = put_2(at, tm.tm_hour);
    at = put_text(at, ":", 1);
    at = put_2(at, tm.tm_min);
    at = put_text(at, ":", 1);
    at = put_2(at, tm.tm_sec);
    (void)put_text(at, " GMT", sizeof(" GMT"));
}
