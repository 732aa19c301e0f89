#include "authority/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "x509/ossl.h"

#define PATH_BYTES 4096

void hc_secret_done(hc_secret *s)
{
    hc_free_secret(s->at, s->size);
    *s = (hc_secret){NULL, 0};
}

/* At most HC_LIMIT_PASSPHRASE bytes, with a line end of one or two more; -1: errno. */
static ssize_t read_all(int fd, uint8_t *at, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(fd, at + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static size_t without_line_end(const uint8_t *at, size_t size)
{
    if (size && at[size - 1] == '\n')
        size--;
    return size && at[size - 1] == '\r' ? size - 1 : size;
}

static int take(const char *path, const uint8_t *at, size_t size, hc_secret *out, hc_err *err)
{
    size = without_line_end(at, size);
    if (size == 0 || size > HC_LIMIT_PASSPHRASE || memchr(at, 0, size) || memchr(at, '\n', size))
        return hc_err_set(err, HC_EFORMAT,
                          "%s is to hold one passphrase, one line of 1 to %d bytes without NUL",
                          path, HC_LIMIT_PASSPHRASE);
    uint8_t *copy = hc_alloc(size);
    if (!copy)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    memcpy(copy, at, size);
    *out = (hc_secret){copy, size};
    return 0;
}

static int check_file(int fd, const char *path, bool private, hc_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hc_err_errno(err, errno, "cannot read the passphrase in %s", path);
    if (!S_ISREG(st.st_mode))
        return hc_err_set(err, HC_EFORMAT, "%s is no file with a passphrase", path);
    if (private && (st.st_mode & 077))
        return hc_err_set(err, HC_EDENIED,
                          "other users can read the passphrase in %s; do: chmod 600 %s", path,
                          path);
    return 0;
}

static int read_path(const char *path, bool private, hc_secret *out, hc_err *err)
{
    uint8_t bytes[HC_LIMIT_PASSPHRASE + 3];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return hc_err_set(err, HC_ENOENT, "there is no passphrase: %s is missing", path);
    if (fd < 0)
        return hc_err_errno(err, errno, "cannot open the passphrase in %s", path);
    int rc = check_file(fd, path, private, err);
    if (rc == 0) {
        ssize_t size = read_all(fd, bytes, sizeof(bytes));
        rc = size < 0 ? hc_err_errno(err, errno, "cannot read the passphrase in %s", path)
                      : take(path, bytes, (size_t)size, out, err);
        OPENSSL_cleanse(bytes, sizeof(bytes));
    }
    (void)close(fd);
    return rc;
}

int hc_passphrase_read(const char *path, hc_secret *out, hc_err *err)
{
    return read_path(path, true, out, err);
}

int hc_passphrase_credential(const char *folder, const char *name, hc_secret *out, hc_err *err)
{
    char path[PATH_BYTES];
    if (!folder || !*folder)
        return hc_err_set(err, HC_ENOENT,
                          "there is no systemd credential %s: "
                          "$CREDENTIALS_DIRECTORY is not set",
                          name);
    int size = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (size < 0 || (size_t)size >= sizeof(path))
        return hc_err_set(err, HC_EINVAL, "the path of the credential %s is too long", name);
    return read_path(path, false, out, err);
}

int hc_passphrase_of_ca(const char *path, const char *folder, hc_secret *out, hc_err *err)
{
    hc_err why = {0};
    *out = (hc_secret){NULL, 0};
    if (path)
        return hc_passphrase_read(path, out, err);
    int rc = hc_passphrase_credential(folder, HC_CA_CREDENTIAL, out, &why);
    if (rc != 0 && rc != -HC_ENOENT && err)
        *err = why;
    return rc == -HC_ENOENT ? 0 : rc;
}

int hc_passphrase_new(hc_secret *out, hc_err *err)
{
    /* 32 characters: five bits each. Without i, l, o and 1, and 0 stands alone. */
    static const char alphabet[] = "abcdefghjkmnpqrstuvwxyz023456789";
    enum { GROUPS = 4, EACH = 5, SIZE = GROUPS * (EACH + 1) - 1 };
    uint8_t random[SIZE];
    if (RAND_priv_bytes(random, sizeof(random)) != 1)
        return hc_ossl_failed(err, "no random numbers can be had for a passphrase");
    uint8_t *text = hc_alloc(SIZE);
    if (!text) {
        OPENSSL_cleanse(random, sizeof(random));
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < SIZE; i++)
        text[i] = i % (EACH + 1) == EACH ? '-' : (uint8_t)alphabet[random[i] & 31];
    OPENSSL_cleanse(random, sizeof(random));
    *out = (hc_secret){text, SIZE};
    return 0;
}
