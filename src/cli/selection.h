/* Whom a command is about: words, a filter, or a file of words. */
#ifndef HC_CLI_SELECTION_H
#define HC_CLI_SELECTION_H

#include "cli/records.h"

typedef struct hc_filter_args {
    hc_client_status status; /* 0: any */
    char *role, *search;
    uint64_t expiring_ms, unused_ms;
} hc_filter_args;

/* The first members of the arguments of a command that takes filters. */
typedef struct hc_filtered_args {
    hc_common_args common;
    hc_filter_args filter;
} hc_filtered_args;

extern const hc_option_choice hc_client_status_choices[];

#define HC_FILTER_AT(member)                                                                       \
    .offset = offsetof(hc_filtered_args, filter.member),                                           \
    .size = sizeof(((hc_filtered_args *)0)->filter.member)
#define HC_FILTER_OPTIONS                                                                          \
    {.name = "status",                                                                             \
     .type = HC_OPTION_CHOICE,                                                                     \
     .choices = hc_client_status_choices,                                                          \
     HC_FILTER_AT(status),                                                                         \
     .value = "active|suspended|revoked",                                                          \
     .help = "Clients of this status."},                                                           \
        {.name = "role",                                                                           \
         .type = HC_OPTION_TEXT,                                                                   \
         HC_FILTER_AT(role),                                                                       \
         .value = "ROLE",                                                                          \
         .help = "Clients that have this role."},                                                  \
        {.name = "expiring",                                                                       \
         .type = HC_OPTION_DURATION,                                                               \
         .min = 1,                                                                                 \
         .max = HC_FILTER_TIME_MAX_MS,                                                             \
         HC_FILTER_AT(expiring_ms),                                                                \
         .value = "TIME",                                                                          \
         .help = "Clients with an active certificate that ends within this time, or has ended."},  \
        {.name = "unused",                                                                         \
         .type = HC_OPTION_DURATION,                                                               \
         .min = 1,                                                                                 \
         .max = HC_FILTER_TIME_MAX_MS,                                                             \
         HC_FILTER_AT(unused_ms),                                                                  \
         .value = "TIME",                                                                          \
         .help = "Clients none of whose certificates was seen for this time."},                    \
    {                                                                                              \
        .name = "search", .type = HC_OPTION_TEXT, HC_FILTER_AT(search), .value = "TEXT",           \
        .help = "Clients with this in their name."                                                 \
    }
#define HC_FILTER_TIME_MAX_MS ((uint64_t)100 * 365 * 24 * 3600 * 1000)

bool hc_filter_given(const hc_filter_args *a);
void hc_filter_fill(const hc_filter_args *a, int64_t now_s, hc_client_filter *out);

typedef struct hc_target {
    int64_t client_id;
    int64_t certificate_id; /* 0: the client was named itself */
} hc_target;

/* In the order given, each once. */
typedef struct hc_targets {
    hc_target *at;
    size_t count, room;
} hc_targets;

/* `words` name clients, serials or fingerprints; `from` is a file with one a line ('#' begins a
 * comment line). One that means nothing or two things is an error, which names the line. Within a
 * transaction. -HC_EINVAL where nothing was given. */
int hc_select(hc_registry *r, const hc_strings *words, const char *from,
              const hc_filter_args *filter, hc_targets *out, hc_err *err) HC_MUST_CHECK;
/* Exactly one word. -HC_EDENIED where it means two things. */
int hc_select_one(hc_registry *r, const char *word, hc_target *out, hc_err *err) HC_MUST_CHECK;
void hc_targets_done(hc_targets *t);

#endif
