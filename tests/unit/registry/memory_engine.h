/* A second engine for registry.h, in memory: shows that the interface does not lean on SQLite.
 *
 * A store is what a file is: any number of registries may be opened on it, by one thread. As with a
 * rollback journal one of them writes at a time, and a commit waits for nobody who reads: it is
 * -HC_EBUSY. */
#ifndef HC_TESTS_REGISTRY_MEMORY_ENGINE_H
#define HC_TESTS_REGISTRY_MEMORY_ENGINE_H

#include "registry/registry.h"

typedef struct memory_store memory_store;

memory_store *memory_store_new(void); /* NULL without memory */
void memory_store_free(memory_store *store);
int memory_engine_open(memory_store *store, hc_registry **out, hc_err *err) HC_MUST_CHECK;

#endif
