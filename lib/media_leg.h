/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What the media of a peer group must be, and the words that make rtpengine do so. */
#ifndef TRUNKGATE_MEDIA_LEG_H
#define TRUNKGATE_MEDIA_LEG_H

#include "srtp_suite.h"
#include "topology.h"

/** One side of a call. */
struct media_leg {
	struct srtp_policy policy;
	bool offers_dtls; /**< rtpengine offers it DTLS-SRTP, not SDES */
	bool limited;     /**< its media comes from the address in its SDP and from nowhere else */
};

/**
 * A group's policy by its configuration. Neither suites nor profiles: the default of both. Only one kind named: the
 * other is not allowed. rtpengine offers DTLS-SRTP only where no suite is named. Returns 0, or -EINVAL for names that
 * are not known: then nothing is allowed.
 */
int media_leg_read(enum media media, struct span suites, struct span profiles, struct media_leg *leg);

/** What two ends that both may use it do not have in common. */
enum legs_apart { LEGS_NO_SUITE = 1, LEGS_NO_PROFILE = 2 };

/**
 * Takes away what leads nowhere: of two ends by SDES, suites that only one allows; of two by DTLS-SRTP, profiles
 * likewise. rtpengine has one list for both. Returns 0 or bits of enum legs_apart: of that kind nothing is in both, and
 * none is left, but for the profiles of an end that is offered DTLS-SRTP where the other is offered SDES.
 */
unsigned media_legs_meet(struct media_leg *a, struct media_leg *b);

/** The policy for an answer of this leg: only the kind of key that rtpengine offered it. */
struct srtp_policy media_leg_answers(const struct media_leg *leg, struct srtp_policy policy);

enum rtpengine_verb { RTPENGINE_OFFER, RTPENGINE_ANSWER };

/** Its words for SDES suites: those that it may use (from rtpengine 11.2 on), or those that it may not (any version).
 */
enum sdes_words { SDES_NO, SDES_ONLY };

enum { RTPENGINE_WORDS_MAX = 1024 };

/**
 * rtpengine's words for SDP of @p sender on its way to @p receiver, and those for srtp_enforcer (dtls-profiles,
 * fingerprints). Where both are secured by SDES, only suites that both allow are used; where both may use DTLS-SRTP,
 * profiles likewise. Returns the length.
 */
size_t rtpengine_words(const struct media_leg *sender, const struct media_leg *receiver, enum rtpengine_verb verb,
		       enum sdes_words kind, char text[RTPENGINE_WORDS_MAX]);

#endif
