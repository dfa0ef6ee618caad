/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What rtpengine is told: its words for a message, and a last offer and answer once more. */
#ifndef TRUNKGATE_SRTP_POLICY_RELAY_H
#define TRUNKGATE_SRTP_POLICY_RELAY_H

#include "party.h"

enum {
	RELAY_WORDS_MAX = RTPENGINE_WORDS_MAX + sizeof(" from-tag= to-tag=") + 2 * MEDIA_TAG_LENGTH,
};

/** For SDP of the caller or the callee on its way to the other end. */
void relay_words(const struct parties *parties, bool of_caller, enum rtpengine_verb verb, char text[RELAY_WORDS_MAX]);

/**
 * The offer that this message carries, or answers, came to nothing: rtpengine gets what was agreed before.
 * Returns 0; -ENOENT: there is nothing to undo; -ENODATA: it is not known; -EIO: rtpengine did not take it.
 */
int relay_restore(struct sip_msg *msg);

#endif
