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

enum media_end { MEDIA_CALLEE = 1, MEDIA_CALLER = 2 };

/** Bits of enum media_end. */
struct media_label {
	uint8_t firm;  /**< secured for good */
	uint8_t loose; /**< by the last answer, if no other to the same offer comes */
};

enum { MEDIA_LABEL_LENGTH = sizeof("trunkgate-0-0") - 1, MEDIA_QUERY_MAX = 1 << 19 };

void media_label_write(struct media_label label, char text[MEDIA_LABEL_LENGTH + 1]);

/**
 * What rtpengine says of a call, as JSON: @p label gets what the labels of the two ends with these tags say together;
 * other labels say nothing. Returns 0; -ENOENT: it knows neither end; -EINVAL: that is no answer to a query;
 * -ENOMEM.
 */
int media_label_read(struct span query, const char *caller, const char *callee, struct media_label *label);

#endif
