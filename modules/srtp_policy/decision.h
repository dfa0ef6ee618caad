/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Is the SDP of this message fit for the one it came from, and what rtpengine made of it for the one it goes to? */
#ifndef TRUNKGATE_SRTP_POLICY_DECISION_H
#define TRUNKGATE_SRTP_POLICY_DECISION_H

#include <core/parser/msg_parser.h>

#include "party.h"
#include "sdp.h"

/** What srtp_policy_refuse() will say of the current message. */
struct decision {
	int code; /**< 488, or 503 as long as nothing else was decided */
	const char *reason;
	char warning[SDP_TEXT_MAX + 32]; /**< code, agent and quoted text; "" = none */
};

/** Each returns 1, 2: there is no SDP; -1: refused. */
int decision_of_sender(struct sip_msg *msg, bool answers);
int decision_of_receiver(struct sip_msg *msg);

/** Who will have been secured once this answer passes. */
struct media_label decision_label(struct sip_msg *msg, const struct parties *parties);

/** Of this message; before any check: 503. */
const struct decision *decision_read(struct sip_msg *msg);

#endif
