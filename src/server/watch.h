/* --reload: tells when a Python source under some folders has changed.
 *
 * Looks at names, sizes and times twice a second, bounded in depth and number; folders that hold no
 * source of the application (hidden ones, environments, caches) are left out. One thread, on a
 * libuv loop. */
#ifndef HC_SERVER_WATCH_H
#define HC_SERVER_WATCH_H

#include <uv.h>

#include "server/settings.h"

typedef struct hc_watch {
    uv_timer_t timer;
    hc_strings folders;
    uint64_t signature;
    bool open;
    void (*changed)(void *arg);
    void *arg;
} hc_watch;

/* What the sources under `folder` look like now: differs after a change. Zero where the folder
 * cannot be read. */
uint64_t hc_watch_signature(const char *folder);

/* Watches --chdir (or the working directory) and each --pythonpath. */
int hc_watch_start(hc_watch *w, uv_loop_t *loop, const hc_settings *settings,
                   void (*changed)(void *arg), void *arg, hc_err *err) HC_MUST_CHECK;
/* Needs one more turn of the loop. */
void hc_watch_stop(hc_watch *w);

#endif
