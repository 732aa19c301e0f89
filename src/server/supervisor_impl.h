/* The supervisor from the inside: what its files share.
 *
 *   supervisor.c            its life: phases, front, workers, reload, signals
 *   supervisor_authority.c  what follows from the authority's life
 *   supervisor_asked.c      what operators ask of it: status, reload, logs opened anew
 */
#ifndef HC_SERVER_SUPERVISOR_IMPL_H
#define HC_SERVER_SUPERVISOR_IMPL_H

#include <uv.h>

#include "server/authority_child.h"
#include "server/control_socket.h"
#include "server/front_link.h"
#include "server/listeners.h"
#include "server/supervisor.h"
#include "server/supervisor_plan.h"
#include "server/watch.h"
#include "server/workers.h"

#define HC_SUPERVISOR_SIGNALS 9

typedef enum phase {
    PHASE_STARTING, /* nobody was served yet: any failure ends it all */
    PHASE_SERVING,
    PHASE_DRAINING,
    PHASE_STOPPING, /* the front is gone or killed, the workers are on their way out */
} phase;

typedef struct supervisor {
    const hc_serve_args *args; /* the caller's: of the start */
    hc_serve_args flags; /* in force as they were given, before anything was resolved: what a reload
                            compares */
    hc_plan plan;        /* in force; its worker command is the pool's */
    hc_serve_args next_flags;
    hc_plan next_plan; /* sent to the front, not yet answered */
    bool next_pending, reload_again;
    bool rolling;                            /* the workers, for a reload */
    uint64_t reloads_begun, reloads_adopted; /* numbers of the last ones */
    hc_control_socket *control;
    int64_t started_s;
    hc_log log;
    struct rlimit open_files; /* as it was: for the workers */
    uv_loop_t loop;
    uv_signal_t signals[HC_SUPERVISOR_SIGNALS];
    uv_timer_t timer; /* what it is for depends on the phase */
    uv_timer_t watchdog;
    uv_poll_t parent;
    hc_watch watch;
    hc_listeners listeners, metrics;
    hc_front_link front;
    hc_authority_child authority;
    uint64_t front_started_ms, front_backoff_ms;
    uint64_t drain_until_ms;
    hc_workers *pool;
    bool pool_started, pool_empty;
    phase phase;
    int exit_code;
    bool pidfile_written;
} supervisor;

/* supervisor.c */
void supervisor_reload(supervisor *s);
int supervisor_start_front(supervisor *s, hc_err *err) HC_MUST_CHECK;
void supervisor_stop_now(supervisor *s, int exit_code);
/* Where nothing of it runs any more. */
void supervisor_end_if_done(supervisor *s);

/* supervisor_authority.c */
/* Starts what comes first: the authority where there is a registry, since it brings that up to
 * date; else the front. */
int supervisor_begin(supervisor *s, hc_err *err) HC_MUST_CHECK;
/* Again, at a reload: somebody may have put another file in its place, or replaced the CA. */
void supervisor_hand_over_registry(supervisor *s);
/* The front can be given the authority's socket, where one waits for it. */
void supervisor_send_authority(supervisor *s);

/* supervisor_asked.c */
/* Where none was asked for by name the server runs without, rather than not at all. */
int supervisor_open_control(supervisor *s, hc_err *err) HC_MUST_CHECK;
void supervisor_on_front_status(void *arg, hc_slice json);
void supervisor_reopen_logs(supervisor *s);

#endif
