#include "server/control_config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/options.h"

#define SEALS     (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define BYTES_MAX ((off_t)4 << 30)

static int write_all(int fd, hc_slice bytes, hc_err *err)
{
    while (bytes.size) {
        ssize_t n = write(fd, bytes.at, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hc_err_errno(err, errno, "cannot write the configuration to a memory file");
        bytes = hc_slice_from(bytes, (size_t)n);
    }
    return 0;
}

static int write_u32(int fd, size_t value, hc_err *err)
{
    uint8_t bytes[4];
    if (value > UINT32_MAX)
        return hc_err_set(err, HC_ELIMIT, "the configuration is too large");
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    return write_all(fd, hc_slice_of(bytes, sizeof(bytes)), err);
}

static int write_field(int fd, hc_slice bytes, hc_err *err)
{
    int rc = write_u32(fd, bytes.size, err);
    return rc == 0 ? write_all(fd, bytes, err) : rc;
}

/* A file that is not there has an empty name: none that is there can have one. */
static int write_file(int fd, const hc_file_bytes *f, hc_err *err)
{
    int rc = write_field(fd, hc_slice_text(f->name), err);
    return rc == 0 ? write_field(fd, hc_slice_of(f->at, f->size), err) : rc;
}

static int write_files(int fd, const hc_file_bytes *files, size_t count, hc_err *err)
{
    int rc = write_u32(fd, count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = write_file(fd, &files[i], err);
    return rc;
}

static int write_bundle(int fd, hc_slice settings, const hc_files *files, hc_err *err)
{
    int rc = write_field(fd, settings, err);
    if (rc == 0)
        rc = write_file(fd, &files->certificate, err);
    if (rc == 0)
        rc = write_file(fd, &files->key, err);
    if (rc == 0)
        rc = write_file(fd, &files->passphrase, err);
    if (rc == 0)
        rc = write_files(fd, files->cas, files->ca_count, err);
    if (rc == 0)
        rc = write_files(fd, files->crls, files->crl_count, err);
    return rc;
}

int hc_control_config_seal(const hc_settings *settings, const hc_files *files, int *out_fd,
                           hc_err *err)
{
    hc_buf encoded = hc_buf_init(HC_LIMIT_CONFIG_BYTES);
    int fd = -1;
    int rc = hc_settings_encode(settings, &encoded, err);
    if (rc != 0)
        goto out;
    fd = memfd_create("handclasp-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        rc = hc_err_errno(err, errno, "cannot make a memory file");
        goto out;
    }
    rc = write_bundle(fd, hc_buf_slice(&encoded), files, err);
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        rc = hc_err_errno(err, errno, "cannot seal a memory file");
    if (rc == 0) {
        *out_fd = fd;
        fd = -1;
    }
out:
    if (fd >= 0)
        (void)close(fd);
    hc_buf_done(&encoded);
    return rc;
}

static int read_file(hc_cursor *c, hc_file_bytes *out)
{
    hc_slice name, bytes;
    if (!hc_cursor_field32(c, &name) || !hc_cursor_field32(c, &bytes) ||
        (name.size == 0 && bytes.size > 0))
        return -HC_EFORMAT;
    if (name.size == 0)
        return 0;
    out->name = hc_alloc(name.size + 1);
    out->at = hc_alloc(bytes.size + 1);
    if (!out->name || !out->at)
        return -HC_ENOMEM;
    memcpy(out->name, name.at, name.size);
    out->name[name.size] = '\0';
    if (bytes.size)
        memcpy(out->at, bytes.at, bytes.size);
    out->at[bytes.size] = '\0';
    out->size = bytes.size;
    return 0;
}

static int read_files(hc_cursor *c, size_t max, hc_file_bytes **out, size_t *out_count)
{
    uint32_t count;
    if (!hc_cursor_u32(c, &count) || count > max)
        return -HC_EFORMAT;
    if (count == 0)
        return 0;
    *out = hc_alloc_zero(count, sizeof(**out));
    if (!*out)
        return -HC_ENOMEM;
    *out_count = count;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = read_file(c, &(*out)[i]);
    return rc;
}

static int read_bundle(hc_slice in, hc_settings *settings, hc_files *files, hc_err *err)
{
    hc_cursor c = hc_cursor_of(in);
    hc_slice encoded;
    if (!hc_cursor_field32(&c, &encoded))
        return hc_err_set(err, HC_EFORMAT, "the configuration is cut");
    int rc = read_file(&c, &files->certificate);
    if (rc == 0)
        rc = read_file(&c, &files->key);
    if (rc == 0)
        rc = read_file(&c, &files->passphrase);
    if (rc == 0)
        rc = read_files(&c, HC_LIMIT_CA_CERTS, &files->cas, &files->ca_count);
    if (rc == 0)
        rc = read_files(&c, HC_LIMIT_CRL_NUMBER, &files->crls, &files->crl_count);
    if (rc == 0 && !hc_cursor_done(&c))
        rc = -HC_EFORMAT;
    if (rc != 0)
        return hc_err_set(err, -rc, "cannot read the configuration: %s", hc_err_name(rc));
    return hc_settings_decode(encoded, settings, err);
}

/* Without the seals whoever holds a copy could change, or cut, what is being read. */
static int check_sealed(int fd, off_t *size, hc_err *err)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return hc_err_set(err, HC_EDENIED, "the configuration is not a sealed memory file");
    if (fstat(fd, &st) != 0)
        return hc_err_errno(err, errno, "cannot read the configuration");
    if (st.st_size <= 0 || st.st_size > BYTES_MAX)
        return hc_err_set(err, HC_ELIMIT, "the configuration is empty or too large");
    *size = st.st_size;
    return 0;
}

int hc_control_config_open(int fd, hc_settings *settings, hc_files *files, hc_err *err)
{
    off_t size = 0;
    int rc = check_sealed(fd, &size, err);
    if (rc != 0)
        return rc;
    void *at = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return hc_err_errno(err, errno, "cannot read the configuration");
    hc_settings s = {0};
    hc_files f = {0};
    rc = read_bundle(hc_slice_of(at, (size_t)size), &s, &f, err);
    (void)munmap(at, (size_t)size);
    if (rc != 0) {
        hc_settings_done(&s);
        hc_files_done(&f);
        return rc;
    }
    *settings = s;
    *files = f;
    return 0;
}
