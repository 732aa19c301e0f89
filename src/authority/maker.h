/* Makes pairs of key and certificate in a state folder; shared by init and `client issue`.
 *
 * A key is written before its certificate, and a client's row in the registry before its
 * certificate's file: a process that is killed leaves a key alone at worst, or a key with a row
 * that has the certificate, and the next one goes on from there. For authority/ alone. */
#ifndef HC_AUTHORITY_MAKER_H
#define HC_AUTHORITY_MAKER_H

#include <openssl/x509.h>

#include "authority/profile.h"
#include "authority/state.h"

#define HC_PAIR_NAME_BYTES 160

typedef struct hc_maker {
    hc_keystore store;
    int64_t now_s;
    X509 *ca;
    EVP_PKEY *ca_key;       /* NULL where it is kept elsewhere */
    hc_slice ca_passphrase; /* of its key; empty: none */
    hc_registry *registry;  /* NULL: none */
    const hc_actor *actor;
    hc_state_report report;
    void *arg;
    hc_err *err;
} hc_maker;

/* A key and its certificate, on their way into the store or found in it. */
typedef struct hc_pair {
    char key_name[HC_PAIR_NAME_BYTES], cert_name[HC_PAIR_NAME_BYTES];
    bool key_found, cert_found;
    EVP_PKEY *key;
    X509 *cert;
} hc_pair;

void hc_maker_done(hc_maker *m); /* the registry is the caller's */
void hc_maker_say(hc_maker *m, hc_state_event event, const char *file, const char *host);

/* Reads what is there; a certificate that is not of the key is an error. */
int hc_pair_find(hc_maker *m, const char *stem, hc_pair *p) HC_MUST_CHECK;
void hc_pair_done(hc_pair *p);
int hc_pair_ensure_key(hc_maker *m, hc_key_type type, hc_pair *p) HC_MUST_CHECK;
/* The certificate over the pair's key, in memory. */
int hc_pair_sign(hc_maker *m, const hc_profile *profile, const hc_holder *holder,
                 hc_pair *p) HC_MUST_CHECK;
int hc_pair_write_cert(hc_maker *m, hc_pair *p) HC_MUST_CHECK;
/* What a person should know about a certificate that stays. */
void hc_pair_inspect(hc_maker *m, const hc_pair *p);

/* The CA, read or, with `make`, made. */
int hc_maker_ca(hc_maker *m, bool make) HC_MUST_CHECK;
/* For `init`: a certificate that is there stays, whatever it is. */
int hc_maker_init_client(hc_maker *m, const char *name) HC_MUST_CHECK;

#endif
