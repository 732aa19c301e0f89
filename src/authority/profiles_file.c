/* `profiles:` of handclasp.yaml, by libyaml's events. */
#include <stdio.h>
#include <yaml.h>

#include "authority/profile.h"
#include "authority/subject.h"
#include "base/mem.h"
#include "base/str.h"

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the last one; freed before the next */
    bool has_event;
    const char *name;
    hc_profiles *out;
    hc_profile *profile; /* the one that is read */
    bool is_new;         /* and no built-in one */
    bool has_like;
    hc_err *err;
} reader;

typedef int (*set_value)(reader *r, hc_slice value, bool first);

static int wrong(reader *r, const char *what)
{
    return hc_err_set(r->err, HC_EINVAL, "%s:%zu: %s", r->name, r->event.start_mark.line + 1, what);
}

/* What `rc` says already, with the line before it. */
static int wrong_value(reader *r, int rc)
{
    (void)hc_err_context(r->err, "%s:%zu", r->name, r->event.start_mark.line + 1);
    return rc;
}

static int next(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (yaml_parser_parse(&r->parser, &r->event)) {
        r->has_event = true;
        return 0;
    }
    if (r->parser.error == YAML_MEMORY_ERROR)
        return hc_err_set(r->err, HC_ENOMEM, "out of memory");
    return hc_err_set(r->err, HC_EINVAL, "%s:%zu: not YAML: %s", r->name,
                      r->parser.problem_mark.line + 1,
                      r->parser.problem ? r->parser.problem : "unreadable");
}

static hc_slice scalar(const reader *r)
{
    return hc_slice_of(r->event.data.scalar.value, r->event.data.scalar.length);
}

/* Past the node that begins with the current event. */
static int skip(reader *r)
{
    int rc = 0;
    size_t depth = 0;
    for (;;) {
        yaml_event_type_t type = r->event.type;
        if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT)
            depth++;
        else if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT)
            depth--;
        if (depth == 0)
            return 0;
        if ((rc = next(r)) != 0)
            return rc;
    }
}

static int set_like(reader *r, hc_slice value, bool first)
{
    const hc_profile *base = hc_profile_builtin(value);
    char name[sizeof(base->name)];
    (void)first;
    if (!r->is_new)
        return wrong(r, "client, device and server are what they are; give yours another name");
    if (!base || base->kind == HC_PROFILE_CA)
        return wrong(r, "like: one of client, device and server is wanted");
    memcpy(name, r->profile->name, sizeof(name));
    *r->profile = *base;
    memcpy(r->profile->name, name, sizeof(name));
    r->has_like = true;
    return 0;
}

static int set_key(reader *r, hc_slice value, bool first)
{
    hc_key_type type;
    if (!hc_key_type_parse(value, &type))
        return wrong(r, "keys: each is p-256, p-384, ed25519, rsa-2048, rsa-3072 or rsa-4096");
    if (first) {
        r->profile->key = type;
        r->profile->keys = 0;
    }
    r->profile->keys |= HC_PROFILE_BIT(type);
    return 0;
}

static int set_san(reader *r, hc_slice value, bool first)
{
    hc_san_type type;
    if (first)
        r->profile->sans = 0;
    if (first && hc_slice_equal_nocase(value, HC_SLICE_LITERAL("none")))
        return 0;
    if (!hc_san_type_parse(value, &type))
        return wrong(r, "sans: each is email, DNS, URI or IP; or none");
    r->profile->sans |= HC_PROFILE_BIT(type);
    return 0;
}

static int set_lifetime(reader *r, hc_slice value, bool first)
{
    uint64_t ms = 0;
    (void)first;
    if (!hc_parse_duration_ms(value, &ms) || ms < HC_PROFILE_LIFETIME_MIN_S * 1000 ||
        ms > HC_PROFILE_LIFETIME_MAX_S * 1000)
        return wrong(r, "lifetime: 1h to 7300d is wanted, such as 90d");
    r->profile->lifetime_s = (int64_t)(ms / 1000);
    return 0;
}

static int set_text(reader *r, hc_slice value, char *out, size_t size)
{
    if (value.size >= size || hc_slice_find(value, 0) >= 0)
        return wrong(r, "the value is too long, or holds a NUL");
    memcpy(out, value.at, value.size);
    out[value.size] = '\0';
    return 0;
}

static int set_subject(reader *r, hc_slice value, bool first)
{
    X509_NAME *made = NULL;
    (void)first;
    int rc = set_text(r, value, r->profile->subject, sizeof(r->profile->subject));
    if (rc != 0)
        return rc;
    rc = hc_subject_make(r->profile->subject, "x", &made, r->err);
    if (rc != 0)
        return wrong_value(r, rc);
    X509_NAME_free(made);
    /* Two clients would look alike. */
    if (r->profile->kind == HC_PROFILE_CLIENT && !hc_subject_has_name(r->profile->subject))
        return wrong(r, "subject: {name} is wanted in it");
    return 0;
}

static int set_crl_url(reader *r, hc_slice value, bool first)
{
    char *url = r->profile->crl_url;
    (void)first;
    int rc = set_text(r, value, url, sizeof(r->profile->crl_url));
    hc_san san = {HC_SAN_URI, url};
    if (rc == 0 && (hc_san_check(&san, NULL) != 0 ||
                    (!hc_slice_starts_with(value, HC_SLICE_LITERAL("http://")) &&
                     !hc_slice_starts_with(value, HC_SLICE_LITERAL("https://")))))
        rc = wrong(r, "crl-url: a URL is wanted, such as http://pki.example/ca.crl");
    return rc;
}

static const struct key {
    const char *name;
    set_value set;
    bool list; /* may be one */
} keys[] = {{"like", set_like, false},       {"keys", set_key, true},
            {"sans", set_san, true},         {"lifetime", set_lifetime, false},
            {"subject", set_subject, false}, {"crl-url", set_crl_url, false}};

static const struct key *find_key(hc_slice name)
{
    for (size_t i = 0; i < HC_COUNT(keys); i++)
        if (hc_slice_equal_text(name, keys[i].name))
            return &keys[i];
    return NULL;
}

static int read_value(reader *r, const struct key *key)
{
    int rc = 0;
    bool first = true;
    if (r->event.type == YAML_SCALAR_EVENT)
        return key->set(r, scalar(r), true);
    if (r->event.type != YAML_SEQUENCE_START_EVENT || !key->list)
        return wrong(r, "a plain value is wanted");
    while (rc == 0 && (rc = next(r)) == 0 && r->event.type != YAML_SEQUENCE_END_EVENT) {
        if (r->event.type != YAML_SCALAR_EVENT)
            return wrong(r, "each item of the list is a plain value");
        rc = key->set(r, scalar(r), first);
        first = false;
    }
    if (rc == 0 && first)
        rc = wrong(r, "the list is empty; leave the line out for the default");
    return rc;
}

/* `like` comes first, since it brings the values that the others change. */
static int read_profile(reader *r)
{
    unsigned seen = 0;
    int rc = 0;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return wrong(r, "lines such as \"lifetime: 90d\" are wanted below a profile's name");
    while (rc == 0 && (rc = next(r)) == 0 && r->event.type != YAML_MAPPING_END_EVENT) {
        const struct key *key = r->event.type == YAML_SCALAR_EVENT ? find_key(scalar(r)) : NULL;
        if (!key)
            return wrong(r, "a profile has like, keys, sans, lifetime, subject and crl-url");
        unsigned bit = 1u << (unsigned)(key - keys);
        if (seen & bit)
            return wrong(r, "this stands in the profile twice");
        if (r->is_new && !seen && key->set != set_like)
            return wrong(r, "a profile of your own begins with like: client, device or server");
        seen |= bit;
        rc = next(r);
        if (rc == 0)
            rc = read_value(r, key);
    }
    if (rc == 0 && r->is_new && !r->has_like)
        rc = wrong(r, "a profile of your own begins with like: client, device or server");
    return rc;
}

static bool is_name(hc_slice name)
{
    if (name.size == 0 || name.size > HC_LIMIT_PROFILE_NAME)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i > 0)))
            return false;
    }
    return true;
}

static hc_profile *find(const hc_profiles *p, hc_slice name)
{
    for (size_t i = 0; i < p->count; i++)
        if (hc_slice_equal_text(name, p->at[i].name))
            return &p->at[i];
    return NULL;
}

static int add_profile(hc_profiles *p, const hc_profile *from, hc_profile **out, hc_err *err)
{
    hc_profile *grown = hc_realloc(p->at, (p->count + 1) * sizeof(*grown));
    if (!grown)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    p->at = grown;
    p->at[p->count] = *from;
    *out = &p->at[p->count++];
    return 0;
}

/* Finds or makes the profile whose name the current event is. */
static int choose(reader *r, bool given[HC_LIMIT_PROFILES])
{
    hc_profile empty = {.name = ""};
    hc_slice name = r->event.type == YAML_SCALAR_EVENT ? scalar(r) : HC_SLICE_NONE;
    int rc = 0;
    if (!is_name(name) || hc_slice_equal_text(name, "ca"))
        return wrong(r, "a profile's name has up to 32 of a-z, 0-9 and '-', and is not ca");
    r->profile = find(r->out, name);
    r->is_new = r->profile == NULL;
    r->has_like = false;
    if (r->is_new) {
        if (r->out->count == HC_LIMIT_PROFILES)
            return wrong(r, "too many profiles");
        rc = set_text(r, name, empty.name, sizeof(empty.name));
        if (rc == 0)
            rc = add_profile(r->out, &empty, &r->profile, r->err);
    }
    if (rc == 0) {
        bool *is_given = &given[r->profile - r->out->at];
        if (*is_given)
            return wrong(r, "this profile stands in the file twice");
        *is_given = true;
    }
    return rc;
}

static int read_profiles(reader *r)
{
    bool given[HC_LIMIT_PROFILES] = {false};
    int rc = 0;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return wrong(r, "profiles: names of profiles are wanted below it");
    while (rc == 0 && (rc = next(r)) == 0 && r->event.type != YAML_MAPPING_END_EVENT) {
        rc = choose(r, given);
        if (rc == 0)
            rc = next(r);
        if (rc == 0)
            rc = read_profile(r);
    }
    return rc;
}

/* Other keys, and what is wrong with the rest of the file, are the options' business. */
static int read_file(reader *r)
{
    bool seen = false;
    int rc = next(r); /* stream */
    if (rc == 0)
        rc = next(r); /* document, or the end */
    if (rc != 0 || r->event.type != YAML_DOCUMENT_START_EVENT)
        return rc;
    if ((rc = next(r)) != 0 || r->event.type != YAML_MAPPING_START_EVENT)
        return rc;
    while (rc == 0 && (rc = next(r)) == 0 && r->event.type != YAML_MAPPING_END_EVENT) {
        bool ours =
            r->event.type == YAML_SCALAR_EVENT && hc_slice_equal_text(scalar(r), "profiles");
        if (ours && seen)
            return wrong(r, "profiles stands in the file twice");
        seen = seen || ours;
        if (!ours)
            rc = skip(r);
        if (rc == 0)
            rc = next(r);
        if (rc == 0)
            rc = ours ? read_profiles(r) : skip(r);
    }
    return rc;
}

static int add_builtins(hc_profiles *out, hc_err *err)
{
    static const char *const names[] = {"client", "device", "server"};
    hc_profile *added = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < HC_COUNT(names); i++)
        rc = add_profile(out, hc_profile_builtin(hc_slice_text(names[i])), &added, err);
    return rc;
}

int hc_profiles_load(hc_slice yaml, const char *file_name, hc_profiles *out, hc_err *err)
{
    hc_profiles made = {NULL, 0};
    reader r = {.name = file_name, .out = &made, .err = err};
    int rc = add_builtins(&made, err);
    if (rc == 0 && !yaml_parser_initialize(&r.parser))
        rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    if (rc != 0) {
        hc_profiles_done(&made);
        return rc;
    }
    yaml_parser_set_input_string(&r.parser, yaml.at ? yaml.at : (const unsigned char *)"",
                                 yaml.size);
    rc = read_file(&r);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    if (rc == 0)
        *out = made;
    else
        hc_profiles_done(&made);
    return rc;
}

const hc_profile *hc_profiles_find(const hc_profiles *p, hc_slice name)
{
    return find(p, name);
}

void hc_profiles_done(hc_profiles *p)
{
    hc_free(p->at);
    *p = (hc_profiles){NULL, 0};
}
