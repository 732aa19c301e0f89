/* The variables that mod_ssl gives an application, made from certificates (design: "What the
 * application sees").
 *
 * Names and values are exactly mod_ssl's (ssl_engine_vars.c), UTF-8; what mod_ssl leaves out when a
 * certificate lacks it is left out here. Variables that depend on the connection or on today
 * (SSL_PROTOCOL, SSL_CLIENT_VERIFY, SSL_CLIENT_V_REMAIN …) are not made here. */
#ifndef HC_X509_VARIABLES_H
#define HC_X509_VARIABLES_H

#include "x509/cert.h"

/* Returns 0 to go on, a negative HC_E… to stop; that is then the result. Slices live until the
 * callback returns. */
typedef int (*hc_variable_each)(void *arg, hc_slice name, hc_slice value);

/* SSL_CLIENT_M_VERSION, _M_SERIAL, _S_DN, _S_DN_CN …, _I_DN…, _SAN_…_n, _V_START, _V_END, _A_KEY,
 * _A_SIG, _CERT_RFC4523_CEA, SSL_CLIENT_CERT (PEM). One difference is meant: an attribute that is
 * no character string is "#" and its DER; mod_ssl gives the bare octets, which pass for a text. */
int hc_variables_client(const hc_cert *client, hc_variable_each each, void *arg,
                        hc_err *err) HC_MUST_CHECK;
/* SSL_CLIENT_CERT_CHAIN_n (PEM) for the chain the peer sent, leaf excluded. */
int hc_variables_chain(hc_cert *const *chain, size_t count, hc_variable_each each, void *arg,
                       hc_err *err) HC_MUST_CHECK;
/* SSL_SERVER_S_DN, SSL_SERVER_M_SERIAL and the other SSL_SERVER_ names; SSL_SERVER_CERT. */
int hc_variables_server(const hc_cert *server, hc_variable_each each, void *arg,
                        hc_err *err) HC_MUST_CHECK;
/* Whole days until notAfter, as SSL_CLIENT_V_REMAIN: "0" once it has passed. */
int64_t hc_variables_days_left(const hc_cert *c, int64_t now_s);

#endif
