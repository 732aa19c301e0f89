/* All that one configuration comes down to: resolved settings, how to start a worker, and the
 * sealed file for the front. Made anew for each reload, so that a mistake shows before anything
 * that serves is touched. */
#ifndef HC_SERVER_SUPERVISOR_PLAN_H
#define HC_SERVER_SUPERVISOR_PLAN_H

#include "server/options.h"
#include "server/worker_command.h"

typedef struct hc_plan {
    hc_settings settings;
    hc_worker_command command; /* empty where no worker is to be started */
    hc_identity front;         /* who the front is to be */
    hc_identity authority;     /* likewise, where there is one */
    int config_fd;
    bool with_workers;
    bool apart; /* workers run as another user than those who own or hold the key */
} hc_plan;

/* Reads the certificate files. What is odd but no error is logged. */
int hc_plan_make(hc_plan *p, const hc_serve_args *args, const hc_log *log,
                 hc_err *err) HC_MUST_CHECK;
/* Safe on one that is all zeroes with config_fd -1. */
void hc_plan_done(hc_plan *p);

#endif
