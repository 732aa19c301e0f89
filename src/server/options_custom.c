#include "server/options_custom.h"

#include <arpa/inet.h>
#include <limits.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "registry/registry.h"

/* hc_settings is the first member of hc_serve_args, so that both can be the target of one table. */
_Static_assert(offsetof(hc_serve_args, settings) == 0, "the table's offsets serve both structures");

static int no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "out of memory");
}

static int replace_text(char **at, hc_slice value, hc_err *err)
{
    if (value.size == 0 || hc_slice_find(value, 0) >= 0)
        return hc_err_set(err, HC_EINVAL, "a value is wanted");
    char *copy = hc_alloc(value.size + 1);
    if (!copy)
        return no_memory(err);
    memcpy(copy, value.at, value.size);
    copy[value.size] = '\0';
    hc_free(*at);
    *at = copy;
    return 0;
}

static void clear_text(char **at)
{
    hc_free(*at);
    *at = NULL;
}

static int get_text(const char *text, size_t index, hc_buf *out)
{
    if (!text || index > 0)
        return 0;
    int rc = hc_buf_add_text(out, text);
    return rc == 0 ? 1 : rc;
}

/* --client-cert */

static int set_client_cert(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    hc_settings *s = target;
    (void)option;
    return hc_policy_add(&s->policy, value, err);
}

/* Octets that would end a rule's path, or begin an escape, where it is read again. */
static int add_path(hc_buf *out, const char *path, size_t size)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < size; i++) {
        if (strchr("%?#", path[i]))
            rc = hc_buf_printf(out, "%%%02x", (unsigned char)path[i]);
        else
            rc = hc_buf_add_byte(out, (uint8_t)path[i]);
    }
    return rc;
}

static int get_client_cert(const void *target, size_t index, hc_buf *out)
{
    const hc_policy *p = &((const hc_settings *)target)->policy;
    if (index > p->rule_count)
        return 0;
    hc_client_cert_mode mode = index == 0 ? p->mode : p->rules[index - 1].mode;
    int rc = 0;
    if (index > 0) {
        const hc_path_rule *rule = &p->rules[index - 1];
        if (rule->method[0])
            rc = hc_buf_printf(out, "%s ", rule->method);
        if (rc == 0)
            rc = add_path(out, rule->path, rule->size);
        if (rc == 0)
            rc = hc_buf_add_byte(out, '=');
    }
    if (rc == 0)
        rc = hc_buf_add_text(out, hc_client_cert_mode_name(mode));
    return rc == 0 ? 1 : rc;
}

static void clear_client_cert(void *target)
{
    hc_policy *p = &((hc_settings *)target)->policy;
    bool refuse_with_http = p->refuse_with_http;
    hc_policy_done(p);
    *p = (hc_policy){.mode = HC_MODE_REQUIRED, .refuse_with_http = refuse_with_http};
}

const hc_option_custom hc_option_client_cert = {set_client_cert, get_client_cert,
                                                clear_client_cert};

/* --cert-reqs: numbers as in Python's ssl module, which gunicorn takes */

static int set_cert_reqs(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    static const struct {
        const char *number, *name, *mode;
    } modes[] = {{"0", "CERT_NONE", "none"},
                 {"1", "CERT_OPTIONAL", "optional"},
                 {"2", "CERT_REQUIRED", "required"}};
    for (size_t i = 0; i < HC_COUNT(modes); i++)
        if (hc_slice_equal_text(value, modes[i].number) ||
            hc_slice_equal_text(value, modes[i].name))
            return set_client_cert(target, option, hc_slice_text(modes[i].mode), err);
    return hc_err_set(err, HC_EINVAL, "one of 0 (none), 1 (optional), 2 (required) is wanted");
}

const hc_option_custom hc_option_cert_reqs = {set_cert_reqs, NULL, NULL};

/* --proxy-allow-from */

static int set_network(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    hc_settings *s = target;
    hc_network network;
    int rc = hc_network_parse(value, &network, err);
    if (rc != 0)
        return rc;
    if (s->proxy_allow_from_count >= option->max)
        return hc_err_set(err, HC_EINVAL, "more than %u networks", (unsigned)option->max);
    hc_network *at = hc_realloc(s->proxy_allow_from, (s->proxy_allow_from_count + 1) * sizeof(*at));
    if (!at)
        return no_memory(err);
    at[s->proxy_allow_from_count++] = network;
    s->proxy_allow_from = at;
    return 0;
}

static int get_network(const void *target, size_t index, hc_buf *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 section 2.5.5.2 */
    const hc_settings *s = target;
    if (index >= s->proxy_allow_from_count)
        return 0;
    const hc_network *n = &s->proxy_allow_from[index];
    if (n->any || n->unix_socket)
        return get_text(n->any ? "*" : "unix", 0, out);
    char text[INET6_ADDRSTRLEN];
    bool v4 = n->prefix_bits >= 96 && memcmp(n->bytes, mapped, sizeof(mapped)) == 0;
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? n->bytes + 12 : n->bytes, text, sizeof(text)))
        return -HC_EINVAL;
    int rc = hc_buf_printf(out, "%s/%u", text, v4 ? n->prefix_bits - 96u : n->prefix_bits);
    return rc == 0 ? 1 : rc;
}

static void clear_networks(void *target)
{
    hc_settings *s = target;
    hc_free(s->proxy_allow_from);
    s->proxy_allow_from = NULL;
    s->proxy_allow_from_count = 0;
}

const hc_option_custom hc_option_networks = {set_network, get_network, clear_networks};

/* --inherit-lanes, --parent-fd: descriptors that the calling process left open */

static int parse_fd(hc_slice value, int *out, hc_err *err)
{
    uint64_t number;
    if (!hc_parse_u64(value, &number) || number > INT_MAX)
        return hc_err_set(err, HC_EINVAL, "the number of an open descriptor is wanted");
    *out = (int)number;
    return 0;
}

static int set_lane(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    hc_serve_args *a = target;
    int fd = -1;
    int rc = parse_fd(value, &fd, err);
    if (rc != 0)
        return rc;
    if (a->lane_count >= option->max)
        return hc_err_set(err, HC_EINVAL, "more than %u lanes", (unsigned)option->max);
    int *at = hc_realloc(a->lanes, (a->lane_count + 1) * sizeof(*at));
    if (!at)
        return no_memory(err);
    at[a->lane_count++] = fd;
    a->lanes = at;
    return 0;
}

static void clear_lanes(void *target)
{
    hc_serve_args *a = target;
    hc_free(a->lanes);
    a->lanes = NULL;
    a->lane_count = 0;
}

const hc_option_custom hc_option_lanes = {set_lane, NULL, clear_lanes};

static int set_parent_fd(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    hc_serve_args *a = target;
    (void)option;
    return parse_fd(value, &a->parent_fd, err);
}

static void clear_parent_fd(void *target)
{
    ((hc_serve_args *)target)->parent_fd = -1;
}

const hc_option_custom hc_option_parent_fd = {set_parent_fd, NULL, clear_parent_fd};

/* --registry */

static int set_registry(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    char *url = NULL;
    (void)option;
    int rc = replace_text(&url, value, err);
    if (rc == 0 && strcmp(url, "none") != 0)
        rc = hc_registry_check_url(url, err);
    if (rc != 0) {
        hc_free(url);
        return rc;
    }
    hc_settings *s = target;
    hc_free(s->registry);
    s->registry = url;
    return 0;
}

static int get_registry(const void *target, size_t index, hc_buf *out)
{
    return get_text(((const hc_settings *)target)->registry, index, out);
}

static void clear_registry(void *target)
{
    clear_text(&((hc_settings *)target)->registry);
}

const hc_option_custom hc_option_registry = {set_registry, get_registry, clear_registry};

/* --remote-user */

static bool names_client_variable(hc_slice value)
{
    hc_slice prefix = HC_SLICE_LITERAL("SSL_CLIENT_");
    if (!hc_slice_starts_with(value, prefix) || value.size == prefix.size || value.size > 64)
        return false;
    for (size_t i = prefix.size; i < value.size; i++) {
        uint8_t byte = value.at[i];
        bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        if (!letter && byte != '_' && !(byte >= '0' && byte <= '9'))
            return false;
    }
    return true;
}

static int set_remote_user(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    hc_settings *s = target;
    (void)option;
    if (!names_client_variable(value))
        return hc_err_set(err, HC_EINVAL,
                          "the name of a client variable is wanted, such as SSL_CLIENT_S_DN_CN");
    return replace_text(&s->remote_user, value, err);
}

static int get_remote_user(const void *target, size_t index, hc_buf *out)
{
    return get_text(((const hc_settings *)target)->remote_user, index, out);
}

static void clear_remote_user(void *target)
{
    clear_text(&((hc_settings *)target)->remote_user);
}

const hc_option_custom hc_option_remote_user = {set_remote_user, get_remote_user,
                                                clear_remote_user};

/* --env */

static int set_environment(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    hc_settings *s = target;
    if (hc_slice_find(value, '=') < 1 || hc_slice_find(value, 0) >= 0)
        return hc_err_set(err, HC_EINVAL, "NAME=VALUE is wanted");
    if (s->env.count >= option->max)
        return hc_err_set(err, HC_EINVAL, "given more than %u times", (unsigned)option->max);
    return hc_strings_add(&s->env, value, err);
}

static int get_environment(const void *target, size_t index, hc_buf *out)
{
    const hc_settings *s = target;
    return index < s->env.count ? get_text(s->env.at[index], 0, out) : 0;
}

static void clear_environment(void *target)
{
    hc_strings_done(&((hc_settings *)target)->env);
}

const hc_option_custom hc_option_environment = {set_environment, get_environment,
                                                clear_environment};

/* --worker-class: nothing to store */

static int set_worker_class(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    (void)target;
    (void)option;
    if (hc_slice_equal_text(value, "sync") || hc_slice_equal_text(value, "gthread"))
        return 0;
    return hc_err_set(
        err, HC_EINVAL,
        "workers are of one kind, processes with threads (sync and gthread are taken for "
        "it): an event loop serves the connections already");
}

const hc_option_custom hc_option_worker_class = {set_worker_class, NULL, NULL};

/* --config */

static int set_config(void *target, const hc_option *option, hc_slice value, hc_err *err)
{
    (void)option;
    return replace_text(&((hc_serve_args *)target)->config, value, err);
}

static void clear_config(void *target)
{
    clear_text(&((hc_serve_args *)target)->config);
}

const hc_option_custom hc_option_config = {set_config, NULL, clear_config};
