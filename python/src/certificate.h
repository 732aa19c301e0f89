/* Certificates for Python: what handclasp.certificate and handclasp.testing need of
 * handclasp._core. */
#ifndef HCP_CERTIFICATE_H
#define HCP_CERTIFICATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Adds the functions to the module, from its exec slot. 0, or -1 with an exception. */
int hc_py_add_certificate(PyObject *module);
/* test_certificate.c; called by the former. */
int hc_py_add_test_certificate(PyObject *module);

#endif
