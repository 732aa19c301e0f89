/* How a command talks to a running server: finds its control socket as `serve` chose it, asks, and
 * gets an object. Blocks. */
#ifndef HC_CLI_SERVER_CALL_H
#define HC_CLI_SERVER_CALL_H

#include "cli/command.h"

typedef struct hc_server_call {
    char *state, *config, *control_socket;
    uint64_t timeout_ms; /* 0: no bound */
    bool json, help;
} hc_server_call;

/* Options every such command has, in `extra` slots behind them its own. */
#define HC_SERVER_CALL_AT(member)                                                                  \
    .offset = offsetof(hc_server_call, member), .size = sizeof(((hc_server_call *)0)->member)
#define HC_SERVER_CALL_OPTIONS(timeout, timeout_help)                                              \
    {.name = "state",                                                                              \
     .type = HC_OPTION_TEXT,                                                                       \
     HC_SERVER_CALL_AT(state),                                                                     \
     .value = "DIR",                                                                               \
     .initial_help = ".handclasp",                                                                 \
     .help = "The server's state folder."},                                                        \
        {.name = "config",                                                                         \
         .letter = 'c',                                                                            \
         .type = HC_OPTION_TEXT,                                                                   \
         HC_SERVER_CALL_AT(config),                                                                \
         .value = "FILE",                                                                          \
         .initial_help = "handclasp.yaml in the state folder, where there is one",                 \
         .help = "The server's options."},                                                         \
        {.name = "control-socket",                                                                 \
         .type = HC_OPTION_TEXT,                                                                   \
         HC_SERVER_CALL_AT(control_socket),                                                        \
         .value = "FILE",                                                                          \
         .initial_help = "as the server's options have it, else run/control.sock in the state "    \
                         "folder",                                                                 \
         .help = "The server's control socket."},                                                  \
        {.name = "timeout",                                                                        \
         .type = HC_OPTION_DURATION,                                                               \
         HC_SERVER_CALL_AT(timeout_ms),                                                            \
         .value = "TIME",                                                                          \
         .initial = timeout,                                                                       \
         .max = (uint64_t)24 * 3600 * 1000,                                                        \
         .help = timeout_help},                                                                    \
        {.name = "json",                                                                           \
         .type = HC_OPTION_SWITCH,                                                                 \
         .flags = HC_OPTION_FLAG_ONLY,                                                             \
         HC_SERVER_CALL_AT(json),                                                                  \
         .help = "Answer and report errors as one JSON object."},                                  \
    {                                                                                              \
        .name = "help", .letter = 'h', .type = HC_OPTION_SWITCH,                                   \
        .flags = HC_OPTION_FLAG_ONLY | HC_OPTION_STOPS, HC_SERVER_CALL_AT(help),                   \
        .help = "Say what the options are."                                                        \
    }

/* Says `word`; `out` is the caller's. -HC_ENOENT where no server answers. */
int hc_server_say(const hc_server_call *call, const char *word, json_t **out,
                  hc_err *err) HC_MUST_CHECK;

#endif
