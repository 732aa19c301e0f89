#include "identity/policy.h"

#include "base/mem.h"
#include "base/str.h"

static const char *const mode_names[] = {
    [HC_MODE_NONE] = "none",
    [HC_MODE_REQUEST] = "request",
    [HC_MODE_OPTIONAL] = "optional",
    [HC_MODE_REQUIRED] = "required",
};

bool hc_client_cert_mode_parse(hc_slice text, hc_client_cert_mode *out)
{
    for (size_t i = 0; i < HC_COUNT(mode_names); i++) {
        if (hc_slice_equal_text(text, mode_names[i])) {
            *out = (hc_client_cert_mode)i;
            return true;
        }
    }
    return false;
}

const char *hc_client_cert_mode_name(hc_client_cert_mode mode)
{
    return (size_t)mode < HC_COUNT(mode_names) ? mode_names[mode] : "unknown";
}

/* One octet of a path as it is written, percent-decoded; -1 where the escape is broken. */
static int decoded_octet(hc_slice text, size_t *at)
{
    uint8_t byte = text.at[(*at)++];
    if (byte != '%')
        return byte;
    if (text.size - *at < 2)
        return -1;
    int high = hc_hex_digit(text.at[*at]);
    int low = hc_hex_digit(text.at[*at + 1]);
    *at += 2;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* A segment that a request's path could not have (it would be 400), so a rule for it would never
 * match. */
static bool segment_impossible(hc_slice segment)
{
    return segment.size == 0 || hc_slice_equal_text(segment, ".") ||
           hc_slice_equal_text(segment, "..");
}

static bool segments_possible(const char *path, size_t size)
{
    size_t begin = 1;
    for (size_t i = 1; i <= size; i++) {
        if (i < size && path[i] != '/')
            continue;
        if (segment_impossible(hc_slice_of(path + begin, i - begin)))
            return false;
        begin = i + 1;
    }
    return true;
}

static int bad_path(hc_err *err, const char *why)
{
    return hc_err_set(err, HC_EINVAL, "the path of a client-certificate rule %s", why);
}

/* `out` has room for text.size octets and a NUL. */
static int decode_path(hc_slice text, char *out, size_t *out_size, hc_err *err)
{
    size_t size = 0;
    for (size_t at = 0; at < text.size;) {
        bool escaped = text.at[at] == '%';
        int octet = decoded_octet(text, &at);
        if (octet < 0)
            return bad_path(err, "has a '%' without two hex digits behind it");
        if (octet < 0x20 || octet == 0x7F || octet == '\\' || (escaped && octet == '/'))
            return bad_path(err, "has an octet that no request can carry (control, \\ or %2f)");
        if (!escaped && (octet == '?' || octet == '#'))
            return bad_path(err, "ends before '?' or '#': rules match paths, not queries");
        out[size++] = (char)octet;
    }
    while (size > 1 && out[size - 1] == '/')
        size--;
    if (size > 1 && !segments_possible(out, size))
        return bad_path(err, "has an empty segment, \".\" or \"..\"");
    out[size] = '\0';
    *out_size = size;
    return 0;
}

/* 0 where it is new, 1 where it is there with the same mode. */
static int find_same(const hc_policy *p, const hc_path_rule *wanted, hc_err *err)
{
    for (size_t i = 0; i < p->rule_count; i++) {
        const hc_path_rule *rule = &p->rules[i];
        if (strcmp(rule->path, wanted->path) != 0 || strcmp(rule->method, wanted->method) != 0)
            continue;
        if (rule->mode == wanted->mode)
            return 1;
        return hc_err_set(err, HC_EINVAL, "two client-certificate rules for %s%s%s: %s and %s",
                          rule->method, rule->method[0] ? " " : "", rule->path,
                          mode_names[rule->mode], mode_names[wanted->mode]);
    }
    return 0;
}

static bool comes_before(const hc_path_rule *a, const hc_path_rule *b)
{
    return a->size > b->size || (a->size == b->size && a->method[0] && !b->method[0]);
}

/* Takes the rule's path. */
static int insert(hc_policy *p, const hc_path_rule *rule, hc_err *err)
{
    if (p->rule_count >= HC_LIMIT_PATH_RULES) {
        hc_free(rule->path);
        return hc_err_set(err, HC_ELIMIT, "more than %d client-certificate rules",
                          HC_LIMIT_PATH_RULES);
    }
    hc_path_rule *rules = hc_realloc(p->rules, (p->rule_count + 1) * sizeof(*rules));
    if (!rules) {
        hc_free(rule->path);
        return hc_err_set(err, HC_ENOMEM, "no memory for a client-certificate rule");
    }
    p->rules = rules;
    size_t at = p->rule_count++;
    for (; at > 0 && comes_before(rule, &rules[at - 1]); at--)
        rules[at] = rules[at - 1];
    rules[at] = *rule;
    return 0;
}

static int add_rule(hc_policy *p, hc_slice text, hc_path_rule *rule, hc_err *err)
{
    rule->path = hc_alloc(text.size + 1);
    if (!rule->path)
        return hc_err_set(err, HC_ENOMEM, "no memory for a client-certificate rule");
    int rc = decode_path(text, rule->path, &rule->size, err);
    if (rc == 0)
        rc = find_same(p, rule, err);
    if (rc != 0) {
        hc_free(rule->path);
        return rc < 0 ? rc : 0;
    }
    return insert(p, rule, err);
}

/* Cuts "METHOD " off `text`. Methods are upper-case letters: any other spelling matches no request.
 */
static int take_method(hc_slice *text, char out[HC_LIMIT_RULE_METHOD + 1], hc_err *err)
{
    size_t size = 0;
    while (size < text->size && text->at[size] >= 'A' && text->at[size] <= 'Z')
        size++;
    if (size == 0)
        return 0;
    if (size > HC_LIMIT_RULE_METHOD || size == text->size || text->at[size] != ' ')
        return hc_err_set(err, HC_EINVAL,
                          "the method of a client-certificate rule is a word in capitals, then a "
                          "space: OPTIONS /api=none");
    memcpy(out, text->at, size);
    out[size] = '\0';
    *text = hc_slice_from(*text, size + 1);
    return 0;
}

int hc_policy_add(hc_policy *p, hc_slice text, hc_err *err)
{
    size_t split = text.size;
    while (split > 0 && text.at[split - 1] != '=')
        split--;
    hc_slice mode_text = hc_slice_from(text, split);
    hc_path_rule rule = {.path = NULL};
    if (!hc_client_cert_mode_parse(mode_text, &rule.mode))
        return hc_err_set(err, HC_EINVAL,
                          "a client-certificate mode is required, optional, request or none, "
                          "/path=MODE or METHOD /path=MODE");
    if (split == 0) {
        p->mode = rule.mode;
        return 0;
    }
    hc_slice path = hc_slice_of(text.at, split - 1);
    int rc = take_method(&path, rule.method, err);
    if (rc != 0)
        return rc;
    if (path.size == 0 || path.at[0] != '/')
        return bad_path(err, "does not begin with '/'");
    return add_rule(p, path, &rule, err);
}

void hc_policy_done(hc_policy *p)
{
    for (size_t i = 0; i < p->rule_count; i++)
        hc_free(p->rules[i].path);
    hc_free(p->rules);
    p->rules = NULL;
    p->rule_count = 0;
}

static bool rule_matches(const hc_path_rule *rule, hc_slice method, hc_slice path)
{
    if (rule->method[0] && !hc_slice_equal_text(method, rule->method))
        return false;
    if (rule->size == 1) /* "/" is all there is, the "*" of OPTIONS too */
        return true;
    if (!hc_slice_starts_with(path, hc_slice_of(rule->path, rule->size)))
        return false;
    return path.size == rule->size || path.at[rule->size] == '/';
}

hc_client_cert_mode hc_policy_mode_for(const hc_policy *p, hc_slice method, hc_slice decoded_path)
{
    for (size_t i = 0; i < p->rule_count; i++) {
        if (rule_matches(&p->rules[i], method, decoded_path))
            return p->rules[i].mode;
    }
    return p->mode;
}

hc_handshake_policy hc_policy_handshake(const hc_policy *p)
{
    bool all_required = p->mode == HC_MODE_REQUIRED;
    bool all_verify = p->mode == HC_MODE_REQUIRED || p->mode == HC_MODE_OPTIONAL;
    bool any = p->mode != HC_MODE_NONE;
    for (size_t i = 0; i < p->rule_count; i++) {
        hc_client_cert_mode mode = p->rules[i].mode;
        all_required = all_required && mode == HC_MODE_REQUIRED;
        all_verify = all_verify && (mode == HC_MODE_REQUIRED || mode == HC_MODE_OPTIONAL);
        any = any || mode != HC_MODE_NONE;
    }
    return (hc_handshake_policy){
        .ask = any,
        .require = all_required && !p->refuse_with_http,
        .enforce = all_verify && !p->refuse_with_http,
    };
}

/* In request mode the application decides; not about what ends the handshake in every mode, what
 * was already decided against, or where the answer could not be found out (design: never 200). */
static bool application_may_decide(hc_verdict_code code)
{
    switch (code) {
    case HC_VERDICT_NO_CERTIFICATE:
    case HC_VERDICT_OK:
    case HC_VERDICT_UNTRUSTED_ISSUER:
    case HC_VERDICT_NOT_YET_VALID:
    case HC_VERDICT_EXPIRED:
    case HC_VERDICT_WRONG_PURPOSE:
    case HC_VERDICT_WEAK_KEY:
    case HC_VERDICT_REVOKED:
    case HC_VERDICT_STATUS_UNKNOWN:
    case HC_VERDICT_NOT_IN_REGISTRY:
    case HC_VERDICT_RECORD_MISMATCH:
    case HC_VERDICT_SUSPENDED:
        return true;
    default:
        return false;
    }
}

hc_verdict_code hc_policy_admit(hc_client_cert_mode mode, const hc_verdict *connection)
{
    hc_verdict_code code = connection->code;
    bool admitted = code == HC_VERDICT_OK;
    if (mode == HC_MODE_NONE)
        admitted = true;
    else if (mode == HC_MODE_REQUEST)
        admitted = application_may_decide(code);
    else if (mode == HC_MODE_OPTIONAL)
        admitted = code == HC_VERDICT_OK || code == HC_VERDICT_NO_CERTIFICATE;
    return admitted ? HC_VERDICT_OK : code;
}
