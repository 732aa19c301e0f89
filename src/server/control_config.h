/* The configuration on its way from supervisor to front: settings and the octets of every file they
 * name, in one sealed memory file. Keys so touch neither a disk nor a command line, and nobody can
 * change what was checked.
 *
 * The supervisor keeps the descriptor to start a new front with what was last in force. */
#ifndef HC_SERVER_CONTROL_CONFIG_H
#define HC_SERVER_CONTROL_CONFIG_H

#include "server/settings.h"

/* Writes both and seals them. `out_fd` is the caller's, close-on-exec. */
int hc_control_config_seal(const hc_settings *settings, const hc_files *files, int *out_fd,
                           hc_err *err) HC_MUST_CHECK;
/* Reads from the start whatever the descriptor's position (which is shared with every copy of it);
 * `fd` stays the caller's. Refuses what is not sealed. The outputs are the caller's to free;
 * untouched on failure. */
int hc_control_config_open(int fd, hc_settings *settings, hc_files *files,
                           hc_err *err) HC_MUST_CHECK;

#endif
