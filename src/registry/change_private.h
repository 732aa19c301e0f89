/* What the files of change.h share: rows that outlive their callback, and the audit row. */
#ifndef HC_REGISTRY_CHANGE_PRIVATE_H
#define HC_REGISTRY_CHANGE_PRIVATE_H

#include <jansson.h>

#include "base/arena.h"
#include "registry/change.h"

/* Of one change: a client's row and a certificate's, copied. */
#define HC_CHANGE_ARENA ((size_t)2 * HC_LIMIT_REGISTRY_ROW)

int hc_change_load_client(hc_registry *r, int64_t id, hc_arena *arena, hc_client_row *out,
                          hc_err *err) HC_MUST_CHECK;
int hc_change_load_certificate(hc_registry *r, int64_t id, hc_arena *arena, hc_certificate_row *out,
                               hc_err *err) HC_MUST_CHECK;

typedef struct hc_change_audit {
    const char *action;
    const hc_client_row *client;
    const hc_certificate_row *certificate; /* NULL: none */
    /* Objects of what was and what is now; NULL is an allocation that failed, json_null() nothing.
     */
    json_t *was, *now;
} hc_change_audit;
/* Takes `was` and `now`, whatever happens. */
int hc_change_write_audit(hc_registry *r, const hc_actor *a, const hc_change_audit *c,
                          hc_err *err) HC_MUST_CHECK;

/* Nothing for null; -HC_ENOMEM for NULL too. */
int hc_change_dump(const json_t *value, hc_buf *out) HC_MUST_CHECK;
/* Of a list with a callback of ours, which fails without memory alone and fills in no error. */
int hc_change_told(int rc, const hc_err *why, hc_err *err) HC_MUST_CHECK;

/* A string, or NULL. */
json_t *hc_change_json(hc_slice text);
/* An array of the words in `roles`, or NULL. */
json_t *hc_change_json_roles(hc_slice roles);
/* "serial HEX of ISSUER". */
int hc_change_certificate_text(const hc_certificate_row *row, hc_buf *out) HC_MUST_CHECK;

/* A person's words: may be empty. */
int hc_change_check_reason(hc_slice reason, hc_err *err) HC_MUST_CHECK;
int hc_change_check_reason_code(int reason, hc_err *err) HC_MUST_CHECK;
/* Words with spaces between them, in any order, as roles: "" for none. */
int hc_change_roles(hc_slice text, hc_buf *out, hc_err *err) HC_MUST_CHECK;
/* Every active certificate of a client that is revoked. */
int hc_change_revoke_all(hc_registry *r, const hc_actor *a, const hc_client_row *client,
                         int reason_code, hc_err *err) HC_MUST_CHECK;

static inline int hc_change_no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "out of memory");
}

static inline int64_t hc_change_now_s(const hc_actor *a)
{
    return a->now_ms / 1000;
}

#endif
