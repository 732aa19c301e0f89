#include "server/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/problem.h"

#define NAME_BYTES 160
#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

typedef struct list {
    char name[NAME_BYTES];
    int fd;
    uint64_t size;
} list;

struct hc_published {
    hc_handler handler; /* first: the handler is found by it */
    atomic_bool on;
    pthread_mutex_t lock;
    list lists[HC_PUBLISH_MAX]; /* under the lock */
    size_t count;
};

/* ---- the lists ---- */

int hc_published_put(hc_published *p, hc_slice name, int fd, hc_err *err)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) != 0 || name.size == 0 ||
        name.size >= NAME_BYTES) {
        (void)close(fd);
        return hc_err_set(err, HC_EFORMAT, "a revocation list is not sealed, or has no name");
    }
    int old = fd; /* what is left over */
    (void)pthread_mutex_lock(&p->lock);
    size_t i = 0;
    while (i < p->count && !hc_slice_equal_text(name, p->lists[i].name))
        i++;
    if (i < HC_PUBLISH_MAX) {
        list *l = &p->lists[i];
        old = i < p->count ? l->fd : -1;
        p->count = i < p->count ? p->count : i + 1;
        (void)snprintf(l->name, sizeof l->name, "%.*s", HC_SLICE_ARGS(name));
        l->fd = fd;
        l->size = (uint64_t)st.st_size;
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (old >= 0)
        (void)close(old);
    return 0;
}

/* A copy of the descriptor; -1: there is none. */
static int find(hc_published *p, hc_slice name, uint64_t *size)
{
    int fd = -1;
    (void)pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->count && fd < 0; i++) {
        if (!hc_slice_equal_text(name, p->lists[i].name))
            continue;
        fd = fcntl(p->lists[i].fd, F_DUPFD_CLOEXEC, 3);
        *size = p->lists[i].size;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return fd;
}

/* ---- the handler ---- */

bool hc_published_is_path(hc_slice decoded_path)
{
    static const hc_slice folder = HC_SLICE_LITERAL(HC_PUBLISH_PATH);
    return hc_slice_starts_with(decoded_path, folder) &&
           (decoded_path.size == folder.size || decoded_path.at[folder.size] == '/');
}

/* An answer, not a failure: nothing for the log. */
static void refuse(hc_exchange *x, int status, const char *detail)
{
    char length[24];
    hc_err err = {0};
    hc_buf body = hc_buf_init(HC_LIMIT_RESPONSE_HEAD);
    int rc = hc_problem_write(&body, status, detail, NULL);
    (void)snprintf(length, sizeof length, "%zu", body.size);
    const hc_header headers[] = {
        {HC_SLICE_LITERAL("Content-Type"), HC_SLICE_LITERAL("application/problem+json")},
        {HC_SLICE_LITERAL("Content-Length"), hc_slice_text(length)},
        {HC_SLICE_LITERAL("Allow"), HC_SLICE_LITERAL("GET, HEAD")},
    };
    hc_response_head head = {
        .status = status, .headers = headers, .header_count = status == 405 ? 3 : 2};
    if (rc == 0)
        rc = x->respond->head(x, &head, &err);
    if (rc == 0)
        rc = x->respond->data(x, hc_buf_slice(&body), &err);
    if (rc == 0)
        x->respond->end(x);
    else if (rc < 0)
        x->respond->fail(x, 500, "no memory for an answer");
    hc_buf_done(&body);
}

static void send_list(hc_exchange *x, int fd, uint64_t size)
{
    char length[24];
    hc_err err = {0};
    (void)snprintf(length, sizeof length, "%llu", (unsigned long long)size);
    /* RFC 2585 section 4.2. Short, so that a cache does not hide a revocation for long. */
    const hc_header headers[] = {
        {HC_SLICE_LITERAL("Content-Type"), HC_SLICE_LITERAL("application/pkix-crl")},
        {HC_SLICE_LITERAL("Content-Length"), hc_slice_text(length)},
        {HC_SLICE_LITERAL("Cache-Control"), HC_SLICE_LITERAL("max-age=60")},
    };
    hc_response_head head = {.status = 200, .headers = headers, .header_count = HC_COUNT(headers)};
    int rc = x->respond->head(x, &head, &err);
    if (rc == 0) {
        rc = x->respond->file(x, fd, 0, size, &err);
        fd = -1;
    }
    if (fd >= 0)
        (void)close(fd);
    if (rc == 0)
        x->respond->end(x);
    else if (rc < 0)
        x->respond->fail(x, 500, err.text);
}

static void start(hc_handler *h, hc_exchange *x)
{
    hc_published *p = (hc_published *)h;
    const hc_request *r = x->request;
    uint64_t size = 0;
    if (!hc_slice_equal_text(r->method, "GET") && !hc_slice_equal_text(r->method, "HEAD")) {
        refuse(x, 405, "a revocation list can be fetched, and no more");
        return;
    }
    hc_slice name = hc_slice_from(r->path, sizeof HC_PUBLISH_PATH);
    int fd = atomic_load(&p->on) && name.size ? find(p, name, &size) : -1;
    if (fd < 0)
        refuse(x, 404, "there is no such revocation list");
    else
        send_list(x, fd, size);
}

/* Every exchange has ended when `start` returns. */
static void cancel(hc_handler *h, hc_exchange *x)
{
    (void)h;
    (void)x;
}

hc_handler *hc_published_handler(hc_published *p)
{
    return &p->handler;
}

void hc_published_allow(hc_published *p, bool on)
{
    atomic_store(&p->on, on);
}

int hc_published_new(hc_published **out, hc_err *err)
{
    hc_published *p = hc_alloc_zero(1, sizeof *p);
    if (!p)
        return hc_err_set(err, HC_ENOMEM, "no memory for revocation lists");
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        hc_free(p);
        return hc_err_set(err, HC_ENOMEM, "no memory for a lock");
    }
    p->handler = (hc_handler){start, cancel};
    *out = p;
    return 0;
}

void hc_published_free(hc_published *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++)
        (void)close(p->lists[i].fd);
    (void)pthread_mutex_destroy(&p->lock);
    hc_free(p);
}
