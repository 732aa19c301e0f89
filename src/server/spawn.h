/* Starting a child process, with everything that libuv's uv_spawn does not do: supplementary
 * groups, umask, limits, the death of the parent, signals to ignore.
 *
 * Between fork and exec only async-signal-safe calls are made; what needs the heap or /etc (names,
 * search in PATH) is looked up before. Blocks until the child has run exec or said why it could
 * not. */
#ifndef HC_SERVER_SPAWN_H
#define HC_SERVER_SPAWN_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/err.h"

/* Who the child is to be. */
typedef struct hc_identity {
    bool drop; /* false: as the parent is */
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
} hc_identity;

/* `user` and `group` by name or number, either may be NULL: a user brings its own groups, a group
 * alone replaces the parent's. Not root: an error unless both mean who the process already is.
 * `option`, "--user", is for errors. */
int hc_identity_lookup(const char *option, const char *user, const char *group, hc_identity *out,
                       hc_err *err) HC_MUST_CHECK;
void hc_identity_done(hc_identity *i);

typedef struct hc_spawn {
    const char *file;  /* path, not searched */
    char *const *argv; /* ends with NULL */
    char *const *env;  /* ends with NULL */
    const int *
        fds; /* become 3, 4, … in the child; every other descriptor but 0, 1, 2 is closed by exec */
    size_t fd_count;
    const hc_identity *identity; /* NULL: as the parent is */
    const char *chdir;           /* NULL: stay */
    bool set_umask;
    mode_t umask;
    const struct rlimit *open_files; /* NULL: as the parent has it */
    const int *ignore;               /* signals; all others get their default action */
    size_t ignore_count;
} hc_spawn;

int hc_spawn_run(const hc_spawn *s, pid_t *out, hc_err *err) HC_MUST_CHECK;

/* A connection is a descriptor: as many as may be. `before` is for children that are not ours:
 * some programs close or select all they may. */
void hc_spawn_raise_open_files(struct rlimit *before);

/* A program by path or, without a slash in it, through PATH. `out` is the caller's. */
int hc_spawn_find(const char *program, char **out, hc_err *err) HC_MUST_CHECK;

#endif
