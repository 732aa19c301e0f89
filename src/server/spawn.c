#include "server/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "base/mem.h"
#include "base/slice.h"
#include "base/str.h"

#define NAME_BUFFER_MAX (1u << 20)
#define GROUPS_MAX      65536
#define OPEN_FILES_MAX  1048576u

typedef enum stage {
    STAGE_SIGNALS,
    STAGE_STDIN,
    STAGE_DESCRIPTORS,
    STAGE_LIMITS,
    STAGE_IDENTITY,
    STAGE_FOLDER,
    STAGE_PARENT,
    STAGE_EXEC,
} stage;

static const char *const stage_names[] = {
    [STAGE_SIGNALS] = "cannot set its signals",
    [STAGE_STDIN] = "cannot open /dev/null",
    [STAGE_DESCRIPTORS] = "cannot pass its descriptors on",
    [STAGE_LIMITS] = "cannot set its limits",
    [STAGE_IDENTITY] = "cannot change its user and group",
    [STAGE_FOLDER] = "cannot change into its folder",
    [STAGE_PARENT] = "its parent is gone",
    [STAGE_EXEC] = "cannot run it",
};

/* What a child that did not get as far as exec writes to its parent. */
typedef struct failure {
    int stage;
    int errno_value;
} failure;

typedef struct child {
    const hc_spawn *s;
    int report_fd;
    pid_t parent;
    sigset_t no_signals;
} child;

/* --- names --- */

static bool parse_id(const char *text, uint32_t *out)
{
    uint64_t value;
    if (!hc_parse_u64(hc_slice_text(text), &value) || value >= UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

/* `out_name` (the caller's) is NULL for a number that no user has. */
static int find_user(const char *option, const char *user, uid_t *uid, gid_t *gid, bool *gid_known,
                     char **out_name, hc_err *err)
{
    struct passwd entry, *found = NULL;
    uint32_t number = 0;
    bool numeric = parse_id(user, &number);
    size_t size = 4096;
    char *space = NULL;
    int rc = 0, failed = ERANGE;
    while (failed == ERANGE && size <= NAME_BUFFER_MAX) {
        size *= 2;
        hc_free(space);
        space = hc_alloc(size);
        if (!space)
            return hc_err_set(err, HC_ENOMEM, "no memory");
        failed = numeric ? getpwuid_r((uid_t)number, &entry, space, size, &found)
                         : getpwnam_r(user, &entry, space, size, &found);
    }
    if (!found && !numeric) {
        rc = hc_err_set(err, HC_ENOENT, "%s %s: there is no such user", option, user);
        goto out;
    }
    *uid = found ? found->pw_uid : (uid_t)number;
    if (found) {
        *gid = found->pw_gid;
        *gid_known = true;
        *out_name = hc_strdup(found->pw_name);
        if (!*out_name)
            rc = hc_err_set(err, HC_ENOMEM, "no memory");
    }
out:
    hc_free(space);
    return rc;
}

static int find_group(const char *group, gid_t *gid, hc_err *err)
{
    struct group entry, *found = NULL;
    uint32_t number = 0;
    if (parse_id(group, &number)) {
        *gid = (gid_t)number;
        return 0;
    }
    size_t size = 4096;
    char *space = NULL;
    int failed = ERANGE;
    while (failed == ERANGE && size <= NAME_BUFFER_MAX) {
        size *= 2;
        hc_free(space);
        space = hc_alloc(size);
        if (!space)
            return hc_err_set(err, HC_ENOMEM, "no memory");
        failed = getgrnam_r(group, &entry, space, size, &found);
    }
    if (found)
        *gid = found->gr_gid;
    hc_free(space);
    return found ? 0 : hc_err_set(err, HC_ENOENT, "--group %s: there is no such group", group);
}

static int find_groups(const char *option, const char *name, hc_identity *i, hc_err *err)
{
    int count = 1, room;
    if (name) {
        gid_t one;
        (void)getgrouplist(name, i->gid, &one, &count);
        if (count < 1 || count > GROUPS_MAX)
            return hc_err_set(err, HC_ELIMIT, "%s %s: too many groups", option, name);
    }
    room = count;
    i->groups = hc_alloc_zero((size_t)room, sizeof(*i->groups));
    if (!i->groups)
        return hc_err_set(err, HC_ENOMEM, "no memory");
    i->groups[0] = i->gid;
    if (name && getgrouplist(name, i->gid, i->groups, &count) < 0)
        return hc_err_set(err, HC_EBUSY, "%s %s: its groups are being changed", option, name);
    i->group_count = (size_t)(count < room ? count : room);
    return 0;
}

static int allowed(const char *option, const hc_identity *i, hc_err *err)
{
    if (geteuid() == 0 || (i->uid == geteuid() && i->gid == getegid()))
        return 0;
    return hc_err_set(err, HC_EDENIED,
                      "%s (or its group) needs root: start as root, or leave it out", option);
}

int hc_identity_lookup(const char *option, const char *user, const char *group, hc_identity *out,
                       hc_err *err)
{
    hc_identity i = {.uid = geteuid(), .gid = getegid()};
    bool gid_known = !user;
    char *name = NULL;
    int rc = 0;
    if (user)
        rc = find_user(option, user, &i.uid, &i.gid, &gid_known, &name, err);
    if (rc == 0 && group) {
        rc = find_group(group, &i.gid, err);
        gid_known = true;
    }
    if (rc == 0 && !gid_known)
        rc = hc_err_set(err, HC_EINVAL, "%s %s: that number is no known user, so it has no group",
                        option, user);
    if (rc == 0)
        rc = allowed(option, &i, err);
    i.drop = (user || group) && geteuid() == 0;
    if (rc == 0 && i.drop)
        rc = find_groups(option, name, &i, err);
    hc_free(name);
    if (rc != 0) {
        hc_identity_done(&i);
        return rc;
    }
    *out = i;
    return 0;
}

void hc_identity_done(hc_identity *i)
{
    hc_free(i->groups);
    *i = (hc_identity){0};
}

void hc_spawn_raise_open_files(struct rlimit *before)
{
    if (getrlimit(RLIMIT_NOFILE, before) != 0)
        *before = (struct rlimit){1024, 4096};
    struct rlimit raised = *before;
    raised.rlim_cur = raised.rlim_max < OPEN_FILES_MAX ? raised.rlim_max : OPEN_FILES_MAX;
    if (raised.rlim_cur > before->rlim_cur)
        (void)setrlimit(RLIMIT_NOFILE, &raised);
}

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int search_path(const char *program, const char *path, hc_buf *out)
{
    while (path) {
        const char *end = strchr(path, ':');
        size_t size = end ? (size_t)(end - path) : strlen(path);
        hc_buf_clear(out);
        int rc = hc_buf_add(out, size ? hc_slice_of(path, size) : HC_SLICE_LITERAL("."));
        if (rc == 0)
            rc = hc_buf_printf(out, "/%s", program);
        if (rc == 0)
            rc = hc_buf_add_byte(out, 0);
        if (rc != 0)
            return rc;
        if (is_program((const char *)out->at))
            return 0;
        path = end ? end + 1 : NULL;
    }
    return -HC_ENOENT;
}

int hc_spawn_find(const char *program, char **out, hc_err *err)
{
    hc_buf path = hc_buf_init(65536);
    int rc = -HC_ENOENT;
    if (strchr(program, '/')) {
        if (is_program(program))
            rc = hc_buf_add(&path, hc_slice_of(program, strlen(program) + 1));
    } else {
        rc = search_path(program, getenv("PATH"), &path);
    }
    if (rc == 0) {
        *out = (char *)path.at; /* the buffer's memory is now the caller's */
        return 0;
    }
    hc_buf_done(&path);
    return hc_err_set(err, -rc,
                      rc == -HC_ENOENT ? "%s: there is no such program" : "%s: cannot search PATH",
                      program);
}

/* --- between fork and exec --- */

HC_NORETURN static void fail(const child *c, stage at)
{
    failure f = {at, errno};
    ssize_t n = write(c->report_fd, &f, sizeof(f));
    _exit(n == (ssize_t)sizeof(f) ? 127 : 126);
}

static void set_signals(const child *c)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &action, NULL); /* fails for those that cannot be changed */
    action.sa_handler = SIG_IGN;
    for (size_t i = 0; i < c->s->ignore_count; i++) {
        if (sigaction(c->s->ignore[i], &action, NULL) != 0)
            fail(c, STAGE_SIGNALS);
    }
    if (sigprocmask(SIG_SETMASK, &c->no_signals, NULL) != 0)
        fail(c, STAGE_SIGNALS);
}

/* Also what this process inherited itself: our own are close-on-exec in any case. */
static void close_on_exec(void)
{
#if defined(__linux__) && defined(SYS_close_range) && defined(CLOSE_RANGE_CLOEXEC)
    (void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
#endif
}

static void copy_to(const child *c, int from, int to, int flags)
{
    if (dup3(from, to, flags) < 0)
        fail(c, STAGE_DESCRIPTORS);
}

/* First above all that is still needed, then down to its own place: no copy can hit one that waits
 * for its turn. */
static void place_descriptors(child *c)
{
    int count = (int)c->s->fd_count;
    int base = c->report_fd > 2 + count ? c->report_fd : 2 + count;
    for (int i = 0; i < count; i++) {
        if (c->s->fds[i] > base)
            base = c->s->fds[i];
    }
    base++;
    copy_to(c, c->report_fd, base + count, O_CLOEXEC);
    c->report_fd = base + count;
    for (int i = 0; i < count; i++)
        copy_to(c, c->s->fds[i], base + i, O_CLOEXEC);
    close_on_exec();
    for (int i = 0; i < count; i++)
        copy_to(c, base + i, 3 + i, 0);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || (null_fd != 0 && dup2(null_fd, 0) < 0))
        fail(c, STAGE_STDIN);
}

static void take_identity(const child *c)
{
    const hc_identity *i = c->s->identity;
    if (!i || !i->drop)
        return;
    if (setgroups(i->group_count, i->groups) != 0 || setresgid(i->gid, i->gid, i->gid) != 0 ||
        setresuid(i->uid, i->uid, i->uid) != 0)
        fail(c, STAGE_IDENTITY);
}

/* After the change of user, which would clear it. */
static void die_with_parent(const child *c)
{
#ifdef __linux__
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        fail(c, STAGE_PARENT);
#endif
    if (getppid() != c->parent)
        fail(c, STAGE_PARENT);
}

/* Front and workers wake each other several times a request. Without preemption the one that wakes
 * the other finishes what it is at and sleeps anyway: a quarter fewer context switches, and an
 * eighth less CPU for a short request. A policy that somebody chose stays. */
static void rather_not_preempt(void)
{
#ifdef SCHED_BATCH
    struct sched_param none = {0};
    if (sched_getscheduler(0) == SCHED_OTHER)
        (void)sched_setscheduler(0, SCHED_BATCH, &none);
#endif
}

HC_NORETURN static void run_child(child *c)
{
    const hc_spawn *s = c->s;
    set_signals(c);
    place_descriptors(c);
    if (s->open_files && setrlimit(RLIMIT_NOFILE, s->open_files) != 0)
        fail(c, STAGE_LIMITS);
    if (s->set_umask)
        (void)umask(s->umask);
    rather_not_preempt();
    take_identity(c);
    if (s->chdir && chdir(s->chdir) != 0)
        fail(c, STAGE_FOLDER);
    die_with_parent(c);
    (void)execve(s->file, s->argv, s->env);
    fail(c, STAGE_EXEC);
}

/* --- the parent's side --- */

static int wait_for_exec(int report_fd, pid_t pid, const hc_spawn *s, hc_err *err)
{
    failure f;
    ssize_t n;
    do
        n = read(report_fd, &f, sizeof(f));
    while (n < 0 && errno == EINTR);
    if (n == 0) /* exec closed the other end */
        return 0;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    if (n != (ssize_t)sizeof(f) || f.stage < 0 || (size_t)f.stage >= HC_COUNT(stage_names))
        return hc_err_set(err, HC_EIO, "%s: cannot start it", s->file);
    return hc_err_errno(err, f.errno_value, "%s: %s", s->file, stage_names[f.stage]);
}

int hc_spawn_run(const hc_spawn *s, pid_t *out, hc_err *err)
{
    int report[2];
    sigset_t all, before;
    child c = {.s = s, .parent = getpid()};
    if (pipe2(report, O_CLOEXEC) != 0)
        return hc_err_errno(err, errno, "cannot make a pipe");
    c.report_fd = report[1];
    (void)sigemptyset(&c.no_signals);
    (void)sigfillset(&all);
    /* Until the child has put back the default actions no handler of the parent's may run in it. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    int fork_errno = errno;
    if (pid == 0)
        run_child(&c);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)close(report[1]);
    int rc = pid < 0 ? hc_err_errno(err, fork_errno, "cannot start a process")
                     : wait_for_exec(report[0], pid, s, err);
    (void)close(report[0]);
    if (rc == 0)
        *out = pid;
    return rc;
}
