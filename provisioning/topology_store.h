/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The topology in the store: document -> tables -> document, and tables -> shared region. */
#ifndef TRUNKGATE_TOPOLOGY_STORE_H
#define TRUNKGATE_TOPOLOGY_STORE_H

#include <json-c/json.h>

#include "store.h"

/** Writes a whole document, inside a transaction. Groups and peers keep their ids as long as they keep their names. */
int topology_store_write(struct store *store, struct json_object *document);

/** Reads the whole document back. Returns 0 or -errno. */
int topology_store_read(struct store *store, struct json_object **document);

/**
 * Puts the stored topology in force; @p region_name picks the priorities, @p names (or NULL) knows the targets of
 * names. Returns 0, -ENOSPC or another -errno.
 */
int topology_store_publish(struct store *store, struct region *region, const char *region_name,
			   const struct target_source *names);

#endif
