/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "media_leg.h"

#include <errno.h>

static struct media_leg leg_of(enum media media, const char *suites, const char *profiles)
{
	struct media_leg leg;
	assert_int_equal(media_leg_read(media, span_of(suites), span_of(profiles), &leg), 0);
	return leg;
}

static const char *words_of(struct media_leg sender, struct media_leg receiver, enum rtpengine_verb verb,
			    enum sdes_words kind)
{
	static char text[RTPENGINE_WORDS_MAX];
	size_t length = rtpengine_words(&sender, &receiver, verb, kind, text);
	assert_int_equal(length, strlen(text));
	return text;
}

static void test_default_is_one_suite_and_its_profile(void **state)
{
	struct media_leg leg = leg_of(MEDIA_SRTP, "", "");
	(void)state;
	assert_int_equal(leg.policy.mode, SRTP_REQUIRED);
	assert_int_equal(leg.policy.suites, srtp_suites_default());
	assert_int_equal(leg.policy.profiles, srtp_profiles_default());
	assert_false(leg.offers_dtls);
	assert_int_equal(leg_of(MEDIA_RTP, "", "").policy.mode, SRTP_FORBIDDEN);
	assert_int_equal(leg_of(MEDIA_SRTP_OPTIONAL, "", "").policy.mode, SRTP_OPTIONAL);
}

static void test_naming_one_kind_excludes_the_other(void **state)
{
	struct media_leg sdes = leg_of(MEDIA_SRTP, "AEAD_AES_128_GCM", "");
	struct media_leg dtls = leg_of(MEDIA_SRTP, "", "SRTP_AEAD_AES_128_GCM");
	struct media_leg both = leg_of(MEDIA_SRTP, "AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM");
	struct media_leg none = leg_of(MEDIA_SRTP, "", "none");
	(void)state;
	assert_true(sdes.policy.suites && !sdes.policy.profiles && !sdes.offers_dtls);
	assert_true(!dtls.policy.suites && dtls.policy.profiles && dtls.offers_dtls);
	assert_true(both.policy.suites && both.policy.profiles && !both.offers_dtls);
	assert_int_equal(none.policy.suites, srtp_suites_default());
	assert_int_equal(none.policy.profiles, 0);
	assert_false(none.offers_dtls);
}

static void test_unknown_names_allow_nothing(void **state)
{
	struct media_leg leg;
	(void)state;
	assert_int_equal(media_leg_read(MEDIA_SRTP, SPAN_LIT("ROT13"), SPAN_LIT(""), &leg), -EINVAL);
	assert_true(!leg.policy.suites && !leg.policy.profiles && leg.policy.mode == SRTP_REQUIRED);
	assert_int_equal(media_leg_read((enum media)9, SPAN_LIT(""), SPAN_LIT(""), &leg), -EINVAL);
	assert_true(!leg.policy.suites && !leg.policy.profiles && leg.policy.mode == SRTP_REQUIRED);
}

static void test_words_of_an_offer_are_the_receivers(void **state)
{
	struct media_leg rtp = leg_of(MEDIA_RTP, "", ""), srtp = leg_of(MEDIA_SRTP, "", "");
	struct media_leg dtls = leg_of(MEDIA_SRTP, "", "SRTP_AES128_CM_HMAC_SHA1_80");
	const char *rest = " replace-origin replace-session-connection ICE=remove ICE-reject"
			   " SDES-only-AES_CM_128_HMAC_SHA1_80 dtls-profiles=SRTP_AES128_CM_HMAC_SHA1_80";
	const char *removed = " fingerprints=remove";
	static const struct {
		const char *profile;
	} expected[] = {{"RTP/SAVP DTLS=off"}, {"RTP/AVP OSRTP-offer DTLS=off"}};
	char text[RTPENGINE_WORDS_MAX];
	(void)state;
	snprintf(text, sizeof(text), "%s%s%s", expected[0].profile, rest, removed);
	assert_string_equal(words_of(rtp, srtp, RTPENGINE_OFFER, SDES_ONLY), text);
	snprintf(text, sizeof(text), "%s%s%s", expected[1].profile, rest, removed);
	assert_string_equal(words_of(rtp, leg_of(MEDIA_SRTP_OPTIONAL, "", ""), RTPENGINE_OFFER, SDES_ONLY), text);
	snprintf(text, sizeof(text), "RTP/AVP DTLS=off%s", rest);
	assert_string_equal(words_of(srtp, rtp, RTPENGINE_OFFER, SDES_ONLY), text);
	assert_string_equal(words_of(rtp, dtls, RTPENGINE_OFFER, SDES_ONLY),
			    "UDP/TLS/RTP/SAVP SDES-off replace-origin replace-session-connection ICE=remove ICE-reject"
			    " dtls-profiles=SRTP_AES128_CM_HMAC_SHA1_80 fingerprints=remove");
}

static void test_words_of_an_answer_name_no_profile(void **state)
{
	struct media_leg rtp = leg_of(MEDIA_RTP, "", ""), srtp = leg_of(MEDIA_SRTP, "", "none");
	(void)state;
	assert_string_equal(words_of(rtp, rtp, RTPENGINE_ANSWER, SDES_ONLY),
			    "DTLS=off replace-origin replace-session-connection ICE=remove ICE-reject");
	assert_string_equal(words_of(rtp, rtp, RTPENGINE_ANSWER, SDES_NO),
			    "DTLS=off replace-origin replace-session-connection ICE=remove ICE-reject SDES-off");
	assert_null(strstr(words_of(srtp, rtp, RTPENGINE_ANSWER, SDES_NO), "RTP/"));
	assert_ptr_equal(strstr(words_of(rtp, leg_of(MEDIA_SRTP_OPTIONAL, "", "none"), RTPENGINE_ANSWER, SDES_NO),
				"OSRTP-accept DTLS=off "),
			 words_of(rtp, leg_of(MEDIA_SRTP_OPTIONAL, "", "none"), RTPENGINE_ANSWER, SDES_NO));
	assert_null(strstr(words_of(rtp, leg_of(MEDIA_SRTP, "", ""), RTPENGINE_ANSWER, SDES_NO), "DTLS=off"));
}

static void test_excluded_suites_are_named_for_old_versions(void **state)
{
	struct media_leg rtp = leg_of(MEDIA_RTP, "", ""), srtp = leg_of(MEDIA_SRTP, "AEAD_AES_256_GCM", "");
	const char *words = words_of(rtp, srtp, RTPENGINE_OFFER, SDES_NO);
	(void)state;
	assert_null(strstr(words, "SDES-no-AEAD_AES_256_GCM"));
	for (unsigned i = 0; srtp_suites[i].name; i++)
		if (strcmp(srtp_suites[i].name, "AEAD_AES_256_GCM")) {
			char word[64];
			snprintf(word, sizeof(word), " SDES-no-%s", srtp_suites[i].name);
			assert_non_null(strstr(words, word));
		}
}

static void test_two_secured_sides_share_what_both_allow(void **state)
{
	struct media_leg a = leg_of(MEDIA_SRTP, "AEAD_AES_256_GCM AES_CM_128_HMAC_SHA1_80", "");
	struct media_leg b = leg_of(MEDIA_SRTP, "", ""), c = leg_of(MEDIA_SRTP, "AEAD_AES_128_GCM", "");
	struct media_leg dtls = leg_of(MEDIA_SRTP, "", "SRTP_AES128_CM_HMAC_SHA1_80");
	(void)state;
	assert_non_null(strstr(words_of(a, b, RTPENGINE_OFFER, SDES_ONLY), "SDES-only-AES_CM_128_HMAC_SHA1_80"));
	assert_null(strstr(words_of(a, b, RTPENGINE_OFFER, SDES_ONLY), "GCM"));
	assert_null(strstr(words_of(a, c, RTPENGINE_OFFER, SDES_ONLY), "SDES-only"));
	assert_non_null(strstr(words_of(c, dtls, RTPENGINE_OFFER, SDES_ONLY), "SDES-only-AEAD_AES_128_GCM"));
}

static void test_ends_by_sdes_meet_in_what_both_allow(void **state)
{
	struct media_leg a = leg_of(MEDIA_SRTP, "AES_CM_128_HMAC_SHA1_32 AES_CM_128_HMAC_SHA1_80", "");
	struct media_leg b = leg_of(MEDIA_SRTP_OPTIONAL, "", ""), rtp = leg_of(MEDIA_RTP, "", "");
	struct media_leg dtls = leg_of(MEDIA_SRTP, "", "SRTP_AES128_CM_HMAC_SHA1_80"), alone = a;
	(void)state;
	assert_int_equal(media_legs_meet(&a, &b), 0);
	assert_int_equal(a.policy.suites, srtp_suites_default());
	assert_int_equal(b.policy.suites, srtp_suites_default());
	assert_int_equal(media_legs_meet(&alone, &rtp) | media_legs_meet(&dtls, &alone), 0);
	assert_int_not_equal(alone.policy.suites, srtp_suites_default());
	b = leg_of(MEDIA_SRTP, "AEAD_AES_128_GCM", "");
	assert_int_equal(media_legs_meet(&a, &b), LEGS_NO_SUITE);
	assert_true(a.policy.suites == 0 && b.policy.suites == 0);
}

/* What follows dtls-profiles=, in both directions and for offer and answer; NULL: nothing is said of them. */
static const char *profiles_said(struct media_leg a, struct media_leg b)
{
	static char said[2][RTPENGINE_WORDS_MAX];
	for (int i = 0; i < 4; i++) {
		char *now = said[i > 0];
		const char *words = words_of(i & 1 ? a : b, i & 1 ? b : a, i & 2 ? RTPENGINE_OFFER : RTPENGINE_ANSWER,
					     i & 2 ? SDES_NO : SDES_ONLY);
		const char *found = strstr(words, " dtls-profiles=");
		snprintf(now, sizeof(*said), "%s", found ? found + strlen(" dtls-profiles=") : "");
		now[strcspn(now, " ")] = '\0';
		assert_string_equal(now, said[0]);
	}
	return *said[0] ? said[0] : NULL;
}

static void test_ends_by_dtls_meet_in_what_both_allow(void **state)
{
	struct media_leg a = leg_of(MEDIA_SRTP, "", "SRTP_AEAD_AES_128_GCM SRTP_AEAD_AES_256_GCM");
	struct media_leg b = leg_of(MEDIA_SRTP_OPTIONAL, "", "SRTP_AEAD_AES_256_GCM SRTP_AES128_CM_HMAC_SHA1_32");
	struct media_leg rtp = leg_of(MEDIA_RTP, "", "SRTP_AES128_CM_HMAC_SHA1_32"), alone = a;
	struct media_leg sdes = leg_of(MEDIA_SRTP, "AEAD_AES_128_GCM", ""), both = leg_of(MEDIA_SRTP, "", "");
	(void)state;
	assert_string_equal(profiles_said(a, b), "SRTP_AEAD_AES_256_GCM");
	assert_string_equal(profiles_said(a, sdes), "SRTP_AEAD_AES_128_GCM,SRTP_AEAD_AES_256_GCM");
	assert_string_equal(profiles_said(a, rtp), "SRTP_AEAD_AES_128_GCM,SRTP_AEAD_AES_256_GCM");
	assert_string_equal(profiles_said(both, rtp), "SRTP_AES128_CM_HMAC_SHA1_80");
	assert_string_equal(profiles_said(a, both), "none");
	assert_string_equal(profiles_said(sdes, rtp), "none");
	assert_null(profiles_said(rtp, rtp));

	assert_int_equal(media_legs_meet(&a, &b), 0);
	assert_string_equal(profiles_said(a, rtp), "SRTP_AEAD_AES_256_GCM");
	assert_string_equal(profiles_said(rtp, b), "SRTP_AEAD_AES_256_GCM");
	assert_int_equal(media_legs_meet(&alone, &rtp) | media_legs_meet(&sdes, &alone), 0);
	assert_int_not_equal(alone.policy.profiles, a.policy.profiles);
	assert_int_equal(media_legs_meet(&a, &both), LEGS_NO_PROFILE);
	assert_true(both.policy.profiles == 0 && both.policy.suites != 0);
	assert_string_equal(profiles_said(a, both), "SRTP_AEAD_AES_256_GCM");
	b = leg_of(MEDIA_SRTP, "", "SRTP_AEAD_AES_128_GCM");
	assert_int_equal(media_legs_meet(&b, &a), LEGS_NO_PROFILE);
	assert_true(a.policy.profiles == 0 && b.policy.profiles == 0);
	assert_string_equal(profiles_said(a, b), "none");
	sdes = leg_of(MEDIA_SRTP, "AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM");
	both = leg_of(MEDIA_SRTP, "AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM");
	assert_int_equal(media_legs_meet(&both, &sdes), LEGS_NO_PROFILE);
	assert_true(both.policy.profiles == 0 && sdes.policy.profiles == 0 && sdes.policy.suites != 0);
}

static void test_fingerprints_of_who_may_not_use_dtls_are_removed(void **state)
{
	struct media_leg rtp = leg_of(MEDIA_RTP, "", ""), sdes = leg_of(MEDIA_SRTP, "AES_CM_128_HMAC_SHA1_80", "");
	struct media_leg both = leg_of(MEDIA_SRTP, "", ""), dtls = leg_of(MEDIA_SRTP, "", "SRTP_AEAD_AES_128_GCM");
	const struct {
		struct media_leg sender, receiver;
		bool in_offer, in_answer;
	} rows[] = {{rtp, both, true, true},   {sdes, dtls, true, true},  {dtls, sdes, false, false},
		    {both, rtp, false, true},  {both, both, false, true}, {dtls, rtp, false, false},
		    {sdes, rtp, false, false}, /* dtls-profiles=none does it */
		    {rtp, rtp, false, false}};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *offer = words_of(rows[i].sender, rows[i].receiver, RTPENGINE_OFFER, SDES_NO);
		assert_int_equal(strstr(offer, " fingerprints=remove") != NULL, rows[i].in_offer);
		const char *answer = words_of(rows[i].sender, rows[i].receiver, RTPENGINE_ANSWER, SDES_NO);
		assert_int_equal(strstr(answer, " fingerprints=remove") != NULL, rows[i].in_answer);
	}
}

static void test_answer_is_of_the_kind_that_was_offered(void **state)
{
	struct media_leg leg = leg_of(MEDIA_SRTP, "", ""), dtls = leg_of(MEDIA_SRTP, "", "SRTP_AES128_CM_HMAC_SHA1_80");
	struct srtp_policy policy = media_leg_answers(&leg, leg.policy);
	(void)state;
	assert_true(policy.suites == leg.policy.suites && policy.profiles == 0 && policy.mode == SRTP_REQUIRED);
	policy = media_leg_answers(&dtls, dtls.policy);
	assert_true(policy.profiles == dtls.policy.profiles && policy.suites == 0);
}

static void test_limited_sender_is_bound_to_its_address(void **state)
{
	struct media_leg open = leg_of(MEDIA_RTP, "", ""), limited = open;
	const char *bound = " strict-source endpoint-learning-off";
	(void)state;
	limited.limited = true;
	assert_non_null(strstr(words_of(limited, open, RTPENGINE_OFFER, SDES_NO), bound));
	assert_non_null(strstr(words_of(limited, open, RTPENGINE_ANSWER, SDES_NO), bound));
	assert_null(strstr(words_of(open, limited, RTPENGINE_OFFER, SDES_NO), bound));
}

static void test_all_words_together_fit(void **state)
{
	const char *profiles = "SRTP_AES128_CM_HMAC_SHA1_80 SRTP_AES128_CM_HMAC_SHA1_32 SRTP_AEAD_AES_128_GCM "
			       "SRTP_AEAD_AES_256_GCM";
	struct media_leg none = leg_of(MEDIA_SRTP_OPTIONAL, "AEAD_AES_128_GCM", profiles);
	struct media_leg other = leg_of(MEDIA_SRTP_OPTIONAL, "AEAD_AES_256_GCM", profiles);
	(void)state;
	none.limited = true;
	const char *words = words_of(none, other, RTPENGINE_OFFER, SDES_NO);
	assert_in_range(strlen(words), 550, RTPENGINE_WORDS_MAX - 64);
	assert_non_null(strstr(words, "endpoint-learning-off"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_is_one_suite_and_its_profile),
		cmocka_unit_test(test_naming_one_kind_excludes_the_other),
		cmocka_unit_test(test_unknown_names_allow_nothing),
		cmocka_unit_test(test_words_of_an_offer_are_the_receivers),
		cmocka_unit_test(test_words_of_an_answer_name_no_profile),
		cmocka_unit_test(test_excluded_suites_are_named_for_old_versions),
		cmocka_unit_test(test_two_secured_sides_share_what_both_allow),
		cmocka_unit_test(test_ends_by_sdes_meet_in_what_both_allow),
		cmocka_unit_test(test_ends_by_dtls_meet_in_what_both_allow),
		cmocka_unit_test(test_fingerprints_of_who_may_not_use_dtls_are_removed),
		cmocka_unit_test(test_answer_is_of_the_kind_that_was_offered),
		cmocka_unit_test(test_limited_sender_is_bound_to_its_address),
		cmocka_unit_test(test_all_words_together_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
