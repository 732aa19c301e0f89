/* What commands that issue certificates share: the profile of the server's handclasp.yaml, names,
 * the passphrase of the CA's key. */
#ifndef HC_CLI_ISSUING_H
#define HC_CLI_ISSUING_H

#include "authority/client.h"
#include "cli/records.h"

/* The first member of the arguments of such a command. */
typedef struct hc_issue_args {
    hc_common_args common;
    char *profile, *ca_passphrase_file;
    hc_strings sans;
    uint64_t days;
} hc_issue_args;

#define HC_ISSUE_AT(member)                                                                        \
    .offset = offsetof(hc_issue_args, member), .size = sizeof(((hc_issue_args *)0)->member)
#define HC_CA_PASSPHRASE_OPTION(place)                                                             \
    {                                                                                              \
        .name = "ca-passphrase-file", .type = HC_OPTION_TEXT, place, .value = "FILE",              \
        .initial_help = "the server's, or the systemd credential handclasp-ca-passphrase",         \
        .help = "The passphrase of the CA's key: the one line of this file."                       \
    }
#define HC_ISSUE_OPTIONS(default_profile)                                                          \
    {.name = "profile",                                                                            \
     .type = HC_OPTION_TEXT,                                                                       \
     HC_ISSUE_AT(profile),                                                                         \
     .value = "PROFILE",                                                                           \
     .initial_help = default_profile,                                                              \
     .help = "What kind of certificate: client, device, server, or one of handclasp.yaml."},       \
        {.name = "san",                                                                            \
         .type = HC_OPTION_LIST,                                                                   \
         .flags = HC_OPTION_REPEATABLE,                                                            \
         .max = HC_LIMIT_SANS,                                                                     \
         HC_ISSUE_AT(sans),                                                                        \
         .value = "TYPE:VALUE",                                                                    \
         .help = "An alternative name, of a type that the profile allows: email:, DNS:, URI: or "  \
                 "IP:."},                                                                          \
        {.name = "days",                                                                           \
         .type = HC_OPTION_NUMBER,                                                                 \
         HC_ISSUE_AT(days),                                                                        \
         .min = 1,                                                                                 \
         .max = 7300,                                                                              \
         .value = "NUMBER",                                                                        \
         .initial_help = "the profile's: 365 unless handclasp.yaml says otherwise",                \
         .help = "How long the certificate is valid; never longer than the CA's."},                \
        HC_CA_PASSPHRASE_OPTION(HC_ISSUE_AT(ca_passphrase_file))

typedef struct hc_issuing {
    hc_client_plan plan; /* with all but name, callback and `another` */
    hc_profiles profiles;
    hc_san *sans;
    hc_secret passphrase;
} hc_issuing;

/* The plan points into `out`, `a` and `r`. */
int hc_issuing_open(const hc_issue_args *a, const hc_records *r, hc_issuing *out,
                    hc_err *err) HC_MUST_CHECK;
void hc_issuing_done(hc_issuing *i);

/* Those of the file that the server's options were read from. */
int hc_profiles_of(const hc_serve_args *server, hc_profiles *out, hc_err *err) HC_MUST_CHECK;

/* Of a flag, the server's options, or the credential; empty where there is none. */
int hc_ca_passphrase(const char *flag, const hc_settings *s, hc_secret *out,
                     hc_err *err) HC_MUST_CHECK;

#endif
