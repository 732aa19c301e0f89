#include "server/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/control_address.h"

#define CALLERS_MAX 16
#define WORD_BYTES  32
#define SPEAK_MS    5000 /* to say what is wanted, and to take the answer */
#define PATH_BYTES  4096

typedef enum want { WANT_UNKNOWN, WANT_STATUS, WANT_RELOAD, WANT_NOTHING } want;

typedef struct caller {
    hc_control_socket *s;
    struct caller *next;
    uv_pipe_t pipe;
    uv_timer_t timer;
    int handles;
    want wants;
    uint64_t reload; /* the one it waits for */
    char word[WORD_BYTES];
    size_t word_size;
    uv_write_t write;
    hc_buf answer;
} caller;

struct hc_control_socket {
    uv_pipe_t listener;
    const hc_log *log;
    hc_control_socket_hooks hooks;
    char *path;
    caller *callers;
    unsigned count;
    bool closing;
};

/* --- one caller --- */

static void on_handle_closed(uv_handle_t *handle)
{
    caller *c = handle->data;
    if (--c->handles > 0)
        return;
    hc_buf_done(&c->answer);
    hc_free(c);
}

static void end_caller(caller *c)
{
    if (uv_is_closing((uv_handle_t *)&c->pipe))
        return;
    for (caller **at = &c->s->callers; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            c->s->count--;
            break;
        }
    }
    uv_close((uv_handle_t *)&c->pipe, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    end_caller(write->data);
}

static void on_timer(uv_timer_t *timer)
{
    caller *c = timer->data;
    if (c->wants == WANT_STATUS)
        c->s->hooks.status(c->s->hooks.arg, true);
    else
        end_caller(c);
}

static void answer(caller *c, hc_slice line)
{
    c->wants = WANT_NOTHING;
    if (hc_buf_add(&c->answer, line) != 0 || hc_buf_add_byte(&c->answer, '\n') != 0) {
        end_caller(c);
        return;
    }
    uv_buf_t octets = uv_buf_init((char *)c->answer.at, (unsigned)c->answer.size);
    c->write.data = c;
    (void)uv_timer_start(&c->timer, on_timer, SPEAK_MS, 0);
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &octets, 1, on_written) != 0)
        end_caller(c);
}

static void answer_outcome(caller *c, const char *refused)
{
    json_t *o =
        refused ? json_pack("{s:b, s:s}", "ok", 0, "error", refused) : json_pack("{s:b}", "ok", 1);
    char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
    /* A reason that is not UTF-8 cannot be said in JSON. */
    answer(c, hc_slice_text(line ? line : "{\"ok\": false, \"error\": \"the log says why\"}"));
    free(line);
    json_decref(o);
}

static void obey(caller *c)
{
    hc_control_socket *s = c->s;
    hc_slice word = hc_slice_of(c->word, c->word_size);
    if (hc_slice_equal_text(word, "status")) {
        c->wants = WANT_STATUS;
        (void)uv_timer_start(&c->timer, on_timer, HC_CONTROL_STATUS_MS, 0);
        s->hooks.status(s->hooks.arg, false);
    } else if (hc_slice_equal_text(word, "reload")) {
        c->wants = WANT_RELOAD;
        c->reload = s->hooks.next_reload(s->hooks.arg);
        (void)uv_timer_stop(&c->timer); /* workers take as long as they take */
        s->hooks.reload(s->hooks.arg);
    } else {
        answer_outcome(c, "unknown command; are the two programs of one version?");
    }
}

static void give_room(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
    caller *c = handle->data;
    (void)wanted;
    *out = uv_buf_init(c->word + c->word_size, (unsigned)(WORD_BYTES - c->word_size));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    caller *c = stream->data;
    (void)buf;
    if (n == 0)
        return;
    if (n < 0 || c->wants != WANT_UNKNOWN) { /* gone, or says more than was asked for */
        end_caller(c);
        return;
    }
    c->word_size += (size_t)n;
    ptrdiff_t end = hc_slice_find(hc_slice_of(c->word, c->word_size), '\n');
    if (end >= 0) {
        c->word_size = (size_t)end;
        obey(c);
    } else if (c->word_size == WORD_BYTES) {
        end_caller(c);
    }
}

/* The file's mode keeps others out already; a folder of somebody else's making might not. */
static bool may_call(uv_pipe_t *pipe)
{
    struct ucred who;
    socklen_t size = sizeof(who);
    uv_os_fd_t fd;
    return uv_fileno((uv_handle_t *)pipe, &fd) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
           (who.uid == 0 || who.uid == geteuid());
}

static void on_caller(uv_stream_t *listener, int status)
{
    hc_control_socket *s = listener->data;
    caller *c = status == 0 ? hc_alloc_zero(1, sizeof(*c)) : NULL;
    if (!c)
        return;
    c->s = s;
    c->handles = 2;
    c->answer = hc_buf_init(HC_CONTROL_ANSWER_BYTES);
    (void)uv_pipe_init(listener->loop, &c->pipe, 0); /* cannot fail, nor the timer */
    (void)uv_timer_init(listener->loop, &c->timer);
    c->pipe.data = c->timer.data = c;
    c->next = s->callers;
    s->callers = c;
    s->count++;
    bool ok = uv_accept(listener, (uv_stream_t *)&c->pipe) == 0 && s->count <= CALLERS_MAX;
    if (ok && !may_call(&c->pipe)) {
        hc_log_text(s->log, HC_LOG_WARNING, "another user's call at the control socket is refused");
        ok = false;
    }
    (void)uv_timer_start(&c->timer, on_timer, SPEAK_MS, 0);
    if (!ok || uv_read_start((uv_stream_t *)&c->pipe, give_room, on_read) != 0)
        end_caller(c);
}

/* --- the socket --- */

static int make_folder(const char *path, hc_err *err)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return 0;
    int size = snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    if (size < 0 || (size_t)size >= sizeof(folder))
        return hc_err_set(err, HC_EINVAL, "the path is too long");
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return hc_err_errno(err, errno, "cannot make %s", folder);
    return 0;
}

static int check_free(int fd, const hc_control_address *a, const char *path, hc_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return hc_err_set(err, HC_EBUSY, "%s is there, and is no socket", path);
    if (connect(fd, (const struct sockaddr *)&a->un, a->size) == 0 || errno != ECONNREFUSED)
        return hc_err_set(err, HC_EBUSY, "another server answers at %s", path);
    return unlink(path) == 0 ? 0 : hc_err_errno(err, errno, "cannot remove the old %s", path);
}

static int bind_to(int fd, const hc_control_address *a, const char *path, hc_err *err)
{
    mode_t before = umask(0177);
    int failed = bind(fd, (const struct sockaddr *)&a->un, a->size) == 0 ? 0 : errno;
    (void)umask(before);
    if (failed)
        return hc_err_errno(err, failed, "cannot make %s", path);
    return listen(fd, CALLERS_MAX) == 0 ? 0 : hc_err_errno(err, errno, "cannot listen at %s", path);
}

static int open_socket(const char *path, int *out, hc_err *err)
{
    hc_control_address address;
    int fd = -1, probe = -1;
    int rc = make_folder(path, err);
    if (rc == 0)
        rc = hc_control_address_of(path, &address, err);
    if (rc != 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || probe < 0)
        rc = hc_err_errno(err, errno, "cannot make a socket");
    if (rc == 0)
        rc = check_free(probe, &address, path, err);
    if (rc == 0)
        rc = bind_to(fd, &address, path, err);
    hc_control_address_done(&address);
    if (probe >= 0)
        (void)close(probe);
    if (rc == 0)
        *out = fd;
    else if (fd >= 0)
        (void)close(fd);
    return rc;
}

int hc_control_socket_open(const char *path, uv_loop_t *loop, const hc_log *log,
                           const hc_control_socket_hooks *hooks, hc_control_socket **out,
                           hc_err *err)
{
    int fd = -1;
    hc_control_socket *s = hc_alloc_zero(1, sizeof(*s));
    char *copy = hc_strdup(path);
    int rc = s && copy ? open_socket(path, &fd, err) : hc_err_set(err, HC_ENOMEM, "no memory");
    if (rc != 0) {
        hc_free(s);
        hc_free(copy);
        return rc;
    }
    s->log = log;
    s->hooks = *hooks;
    s->path = copy;
    (void)uv_pipe_init(loop, &s->listener, 0);
    s->listener.data = s;
    int failed = uv_pipe_open(&s->listener, fd);
    if (failed)
        (void)close(fd);
    else
        failed = uv_listen((uv_stream_t *)&s->listener, CALLERS_MAX, on_caller);
    *out = s; /* the handle is in the loop: it must be closed there */
    return failed ? hc_err_set(err, HC_EIO, "cannot listen at %s: %s", path, uv_strerror(failed))
                  : 0;
}

void hc_control_socket_tell_status(hc_control_socket *s, hc_slice line)
{
    for (caller *c = s ? s->callers : NULL, *next; c; c = next) {
        next = c->next;
        if (c->wants == WANT_STATUS)
            answer(c, line);
    }
}

void hc_control_socket_tell_reload(hc_control_socket *s, uint64_t first, uint64_t last,
                                   const char *refused)
{
    for (caller *c = s ? s->callers : NULL, *next; c; c = next) {
        next = c->next;
        if (c->wants == WANT_RELOAD && c->reload >= first && c->reload <= last)
            answer_outcome(c, refused);
    }
}

void hc_control_socket_close(hc_control_socket *s)
{
    if (!s || s->closing)
        return;
    s->closing = true;
    while (s->callers)
        end_caller(s->callers);
    (void)unlink(s->path);
    uv_close((uv_handle_t *)&s->listener, NULL);
}

void hc_control_socket_free(hc_control_socket *s)
{
    if (!s)
        return;
    hc_free(s->path);
    hc_free(s);
}
