#include "server/registry_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "registry/registry.h"

#define PATH_BYTES 4096

/* By descriptor, and never through a link: the folder may be another user's to write to. */
static int change_file(const char *path, uid_t uid, gid_t gid, hc_err *err)
{
    char self[64];
    struct stat st;
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return hc_err_errno(err, errno, "--registry: cannot open %s", path);
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int rc = 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        rc = hc_err_set(err, HC_EINVAL, "--registry: %s is no regular file", path);
    /* Another name may be of a file that is nobody's to give away. */
    else if (st.st_nlink != 1)
        rc = hc_err_set(err, HC_EINVAL, "--registry: %s has another name (a hard link): copy it",
                        path);
    /* Only what differs: a system that gives root few rights may still have it set up so. */
    else if ((st.st_uid != uid || st.st_gid != gid) &&
             fchownat(fd, "", uid, gid, AT_EMPTY_PATH) != 0)
        rc = hc_err_errno(err, errno, "--registry: cannot give %s to the authority's user", path);
    else if ((st.st_mode & 07777) != 0640 && chmod(self, 0640) != 0)
        rc = hc_err_errno(err, errno, "--registry: cannot set who may read %s", path);
    (void)close(fd);
    return rc;
}

/* The options may hold secrets of the application, and so far the folder has kept them. */
static int close_options(const char *state, hc_err *err)
{
    char path[PATH_BYTES], self[64];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/handclasp.yaml", state);
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : hc_err_errno(err, errno, "cannot open %s", path);
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int rc = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0077) &&
        chmod(self, st.st_mode & 07700) != 0)
        rc = hc_err_errno(err, errno, "cannot set who may read %s", path);
    (void)close(fd);
    return rc;
}

/* Its names become visible to those who know them, no more. */
static int open_folder(const char *state, const char *file, hc_err *err)
{
    struct stat st;
    size_t size = state ? strlen(state) : 0;
    if (!size || strncmp(file, state, size) != 0 || file[size] != '/')
        return 0; /* elsewhere: not ours to change */
    if (stat(state, &st) != 0)
        return hc_err_errno(err, errno, "cannot look at %s", state);
    if ((st.st_mode & 0011) == 0011)
        return 0;
    int rc = close_options(state, err);
    if (rc != 0 || chmod(state, (st.st_mode & 07777) | 0011) == 0)
        return rc;
    return hc_err_errno(err, errno, "cannot let the authority's user through %s", state);
}

int hc_registry_hand_over(const hc_settings *s, const hc_identity *authority,
                          const hc_identity *front, hc_err *err)
{
    char journal[PATH_BYTES];
    char *file = NULL;
    if (geteuid() != 0 || (!authority->drop && !front->drop) ||
        hc_registry_file(s->registry, s->state, &file, NULL) != 0)
        return 0;
    uid_t uid = authority->drop ? authority->uid : 0;
    gid_t gid = front->drop ? front->gid : 0;
    int size = snprintf(journal, sizeof journal, "%s-journal", file);
    int rc = size > 0 && (size_t)size < sizeof journal
                 ? 0
                 : hc_err_set(err, HC_EINVAL, "--registry: the path is too long");
    if (rc == 0 && access(file, F_OK) != 0) /* lost while serving: who opens it says so, once */
        goto out;
    if (rc == 0)
        rc = change_file(file, uid, gid, err);
    /* It stays where it is, empty: the authority may not make files in this folder. */
    if (rc == 0)
        rc = change_file(journal, uid, gid, err);
    if (rc == 0)
        rc = open_folder(s->state, file, err);
out:
    hc_free(file);
    return rc;
}
