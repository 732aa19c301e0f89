#include "authority/serial.h"

#include <openssl/bn.h>
#include <openssl/rand.h>
#include <stdint.h>

#include "base/limits.h"

int hc_serial_new(ASN1_INTEGER **out, hc_err *err)
{
    uint8_t octets[HC_LIMIT_SERIAL_OCTETS];
    if (RAND_priv_bytes(octets, sizeof(octets)) != 1)
        return hc_err_set(err, HC_ETLS, "no random numbers can be had for a serial number");
    /* The top bit clear, so that it is positive in 20 octets; the next one set, so that it has 20.
     */
    octets[0] = (uint8_t)((octets[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(octets, sizeof(octets), NULL);
    ASN1_INTEGER *serial = number ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    BN_free(number);
    if (!serial)
        return hc_err_set(err, HC_ENOMEM, "out of memory for a serial number");
    *out = serial;
    return 0;
}
