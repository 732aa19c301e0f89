#include "authority/keystore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority/key_pem.h"
#include "base/limits.h"
#include "base/mem.h"

#define NAME_BYTES       300
#define TEMPORARY_SUFFIX ".new"
#define FILE_LIMIT_BYTES (1u << 20)

static int io_error(const hc_keystore *k, const char *name, const char *what, hc_err *err)
{
    return hc_err_errno(err, errno, "cannot %s %s/%s", what, k->path, name);
}

static int sync_parent(const char *path)
{
    char parent[4096];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    if (size >= sizeof(parent))
        return -1;
    if (slash && size == 0)
        size = 1; /* "/x" */
    memcpy(parent, slash ? path : ".", slash ? size : 1);
    parent[slash ? size : 1] = '\0';
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static int make_root(const char *path, hc_err *err)
{
    if (mkdir(path, 0700) == 0)
        return sync_parent(path) == 0
                   ? 0
                   : hc_err_errno(err, errno, "cannot sync the folder of %s", path);
    if (errno == EEXIST)
        return 0;
    return hc_err_errno(err, errno, "cannot make the folder %s", path);
}

/* Keys below a folder in which others may rename things are not ours alone. */
static int check_root(int fd, const char *path, hc_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hc_err_errno(err, errno, "cannot read %s", path);
    if (st.st_uid != geteuid() && geteuid() != 0)
        return hc_err_set(err, HC_EDENIED, "%s belongs to another user; use another --state", path);
    if (st.st_mode & 022)
        return hc_err_set(err, HC_EDENIED, "other users can write to %s; do: chmod 700 %s", path,
                          path);
    return 0;
}

int hc_keystore_open(const char *path, hc_keystore *out, hc_err *err)
{
    int rc = make_root(path, err);
    if (rc != 0)
        return rc;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return hc_err_errno(err, errno, "cannot open the folder %s", path);
    rc = check_root(fd, path, err);
    while (rc == 0 && flock(fd, LOCK_EX) != 0)
        if (errno != EINTR)
            rc = hc_err_errno(err, errno, "cannot lock %s", path);
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    *out = (hc_keystore){fd, path};
    return 0;
}

void hc_keystore_close(hc_keystore *k)
{
    if (k->dir_fd >= 0)
        (void)close(k->dir_fd);
    k->dir_fd = -1;
}

static bool is_temporary(const char *name)
{
    size_t size = strlen(name), suffix = strlen(TEMPORARY_SUFFIX);
    return name[0] == '.' && size > suffix + 1 &&
           strcmp(name + size - suffix, TEMPORARY_SUFFIX) == 0;
}

static int remove_temporaries(int dir_fd)
{
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (!d) {
        if (copy >= 0)
            (void)close(copy);
        return -1;
    }
    int rc = 0;
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL)
        if (is_temporary(entry->d_name) && unlinkat(dir_fd, entry->d_name, 0) != 0)
            rc = -1;
    (void)closedir(d);
    return rc;
}

int hc_keystore_folder(const hc_keystore *k, const char *name, hc_err *err)
{
    if (mkdirat(k->dir_fd, name, 0700) != 0 && errno != EEXIST)
        return io_error(k, name, "make the folder", err);
    if (fsync(k->dir_fd) != 0)
        return io_error(k, name, "sync the folder of", err);
    int fd = openat(k->dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return io_error(k, name, "open the folder", err);
    int rc = remove_temporaries(fd) == 0 ? 0 : io_error(k, name, "clean the folder", err);
    (void)close(fd);
    return rc;
}

int hc_keystore_exists(const hc_keystore *k, const char *name, bool *out, hc_err *err)
{
    struct stat st;
    if (fstatat(k->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        *out = true;
        return 0;
    }
    if (errno != ENOENT)
        return io_error(k, name, "read", err);
    *out = false;
    return 0;
}

/* Opens the folder that `name` lies in; `leaf` is the rest. */
static int open_folder(const hc_keystore *k, const char *name, const char **leaf, int *out,
                       hc_err *err)
{
    char folder[NAME_BYTES] = ".";
    const char *slash = strrchr(name, '/');
    size_t size = slash ? (size_t)(slash - name) : 0;
    if (size >= sizeof(folder))
        return hc_err_set(err, HC_EINVAL, "the name %.40s… is too long", name);
    if (slash) {
        memcpy(folder, name, size);
        folder[size] = '\0';
    }
    *leaf = slash ? slash + 1 : name;
    *out = openat(k->dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *out >= 0 ? 0 : io_error(k, folder, "open the folder", err);
}

static int write_all(int fd, hc_slice bytes)
{
    while (bytes.size) {
        ssize_t done = write(fd, bytes.at, bytes.size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        bytes = hc_slice_from(bytes, (size_t)done);
    }
    return 0;
}

static int write_temporary(int folder, const char *temporary, hc_slice bytes, mode_t mode)
{
    if (unlinkat(folder, temporary, 0) != 0 && errno != ENOENT)
        return -1;
    int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    /* The caller's umask must not take from a certificate what its readers need. */
    int rc = fchmod(fd, mode) == 0 ? write_all(fd, bytes) : -1;
    if (rc == 0)
        rc = fsync(fd);
    int saved = errno;
    if (close(fd) != 0 && rc == 0)
        rc = -1;
    else
        errno = saved;
    return rc;
}

/* Without replacing; the lock does for file systems that cannot. */
static int rename_new(int folder, const char *from, const char *to)
{
    if (renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    struct stat st;
    if (fstatat(folder, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(folder, from, folder, to);
}

static int exists_already(const hc_keystore *k, const char *name, hc_err *err)
{
    return hc_err_set(err, HC_EBUSY, "%s/%s exists already", k->path, name);
}

/* Writes a temporary and moves it to its name; `replace`: whatever is there. */
static int write_file(const hc_keystore *k, const char *name, hc_slice bytes, bool secret,
                      bool replace, hc_err *err)
{
    char temporary[NAME_BYTES];
    const char *leaf = name;
    int folder = -1;
    int rc = open_folder(k, name, &leaf, &folder, err);
    if (rc != 0)
        return rc;
    int size = snprintf(temporary, sizeof(temporary), ".%s%s", leaf, TEMPORARY_SUFFIX);
    if (size < 0 || (size_t)size >= sizeof(temporary))
        rc = hc_err_set(err, HC_EINVAL, "the name %.40s… is too long", name);
    else if (write_temporary(folder, temporary, bytes, secret ? 0600 : 0644) != 0)
        rc = io_error(k, name, "write", err);
    else if ((replace ? renameat(folder, temporary, folder, leaf)
                      : rename_new(folder, temporary, leaf)) != 0)
        rc = errno == EEXIST ? exists_already(k, name, err) : io_error(k, name, "write", err);
    else if (fsync(folder) != 0)
        rc = io_error(k, name, "sync the folder of", err);
    (void)close(folder);
    return rc;
}

int hc_keystore_write(const hc_keystore *k, const char *name, hc_slice bytes, bool secret,
                      hc_err *err)
{
    return write_file(k, name, bytes, secret, false, err);
}

int hc_keystore_replace(const hc_keystore *k, const char *name, hc_slice bytes, bool secret,
                        hc_err *err)
{
    return write_file(k, name, bytes, secret, true, err);
}

/* Both names lie in the same folder, which is synced. */
static int sync_folder(const hc_keystore *k, const char *name, hc_err *err)
{
    const char *leaf = name;
    int folder = -1;
    int rc = open_folder(k, name, &leaf, &folder, err);
    if (rc == 0 && fsync(folder) != 0)
        rc = io_error(k, name, "sync the folder of", err);
    if (folder >= 0)
        (void)close(folder);
    return rc;
}

int hc_keystore_rename(const hc_keystore *k, const char *from, const char *to, hc_err *err)
{
    if (renameat(k->dir_fd, from, k->dir_fd, to) != 0)
        return io_error(k, from, "rename", err);
    return sync_folder(k, to, err);
}

int hc_keystore_remove(const hc_keystore *k, const char *name, hc_err *err)
{
    if (unlinkat(k->dir_fd, name, 0) != 0)
        return io_error(k, name, "remove", err);
    return sync_folder(k, name, err);
}

int hc_keystore_link(const hc_keystore *k, const char *from, const char *to, hc_err *err)
{
    if (linkat(k->dir_fd, from, k->dir_fd, to, 0) != 0)
        return errno == EEXIST ? exists_already(k, to, err) : io_error(k, to, "make", err);
    return sync_folder(k, to, err);
}

/* What was written to a memory BIO, to the file; the BIO's memory is a secret's and is overwritten.
 */
static int write_bio(const hc_keystore *k, const char *name, BIO *bio, bool secret, hc_err *err)
{
    char *at = NULL;
    long size = BIO_get_mem_data(bio, &at);
    if (size <= 0 || !at)
        return hc_err_set(err, HC_ETLS, "cannot write %s/%s as PEM", k->path, name);
    return hc_keystore_write(k, name, hc_slice_of(at, (size_t)size), secret, err);
}

int hc_keystore_write_key(const hc_keystore *k, const char *name, EVP_PKEY *key,
                          hc_slice passphrase, hc_err *err)
{
    BIO *bio = NULL;
    int rc = hc_key_to_pem(key, passphrase, &bio, err);
    if (rc == 0)
        rc = write_bio(k, name, bio, true, err);
    BIO_free(bio);
    return rc;
}

int hc_keystore_write_cert(const hc_keystore *k, const char *name, X509 *cert, hc_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int rc;
    if (!bio || PEM_write_bio_X509(bio, cert) != 1)
        rc = hc_err_set(err, HC_ETLS, "cannot write %s/%s as PEM", k->path, name);
    else
        rc = write_bio(k, name, bio, false, err);
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

static int read_all(int fd, uint8_t *at, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(fd, at + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return 0;
}

int hc_keystore_read(const hc_keystore *k, const char *name, hc_secret *out, hc_err *err)
{
    struct stat st;
    uint8_t *at = NULL;
    int fd = openat(k->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return io_error(k, name, "open", err);
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = io_error(k, name, "read", err);
    else if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > FILE_LIMIT_BYTES)
        rc = hc_err_set(err, HC_EFORMAT, "%s/%s is not a PEM file", k->path, name);
    else if ((at = hc_alloc((size_t)st.st_size)) == NULL)
        rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    else if (read_all(fd, at, (size_t)st.st_size) != 0)
        rc = io_error(k, name, "read", err);
    (void)close(fd);
    if (rc == 0)
        *out = (hc_secret){at, (size_t)st.st_size};
    else if (at)
        hc_free_secret(at, (size_t)st.st_size);
    return rc;
}

/* Never ask at a terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

int hc_keystore_read_key(const hc_keystore *k, const char *name, hc_slice passphrase,
                         EVP_PKEY **out, hc_err *err)
{
    hc_secret pem = {NULL, 0};
    int rc = hc_keystore_read(k, name, &pem, err);
    if (rc != 0)
        return rc;
    rc = hc_key_from_pem(hc_secret_slice(&pem), passphrase, out, err);
    if (rc != 0)
        (void)hc_err_context(err, "%s/%s", k->path, name);
    hc_secret_done(&pem);
    return rc;
}

int hc_keystore_read_cert(const hc_keystore *k, const char *name, X509 **out, hc_err *err)
{
    hc_secret pem = {NULL, 0};
    int rc = hc_keystore_read(k, name, &pem, err);
    if (rc != 0)
        return rc;
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    if (cert)
        *out = cert;
    else
        rc = hc_err_set(err, HC_EFORMAT, "%s/%s holds no certificate", k->path, name);
    BIO_free(bio);
    hc_secret_done(&pem);
    ERR_clear_error();
    return rc;
}
