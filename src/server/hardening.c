#include "server/hardening.h"

#include <signal.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "base/attr.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

void hc_ignore_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
    struct sigaction action = {.sa_handler = SIG_IGN};
    for (size_t i = 0; i < HC_COUNT(ignored); i++)
        (void)sigaction(ignored[i], &action, NULL);
}

void hc_protect_memory(void)
{
#ifdef __linux__
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifndef SANITIZED /* their leak check is a debugger */
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
#endif
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}
