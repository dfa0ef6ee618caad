/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Accounts and attribute sets in the store, for all that puts numbers and ranges there. */
#ifndef TRUNKGATE_SET_STORE_H
#define TRUNKGATE_SET_STORE_H

#include "store.h"

/** The store's integer for an account. Returns 0, -ENOENT or another -errno. */
int set_store_account(struct store *store, const char *name, int64_t *account);

/** The id of a set that is there. Returns 0, -ENOENT or another -errno. */
int set_store_find(struct store *store, const char *account, uint16_t service, const char *header, int64_t *set);

/** The same; adds it if need be. */
int set_store_intern(struct store *store, const char *account, uint16_t service, const char *header, int64_t *set);

#endif
