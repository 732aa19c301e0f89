#include "cli/server_call.h"

#include <stdio.h>

#include "server/control_socket.h"
#include "server/options.h"

extern char **environ;

#define PATH_BYTES 4096

/* By the same options, variables and file as the server itself. */
static int find_socket(const hc_server_call *call, char *out, size_t size_bytes, hc_err *err)
{
    hc_serve_args args;
    char *flags[6];
    int count = 0;
    const struct {
        char *name, *value;
    } given[] = {{"--state", call->state},
                 {"--config", call->config},
                 {"--control-socket", call->control_socket}};
    for (size_t i = 0; i < HC_COUNT(given); i++) {
        if (given[i].value) {
            flags[count++] = given[i].name;
            flags[count++] = given[i].value;
        }
    }
    int rc = hc_serve_args_parse(count, flags, environ, &args, err);
    if (rc != 0)
        return rc;
    const hc_settings *s = &args.settings;
    int size = s->control_socket
                   ? snprintf(out, size_bytes, "%s", s->control_socket)
                   : snprintf(out, size_bytes, "%s/" HC_CONTROL_SOCKET_NAME, s->state);
    if (size < 0 || (size_t)size >= size_bytes)
        rc = hc_err_set(err, HC_EINVAL, "the path of the control socket is too long");
    hc_serve_args_done(&args);
    return rc;
}

int hc_server_say(const hc_server_call *call, const char *word, json_t **out, hc_err *err)
{
    char path[PATH_BYTES];
    hc_buf answer = hc_buf_init(HC_CONTROL_ANSWER_BYTES + 2);
    int rc = find_socket(call, path, sizeof(path), err);
    if (rc == 0)
        rc = hc_control_call(path, word, call->timeout_ms, &answer, err);
    if (rc == -HC_ENOENT)
        rc = hc_err_set(err, HC_ENOENT,
                        "no server answers at %.300s; is it running, with this --state?", path);
    if (rc == 0) {
        *out = json_loadb((const char *)answer.at, answer.size, 0, NULL);
        if (!json_is_object(*out)) {
            json_decref(*out);
            rc = hc_err_set(err, HC_EFORMAT, "the server's answer is not an object");
        }
    }
    hc_buf_done(&answer);
    return rc;
}
