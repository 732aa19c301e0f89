#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

/* What a line that was cut still needs: a closing quote, a closing brace, the newline. */
#define TAIL_BYTES 3

typedef struct line {
    hc_buf buf; /* over an array of its limit's size: never allocates, so a line is not lost to a
                   lack of memory */
    bool json;
    bool quote_open;
} line;

static const struct {
    const char *name;  /* as in --log-level and JSON */
    const char *upper; /* as in a line of text */
} levels[] = {
    [HC_LOG_DEBUG] = {"debug", "DEBUG"},
    [HC_LOG_INFO] = {"info", "INFO"},
    [HC_LOG_WARNING] = {"warning", "WARNING"},
    [HC_LOG_ERROR] = {"error", "ERROR"},
};

bool hc_log_level_parse(hc_slice name, hc_log_level *out)
{
    for (size_t i = 0; i < HC_COUNT(levels); i++) {
        if (hc_slice_equal_text(name, levels[i].name)) {
            *out = (hc_log_level)i;
            return true;
        }
    }
    if (!hc_slice_equal_text(name, "critical"))
        return false;
    *out = HC_LOG_ERROR;
    return true;
}

static int add_json_point(hc_buf *b, uint32_t point)
{
    if (point == '"' || point == '\\')
        return hc_buf_printf(b, "\\%c", (char)point);
    if (point <= 0xFFFF)
        return hc_buf_printf(b, "\\u%04x", point);
    uint32_t offset = point - 0x10000;
    return hc_buf_printf(b, "\\u%04x\\u%04x", 0xD800 + (offset >> 10), 0xDC00 + (offset & 0x3FF));
}

/* One character, or U+FFFD for a byte that begins none. */
static int add_json_character(hc_buf *b, hc_slice bytes)
{
    uint32_t point = 0;
    if (hc_utf8_next(bytes, &point) == 0)
        return hc_buf_add_text(b, "\xEF\xBF\xBD");
    if (point == '"' || point == '\\' || !hc_utf8_harmless(point))
        return add_json_point(b, point);
    return hc_buf_add(b, bytes);
}

/* Character by character, so that what is cut is cut between two. False when it did not fit. */
static bool add_escaped(line *l, hc_slice text)
{
    while (text.size) {
        uint32_t point;
        size_t size = hc_utf8_next(text, &point);
        hc_slice character = hc_slice_of(text.at, size ? size : 1);
        int rc =
            l->json ? add_json_character(&l->buf, character) : hc_escape_add(&l->buf, character);
        if (rc != 0)
            return false;
        text = hc_slice_from(text, character.size);
    }
    return true;
}

static bool close_quote(line *l)
{
    if (hc_buf_add_byte(&l->buf, '"') != 0)
        return false;
    l->quote_open = false;
    return true;
}

static bool is_plain(hc_slice value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "._:/+@,=-";
    for (size_t i = 0; i < value.size; i++) {
        if (value.at[i] == '\0' || !strchr(plain, value.at[i]))
            return false;
    }
    return value.size > 0;
}

static bool add_field(line *l, const hc_log_field *field)
{
    bool quoted = l->json || !is_plain(field->value);
    const char *before_key = l->json ? ",\"" : " ";
    const char *behind_key = l->json ? "\":" : "=";
    int rc =
        hc_buf_printf(&l->buf, "%s%s%s%s", before_key, field->key, behind_key, quoted ? "\"" : "");
    if (rc != 0)
        return false;
    l->quote_open = quoted;
    return add_escaped(l, field->value) && (!quoted || close_quote(l));
}

static void format_time(char *out, size_t size_bytes)
{
    int64_t now_ms = hc_clock_wall_ms();
    time_t now_s = (time_t)(now_ms / 1000);
    struct tm parts;
    if (now_ms < 0 || !gmtime_r(&now_s, &parts))
        parts = (struct tm){.tm_year = 70, .tm_mday = 1};
    size_t written = strftime(out, size_bytes, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(out + written, size_bytes - written, ".%03dZ",
                   (int)(now_ms < 0 ? 0 : now_ms % 1000));
}

static bool add_head(line *l, const hc_log *log, hc_log_level level, hc_slice event)
{
    char time_text[64];
    format_time(time_text, sizeof(time_text));
    const char *role = log->role ? log->role : "-";
    if (!l->json)
        return hc_buf_printf(&l->buf, "%s %s %s ", time_text, levels[level].upper, role) == 0 &&
               add_escaped(l, event);
    if (hc_buf_printf(&l->buf, "{\"time\":\"%s\",\"level\":\"%s\",\"role\":\"%s\",\"event\":\"",
                      time_text, levels[level].name, role) != 0)
        return false;
    l->quote_open = true;
    return add_escaped(l, event) && close_quote(l);
}

static void write_line(int fd, line *l)
{
    l->buf.limit = HC_LIMIT_LOG_LINE;
    if (l->quote_open && hc_buf_add_byte(&l->buf, '"') != 0)
        return;
    if (hc_buf_add_text(&l->buf, l->json ? "}\n" : "\n") != 0)
        return;
    ssize_t written;
    do
        written = write(fd, l->buf.at, l->buf.size);
    while (written < 0 && errno == EINTR);
}

static void write_event(const hc_log *log, hc_log_level level, hc_slice event,
                        const hc_log_field *fields)
{
    if ((size_t)level >= HC_COUNT(levels))
        level = HC_LOG_ERROR;
    uint8_t bytes[HC_LIMIT_LOG_LINE];
    line l = {{bytes, 0, sizeof(bytes), sizeof(bytes) - TAIL_BYTES}, log->json, false};
    bool fits = add_head(&l, log, level, event);
    while (fits && fields && fields->key)
        fits = add_field(&l, fields++);
    write_line(log->fd, &l);
}

void hc_log_event(const hc_log *log, hc_log_level level, const char *event,
                  const hc_log_field *fields)
{
    int saved_errno = errno;
    if (level >= log->level)
        write_event(log, level, hc_slice_text(event), fields);
    errno = saved_errno;
}

void hc_log_text(const hc_log *log, hc_log_level level, const char *format, ...)
{
    if (level < log->level)
        return;
    int saved_errno = errno;
    char text[HC_LIMIT_LOG_LINE];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size >= 0)
        write_event(log, level, hc_slice_text(text), NULL);
    errno = saved_errno;
}
