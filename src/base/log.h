/* The log: one line an event, "TIME LEVEL event key=value …", written with one write(2) so that
 * lines of several processes do not mix. Used by server/ and cli/ alone; core code returns errors
 * instead.
 *
 * Values are escaped and quoted where they need it. The default descriptor is 2. Thread-safe. */
#ifndef HC_BASE_LOG_H
#define HC_BASE_LOG_H

#include "base/buf.h"

typedef enum hc_log_level {
    HC_LOG_DEBUG,
    HC_LOG_INFO,
    HC_LOG_WARNING,
    HC_LOG_ERROR,
} hc_log_level;

typedef struct hc_log {
    int fd;
    hc_log_level level; /* lines below it are dropped */
    bool json;          /* one JSON object a line instead */
    const char *role;   /* "supervisor", "front"; static text */
} hc_log;

typedef struct hc_log_field {
    const char *key; /* static text; NULL ends a list */
    hc_slice value;
} hc_log_field;

/* `event` is static text such as "client refused". `fields` ends with a NULL key; may be NULL.
 * Never fails: a line that cannot be written is lost. Lines longer than HC_LIMIT_LOG_LINE are cut.
 */
void hc_log_event(const hc_log *log, hc_log_level level, const char *event,
                  const hc_log_field *fields);
/* A sentence instead of fields. */
void hc_log_text(const hc_log *log, hc_log_level level, const char *format, ...) HC_PRINTF(3, 4);
/* "debug" "info" "warning" "error" (and "critical", which means error). */
bool hc_log_level_parse(hc_slice name, hc_log_level *out);

#endif
