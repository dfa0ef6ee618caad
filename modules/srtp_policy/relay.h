/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What rtpengine is told: its words for a message, and a last offer and answer once more. */
#ifndef TRUNKGATE_SRTP_POLICY_RELAY_H
#define TRUNKGATE_SRTP_POLICY_RELAY_H

#include "media_label.h"
#include "party.h"

enum {
	RELAY_WORDS_MAX =
		RTPENGINE_WORDS_MAX + sizeof(" from-tag= to-tag= label=") + 2 * MEDIA_TAG_LENGTH + MEDIA_LABEL_LENGTH,
};

/** For SDP of the caller or the callee on its way to the other end, who keeps @p label, unless it is NULL. */
void relay_words(const struct parties *parties, bool of_caller, enum rtpengine_verb verb,
		 const struct media_label *label, char text[RELAY_WORDS_MAX]);

/** What rtpengine's module puts into $srtp_policy_query: read at once, and not kept. */
void relay_query_take(struct span query);

/**
 * Asks rtpengine who has been secured in the dialog of this message. Returns 0: agreement_secured() knows now; -ENOENT:
 * rtpengine does not know the call, or does not answer; -EINVAL: it is not to be understood; -ENOMEM or -ENOSYS.
 */
int relay_recall(struct sip_msg *msg, const struct parties *parties);

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

/**
 * The dialog of this message is over: relay_delete_next() in another process lets rtpengine delete its media. Returns
 * 0, -EINVAL or -ENOMEM.
 */
int relay_delete_later(struct sip_msg *msg);
/** Deletes one. Returns 0; -ENOENT: there is no other. */
int relay_delete_next(void);

/** Returns 0 or -ENOMEM. */
int relay_init(void);
void relay_finish(void);

#endif
