#include "server/read_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/options_parse.h"

void hc_file_bytes_done(hc_file_bytes *b)
{
    hc_free(b->name);
    hc_free_secret(b->at, b->size);
    *b = (hc_file_bytes){NULL, NULL, 0};
}

static int fill(int fd, const char *path, hc_file_bytes *into, hc_err *err)
{
    size_t done = 0;
    while (done < into->size) {
        ssize_t got = read(fd, into->at + done, into->size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hc_err_errno(err, errno, "cannot read %s", path);
        if (got == 0)
            return hc_err_set(err, HC_EIO, "%s became shorter while it was read; try again", path);
        done += (size_t)got;
    }
    return 0;
}

static int open_regular(const char *path, struct stat *st, int *out, hc_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return hc_err_set(err, HC_ENOENT, "%s does not exist", path);
    if (fd < 0)
        return hc_err_errno(err, errno, "cannot open %s", path);
    int rc = 0;
    if (fstat(fd, st) != 0)
        rc = hc_err_errno(err, errno, "cannot read %s", path);
    else if (!S_ISREG(st->st_mode))
        rc = hc_err_set(err, HC_EINVAL, "%s is not a regular file", path);
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

int hc_read_secret_file(const char *path, size_t limit_bytes, hc_file_bytes *out,
                        bool *others_may_read, hc_err *err)
{
    hc_file_bytes bytes = {NULL, NULL, 0};
    struct stat st = {0};
    int fd = -1;
    int rc = open_regular(path, &st, &fd, err);
    if (rc != 0)
        return rc;
    if (st.st_size < 0 || (uint64_t)st.st_size > limit_bytes) {
        rc = hc_err_set(err, HC_ELIMIT, "%s is larger than %zu bytes", path, limit_bytes);
        goto out;
    }
    bytes.name = hc_strdup(path);
    /* One octet more, so that an empty file has memory too and text may get its NUL. */
    bytes.at = hc_alloc_zero(1, (size_t)st.st_size + 1);
    bytes.size = (size_t)st.st_size;
    if (!bytes.name || !bytes.at)
        rc = hc_err_set(err, HC_ENOMEM, "out of memory for %s", path);
    else
        rc = fill(fd, path, &bytes, err);
    if (rc == 0) {
        *others_may_read = (st.st_mode & 077) != 0;
        *out = bytes;
        bytes = (hc_file_bytes){NULL, NULL, 0};
    }
out:
    (void)close(fd);
    hc_file_bytes_done(&bytes);
    return rc;
}

int hc_read_file(const char *path, size_t limit_bytes, hc_file_bytes *out, hc_err *err)
{
    bool others_may_read;
    return hc_read_secret_file(path, limit_bytes, out, &others_may_read, err);
}

bool hc_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_wanted(const char *name, const char *const *endings, size_t count)
{
    size_t size = strlen(name);
    for (size_t i = 0; name[0] != '.' && i < count; i++) {
        size_t ending = strlen(endings[i]);
        if (size > ending && strcmp(name + size - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

static int add_path(const char *folder, const char *name, hc_strings *out, hc_err *err)
{
    size_t size = strlen(folder) + 1 + strlen(name) + 1;
    char *path = hc_alloc(size);
    if (!path)
        return hc_err_set(err, HC_ENOMEM, "out of memory for %s", folder);
    (void)snprintf(path, size, "%s/%s", folder, name);
    int rc = hc_strings_add(out, hc_slice_text(path), err);
    hc_free(path);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int hc_list_folder(const char *folder, const char *const *endings, size_t ending_count,
                   size_t count_max, hc_strings *out, hc_err *err)
{
    size_t before = out->count;
    int rc = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return hc_err_errno(err, errno, "cannot open %s", folder);
    while (rc == 0) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno != 0)
            rc = hc_err_errno(err, errno, "cannot read %s", folder);
        if (!entry)
            break;
        if (!is_wanted(entry->d_name, endings, ending_count))
            continue;
        if (out->count - before >= count_max)
            rc = hc_err_set(err, HC_ELIMIT, "more than %zu files in %s", count_max, folder);
        else
            rc = add_path(folder, entry->d_name, out, err);
    }
    (void)closedir(dir);
    if (rc == 0 && out->count > before)
        qsort(out->at + before, out->count - before, sizeof(*out->at), compare_names);
    return rc;
}
