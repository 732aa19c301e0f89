/* The access log: one line a response, in gunicorn's format atoms or as JSON, with the client's
 * name and verdict.
 *
 * Values from clients are escaped, so a line is one line, and stays one on a pipe too. Shared by
 * all threads. A pipe that nobody reads holds them up once, for HC_LIMIT_LOG_WAIT_MS: from then on
 * lines are lost, and counted, until it takes some again. */
#ifndef HC_SERVER_ACCESS_LOG_H
#define HC_SERVER_ACCESS_LOG_H

#include "base/log.h"
#include "handler/handler.h"

typedef struct hc_access_log hc_access_log;

typedef struct hc_access_entry {
    const hc_request *request; /* NULL where none could be decoded */
    const hc_peer *peer;
    const hc_principal *principal; /* may be NULL */
    const hc_verdict *verdict;
    const hc_record *record; /* of the client; NULL where nobody is known */
    int status;
    uint64_t body_bytes;
    uint64_t duration_us;
    unsigned pid;
} hc_access_entry;

/* `file`: "-" for standard output, else a path (appended to). `format`: "json", or
 * gunicorn's atoms: %(h)s %(l)s %(u)s %(t)s %(r)s %(m)s
 * %(U)s %(q)s %(H)s %(s)s %(b)s %(B)s %(f)s %(a)s
 * %(T)s %(M)s %(D)s %(L)s %(p)s %({header}i)s, and ours %(v)s verdict, %(c)s client subject, %(n)s
 * serial. %(u)s is the name of the client's record, or the subject where it has none.
 * `log` hears of lines that are lost; kept. */
int hc_access_log_open(const char *file, const char *format, const hc_log *log, hc_access_log **out,
                       hc_err *err) HC_MUST_CHECK;
/* The same over a descriptor that somebody else opened (taken, also on failure). */
int hc_access_log_over(int fd, const char *format, const hc_log *log, hc_access_log **out,
                       hc_err *err) HC_MUST_CHECK;
/* Lines go to `fd` (taken) from now on; other threads may be writing. */
void hc_access_log_move(hc_access_log *a, int fd);
void hc_access_log_free(hc_access_log *a);
void hc_access_log_write(hc_access_log *a, const hc_access_entry *entry);

#endif
