/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The operation table as RPCs: provisioning.<operation>. */
#ifndef TRUNKGATE_PROVISIONING_RPC_H
#define TRUNKGATE_PROVISIONING_RPC_H

#include <stdbool.h>
#include <stddef.h>

#include <core/rpc.h>

/** Registers one RPC a row. Returns 0 or -1 (logged). @p socket must stay. */
int provisioning_rpc_init(const char *socket);

/* the functions of struct provisioning_api */
int provisioning_call(const char *operation, const char *const *arguments, size_t count, char **response);
void provisioning_rpc(rpc_t *rpc, void *context, const char *operation, const char *const *arguments, size_t count);
int provisioning_scan(rpc_t *rpc, void *context, const char *field, const char **text);
int provisioning_scan_limit(rpc_t *rpc, void *context, unsigned max, unsigned *limit);
int provisioning_scan_end(rpc_t *rpc, void *context);
bool provisioning_in_sip_worker(void);

#endif
