/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The SDP of a SIP message: as it came, and as rtpengine replaced it. */
#ifndef TRUNKGATE_SRTP_POLICY_MESSAGE_SDP_H
#define TRUNKGATE_SRTP_POLICY_MESSAGE_SDP_H

#include <core/parser/msg_parser.h>

#include "span.h"

/** Returns 1, 0: there is none; -EINVAL: what calls itself SDP cannot be replaced by a relay. */
int message_sdp(struct sip_msg *msg, struct span *sdp);

/**
 * What rtpengine_offer() or rtpengine_answer() put in its place: the module rtpengine leaves it as a pending change of
 * the body, which a check can read and undo. Returns 0, or -ENOENT: that SDP, and nothing else, was not replaced.
 */
int message_new_sdp(struct sip_msg *msg, struct span *sdp);

/** The message goes on without a body, whatever was to become of it. */
int message_strip(struct sip_msg *msg);

#endif
