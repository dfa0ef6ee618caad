/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What rtpengine keeps for us of a dialog: a label at each of its two ends, which says who has been secured. It
 * outlives Kamailio. rtpengine's own view is no help: a leg that was offered keys (RFC 8643) looks the same whether
 * they were taken or not.
 */
#ifndef TRUNKGATE_SRTP_POLICY_MEDIA_LABEL_H
#define TRUNKGATE_SRTP_POLICY_MEDIA_LABEL_H

#include <stdint.h>

#include "span.h"

enum media_end { MEDIA_CALLEE, MEDIA_CALLER, MEDIA_ENDS };

/** Of each end the media sections that have been secured, as sdp_secured() says it. */
struct media_label {
	uint32_t firm[MEDIA_ENDS];  /**< for good */
	uint32_t loose[MEDIA_ENDS]; /**< by the last answer, if no other to the same offer comes */
};

/** "trunkgate-CALLEE-CALLER-CALLEE-CALLER" in hexadecimal: firm, then loose. */
enum { MEDIA_LABEL_LENGTH = sizeof("trunkgate") - 1 + 4 * sizeof("-ffffffff") - 4, MEDIA_QUERY_MAX = 1 << 19 };

/** Adds what @p from says. */
void media_label_add(struct media_label *label, const struct media_label *from);

void media_label_write(const struct media_label *label, char text[MEDIA_LABEL_LENGTH + 1]);

/**
 * What rtpengine says of a call, as JSON: @p label gets what the labels of the two ends with these tags say together;
 * other labels say nothing. Returns 0; -ENOENT: it knows neither end; -EINVAL: that is no answer to a query;
 * -ENOMEM.
 */
int media_label_read(struct span query, const char *caller, const char *callee, struct media_label *label);

#endif
