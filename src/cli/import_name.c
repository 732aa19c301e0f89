#include "cli/import_name.h"

#include "registry/change.h"
#include "x509/name.h"

const hc_option_choice hc_import_name_choices[] = {
    {"cn", HC_NAME_FROM_CN},   {"email", HC_NAME_FROM_EMAIL}, {"upn", HC_NAME_FROM_UPN},
    {"uri", HC_NAME_FROM_URI}, {"dns", HC_NAME_FROM_DNS},     {NULL, 0}};

typedef struct search {
    hc_san_type type;
    hc_buf *out;
    size_t found;
} search;

static int keep(search *s, hc_slice value)
{
    hc_buf_clear(s->out);
    s->found++;
    return hc_buf_add(s->out, value);
}

static int on_attribute(void *arg, const hc_name_attribute *attribute)
{
    return hc_slice_equal_text(attribute->key, "CN") ? keep(arg, attribute->value) : 0;
}

static int on_san(void *arg, hc_san_type type, hc_slice value, int nth)
{
    search *s = arg;
    (void)nth;
    return type == s->type ? keep(s, value) : 0;
}

int hc_import_name(const hc_cert *cert, hc_import_name_source from, hc_buf *out, hc_err *err)
{
    static const hc_san_type types[] = {[HC_NAME_FROM_EMAIL] = HC_SAN_EMAIL,
                                        [HC_NAME_FROM_UPN] = HC_SAN_UPN,
                                        [HC_NAME_FROM_URI] = HC_SAN_URI,
                                        [HC_NAME_FROM_DNS] = HC_SAN_DNS};
    const char *what = hc_import_name_choices[from].name;
    search s = {types[from], out, 0};
    X509 *x = hc_cert_x509(cert);
    int rc = from == HC_NAME_FROM_CN
                 ? hc_name_attributes(X509_get_subject_name(x), on_attribute, &s, err)
                 : hc_san_entries(x, on_san, &s, err);
    if (rc == 0 && s.found != 1)
        rc = hc_err_set(err, HC_EFORMAT,
                        "it has %s %s, and no name follows from that; --name or another "
                        "--name-from says whose it is",
                        s.found ? "more than one" : "no", what);
    if (rc == 0)
        rc = hc_client_name_check(hc_buf_slice(out), err);
    return rc == 0 ? 0 : hc_err_context(err, "certificate %s", hc_cert_serial_hex(cert));
}
