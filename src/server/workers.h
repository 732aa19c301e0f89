/* The pool of worker processes: as many as wanted, new before old, dead ones replaced.
 *
 * A worker counts as ready when the front has heard a thread of it say hello. One thread, on a
 * libuv loop; hooks are called from within these functions and from the loop, and may not free the
 * pool. */
#ifndef HC_SERVER_WORKERS_H
#define HC_SERVER_WORKERS_H

#include <uv.h>

#include "base/log.h"
#include "server/worker_command.h"

typedef enum hc_worker_state {
    HC_WORKER_STARTING, /* loads the application */
    HC_WORKER_READY,
    HC_WORKER_LEAVING,  /* serves until its successor is ready */
    HC_WORKER_RETIRING, /* no new requests; has a deadline */
    HC_WORKER_KILLED,
} hc_worker_state;

typedef enum hc_worker_change {
    HC_WORKER_HELLO,
    HC_WORKER_LEAVE, /* to be replaced */
    HC_WORKER_STAY,  /* its successor failed */
    HC_WORKER_RETIRE,
    HC_WORKER_KILL,
} hc_worker_change;

/* The table of allowed transitions; the end of the process ends it in every state. False leaves
 * `state` as it is. */
bool hc_worker_state_change(hc_worker_state *state, hc_worker_change change);

/* "ready" … */
const char *hc_worker_state_name(hc_worker_state state);

/* After how long the next try, given the last pause and how long the one that died had served (0:
 * it never did). */
uint64_t hc_worker_backoff_ms(uint64_t last_ms, uint64_t served_ms);

/* "exit code 4" or "signal 9 (Killed)". */
void hc_worker_exit_text(int wait_status, char *out, size_t size_bytes);

typedef struct hc_workers_hooks {
    void *arg;
    int (*lane)(void *arg, uint32_t worker, int fd, hc_err *err); /* takes `fd` */
    void (*retire)(void *arg, uint32_t worker);
    void (*ready)(void *arg); /* the first of all, and the first after a pause */
    void (*failed)(void *arg,
                   int exit_code);           /* before any was ever ready: nothing is tried again */
    void (*rolled)(void *arg, bool all_new); /* the end of hc_workers_roll */
    void (*empty)(void *arg);                /* after hc_workers_stop: the last process is gone */
} hc_workers_hooks;

typedef struct hc_workers hc_workers;

int hc_workers_new(uv_loop_t *loop, const hc_log *log, const hc_workers_hooks *hooks,
                   const struct rlimit *open_files, hc_workers **out, hc_err *err) HC_MUST_CHECK;
/* Closes its handles; they need one more turn of the loop before hc_workers_free. Kills what still
 * runs. */
void hc_workers_close(hc_workers *p);
void hc_workers_free(hc_workers *p);

/* `command` is taken (also by hc_workers_roll). `graceful_ms`: how long a retired worker may take.
 */
void hc_workers_start(hc_workers *p, hc_worker_command *command, unsigned workers,
                      uint64_t graceful_ms);
/* As many new ones beside those that run; when all are ready the old are retired. Where one of them
 * fails the old stay and `command` is forgotten. */
void hc_workers_roll(hc_workers *p, hc_worker_command *command, unsigned workers,
                     uint64_t graceful_ms);
/* The same command again, for changed sources. */
void hc_workers_roll_again(hc_workers *p);
/* One more (+1) or one fewer (-1); at least one stays. */
void hc_workers_resize(hc_workers *p, int by);

/* What the front reports; unknown numbers are those of workers that are gone, and ignored. */
void hc_workers_on_hello(hc_workers *p, uint32_t worker);
void hc_workers_on_broken(hc_workers *p, uint32_t worker, const char *why);
void hc_workers_on_idle(hc_workers *p, uint32_t worker);
/* It has had its number of requests: it serves until its successor is ready. */
void hc_workers_on_spent(hc_workers *p, uint32_t worker);

/* The front is gone, and with it every lane: workers see the end of theirs and exit; none is
 * started until resume. */
void hc_workers_pause(hc_workers *p);
void hc_workers_resume(hc_workers *p);
/* No replacement any more, those that serve go on. */
void hc_workers_freeze(hc_workers *p);
/* All are to exit, at the latest `within_ms` from now (0: now); then hooks.empty. */
void hc_workers_stop(hc_workers *p, uint64_t within_ms);
typedef struct hc_worker_facts {
    uint32_t number;
    pid_t pid;
    hc_worker_state state;
    uint64_t started_ms, ready_ms; /* by the monotonic clock; 0: not yet */
} hc_worker_facts;
void hc_workers_each(const hc_workers *p, void (*one)(void *arg, const hc_worker_facts *facts),
                     void *arg);
/* After SIGCHLD. */
void hc_workers_reap(hc_workers *p);

#endif
