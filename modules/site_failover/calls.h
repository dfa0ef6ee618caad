/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The live calls: from the 2xx that goes to the caller to the BYE that passes, counted at both peers. A call whose BYE
 * never comes is found by asking the callee's peer within its dialog (OPTIONS; 481 means that it knows no such call),
 * now and then and when a peer comes back.
 */
#ifndef TRUNKGATE_SITE_FAILOVER_CALLS_H
#define TRUNKGATE_SITE_FAILOVER_CALLS_H

#include <core/parser/msg_parser.h>

#include "dialog_token.h"
#include "topology.h"

int calls_init(void);
void calls_finish(void);

/** A call was answered: @p response is its 2xx. Counting one twice changes nothing. */
void calls_begin(const struct dialog *dialog, struct sip_msg *response);
/** A request within a dialog that nobody counts yet, as after a restart of this node. @p forward: the caller sent it.
 */
void calls_learn(const struct dialog *dialog, struct sip_msg *request, bool forward);
/** BYE. */
void calls_end(const struct dialog *dialog, struct sip_msg *request);

/** All live calls of this node. */
uint32_t calls_count(void);

/** The prober: asks for calls that are due; and for all calls of a peer that came back. */
void calls_audit(const struct topology_settings *settings);
void calls_audit_peer(uint32_t peer);

#endif
