/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Policies of peer groups, and rtpengine's words for them. */
#include "media_leg.h"

#include <errno.h>
#include <string.h>

static const enum srtp_mode modes[] = {
	[MEDIA_RTP] = SRTP_FORBIDDEN,
	[MEDIA_SRTP] = SRTP_REQUIRED,
	[MEDIA_SRTP_OPTIONAL] = SRTP_OPTIONAL,
};

int media_leg_read(enum media media, struct span suites, struct span profiles, struct media_leg *leg)
{
	uint32_t suite_set = 0, profile_set = 0;
	bool known = media >= MEDIA_RTP && media <= MEDIA_SRTP_OPTIONAL;

	*leg = (struct media_leg){.policy.mode = known ? modes[media] : SRTP_REQUIRED};
	if (!known || srtp_suites_parse(suites, &suite_set, NULL) || srtp_profiles_parse(profiles, &profile_set, NULL))
		return -EINVAL;
	if (suites.len == 0 && profiles.len > 0 && profile_set)
		suite_set = 0;
	if (profiles.len == 0 && suites.len > 0)
		profile_set = 0;
	leg->policy.suites = suite_set;
	leg->policy.profiles = profile_set;
	leg->offers_dtls = suite_set == 0 && profile_set != 0;
	return 0;
}

static bool by_sdes(const struct media_leg *leg)
{
	return leg->policy.mode != SRTP_FORBIDDEN && leg->policy.suites != 0;
}

static bool by_dtls(const struct media_leg *leg)
{
	return leg->policy.mode != SRTP_FORBIDDEN && leg->policy.profiles != 0;
}

static bool share_suites(struct media_leg *a, struct media_leg *b)
{
	a->policy.suites = b->policy.suites = a->policy.suites & b->policy.suites;
	return a->policy.suites != 0;
}

/* With nothing in common, an end that is offered SDES goes without, and the other by its own. */
static bool share_profiles(struct media_leg *a, struct media_leg *b)
{
	uint32_t common = a->policy.profiles & b->policy.profiles;
	bool one_alone = common == 0 && a->offers_dtls != b->offers_dtls;

	if (!one_alone || !a->offers_dtls)
		a->policy.profiles = common;
	if (!one_alone || !b->offers_dtls)
		b->policy.profiles = common;
	return common != 0;
}

unsigned media_legs_meet(struct media_leg *a, struct media_leg *b)
{
	unsigned apart = 0;

	if (by_sdes(a) && by_sdes(b) && !share_suites(a, b))
		apart |= LEGS_NO_SUITE;
	if (by_dtls(a) && by_dtls(b) && !share_profiles(a, b))
		apart |= LEGS_NO_PROFILE;
	return apart;
}

struct srtp_policy media_leg_answers(const struct media_leg *leg, struct srtp_policy policy)
{
	if (leg->offers_dtls)
		policy.suites = 0;
	else
		policy.profiles = 0;
	return policy;
}

/* ------- words ------- */

struct words {
	char *text;
	size_t length;
};

/* All words together are shorter than RTPENGINE_WORDS_MAX: a test adds them up. */
static void say(struct words *words, const char *text)
{
	size_t length = strlen(text), room = RTPENGINE_WORDS_MAX - 1 - words->length;

	if (length > room)
		length = room;
	memcpy(words->text + words->length, text, length);
	words->length += length;
	words->text[words->length] = '\0';
}

static void say_suites(struct words *words, const struct media_leg *sender, const struct media_leg *receiver,
		       enum sdes_words kind)
{
	uint32_t allowed = ~(uint32_t)0;

	/* all of them in one word: each costs time in Kamailio and rtpengine */
	if (kind == SDES_NO && sender->policy.mode == SRTP_FORBIDDEN && receiver->policy.mode == SRTP_FORBIDDEN) {
		say(words, " SDES-off");
		return;
	}
	if (by_sdes(sender))
		allowed &= sender->policy.suites;
	if (by_sdes(receiver))
		allowed &= receiver->policy.suites;
	if (!by_sdes(sender) && !by_sdes(receiver))
		allowed = 0;
	for (unsigned i = 0; srtp_suites[i].name; i++) {
		bool is_allowed = allowed >> i & 1 && srtp_suites[i].encrypts;
		if (is_allowed != (kind == SDES_ONLY))
			continue;
		say(words, kind == SDES_ONLY ? " SDES-only-" : " SDES-no-");
		say(words, srtp_suites[i].name);
	}
}

/*
 * Words of ours, for srtp_enforcer. One command makes the DTLS contexts of both ends: where both may use DTLS-SRTP,
 * what both allow. A context outlives its command: an offer within the call keeps it while its role stays. It was made
 * between the same two groups, whose words are the same whoever offers, so it allows neither of them anything else,
 * unless the topology changed meanwhile: then it stays as it was agreed, like the keys of a call.
 */
static uint32_t shared_profiles(const struct media_leg *a, const struct media_leg *b)
{
	uint32_t of_a = by_dtls(a) ? a->policy.profiles : 0, of_b = by_dtls(b) ? b->policy.profiles : 0;

	return of_a && of_b ? of_a & of_b : of_a | of_b;
}

static void say_dtls(struct words *words, const struct media_leg *sender, const struct media_leg *receiver,
		     enum rtpengine_verb verb)
{
	uint32_t allowed = shared_profiles(sender, receiver);
	bool sender_may = by_dtls(sender) && (verb == RTPENGINE_OFFER || sender->offers_dtls);
	char names[SRTP_NAMES_MAX] = "none";

	if (sender->policy.mode == SRTP_FORBIDDEN && receiver->policy.mode == SRTP_FORBIDDEN)
		return;
	if (allowed)
		srtp_profiles_print(allowed, ",", names, sizeof(names));
	say(words, " dtls-profiles=");
	say(words, names);
	/* rtpengine prefers DTLS-SRTP to SDES as soon as it sees a fingerprint, whatever was offered */
	if (allowed && !sender_may)
		say(words, " fingerprints=remove");
}

static const char *offered_profile(const struct media_leg *receiver)
{
	if (receiver->policy.mode == SRTP_FORBIDDEN)
		return "RTP/AVP DTLS=off";
	if (receiver->offers_dtls)
		return "UDP/TLS/RTP/SAVP SDES-off";
	return receiver->policy.mode == SRTP_REQUIRED ? "RTP/SAVP DTLS=off" : "RTP/AVP OSRTP-offer DTLS=off";
}

/* An answer keeps the profile of the offer. */
static const char *answered_profile(const struct media_leg *receiver)
{
	if (receiver->policy.mode == SRTP_FORBIDDEN || receiver->policy.profiles == 0)
		return receiver->policy.mode == SRTP_OPTIONAL ? "OSRTP-accept DTLS=off" : "DTLS=off";
	return receiver->policy.mode == SRTP_OPTIONAL ? "OSRTP-accept" : "DTLS=passive";
}

size_t rtpengine_words(const struct media_leg *sender, const struct media_leg *receiver, enum rtpengine_verb verb,
		       enum sdes_words kind, char text[RTPENGINE_WORDS_MAX])
{
	struct words words = {.text = text};

	/* ICE-reject: without it rtpengine asks the sender's candidates, and sends media there */
	say(&words, verb == RTPENGINE_OFFER ? offered_profile(receiver) : answered_profile(receiver));
	say(&words, " replace-origin replace-session-connection ICE=remove ICE-reject");
	say_suites(&words, sender, receiver, kind);
	say_dtls(&words, sender, receiver, verb);
	/* not endpoint-learning=off: rtpengine 10.5 wants a list there and ignores anything else */
	if (sender->limited)
		say(&words, " strict-source endpoint-learning-off");
	return words.length;
}
