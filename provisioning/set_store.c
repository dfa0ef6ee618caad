/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Accounts and attribute sets in the store. */
#include "set_store.h"

#include <errno.h>

int set_store_account(struct store *store, const char *name, int64_t *account)
{
	return store_integer(store, account, "SELECT id FROM account WHERE name = ?", "t", name);
}

int set_store_find(struct store *store, const char *account, uint16_t service, const char *header, int64_t *set)
{
	return store_integer(store, set,
			     "SELECT id FROM attribute_set WHERE account = ? AND service = ? AND header = ?", "tit",
			     account, (int64_t)service, header);
}

int set_store_intern(struct store *store, const char *account, uint16_t service, const char *header, int64_t *set)
{
	int rc = set_store_find(store, account, service, header, set);

	if (rc != -ENOENT)
		return rc;
	rc = store_run(store, "INSERT INTO attribute_set (account, service, header) VALUES (?, ?, ?)", "tit", account,
		       (int64_t)service, header);
	return rc ? rc : set_store_find(store, account, service, header, set);
}
