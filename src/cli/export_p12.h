/* A client's key and certificate as one PKCS#12 file, for browsers, phones and mail programs. */
#ifndef HC_CLI_EXPORT_P12_H
#define HC_CLI_EXPORT_P12_H

#include "cli/records.h"

typedef struct hc_p12_export {
    const char *path;            /* of the new file */
    const char *passphrase_file; /* NULL: asked for or made */
    bool ask;                    /* on the terminal */
    bool legacy;
    bool json;
} hc_p12_export;

/* `certificates` as `client export` has found them, with their "pem" and "client"; the one whose
 * key lies in clients/ is taken, and there has to be just one. Prints what was written, and the
 * passphrase where it was made. An exit code. */
int hc_export_p12(const hc_p12_export *e, const char *state, const char *client,
                  const json_t *certificates, hc_err *err) HC_MUST_CHECK;

#endif
