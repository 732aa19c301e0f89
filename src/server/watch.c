#include "server/watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/options.h"

#define INTERVAL_MS 500
#define DEPTH_MAX   16
#define ENTRIES_MAX 50000

typedef struct scan {
    uint64_t sum;
    size_t entries;
} scan;

static uint64_t mix(uint64_t hash, const void *at, size_t size)
{
    const uint8_t *bytes = at;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ULL; /* FNV-1a */
    return hash;
}

/* Added up, since a folder's entries come in no fixed order. */
static void add_file(scan *s, const char *name, const struct stat *st)
{
    uint64_t parts[] = {(uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
                        (uint64_t)st->st_size, (uint64_t)st->st_ino, (uint64_t)st->st_dev};
    s->sum += mix(mix(0xcbf29ce484222325ULL, name, strlen(name)), parts, sizeof(parts));
}

static bool is_source(const char *name)
{
    size_t size = strlen(name);
    return size > 3 && strcmp(name + size - 3, ".py") == 0;
}

static bool is_left_out(const char *name)
{
    static const char *const names[] = {"__pycache__", "node_modules", "site-packages"};
    if (name[0] == '.')
        return true;
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static int open_folder(int at, const char *name, int depth)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int fd = openat(at, name, depth ? flags | O_NOFOLLOW : flags);
    if (fd >= 0 && depth && faccessat(fd, "pyvenv.cfg", F_OK, 0) == 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void scan_folder(scan *s, int at, const char *name, int depth)
{
    int fd = depth < DEPTH_MAX ? open_folder(at, name, depth) : -1;
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(folder)) && s->entries < ENTRIES_MAX) {
        struct stat st;
        s->entries++;
        if (is_left_out(entry->d_name))
            continue;
        bool source = is_source(entry->d_name);
        if (!source && entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
            continue;
        if (fstatat(fd, entry->d_name, &st, source ? 0 : AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            scan_folder(s, fd, entry->d_name, depth + 1);
        else if (source)
            add_file(s, entry->d_name, &st);
    }
    (void)closedir(folder);
}

uint64_t hc_watch_signature(const char *folder)
{
    scan s = {0};
    scan_folder(&s, AT_FDCWD, folder, 0);
    return s.sum;
}

static uint64_t signature(const hc_watch *w)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < w->folders.count; i++)
        sum += hc_watch_signature(w->folders.at[i]) * (2 * i + 1);
    return sum;
}

static void on_timer(uv_timer_t *timer)
{
    hc_watch *w = timer->data;
    uint64_t now = signature(w);
    if (now == w->signature)
        return;
    w->signature = now;
    w->changed(w->arg);
}

int hc_watch_start(hc_watch *w, uv_loop_t *loop, const hc_settings *settings,
                   void (*changed)(void *arg), void *arg, hc_err *err)
{
    *w = (hc_watch){.changed = changed, .arg = arg};
    int rc =
        hc_strings_add(&w->folders, hc_slice_text(settings->chdir ? settings->chdir : "."), err);
    for (size_t i = 0; rc == 0 && i < settings->pythonpath.count; i++)
        rc = hc_strings_add(&w->folders, hc_slice_text(settings->pythonpath.at[i]), err);
    if (rc != 0) {
        hc_strings_done(&w->folders);
        return rc;
    }
    (void)uv_timer_init(loop, &w->timer); /* cannot fail */
    w->timer.data = w;
    w->open = true;
    w->signature = signature(w);
    (void)uv_timer_start(&w->timer, on_timer, INTERVAL_MS, INTERVAL_MS);
    return 0;
}

void hc_watch_stop(hc_watch *w)
{
    if (!w->open)
        return;
    w->open = false;
    uv_close((uv_handle_t *)&w->timer, NULL);
    hc_strings_done(&w->folders);
}
