/* Roles and attributes of one record, changed from what they are. Within a transaction. */
#ifndef HC_CLI_EDIT_H
#define HC_CLI_EDIT_H

#include "cli/records.h"

typedef struct hc_role_edit {
    const hc_strings *add, *remove; /* NULL: none */
    bool replace;                   /* `add` is all of them */
} hc_role_edit;

int hc_edit_roles(hc_records *r, int64_t client_id, const hc_role_edit *edit,
                  hc_err *err) HC_MUST_CHECK;

/* "KEY=VALUE", or "KEY=JSON" where `is_json`, into an object. */
int hc_attribute_parse(json_t *set, const char *text, bool is_json, hc_err *err) HC_MUST_CHECK;
/* Members of `set` are set, those that `unset` (NULL: none) names are taken away. */
int hc_edit_attributes(hc_records *r, int64_t client_id, json_t *set, const hc_strings *unset,
                       hc_err *err) HC_MUST_CHECK;

#endif
