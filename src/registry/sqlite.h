/* The engine for SQLite: one file, any number of processes.
 *
 * A rollback journal in TRUNCATE mode, never WAL: a reader of another user then needs no more than
 * permission to read the file and to search its folder. Writers take turns (BEGIN IMMEDIATE). What
 * a commit returned 0 for is on disk. */
#ifndef HC_REGISTRY_SQLITE_H
#define HC_REGISTRY_SQLITE_H

#include "registry/registry.h"

/* `path` NUL-terminated; see hc_registry_open. */
int hc_sqlite_open(const char *path, hc_registry_access access, uint64_t wait_ms, hc_registry **out,
                   hc_err *err) HC_MUST_CHECK;

#endif
