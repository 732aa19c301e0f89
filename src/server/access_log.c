#include "server/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

/* Of one value, four octets for each of them where escaped, and of a line: with what a format may
 * ask for, a client must not make its line so long that it is not written. */
#define VALUE_MAX      8190
#define LINE_MAX_BYTES (1u << 20)

struct hc_access_log {
    pthread_mutex_t lock; /* a pipe takes a long line in pieces: others must not come between */
    const hc_log *log;
    int fd;
    bool waits; /* no regular file: it can be full until somebody reads */
    bool json;
    char *format;
    hc_buf rest; /* of a line that was begun: it comes before the next one */
    bool stuck;
    uint64_t lost; /* lines, since it is */
};

static int check_format(const char *format, hc_err *err)
{
    for (const char *at = format; (at = strchr(at, '%')); at++) {
        if (at[1] == '%') {
            at++;
            continue;
        }
        const char *end = at[1] == '(' ? strstr(at, ")s") : NULL;
        if (!end || end == at + 2 || end - at > 128)
            return hc_err_set(
                err, HC_EINVAL,
                "--access-logformat: \"%.20s\" is no atom; write %%(h)s and the like, or json", at);
        at = end + 1;
    }
    return 0;
}

static bool is_no_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
}

int hc_access_log_over(int fd, const char *format, const hc_log *log, hc_access_log **out,
                       hc_err *err)
{
    bool json = strcmp(format, "json") == 0;
    int rc = json ? 0 : check_format(format, err);
    hc_access_log *a = rc == 0 ? hc_alloc_zero(1, sizeof *a) : NULL;
    if (!a) {
        if (fd > 2)
            (void)close(fd);
        return rc != 0 ? rc : hc_err_set(err, HC_ENOMEM, "no memory for the access log");
    }
    a->log = log;
    a->fd = fd;
    a->waits = is_no_file(fd);
    a->json = json;
    a->rest = hc_buf_init(LINE_MAX_BYTES);
    a->format = hc_strdup(format);
    if (!a->format) {
        hc_access_log_free(a);
        return hc_err_set(err, HC_ENOMEM, "no memory for the access log");
    }
    *out = a;
    return 0;
}

int hc_access_log_open(const char *file, const char *format, const hc_log *log, hc_access_log **out,
                       hc_err *err)
{
    int fd = 1;
    if (strcmp(file, "-") != 0)
        fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return hc_err_errno(err, errno, "cannot open the access log %s", file);
    return hc_access_log_over(fd, format, log, out, err);
}

static void flush_rest(hc_access_log *a);

void hc_access_log_move(hc_access_log *a, int fd)
{
    (void)pthread_mutex_lock(&a->lock);
    flush_rest(a);
    hc_buf_clear(&a->rest);
    (void)dup3(fd, a->fd, O_CLOEXEC);
    a->waits = is_no_file(fd);
    (void)pthread_mutex_unlock(&a->lock);
    (void)close(fd);
}

void hc_access_log_free(hc_access_log *a)
{
    if (!a)
        return;
    flush_rest(a);
    hc_buf_done(&a->rest);
    if (a->fd > 2)
        (void)close(a->fd);
    (void)pthread_mutex_destroy(&a->lock);
    hc_free(a->format);
    hc_free(a);
}

static hc_slice shortened(hc_slice text)
{
    return text.size > VALUE_MAX ? hc_slice_of(text.at, VALUE_MAX) : text;
}

static int add_value(hc_buf *out, hc_slice text)
{
    int rc = hc_escape_add(out, shortened(text));
    return rc == 0 && text.size > VALUE_MAX ? hc_buf_add_text(out, "...") : rc;
}

static int add_or_dash(hc_buf *out, hc_slice text)
{
    return text.size ? add_value(out, text) : hc_buf_add_byte(out, '-');
}

static int add_header(hc_buf *out, const hc_access_entry *e, const char *name)
{
    hc_slice value = HC_SLICE_NONE;
    if (e->request)
        (void)hc_request_header(e->request, name, &value);
    return add_or_dash(out, value);
}

static int add_time(hc_buf *out)
{
    char text[64];
    time_t now = (time_t)hc_clock_wall_s();
    struct tm tm;
    size_t n =
        localtime_r(&now, &tm) ? strftime(text, sizeof text, "[%d/%b/%Y:%H:%M:%S %z]", &tm) : 0;
    return hc_buf_add(out, hc_slice_of(text, n));
}

static int add_request_line(hc_buf *out, const hc_access_entry *e)
{
    if (!e->request)
        return hc_buf_add_byte(out, '-');
    int rc = add_value(out, e->request->method);
    if (rc == 0)
        rc = hc_buf_add_byte(out, ' ');
    if (rc == 0)
        rc = add_value(out, e->request->target);
    return rc == 0 ? hc_buf_printf(out, " HTTP/1.%u", e->request->minor) : rc;
}

static const char *subject(const hc_access_entry *e)
{
    return e->principal ? hc_cert_subject(e->principal->cert) : "";
}

static const char *serial(const hc_access_entry *e)
{
    return e->principal ? hc_cert_serial_hex(e->principal->cert) : "";
}

static int add_number_atom(hc_buf *out, char atom, const hc_access_entry *e)
{
    switch (atom) {
    case 's':
        return hc_buf_printf(out, "%d", e->status);
    case 'b':
        return e->body_bytes ? hc_buf_printf(out, "%llu", (unsigned long long)e->body_bytes)
                             : hc_buf_add_byte(out, '-');
    case 'B':
        return hc_buf_printf(out, "%llu", (unsigned long long)e->body_bytes);
    case 'T':
        return hc_buf_printf(out, "%llu", (unsigned long long)(e->duration_us / 1000000));
    case 'M':
        return hc_buf_printf(out, "%llu", (unsigned long long)(e->duration_us / 1000));
    case 'D':
        return hc_buf_printf(out, "%llu", (unsigned long long)e->duration_us);
    case 'L':
        return hc_buf_printf(out, "%.6f", (double)e->duration_us / 1e6);
    case 'p':
        return hc_buf_printf(out, "<%u>", e->pid);
    default:
        return hc_buf_add_byte(out, '-');
    }
}

static int add_atom(hc_buf *out, char atom, const hc_access_entry *e)
{
    const hc_request *r = e->request;
    switch (atom) {
    case 'h':
        return add_or_dash(out, hc_slice_text(e->peer->address));
    case 't':
        return add_time(out);
    case 'r':
        return add_request_line(out, e);
    case 'm':
        return add_or_dash(out, r ? r->method : HC_SLICE_NONE);
    case 'U':
        return add_or_dash(out, r ? r->raw_path : HC_SLICE_NONE);
    case 'q':
        return r ? add_value(out, r->query) : 0;
    case 'H':
        return r ? hc_buf_printf(out, "HTTP/1.%u", r->minor) : hc_buf_add_byte(out, '-');
    case 'f':
        return add_header(out, e, "referer");
    case 'a':
        return add_header(out, e, "user-agent");
    case 'u':
        return add_or_dash(out, e->record ? hc_record_name(e->record) : hc_slice_text(subject(e)));
    case 'c':
        return add_or_dash(out, hc_slice_text(subject(e)));
    case 'n':
        return add_or_dash(out, hc_slice_text(serial(e)));
    case 'v':
        return hc_buf_add_text(out, hc_verdict_name(e->verdict->code));
    default:
        return add_number_atom(out, atom, e);
    }
}

static int add_named(hc_buf *out, const char *name, size_t size, const hc_access_entry *e)
{
    char header[128];
    if (size > 3 && name[0] == '{' && name[size - 2] == '}' && name[size - 1] == 'i') {
        (void)snprintf(header, sizeof header, "%.*s", (int)(size - 3), name + 1);
        return add_header(out, e, header);
    }
    return size == 1 ? add_atom(out, name[0], e) : hc_buf_add_byte(out, '-');
}

static int write_text(const hc_access_log *a, hc_buf *out, const hc_access_entry *e)
{
    int rc = 0;
    for (const char *at = a->format; *at && rc == 0;) {
        const char *end;
        if (at[0] == '%' && at[1] == '(' && (end = strstr(at, ")s"))) {
            rc = add_named(out, at + 2, (size_t)(end - at - 2), e);
            at = end + 2;
        } else {
            at += at[0] == '%' && at[1] == '%';
            rc = hc_buf_add_byte(out, (uint8_t)*at++);
        }
    }
    return rc;
}

/* Octets that are not UTF-8 are escaped first: JSON has no other way to say them. */
static json_t *json_text(hc_slice whole)
{
    hc_slice text = shortened(whole);
    if (hc_utf8_valid(text))
        return json_stringn((const char *)text.at, text.size);
    hc_buf escaped = hc_buf_init(HC_LIMIT_LOG_LINE * 4);
    json_t *out = hc_escape_add(&escaped, text) == 0
                      ? json_stringn((const char *)escaped.at, escaped.size)
                      : NULL;
    hc_buf_done(&escaped);
    return out;
}

static int write_json(hc_buf *out, const hc_access_entry *e)
{
    static const hc_request none;
    const hc_request *r = e->request ? e->request : &none;
    json_t *o = json_pack(
        "{s:I, s:s, s:o*, s:o*, s:o*, s:i, s:I, s:I, s:s, s:o*, s:s, s:s, s:s, s:b}", "time",
        (json_int_t)hc_clock_wall_s(), "address", e->peer->address, "method", json_text(r->method),
        "path", json_text(r->raw_path), "query", json_text(r->query), "status", e->status, "bytes",
        (json_int_t)e->body_bytes, "duration_us", (json_int_t)e->duration_us, "verdict",
        hc_verdict_name(e->verdict->code), "user",
        e->record ? json_text(hc_record_name(e->record)) : NULL, "client", subject(e), "serial",
        serial(e), "tls", e->peer->tls_protocol, "resumed", e->peer->tls_resumed);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    int rc = text ? hc_buf_add_text(out, text) : -HC_ENOMEM;
    free(text);
    json_decref(o);
    return rc;
}

static bool has_room(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, wait_ms) > 0;
}

/* What is left of `line` once the log has taken what it takes now. A pipe that is writable takes
 * PIPE_BUF octets without blocking. */
static hc_slice take(const hc_access_log *a, hc_slice line)
{
    while (line.size) {
        size_t size = a->waits && line.size > PIPE_BUF ? PIPE_BUF : line.size;
        if (a->waits && !has_room(a->fd, a->stuck ? 0 : HC_LIMIT_LOG_WAIT_MS))
            break;
        ssize_t n = write(a->fd, line.at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        line = hc_slice_from(line, (size_t)n);
    }
    return line;
}

static void flush_rest(hc_access_log *a)
{
    hc_slice left = take(a, hc_buf_slice(&a->rest));
    hc_buf_consume(&a->rest, a->rest.size - left.size);
}

static void note_stuck(hc_access_log *a, bool stuck)
{
    if (stuck == a->stuck)
        return;
    a->stuck = stuck;
    if (!has_room(a->log->fd, 0)) /* the same pipe, perhaps */
        return;
    if (stuck)
        hc_log_text(a->log, HC_LOG_WARNING,
                    "the access log takes no more: lines are lost until it does");
    else
        hc_log_text(a->log, HC_LOG_WARNING, "the access log takes lines again, %llu were lost",
                    (unsigned long long)a->lost);
    a->lost = 0;
}

/* A line that cannot be written is lost: the request was answered all the same, and the next ones
 * do not wait for whoever does not read the log. */
static void write_line(hc_access_log *a, hc_slice line)
{
    (void)pthread_mutex_lock(&a->lock);
    flush_rest(a);
    hc_slice left = a->rest.size ? line : take(a, line);
    note_stuck(a, left.size != 0);
    if (left.size == line.size)
        a->lost++;
    else if (left.size)
        (void)!hc_buf_add(&a->rest, left);
    (void)pthread_mutex_unlock(&a->lock);
}

void hc_access_log_write(hc_access_log *a, const hc_access_entry *entry)
{
    hc_buf line = hc_buf_init(LINE_MAX_BYTES);
    int rc = a->json ? write_json(&line, entry) : write_text(a, &line, entry);
    if (rc == 0)
        rc = hc_buf_add_byte(&line, '\n');
    if (rc == 0)
        write_line(a, hc_buf_slice(&line));
    hc_buf_done(&line);
}
