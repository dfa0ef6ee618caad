/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What the Kamailio module `provisioning` gives to the other modules: the shared region and a way to the worker.
 *
 * Bind in mod_init; provisioning must be loaded before. The region may be empty for a while after the start: its
 * look-ups then answer -EAGAIN.
 */
#ifndef TRUNKGATE_PROVISIONING_API_H
#define TRUNKGATE_PROVISIONING_API_H

#include <stdbool.h>
#include <stddef.h>

#include <core/rpc.h>
#include <core/sr_module.h>

#include "region.h"

struct provisioning_api {
	const struct region *region;
	/**
	 * Sends one operation of the operation table to the worker and waits at most 10 s. Never call it in a SIP
	 * worker.
	 * @p response is the worker's line (malloc'd). Returns 0 or -errno: -ENOENT, -ECONNREFUSED (no worker),
	 * -ETIMEDOUT (it may still be applied).
	 */
	int (*call)(const char *operation, const char *const *arguments, size_t count, char **response);
	/** The same as an RPC: runs the operation and answers it with the result or the fault; 503 in a SIP worker. */
	void (*rpc)(rpc_t *rpc, void *context, const char *operation, const char *const *arguments, size_t count);
	/**
	 * Scans the next RPC argument strictly as text. Returns 1, 0 (not given), or -1: it was a number; the fault 400
	 * with the hint `write s:...` is set.
	 */
	int (*scan)(rpc_t *rpc, void *context, const char *field, const char **text);
	/** True if the process works on SIP messages and so must not wait. */
	bool (*in_sip_worker)(void);
};

typedef int (*provisioning_bind_function)(struct provisioning_api *api);

/** Returns 0 or -1 (logged). */
static inline int provisioning_bind(struct provisioning_api *api)
{
	provisioning_bind_function bind = (provisioning_bind_function)find_export("bind_provisioning", NO_SCRIPT, 0);
	if (!bind || bind(api) < 0) {
		LM_ERR("load the module provisioning before this one\n");
		return -1;
	}
	return 0;
}

#endif
