/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Does the body of a SIP message hold SDP, openly or in hiding? */
#ifndef TRUNKGATE_SDP_BODY_H
#define TRUNKGATE_SDP_BODY_H

#include "span.h"

enum sdp_body {
	SDP_BODY_NONE, /**< no SDP: nothing to judge */
	SDP_BODY_OPEN, /**< application/sdp, or multipart/mixed with one such part */
	SDP_BODY_BAD,  /**< SDP, but a relay cannot replace it: several parts, in another kind of body, or a part that
			  does not call itself so */
};

/** By the value of Content-Type ("" = none) and the body; either may hold anything, zero bytes too. */
enum sdp_body sdp_body_kind(struct span type, struct span body);

#endif
