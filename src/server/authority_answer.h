/* What a view may ask about its own client, and the answer: JSON both ways.
 *
 *   {"do": "certificates"}
 *   {"do": "suspend", "reason": "…"}
 *   {"do": "revoke", "certificate": "<SHA-256 in hex>", "reason": "keyCompromise"}
 *
 * {"ok": true, …}, or {"ok": false, "code": "not-found" | "refused" | "unavailable" | "invalid",
 * "error": "one line"}. Every rule is checked here, whoever asks: a certificate must be of the
 * client of the question, and a revoked client stays revoked. */
#ifndef HC_SERVER_AUTHORITY_ANSWER_H
#define HC_SERVER_AUTHORITY_ANSWER_H

#include "server/authority_message.h"

/* `r` NULL: there is no registry at the moment. Appends the answer, at most HC_LIMIT_ANSWER_BYTES.
 * Fails only where there is no memory for it. */
int hc_authority_answer(hc_registry *r, const hc_authority_message *ask, int64_t now_ms,
                        hc_buf *out) HC_MUST_CHECK;

#endif
