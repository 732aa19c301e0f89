#include "identity/same_ca.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

struct hc_same_ca {
    STACK_OF(X509) * cas;
    int *groups; /* of each of them: the index of the first of its CA */
};

bool hc_same_key(const X509 *a, const X509 *b)
{
    if (a == b)
        return true;
    if (X509_NAME_cmp(X509_get_subject_name(a), X509_get_subject_name(b)) != 0)
        return false;
    EVP_PKEY *key_a = X509_get0_pubkey(a);
    EVP_PKEY *key_b = X509_get0_pubkey(b);
    bool same = key_a && key_b && EVP_PKEY_eq(key_a, key_b) == 1;
    ERR_clear_error();
    return same;
}

static bool certifies(X509 *ca, X509 *x)
{
    EVP_PKEY *key = X509_get0_pubkey(ca);
    return ca != x && key && X509_check_issued(ca, x) == X509_V_OK && X509_verify(x, key) == 1;
}

static bool share_a_ca_above(const STACK_OF(X509) * cas, X509 *a, X509 *b)
{
    for (int i = 0; i < sk_X509_num(cas); i++) {
        X509 *above = sk_X509_value(cas, i);
        if (certifies(above, a) && certifies(above, b))
            return true;
    }
    return false;
}

static bool are_one(const STACK_OF(X509) * cas, X509 *a, X509 *b)
{
    return X509_NAME_cmp(X509_get_subject_name(a), X509_get_subject_name(b)) == 0 &&
           (hc_same_key(a, b) || certifies(a, b) || certifies(b, a) || share_a_ca_above(cas, a, b));
}

static void unite(hc_same_ca *s, int from, int into)
{
    for (int i = 0; i < sk_X509_num(s->cas); i++) {
        if (s->groups[i] == from)
            s->groups[i] = into;
    }
}

int hc_same_ca_new(const STACK_OF(X509) * cas, hc_same_ca **out, hc_err *err)
{
    int count = sk_X509_num(cas);
    hc_same_ca *s = hc_alloc_zero(1, sizeof(*s));
    if (s) {
        s->cas = X509_chain_up_ref((STACK_OF(X509) *)cas);
        s->groups = hc_alloc_zero((size_t)count, sizeof(*s->groups));
    }
    if (!s || !s->cas || !s->groups) {
        hc_same_ca_free(s);
        return hc_err_set(err, HC_ENOMEM, "no memory for the CA certificates");
    }
    for (int i = 0; i < count; i++) {
        s->groups[i] = i;
        for (int j = 0; j < i; j++) {
            if (s->groups[j] != s->groups[i] &&
                are_one(cas, sk_X509_value(cas, i), sk_X509_value(cas, j)))
                unite(s, s->groups[i], s->groups[j]);
        }
    }
    ERR_clear_error();
    *out = s;
    return 0;
}

void hc_same_ca_free(hc_same_ca *s)
{
    if (!s)
        return;
    sk_X509_pop_free(s->cas, X509_free);
    hc_free(s->groups);
    hc_free(s);
}

bool hc_same_ca_is(const hc_same_ca *s, const X509 *ca, const X509 *other)
{
    if (X509_NAME_cmp(X509_get_subject_name(ca), X509_get_subject_name(other)) != 0)
        return false;
    if (hc_same_key(ca, other))
        return true;
    int group = -1;
    for (int i = 0; i < sk_X509_num(s->cas); i++) {
        if (sk_X509_value(s->cas, i) == ca)
            group = s->groups[i];
    }
    for (int i = 0; group >= 0 && i < sk_X509_num(s->cas); i++) {
        if (s->groups[i] == group && hc_same_key(sk_X509_value(s->cas, i), other))
            return true;
    }
    return false;
}
