/* The supervisor's ear for `handclasp status` and `handclasp reload`: a unix socket, 0600.
 *
 * A caller writes one word and a line end, gets one JSON object and a line end, and the connection
 * is over. Only root and the user who runs the supervisor are answered (peer credentials). Bounded
 * in callers and time; one thread, on a libuv loop; nothing blocks. Hooks are called from the loop
 * and may answer at once. */
#ifndef HC_SERVER_CONTROL_SOCKET_H
#define HC_SERVER_CONTROL_SOCKET_H

#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

#define HC_CONTROL_SOCKET_NAME  "run/control.sock" /* in the state folder */
#define HC_CONTROL_ANSWER_BYTES (1u << 20)
#define HC_CONTROL_STATUS_MS    2000 /* the front may take to say how it is */

typedef struct hc_control_socket hc_control_socket;

typedef struct hc_control_socket_hooks {
    void *arg;
    /* Wanted: hc_control_socket_tell_status. `late`: now, the front does not answer. */
    void (*status)(void *arg, bool late);
    /* The number of the reload that `reload` would begin, or join. */
    uint64_t (*next_reload)(void *arg);
    void (*reload)(void *arg);
} hc_control_socket_hooks;

/* Makes the folder of `path` where it is missing (0700). -HC_EBUSY where another server answers
 * there; a socket that nobody serves is replaced. */
int hc_control_socket_open(const char *path, uv_loop_t *loop, const hc_log *log,
                           const hc_control_socket_hooks *hooks, hc_control_socket **out,
                           hc_err *err) HC_MUST_CHECK;
/* To all who wait for it; `line` without its end. */
void hc_control_socket_tell_status(hc_control_socket *s, hc_slice line);
/* To all who wait for one of the reloads `first` … `last`. `refused`: why, or NULL. */
void hc_control_socket_tell_reload(hc_control_socket *s, uint64_t first, uint64_t last,
                                   const char *refused);
/* Closes its handles and removes the file; they need one more turn of the loop before
 * hc_control_socket_free. NULL is fine. */
void hc_control_socket_close(hc_control_socket *s);
void hc_control_socket_free(hc_control_socket *s);

/* The caller's side: says `word`, gets the answer without its line end. Blocks, at most
 * `timeout_ms` (0: no bound). -HC_ENOENT where no server answers. */
int hc_control_call(const char *path, const char *word, uint64_t timeout_ms, hc_buf *answer,
                    hc_err *err) HC_MUST_CHECK;

#endif
