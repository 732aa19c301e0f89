#include "app/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#define OUTBOX_MEMORY_MAX (HC_LIMIT_BODY_MEMORY + HC_LIMIT_RESPONSE_HEAD)
#define SPOOL_FREE_STEP   (16u << 20)

int hc_spool_file(const char *folder, int *out, hc_err *err)
{
    if (!folder)
        folder = getenv("TMPDIR");
    if (!folder || !*folder)
        folder = "/tmp";
    int fd = -1;
#ifdef O_TMPFILE
    fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
#endif
    if (fd < 0) { /* a file system without O_TMPFILE */
        char path[4096];
        int size = snprintf(path, sizeof path, "%s/handclasp-XXXXXX", folder);
        if (size < 0 || (size_t)size >= sizeof path)
            return hc_err_set(err, HC_ELIMIT, "the folder name for temporary files is too long");
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            (void)unlink(path);
    }
    if (fd < 0)
        return hc_err_errno(err, errno, "cannot make a temporary file in %s", folder);
    *out = fd;
    return 0;
}

static int write_all(int fd, hc_slice octets, uint64_t offset, hc_err *err)
{
    while (octets.size) {
        ssize_t n = pwrite(fd, octets.at, octets.size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hc_err_errno(err, errno, "cannot write to a temporary file");
        octets = hc_slice_from(octets, (size_t)n);
        offset += (uint64_t)n;
    }
    return 0;
}

void hc_body_store_init(hc_body_store *b, const char *folder)
{
    *b = (hc_body_store){.memory = hc_buf_init(HC_LIMIT_BODY_MEMORY), .file = -1, .folder = folder};
}

void hc_body_store_done(hc_body_store *b)
{
    hc_buf_done(&b->memory);
    if (b->file >= 0)
        (void)close(b->file);
    hc_body_store_init(b, b->folder);
}

static int move_to_file(hc_body_store *b, hc_err *err)
{
    int rc = hc_spool_file(b->folder, &b->file, err);
    if (rc == 0)
        rc = write_all(b->file, hc_buf_slice(&b->memory), 0, err);
    hc_buf_done(&b->memory);
    return rc;
}

int hc_body_store_add(hc_body_store *b, hc_slice octets, hc_err *err)
{
    int rc = 0;
    if (b->file < 0 && octets.size > HC_LIMIT_BODY_MEMORY - b->memory.size)
        rc = move_to_file(b, err);
    if (rc != 0)
        return rc;
    if (b->file >= 0)
        rc = write_all(b->file, octets, b->size, err);
    else if (hc_buf_add(&b->memory, octets) != 0)
        rc = hc_err_set(err, HC_ENOMEM, "no memory for a request body");
    if (rc == 0)
        b->size += octets.size;
    return rc;
}

typedef enum part_kind { PART_MEMORY, PART_SPOOL, PART_FILE } part_kind;

struct hc_outbox_part {
    part_kind kind;
    int fd; /* PART_FILE: owned */
    uint64_t offset, size;
    hc_outbox_part *next;
};

void hc_outbox_init(hc_outbox *o, const char *folder)
{
    *o = (hc_outbox){.memory = hc_buf_init(OUTBOX_MEMORY_MAX), .spool = -1, .folder = folder};
}

static void drop_first(hc_outbox *o)
{
    hc_outbox_part *p = o->first;
    o->first = p->next;
    if (!o->first)
        o->last = NULL;
    if (p->kind == PART_FILE) {
        (void)close(p->fd);
        o->files--;
    }
    hc_free(p);
}

void hc_outbox_done(hc_outbox *o)
{
    while (o->first)
        drop_first(o);
    hc_buf_done(&o->memory);
    if (o->spool >= 0)
        (void)close(o->spool);
    hc_outbox_init(o, o->folder);
}

/* The last part where it is of this kind and can grow, else a new one. */
static hc_outbox_part *part_for(hc_outbox *o, part_kind kind, uint64_t offset)
{
    hc_outbox_part *last = o->last;
    if (last && last->kind == kind && kind != PART_FILE)
        return last;
    hc_outbox_part *p = hc_alloc(sizeof *p);
    if (!p)
        return NULL;
    *p = (hc_outbox_part){.kind = kind, .fd = -1, .offset = offset};
    if (last)
        last->next = p;
    else
        o->first = p;
    o->last = p;
    return p;
}

static int add_to_spool(hc_outbox *o, hc_slice octets, hc_err *err)
{
    if (octets.size > HC_LIMIT_SPOOL_BYTES - (o->spool_end - o->spool_taken))
        return hc_err_set(err, HC_ELIMIT, "a response is too far ahead of its client");
    int rc = o->spool < 0 ? hc_spool_file(o->folder, &o->spool, err) : 0;
    if (rc == 0)
        rc = write_all(o->spool, octets, o->spool_end, err);
    if (rc != 0)
        return rc;
    hc_outbox_part *p = part_for(o, PART_SPOOL, o->spool_end);
    if (!p)
        return hc_err_set(err, HC_ENOMEM, "no memory for a response");
    p->size += octets.size;
    o->spool_end += octets.size;
    o->size += octets.size;
    return 0;
}

static int add_to_memory(hc_outbox *o, hc_slice octets, hc_err *err)
{
    if (o->memory_done == o->memory.size) {
        hc_buf_clear(&o->memory);
        o->memory_done = 0;
    }
    if (hc_buf_add(&o->memory, octets) != 0)
        return hc_err_set(err, HC_ENOMEM, "no memory for a response");
    hc_outbox_part *p = part_for(o, PART_MEMORY, 0);
    if (!p) {
        o->memory.size -= octets.size;
        return hc_err_set(err, HC_ENOMEM, "no memory for a response");
    }
    p->size += octets.size;
    o->size += octets.size;
    return 0;
}

/* Once the spool is in use it stays so until all of it was taken: order is that of the parts. */
int hc_outbox_add(hc_outbox *o, hc_slice octets, hc_err *err)
{
    if (octets.size == 0)
        return 0;
    size_t held = o->memory.size - o->memory_done;
    bool spooling = o->last && o->last->kind == PART_SPOOL;
    if (!spooling && held < HC_LIMIT_BODY_MEMORY && octets.size <= HC_LIMIT_RESPONSE_HEAD) {
        if (o->memory.size + octets.size > OUTBOX_MEMORY_MAX) {
            hc_buf_consume(&o->memory, o->memory_done);
            o->memory_done = 0;
        }
        return add_to_memory(o, octets, err);
    }
    return add_to_spool(o, octets, err);
}

int hc_outbox_add_file(hc_outbox *o, int fd, uint64_t offset, uint64_t size, hc_err *err)
{
    bool room = o->files < HC_LIMIT_RESPONSE_FILES;
    hc_outbox_part *p = size && room ? part_for(o, PART_FILE, offset) : NULL;
    if (!p) {
        (void)close(fd);
        if (!size)
            return 0;
        return room ? hc_err_set(err, HC_ENOMEM, "no memory for a response")
                    : hc_err_set(err, HC_ELIMIT, "more than %d files of a response wait",
                                 HC_LIMIT_RESPONSE_FILES);
    }
    p->fd = fd;
    p->size = size;
    o->files++;
    o->size += size;
    return 0;
}

static int peek_file(const hc_outbox_part *p, int fd, uint8_t *scratch, size_t room, hc_slice *out,
                     hc_err *err)
{
    size_t want = p->size < room ? (size_t)p->size : room;
    ssize_t n;
    do {
        n = pread(fd, scratch, want, (off_t)p->offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return hc_err_errno(err, errno, "cannot read a file of the response");
    if (n == 0)
        return hc_err_set(err, HC_EIO, "a file of the response became shorter");
    *out = hc_slice_of(scratch, (size_t)n);
    return 0;
}

int hc_outbox_peek(hc_outbox *o, uint8_t *scratch, size_t room, hc_slice *out, hc_err *err)
{
    const hc_outbox_part *p = o->first;
    if (!p) {
        *out = HC_SLICE_NONE;
        return 0;
    }
    if (p->kind == PART_MEMORY) {
        *out = hc_slice_of(o->memory.at + o->memory_done, (size_t)p->size);
        return 0;
    }
    return peek_file(p, p->kind == PART_SPOOL ? o->spool : p->fd, scratch, room, out, err);
}

/* A long response whose client is always a little behind would fill the disk with what was sent. */
static void free_taken(hc_outbox *o)
{
#ifdef FALLOC_FL_PUNCH_HOLE
    if (o->spool_taken - o->spool_freed < SPOOL_FREE_STEP)
        return;
    /* A file system that cannot do it keeps the octets until the end. */
    (void)fallocate(o->spool, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)o->spool_freed,
                    (off_t)(o->spool_taken - o->spool_freed));
    o->spool_freed = o->spool_taken;
#else
    (void)o;
#endif
}

void hc_outbox_consume(hc_outbox *o, size_t size)
{
    while (size && o->first) {
        hc_outbox_part *p = o->first;
        size_t n = p->size < size ? (size_t)p->size : size;
        if (p->kind == PART_MEMORY)
            o->memory_done += n;
        p->offset += n;
        if (p->kind == PART_SPOOL) {
            o->spool_taken = p->offset;
            free_taken(o);
        }
        p->size -= n;
        o->size -= n;
        size -= n;
        if (p->size == 0)
            drop_first(o);
    }
    if (!o->first && o->spool >= 0) {
        (void)close(o->spool);
        o->spool = -1;
        o->spool_end = o->spool_taken = o->spool_freed = 0;
    }
    /* An idle connection holds no buffer (design: memory of an idle connection). */
    if (!o->first)
        hc_buf_done(&o->memory);
    if (!o->first)
        o->memory_done = 0;
}
