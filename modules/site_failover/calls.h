/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The live calls: from the 2xx that goes to the caller to the BYE that passes, counted at both peers. A call whose BYE
 * never comes is found by asking its ends within its dialog (OPTIONS; 481 means that it knows no such call), now and
 * then and when a peer comes back. An ended call is remembered for 64 s, so that nothing counts it again.
 */
#ifndef TRUNKGATE_SITE_FAILOVER_CALLS_H
#define TRUNKGATE_SITE_FAILOVER_CALLS_H

#include <stdbool.h>

#include <core/parser/msg_parser.h>
#include <modules/tm/tm_load.h>

#include "call_state.h"
#include "dialog_token.h"
#include "place.h"
#include "topology.h"

int calls_init(void);
void calls_finish(void);

/**
 * A call was answered: @p response is the 2xx of this branch, and the transaction's state is current. Counting one
 * twice, or after its end, changes nothing.
 */
void calls_begin(const struct dialog *dialog, struct cell *cell, int branch, struct sip_msg *response);
/**
 * A re-INVITE or UPDATE: if nobody counts its call, as after a restart of this node, its 2xx will. @p forward: the
 * caller sent it; it goes to @p receiver.
 */
void calls_learn(const struct dialog *dialog, struct sip_msg *request, bool forward, const struct place *receiver);
/**
 * BYE. What ended; @p relayed: whose offer went to rtpengine first, and a call that this node does not know may have
 * had one.
 */
enum call_ended calls_end(const struct dialog *dialog, struct sip_msg *request, enum call_relayed *relayed);

/**
 * Where a request of a counted call goes, whatever the topology says of its peers, as the group that sent it is
 * current: 0, -ENOENT, -EPERM (sent by neither group) or -EINVAL.
 */
int calls_find(const struct dialog *dialog, struct sip_msg *request, bool *forward, struct place *receiver);

/**
 * Who sent this request of a counted call, if he has the address at which the call found him: his group, and whether he
 * is the caller. 0, -ENOENT, -EPERM (another address) or -EINVAL.
 */
int calls_find_sender(const struct dialog *dialog, struct sip_msg *request, bool *caller,
		      char group[FIELD_NAME_MAX + 1]);

/**
 * The INVITE that began the dialog of this request: that of the token, unless a live call with these two tags was seen
 * to begin with another. Who has had several INVITEs with the same Call-ID and caller's tag has the tokens of all.
 */
uint32_t calls_invite(const struct dialog *dialog, struct sip_msg *request);

/** All live calls of this node. */
uint32_t calls_count(void);

/** A name for this INVITE, for the two functions after it, while its transaction's state is current. */
uint32_t calls_mark(struct sip_msg *invite);
/** A call was sent and has no final answer; it has one now. @p ingress: the caller's peer, or TOPOLOGY_NONE. */
void calls_open(uint32_t mark, uint32_t ingress);
void calls_close(uint32_t mark, uint32_t ingress);
uint32_t calls_trying(void);

/**
 * Has the INVITE that began the dialog of this message no final answer yet? With thousands of others that ring it may
 * seem so too.
 */
bool calls_are_early(struct sip_msg *msg);
/** Has that INVITE, which has its final answer, begun a call that lives? The end of this one must be known here before.
 */
bool calls_share_media(struct sip_msg *msg);

/** The prober: asks for calls that are due; and for all calls of a peer that came back. */
void calls_audit(void);
void calls_audit_peer(uint32_t peer);

#endif
