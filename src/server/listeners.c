#include "server/listeners.h"

#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/listener.h"
#include "server/notify.h"

#define METRICS_SOCKETS 4
#define METRICS_BACKLOG 16

static void close_all(hc_listeners *l)
{
    for (size_t i = 0; i < l->count; i++)
        (void)close(l->fds[i]);
    l->count = 0;
}

int hc_listeners_check(const hc_settings *settings, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < settings->bind.count; i++)
        rc = hc_listener_check(hc_slice_text(settings->bind.at[i]), err);
    return rc;
}

int hc_listeners_open(hc_listeners *l, const hc_settings *settings, hc_err *err)
{
    *l = (hc_listeners){0};
    int handed_over = hc_notify_sockets();
    if (handed_over) {
        for (int i = 0; i < handed_over; i++)
            l->fds[l->count++] = HC_NOTIFY_FIRST_FD + i;
        return 0;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < settings->bind.count; i++) {
        size_t count = 0;
        rc = hc_listener_open(hc_slice_text(settings->bind.at[i]), (int)settings->backlog,
                              l->fds + l->count, HC_LIMIT_LISTENERS - l->count, &count, err);
        if (rc == 0)
            l->count += count;
    }
    if (rc == 0 && l->count == 0)
        rc = hc_err_set(err, HC_EINVAL, "--bind: there is no address to listen on");
    if (rc != 0)
        close_all(l);
    return rc;
}

static bool is_loopback(int fd)
{
    static const char *const loopback[] = {"127.0.0.0/8", "::1"};
    hc_address address = {0};
    hc_network network;
    sa_family_t family = AF_UNSPEC;
    if (hc_address_of_socket(fd, &address, NULL) == 0)
        family = address.storage.ss_family;
    for (size_t i = 0; (family == AF_INET || family == AF_INET6) && i < HC_COUNT(loopback); i++)
        if (hc_network_parse(hc_slice_text(loopback[i]), &network, NULL) == 0 &&
            hc_network_contains(&network, &address))
            return true;
    return false;
}

int hc_listeners_open_metrics(hc_listeners *l, const hc_settings *settings, hc_err *err)
{
    *l = (hc_listeners){0};
    if (!settings->metrics_bind)
        return 0;
    int rc = hc_listener_open(hc_slice_text(settings->metrics_bind), METRICS_BACKLOG, l->fds,
                              METRICS_SOCKETS, &l->count, err);
    if (rc != 0)
        return hc_err_context(err, "--metrics-bind");
    for (size_t i = 0; rc == 0 && i < l->count; i++)
        if (!is_loopback(l->fds[i]))
            rc = hc_err_set(err, HC_EINVAL,
                            "--metrics-bind %s: only loopback (127.0.0.1:PORT or [::1]:PORT), "
                            "since it is served without TLS to whoever asks; let a collector on "
                            "this machine pass it on",
                            settings->metrics_bind);
    if (rc != 0)
        close_all(l);
    return rc;
}

/* NULL where the socket has no file. */
static const char *socket_path(const hc_address *a, char out[HC_ADDRESS_TEXT_BYTES])
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->storage;
    size_t start = offsetof(struct sockaddr_un, sun_path);
    if (a->storage.ss_family != AF_UNIX || a->size <= start || un->sun_path[0] == '\0')
        return NULL;
    size_t size = strnlen(un->sun_path, a->size - start);
    if (size >= HC_ADDRESS_TEXT_BYTES)
        return NULL;
    memcpy(out, un->sun_path, size);
    out[size] = '\0';
    return out;
}

void hc_listeners_done(hc_listeners *l)
{
    for (size_t i = 0; i < l->count; i++) {
        hc_address address = {0};
        char text[HC_ADDRESS_TEXT_BYTES];
        if (hc_address_of_socket(l->fds[i], &address, NULL) == 0 && socket_path(&address, text))
            (void)unlink(text);
    }
    close_all(l);
}

static int add_address(hc_buf *out, int fd, const char *scheme)
{
    hc_address address = {0};
    char text[HC_ADDRESS_TEXT_BYTES] = "";
    uint16_t port = 0;
    int rc = hc_address_of_socket(fd, &address, NULL);
    if (rc != 0)
        return rc;
    if (socket_path(&address, text))
        return hc_buf_printf(out, "unix:%s", text);
    hc_address_text(&address, text, &port);
    return hc_buf_printf(out, strchr(text, ':') ? "%s://[%s]:%u" : "%s://%s:%u", scheme, text,
                         port);
}

int hc_listeners_text(const hc_listeners *l, const char *scheme, hc_buf *out)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < l->count; i++) {
        rc = hc_buf_add_text(out, i ? ", " : "");
        if (rc == 0)
            rc = add_address(out, l->fds[i], scheme);
    }
    return rc;
}

int hc_listeners_one_text(const hc_listeners *l, size_t index, const char *scheme, hc_buf *out)
{
    return add_address(out, l->fds[index], scheme);
}
