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

/**
 * The same where nothing may wait for rtpengine: relay_restore_next() in another process tells it. Returns 0, -ENOENT,
 * or -ENOMEM.
 */
int relay_restore_later(struct sip_msg *msg);
/** One that was put off. Returns as relay_restore(); -ENOENT: there is no other. */
int relay_restore_next(void);

/** Returns 0 or -ENOMEM. */
int relay_init(void);
void relay_finish(void);

#endif
