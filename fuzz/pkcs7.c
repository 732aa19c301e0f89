/* Certificates that an operator imports: PEM, DER and PKCS#7 bundles. */
#include <stdlib.h>

#include "base/limits.h"
#include "cli/import_certs.h"
#include "cli/import_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_cert(void *arg, X509 *x, size_t number, hc_err *err)
{
    size_t *count = arg;
    hc_cert *cert = NULL;
    if (number != ++*count)
        abort();
    if (hc_cert_from_x509(x, &cert, err) != 0)
        return 0;
    for (int from = HC_NAME_FROM_CN; from <= HC_NAME_FROM_DNS; from++) {
        hc_buf name = hc_buf_init(HC_LIMIT_CERT_BYTES);
        hc_err why = {0};
        int rc = hc_import_name(cert, (hc_import_name_source)from, &name, &why);
        if (rc == 0 && (name.size == 0 || name.size > HC_LIMIT_CLIENT_NAME))
            abort();
        hc_buf_done(&name);
    }
    hc_cert_unref(cert);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = 0;
    hc_err err = {0};
    int rc = hc_import_certs(hc_slice_of(data, size), on_cert, &count, &err);
    if ((rc == 0 && count == 0) || (rc != 0 && !err.text[0]))
        abort();
    return 0;
}
