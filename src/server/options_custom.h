/* The options of `serve` whose values are not of a plain type: client-certificate rules, networks,
 * descriptors … */
#ifndef HC_SERVER_OPTIONS_CUSTOM_H
#define HC_SERVER_OPTIONS_CUSTOM_H

#include "server/options.h"

extern const hc_option_custom hc_option_client_cert;
extern const hc_option_custom hc_option_cert_reqs;
extern const hc_option_custom hc_option_networks;
extern const hc_option_custom hc_option_lanes;
extern const hc_option_custom hc_option_parent_fd;
extern const hc_option_custom hc_option_registry;
extern const hc_option_custom hc_option_remote_user;
extern const hc_option_custom hc_option_environment;
extern const hc_option_custom hc_option_worker_class;
extern const hc_option_custom hc_option_config;

#endif
