/* What `inspect` and `explain` make of a file: whatever is in it, the certificates that are taken
 * can be shown, as JSON and as lines that cannot move a terminal's cursor. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cert_json.h"
#include "cli/pem_certs.h"
#include "x509/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static int see_block(void *arg, const char *label, hc_slice der, hc_err *err)
{
    (void)err;
    must(label[0] != '\0' || der.size > 0);
    ++*(size_t *)arg;
    return 0;
}

static void must_be_harmless(hc_slice text)
{
    must(hc_utf8_valid(text));
    while (text.size > 0) {
        uint32_t point = 0;
        size_t used = hc_utf8_next(text, &point);
        must(used > 0 && (point == '\n' || hc_utf8_harmless(point)));
        text = hc_slice_from(text, used);
    }
}

static void show(X509 *x)
{
    hc_cert *c = NULL;
    if (hc_cert_from_x509(x, &c, NULL) != 0)
        return;
    json_t *json = hc_cert_json(c, NULL);
    must(json != NULL);
    hc_buf lines = hc_buf_init(SIZE_MAX);
    must(hc_cert_lines(json, 2, &lines) == 0);
    must_be_harmless(hc_buf_slice(&lines));
    hc_buf_done(&lines);
    json_decref(json);
    hc_cert_unref(c);
}

static void load(const char *path)
{
    X509 *first = NULL;
    STACK_OF(X509) *others = NULL;
    hc_err err = {0};
    if (hc_pem_certs_load(path, &first, &others, &err) != 0) {
        must(err.text[0] && !strchr(err.text, '\n'));
        return;
    }
    must(first && others);
    show(first);
    for (int i = 0; i < sk_X509_num(others); i++)
        show(sk_X509_value(others, i));
    X509_free(first);
    sk_X509_pop_free(others, X509_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t blocks = 0;
    (void)hc_pem_each(hc_slice_of(data, size), see_block, &blocks, NULL);
    int fd = memfd_create("pem", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    load(path);
    (void)close(fd);
    return 0;
}
