#include "server/workers.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   10000
#define SERVED_MS        1000 /* who died after serving this long did not die at once */
#define EXIT_MS          5000 /* for a worker whose last lane is closed: its atexit handlers */
#define EXIT_FAILED      3    /* as gunicorn has it: a worker could not be started */
#define EXIT_APP         4    /* the application cannot be loaded */

typedef struct worker {
    hc_workers *pool;
    uint32_t number;
    unsigned generation;
    hc_worker_state state;
    pid_t pid;
    uint64_t started_ms, ready_ms;
    uint64_t deadline_ms; /* 0: none */
    bool spent;           /* is to leave whatever comes of a roll */
    bool broken;          /* killed for what it did, not because it was done with */
} worker;

struct hc_workers {
    uv_loop_t *loop;
    const hc_log *log;
    hc_workers_hooks hooks;
    struct rlimit open_files;
    uv_timer_t timer;
    worker **at;
    size_t count, room;
    hc_worker_command command, old_command; /* old: while rolling, to go back to */
    unsigned wanted, old_wanted;
    uint64_t graceful_ms;
    unsigned generation;
    uint32_t last_number;
    uint64_t backoff_ms, start_at_ms;
    bool ever_ready, announced;
    bool started, paused, frozen, stopping, rolling, closed;
    bool new_command; /* the roll brought one */
};

#define NOT_ALLOWED (-1)

bool hc_worker_state_change(hc_worker_state *state, hc_worker_change change)
{
#define NO NOT_ALLOWED
    /* clang-format off */
    static const int8_t transitions[][HC_WORKER_KILL + 1] = {
        /*                       hello            leave              stay             retire              kill */
        [HC_WORKER_STARTING] = {HC_WORKER_READY, NO,                NO,              HC_WORKER_RETIRING, HC_WORKER_KILLED},
        [HC_WORKER_READY]    = {NO,              HC_WORKER_LEAVING, NO,              HC_WORKER_RETIRING, HC_WORKER_KILLED},
        [HC_WORKER_LEAVING]  = {NO,              NO,                HC_WORKER_READY, HC_WORKER_RETIRING, HC_WORKER_KILLED},
        [HC_WORKER_RETIRING] = {NO,              NO,                NO,              NO,                 HC_WORKER_KILLED},
        [HC_WORKER_KILLED]   = {NO,              NO,                NO,              NO,                 NO},
    };
    /* clang-format on */
#undef NO
    int next = transitions[*state][change];
    if (next == NOT_ALLOWED)
        return false;
    *state = (hc_worker_state)next;
    return true;
}

const char *hc_worker_state_name(hc_worker_state state)
{
    static const char *const names[] = {
        [HC_WORKER_STARTING] = "starting", [HC_WORKER_READY] = "ready",
        [HC_WORKER_LEAVING] = "leaving",   [HC_WORKER_RETIRING] = "retiring",
        [HC_WORKER_KILLED] = "killed",
    };
    return names[state];
}

uint64_t hc_worker_backoff_ms(uint64_t last_ms, uint64_t served_ms)
{
    if (served_ms >= SERVED_MS)
        return 0;
    if (last_ms == 0)
        return BACKOFF_FIRST_MS;
    return last_ms > BACKOFF_MAX_MS / 2 ? BACKOFF_MAX_MS : last_ms * 2;
}

void hc_worker_exit_text(int wait_status, char *out, size_t size_bytes)
{
    if (WIFSIGNALED(wait_status))
        (void)snprintf(out, size_bytes, "signal %d (%s)", WTERMSIG(wait_status),
                       strsignal(WTERMSIG(wait_status)));
    else
        (void)snprintf(out, size_bytes, "exit code %d", WEXITSTATUS(wait_status));
}

static void reconcile(hc_workers *p);

/* --- one worker --- */

static void drop_worker(hc_workers *p, size_t index)
{
    hc_free(p->at[index]);
    p->count--;
    memmove(&p->at[index], &p->at[index + 1], (p->count - index) * sizeof(*p->at));
}

static worker *find_worker(const hc_workers *p, uint32_t number)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->at[i]->number == number)
            return p->at[i];
    }
    return NULL;
}

static void kill_worker(worker *w)
{
    if (hc_worker_state_change(&w->state, HC_WORKER_KILL) && w->pid > 0)
        (void)kill(w->pid, SIGKILL);
    w->deadline_ms = 0;
}

static void retire_worker(worker *w)
{
    bool has_requests = w->state != HC_WORKER_STARTING;
    if (!hc_worker_state_change(&w->state, HC_WORKER_RETIRE))
        return;
    if (!has_requests) {
        kill_worker(w);
        return;
    }
    w->deadline_ms = hc_clock_monotonic_ms() + w->pool->graceful_ms;
    w->pool->hooks.retire(w->pool->hooks.arg, w->number);
}

/* --- starting one --- */

typedef struct worker_lanes {
    int front[HC_LIMIT_WORKER_THREADS];
    int child[HC_LIMIT_WORKER_THREADS];
    unsigned count;
} worker_lanes;

static void close_lanes(worker_lanes *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        if (l->front[i] >= 0)
            (void)close(l->front[i]);
        (void)close(l->child[i]);
    }
}

static int open_lanes(worker_lanes *l, unsigned count, hc_err *err)
{
    int pair[2];
    l->count = 0;
    while (l->count < count) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
            return hc_err_errno(err, errno, "cannot make a lane");
        l->front[l->count] = pair[0];
        l->child[l->count++] = pair[1];
    }
    return 0;
}

static int make_room(hc_workers *p, hc_err *err)
{
    if (p->count < p->room)
        return 0;
    size_t room = p->room ? p->room * 2 : 8;
    worker **at = hc_realloc(p->at, room * sizeof(*at));
    if (!at)
        return hc_err_set(err, HC_ENOMEM, "no memory for a worker");
    p->at = at;
    p->room = room;
    return 0;
}

static int add_worker(hc_workers *p, worker **out, hc_err *err)
{
    int rc = make_room(p, err);
    if (rc != 0)
        return rc;
    worker *w = hc_alloc_zero(1, sizeof(*w));
    if (!w)
        return hc_err_set(err, HC_ENOMEM, "no memory for a worker");
    w->pool = p;
    w->number = ++p->last_number;
    w->generation = p->generation;
    w->started_ms = hc_clock_monotonic_ms();
    p->at[p->count++] = w;
    *out = w;
    return 0;
}

static int start_worker(hc_workers *p, hc_err *err)
{
    worker_lanes l;
    worker *w = NULL;
    int rc = open_lanes(&l, p->command.threads, err);
    if (rc == 0)
        rc = add_worker(p, &w, err);
    if (rc == 0) {
        rc = hc_worker_command_run(&p->command, l.child, l.count, &p->open_files, &w->pid, err);
        if (rc != 0)
            drop_worker(p, p->count - 1);
    }
    for (unsigned i = 0; rc == 0 && i < l.count; i++) {
        int fd = l.front[i];
        l.front[i] = -1;
        rc = p->hooks.lane(p->hooks.arg, w->number, fd, err);
        if (rc != 0)
            kill_worker(w);
    }
    if (rc == 0)
        hc_log_text(p->log, HC_LOG_DEBUG, "worker %u started, pid %d", w->number, (int)w->pid);
    close_lanes(&l);
    return rc;
}

/* --- what there is and what there should be --- */

/* Of the generation that is to serve: not those that leave, nor those that a roll has overtaken. */
static bool is_fresh(const hc_workers *p, const worker *w)
{
    return w->generation == p->generation &&
           (w->state == HC_WORKER_STARTING || w->state == HC_WORKER_READY);
}

static unsigned count_fresh(const hc_workers *p, bool ready_only)
{
    unsigned count = 0;
    for (size_t i = 0; i < p->count; i++)
        count += is_fresh(p, p->at[i]) && (!ready_only || p->at[i]->state == HC_WORKER_READY);
    return count;
}

static void retire_old(hc_workers *p)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->at[i]->generation != p->generation || p->at[i]->state == HC_WORKER_LEAVING)
            retire_worker(p->at[i]);
    }
}

static void retire_surplus(hc_workers *p, unsigned surplus)
{
    for (size_t i = 0; i < p->count && surplus; i++) {
        if (is_fresh(p, p->at[i])) {
            retire_worker(p->at[i]);
            surplus--;
        }
    }
}

static void end_roll(hc_workers *p, bool all_new)
{
    p->rolling = false;
    hc_worker_command_done(&p->old_command);
    p->hooks.rolled(p->hooks.arg, all_new);
}

/* Back to those that serve. A new one that was ready already may have requests: it is retired, not
 * killed. */
static void undo_roll(hc_workers *p)
{
    unsigned failed = p->generation++;
    for (size_t i = 0; i < p->count; i++) {
        worker *w = p->at[i];
        if (w->generation == failed) {
            retire_worker(w);
        } else {
            if (!w->spent)
                (void)hc_worker_state_change(&w->state, HC_WORKER_STAY);
            w->generation = p->generation;
        }
    }
    if (!p->new_command)
        return;
    hc_worker_command_done(&p->command);
    p->command = p->old_command;
    p->old_command = (hc_worker_command){0};
    p->wanted = p->old_wanted;
}

static void back_off(hc_workers *p, uint64_t served_ms)
{
    p->backoff_ms = hc_worker_backoff_ms(p->backoff_ms, served_ms);
    p->start_at_ms = hc_clock_monotonic_ms() + p->backoff_ms;
}

static void fail_start(hc_workers *p, int exit_code)
{
    p->frozen = true;
    p->hooks.failed(p->hooks.arg, exit_code);
}

/* True where one was started. */
static bool start_one(hc_workers *p)
{
    hc_err err = {0};
    if (start_worker(p, &err) == 0)
        return true;
    hc_log_text(p->log, HC_LOG_ERROR, "cannot start a worker: %s", err.text);
    if (!p->ever_ready) {
        fail_start(p, EXIT_FAILED);
    } else {
        if (p->rolling) {
            undo_roll(p);
            end_roll(p, false);
        }
        back_off(p, 0);
    }
    return false;
}

static void start_missing(hc_workers *p)
{
    unsigned fresh = count_fresh(p, false);
    if (hc_clock_monotonic_ms() < p->start_at_ms)
        return;
    while (fresh < p->wanted && !p->frozen && start_one(p))
        fresh++;
    if (fresh > p->wanted)
        retire_surplus(p, fresh - p->wanted);
}

static void kill_overdue(hc_workers *p)
{
    uint64_t now_ms = hc_clock_monotonic_ms();
    for (size_t i = 0; i < p->count; i++) {
        worker *w = p->at[i];
        if (w->deadline_ms && w->deadline_ms <= now_ms) {
            hc_log_text(p->log, HC_LOG_WARNING,
                        "worker %u (pid %d) did not end in time and is killed", w->number,
                        (int)w->pid);
            kill_worker(w);
        }
    }
}

static void on_timer(uv_timer_t *timer)
{
    reconcile(timer->data);
}

static void arm_timer(hc_workers *p)
{
    if (p->closed) /* by a hook */
        return;
    uint64_t now_ms = hc_clock_monotonic_ms(), next_ms = UINT64_MAX;
    if (p->start_at_ms > now_ms && p->started && !p->frozen && !p->paused)
        next_ms = p->start_at_ms;
    for (size_t i = 0; i < p->count; i++) {
        if (p->at[i]->deadline_ms && p->at[i]->deadline_ms < next_ms)
            next_ms = p->at[i]->deadline_ms;
    }
    if (next_ms == UINT64_MAX)
        (void)uv_timer_stop(&p->timer);
    else
        (void)uv_timer_start(&p->timer, on_timer, next_ms > now_ms ? next_ms - now_ms : 0, 0);
}

static void reconcile(hc_workers *p)
{
    if (p->closed)
        return;
    kill_overdue(p);
    if (p->stopping && p->count == 0) {
        (void)uv_timer_stop(&p->timer);
        p->hooks.empty(p->hooks.arg);
        return;
    }
    if (p->started && !p->paused && !p->frozen) {
        start_missing(p);
        if (count_fresh(p, true) >= p->wanted) {
            retire_old(p);
            if (p->rolling)
                end_roll(p, true);
        }
    }
    arm_timer(p);
}

/* --- the end of one --- */

static void log_exit(const hc_workers *p, const worker *w, int status)
{
    char how[64];
    bool expected = w->state == HC_WORKER_RETIRING || w->state == HC_WORKER_KILLED;
    bool by_itself = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    bool cannot_load = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_APP;
    hc_worker_exit_text(status, how, sizeof(how));
    const char *hint = !expected && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                           ? "; killed from outside, perhaps for lack of memory"
                           : "";
    if (w->state == HC_WORKER_STARTING)
        hc_log_text(p->log, HC_LOG_ERROR, "worker %u (pid %d) %s: %s%s", w->number, (int)w->pid,
                    cannot_load ? "cannot load the application" : "ended before it was ready", how,
                    hint);
    else if (expected || by_itself)
        hc_log_text(p->log, expected ? HC_LOG_DEBUG : HC_LOG_INFO, "worker %u (pid %d) ended: %s",
                    w->number, (int)w->pid, how);
    else
        hc_log_text(p->log, HC_LOG_ERROR, "worker %u (pid %d) died: %s%s%s", w->number, (int)w->pid,
                    how, hint, p->frozen ? "" : "; it is replaced");
}

static void after_early_end(hc_workers *p, unsigned generation, int exit_code)
{
    if (!p->ever_ready) {
        if (!p->frozen)
            fail_start(p, exit_code == EXIT_APP ? EXIT_APP : EXIT_FAILED);
    } else if (p->rolling && generation == p->generation) {
        undo_roll(p);
        end_roll(p, false);
    } else {
        back_off(p, 0);
    }
}

static void on_exit_of(hc_workers *p, size_t index, int status)
{
    worker *w = p->at[index];
    bool expected = w->state == HC_WORKER_RETIRING || (w->state == HC_WORKER_KILLED && !w->broken);
    bool was_ready = w->ready_ms != 0;
    unsigned generation = w->generation;
    uint64_t served_ms = was_ready ? hc_clock_monotonic_ms() - w->ready_ms : 0;
    int exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    log_exit(p, w, status);
    drop_worker(p, index);
    if (p->stopping || expected)
        return;
    if (!was_ready)
        after_early_end(p, generation, exit_code);
    else if (exit_code != 0)
        back_off(p, served_ms);
}

void hc_workers_reap(hc_workers *p)
{
    bool any = false;
    size_t i = 0;
    while (i < p->count) {
        int status;
        pid_t pid = p->at[i]->pid;
        if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid) {
            any = true;
            on_exit_of(p, i, status);
        } else {
            i++;
        }
    }
    if (any)
        reconcile(p);
}

/* --- orders and reports --- */

int hc_workers_new(uv_loop_t *loop, const hc_log *log, const hc_workers_hooks *hooks,
                   const struct rlimit *open_files, hc_workers **out, hc_err *err)
{
    hc_workers *p = hc_alloc_zero(1, sizeof(*p));
    if (!p)
        return hc_err_set(err, HC_ENOMEM, "no memory");
    p->loop = loop;
    p->log = log;
    p->hooks = *hooks;
    p->open_files = *open_files;
    (void)uv_timer_init(loop, &p->timer); /* cannot fail */
    p->timer.data = p;
    *out = p;
    return 0;
}

void hc_workers_close(hc_workers *p)
{
    p->closed = true;
    while (p->count) {
        worker *w = p->at[p->count - 1];
        if (w->pid > 0) {
            (void)kill(w->pid, SIGKILL);
            (void)waitpid(w->pid, NULL, 0);
        }
        drop_worker(p, p->count - 1);
    }
    uv_close((uv_handle_t *)&p->timer, NULL);
}

void hc_workers_free(hc_workers *p)
{
    if (!p)
        return;
    hc_worker_command_done(&p->command);
    hc_worker_command_done(&p->old_command);
    hc_free(p->at);
    hc_free(p);
}

static hc_worker_command take_command(hc_worker_command *from)
{
    hc_worker_command taken = *from;
    *from = (hc_worker_command){0};
    return taken;
}

void hc_workers_start(hc_workers *p, hc_worker_command *command, unsigned workers,
                      uint64_t graceful_ms)
{
    hc_worker_command_done(&p->command);
    p->command = take_command(command);
    p->wanted = workers;
    p->graceful_ms = graceful_ms;
    p->generation++;
    p->started = true;
    reconcile(p);
}

static void begin_roll(hc_workers *p, bool new_command)
{
    p->generation++;
    p->new_command = new_command;
    p->rolling = true;
    p->start_at_ms = p->backoff_ms = 0;
    for (size_t i = 0; i < p->count; i++)
        (void)hc_worker_state_change(&p->at[i]->state, HC_WORKER_LEAVE);
    reconcile(p);
}

void hc_workers_roll(hc_workers *p, hc_worker_command *command, unsigned workers,
                     uint64_t graceful_ms)
{
    if (p->rolling) /* the newest counts */
        undo_roll(p);
    p->old_command = p->command;
    p->old_wanted = p->wanted;
    p->command = take_command(command);
    p->wanted = workers;
    p->graceful_ms = graceful_ms;
    begin_roll(p, true);
}

void hc_workers_roll_again(hc_workers *p)
{
    if (p->rolling)
        undo_roll(p);
    begin_roll(p, false);
}

void hc_workers_resize(hc_workers *p, int by)
{
    if ((by < 0 && p->wanted <= 1) || (by > 0 && p->wanted >= HC_LIMIT_WORKERS))
        return;
    p->wanted = by < 0 ? p->wanted - 1 : p->wanted + 1;
    reconcile(p);
}

void hc_workers_on_hello(hc_workers *p, uint32_t number)
{
    worker *w = find_worker(p, number);
    if (!w || !hc_worker_state_change(&w->state, HC_WORKER_HELLO))
        return;
    w->ready_ms = hc_clock_monotonic_ms();
    hc_log_text(p->log, HC_LOG_DEBUG, "worker %u is ready", w->number);
    if (w->generation !=
        p->generation) /* overtaken by a roll while it loaded: serves until that is through */
        (void)hc_worker_state_change(&w->state, HC_WORKER_LEAVE);
    p->ever_ready = true;
    if (!p->announced) {
        p->announced = true;
        p->hooks.ready(p->hooks.arg);
    }
    reconcile(p);
}

void hc_workers_on_broken(hc_workers *p, uint32_t number, const char *why)
{
    worker *w = find_worker(p, number);
    if (!w || w->state == HC_WORKER_KILLED)
        return;
    hc_log_text(p->log, HC_LOG_ERROR, "worker %u (pid %d) is killed and replaced: %s", w->number,
                (int)w->pid, why);
    w->broken = true;
    kill_worker(w);
    reconcile(p);
}

void hc_workers_on_idle(hc_workers *p, uint32_t number)
{
    worker *w = find_worker(p, number);
    if (!w || w->state != HC_WORKER_RETIRING)
        return;
    w->deadline_ms = hc_clock_monotonic_ms() + EXIT_MS;
    reconcile(p);
}

void hc_workers_on_spent(hc_workers *p, uint32_t number)
{
    worker *w = find_worker(p, number);
    if (!w || w->spent)
        return;
    w->spent = true;
    if (!hc_worker_state_change(&w->state, HC_WORKER_LEAVE))
        return; /* it leaves, or retires, anyway */
    hc_log_text(p->log, HC_LOG_INFO,
                "worker %u (pid %d) has had its number of requests and is replaced", w->number,
                (int)w->pid);
    reconcile(p);
}

static void all_retire(hc_workers *p, uint64_t within_ms)
{
    uint64_t deadline_ms = hc_clock_monotonic_ms() + within_ms;
    for (size_t i = 0; i < p->count; i++) {
        worker *w = p->at[i];
        if (within_ms == 0 || w->state == HC_WORKER_STARTING)
            kill_worker(w);
        else if (hc_worker_state_change(&w->state, HC_WORKER_RETIRE) ||
                 w->deadline_ms > deadline_ms)
            w->deadline_ms = deadline_ms;
    }
}

void hc_workers_pause(hc_workers *p)
{
    p->paused = true;
    p->announced = false;
    if (p->rolling)
        end_roll(p, true); /* whoever comes next runs the newest */
    all_retire(p, p->graceful_ms ? p->graceful_ms : EXIT_MS);
    reconcile(p);
}

void hc_workers_resume(hc_workers *p)
{
    p->paused = false;
    reconcile(p);
}

void hc_workers_freeze(hc_workers *p)
{
    p->frozen = true;
}

void hc_workers_stop(hc_workers *p, uint64_t within_ms)
{
    p->frozen = p->stopping = true;
    all_retire(p, within_ms);
    reconcile(p);
}

void hc_workers_each(const hc_workers *p, void (*one)(void *arg, const hc_worker_facts *facts),
                     void *arg)
{
    for (size_t i = 0; i < p->count; i++) {
        const worker *w = p->at[i];
        one(arg, &(hc_worker_facts){w->number, w->pid, w->state, w->started_ms, w->ready_ms});
    }
}
