/* The supervisor's end of the authority: its process, and the front's end of their socket until the
 * front has it.
 *
 * One thread, on a libuv loop. It is started again where it dies, after a pause that grows. It ends
 * where the front does: each front talks to an authority of its own, so that no answer can reach
 * another's question. Hooks are called from the loop and from hc_authority_child_reap. */
#ifndef HC_SERVER_AUTHORITY_CHILD_H
#define HC_SERVER_AUTHORITY_CHILD_H

#include <uv.h>

#include "base/log.h"
#include "server/supervisor_plan.h"

typedef enum hc_authority_state {
    HC_AUTHORITY_NONE, /* none is wanted */
    HC_AUTHORITY_DOWN, /* waits to be started again */
    HC_AUTHORITY_OPENING,
    HC_AUTHORITY_RUNNING,
    HC_AUTHORITY_ENDING,
} hc_authority_state;

const char *hc_authority_state_name(hc_authority_state state);

typedef struct hc_authority_hooks {
    void *arg;
    /* It has opened the registry, or not: why, or NULL. It goes on trying. */
    void (*opened)(void *arg, const char *trouble);
    /* There is an end of a socket for the front: hc_authority_child_take_fd. */
    void (*fresh)(void *arg);
    void (*exited)(void *arg, int wait_status);
} hc_authority_hooks;

typedef struct hc_authority_child {
    uv_loop_t *loop;
    const hc_log *log;
    hc_authority_hooks hooks;
    const hc_plan *plan; /* the one in force */
    hc_authority_state state;
    pid_t pid;
    int front_fd;  /* -1: the front has it, or there is none */
    int supply_fd; /* where the CAs go; -1: there is no process */
    uv_poll_t report;
    int report_fd; /* -1: not watched */
    char trouble[512];
    size_t trouble_size;
    uv_timer_t timer; /* to start it, or to kill it */
    uint64_t started_ms, backoff_ms;
} hc_authority_child;

void hc_authority_child_init(hc_authority_child *c, uv_loop_t *loop, const hc_log *log,
                             const hc_authority_hooks *hooks, const hc_plan *plan);
int hc_authority_child_start(hc_authority_child *c, hc_err *err) HC_MUST_CHECK;
/* The front's end, the caller's from now on; -1 where there is none. */
int hc_authority_child_take_fd(hc_authority_child *c);
/* The CAs as they are now: at start, and again after a reload. */
int hc_authority_child_supply(hc_authority_child *c, hc_err *err) HC_MUST_CHECK;
/* Not started again; killed where it does not end soon after the front. */
void hc_authority_child_end(hc_authority_child *c);
void hc_authority_child_kill(hc_authority_child *c);
/* After SIGCHLD. */
void hc_authority_child_reap(hc_authority_child *c);

#endif
