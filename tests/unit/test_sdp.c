/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "sdp.h"

#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define KEY  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" /* 40 digits: 30 bytes */
#define GOOD "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "\r\n"
#define WEAK "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:" KEY "\r\n"
#define BARE "a=crypto:3 NULL_HMAC_SHA1_80 inline:" KEY "\r\n"
#define PRINT                                                                                                          \
	"a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:"   \
	"cc:dd:ee:ff\r\n"
#define SETUP "a=setup:actpass\r\n"
#define AVP   "m=audio 4000 RTP/AVP 8\r\n"
#define SAVP  "m=audio 4000 RTP/SAVP 8\r\n"
#define TLS   "m=audio 4000 UDP/TLS/RTP/SAVPF 8\r\n"

static struct sdp_verdict verdict;

static struct srtp_policy policy_of(enum srtp_mode mode)
{
	return (struct srtp_policy){mode, srtp_suites_default(), srtp_profiles_default(), 0};
}

static enum sdp_reason check(enum srtp_mode mode, const char *sdp)
{
	struct srtp_policy policy = policy_of(mode);
	return sdp_check(span_of(sdp), &policy, &verdict);
}

static const char *text(void)
{
	static char words[SDP_TEXT_MAX];
	sdp_verdict_text(&verdict, words, sizeof(words));
	return words;
}

static void assert_removed(enum srtp_mode mode, const char *sdp, const char *expected)
{
	struct srtp_policy policy = policy_of(mode);
	char out[4096];
	long length = sdp_remove_suites(span_of(sdp), &policy, out, sizeof(out) - 1);
	assert_true(length >= 0);
	out[length] = '\0';
	assert_string_equal(out, expected);
}

static void test_savp_needs_an_allowed_suite(void **state)
{
	(void)state;
	for (int mode = SRTP_OPTIONAL; mode <= SRTP_REQUIRED; mode++) {
		assert_int_equal(check(mode, HEAD SAVP GOOD), SDP_ACCEPTABLE);
		assert_int_equal(verdict.sections[0].secured_by, SDP_SDES);
		assert_int_equal(check(mode, HEAD SAVP WEAK GOOD BARE), SDP_ACCEPTABLE);
		assert_int_equal(verdict.removable, 2);
		assert_int_equal(check(mode, HEAD SAVP WEAK BARE), SDP_NO_ALLOWED_SUITE);
		assert_string_equal(text(), "media section 1: no allowed SRTP suite; has AES_CM_128_HMAC_SHA1_32, "
					    "NULL_HMAC_SHA1_80");
		assert_int_equal(check(mode, HEAD SAVP), SDP_NO_KEY);
		assert_int_equal(check(mode, HEAD SAVP GOOD "m=audio 4000 RTP/SAVPF 8\r\n" WEAK), SDP_NO_ALLOWED_SUITE);
		assert_int_equal(verdict.section, 2);
	}
}

static void test_plain_is_refused_only_where_srtp_is_required(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_REQUIRED, HEAD AVP), SDP_PLAIN);
	assert_int_equal(sdp_warning_code(verdict.reason), 304);
	assert_int_equal(check(SRTP_OPTIONAL, HEAD AVP), SDP_ACCEPTABLE);
	assert_int_equal(check(SRTP_FORBIDDEN, HEAD AVP), SDP_ACCEPTABLE);
	assert_int_equal(check(SRTP_REQUIRED, HEAD SAVP GOOD AVP), SDP_PLAIN);
	assert_int_equal(verdict.section, 2);
	assert_int_equal(check(SRTP_REQUIRED, HEAD "m=image 4000 udptl t38\r\n"), SDP_PLAIN);
	assert_int_equal(check(SRTP_REQUIRED, HEAD "m=application 4000 UDP/DTLS/SCTP webrtc-datachannel\r\n" PRINT),
			 SDP_PLAIN);
}

static void test_srtp_is_refused_where_it_is_forbidden(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_FORBIDDEN, HEAD SAVP GOOD), SDP_SECURED);
	assert_int_equal(check(SRTP_FORBIDDEN, HEAD TLS PRINT), SDP_SECURED);
}

static void test_keys_on_rtp_avp_secure_it(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_REQUIRED, HEAD AVP GOOD), SDP_ACCEPTABLE);
	assert_int_equal(verdict.sections[0].secured_by, SDP_SDES);
	assert_int_equal(check(SRTP_REQUIRED, HEAD AVP WEAK), SDP_NO_ALLOWED_SUITE);
	assert_int_equal(check(SRTP_OPTIONAL, HEAD AVP WEAK), SDP_ACCEPTABLE);
	assert_int_equal(verdict.sections[0].secured_by, 0);
	assert_removed(SRTP_OPTIONAL, HEAD AVP WEAK, HEAD AVP);
}

static void test_keys_on_rtp_avp_are_removed_where_srtp_is_forbidden(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_FORBIDDEN, HEAD AVP GOOD PRINT), SDP_ACCEPTABLE);
	assert_int_equal(verdict.removable, 2);
	assert_int_equal(verdict.sections[0].secured_by, 0);
	assert_removed(SRTP_FORBIDDEN, HEAD AVP GOOD PRINT "a=ptime:20\r\n", HEAD AVP "a=ptime:20\r\n");
}

static void test_dtls_needs_a_fingerprint_of_the_section_or_the_session(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS PRINT SETUP), SDP_ACCEPTABLE);
	assert_int_equal(verdict.sections[0].secured_by, SDP_DTLS);
	assert_int_equal(check(SRTP_REQUIRED, HEAD PRINT SETUP TLS TLS), SDP_ACCEPTABLE);
	assert_int_equal(verdict.sections[1].secured_by, SDP_DTLS);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS PRINT SETUP TLS), SDP_NO_FINGERPRINT);
	assert_int_equal(verdict.section, 2);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS GOOD), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS "a=fingerprint:md5 00:11\r\n"), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS "a=fingerprint:sha-256 00:11\r\n"), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD SAVP WEAK PRINT SETUP), SDP_ACCEPTABLE);
	assert_int_equal(verdict.sections[0].secured_by, SDP_DTLS);
}

/* rtpengine takes no fingerprint otherwise. */
static void test_a_fingerprint_counts_with_a_role_only(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS PRINT), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS PRINT "a=setup:holdconn\r\n"), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS PRINT "a=Setup:active\r\n"), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS PRINT "a=setup:passive \r\n"), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS PRINT SETUP "a=setup:holdconn\r\n"), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD SETUP TLS PRINT "a=setup:holdconn\r\n"), SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED,
			       HEAD TLS SETUP "a=Fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:"
					      "ff:00:11:22:33\r\n"),
			 SDP_NO_FINGERPRINT);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS PRINT "a=setup:active\r\n"), SDP_ACCEPTABLE);
	assert_int_equal(check(SRTP_REQUIRED, HEAD TLS "a=setup:passive\r\n" PRINT), SDP_ACCEPTABLE);
	assert_int_equal(check(SRTP_REQUIRED, HEAD SETUP TLS PRINT TLS PRINT), SDP_ACCEPTABLE);
	assert_int_equal(check(SRTP_REQUIRED, HEAD "a=setup:holdconn\r\n" PRINT TLS SETUP), SDP_ACCEPTABLE);
}

static void test_without_allowed_profiles_dtls_is_refused_and_removed(void **state)
{
	struct srtp_policy policy = {SRTP_OPTIONAL, srtp_suites_default(), 0, 0};
	char out[1024];
	(void)state;
	assert_int_equal(sdp_check(span_of(HEAD TLS PRINT SETUP), &policy, &verdict), SDP_NO_ALLOWED_PROFILE);
	assert_int_equal(sdp_check(span_of(HEAD SAVP PRINT SETUP), &policy, &verdict), SDP_NO_ALLOWED_PROFILE);
	assert_int_equal(sdp_check(span_of(HEAD PRINT SAVP GOOD), &policy, &verdict), SDP_ACCEPTABLE);
	assert_int_equal(verdict.removable, 1);
	long length = sdp_remove_suites(span_of(HEAD PRINT SAVP GOOD), &policy, out, sizeof(out));
	assert_int_equal(length, strlen(HEAD SAVP GOOD));
	assert_memory_equal(out, HEAD SAVP GOOD, (size_t)length);
}

static void test_rejected_sections_are_not_judged_but_bundled_ones_are(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_REQUIRED, HEAD SAVP GOOD "m=video 0 RTP/AVP 99\r\n"), SDP_ACCEPTABLE);
	assert_true(verdict.sections[1].rejected);
	assert_int_equal(check(SRTP_REQUIRED, HEAD "m=audio 0 RTP/SAVP 8\r\n" WEAK), SDP_ACCEPTABLE);
	assert_int_equal(verdict.removable, 1);
	assert_int_equal(check(SRTP_REQUIRED, HEAD SAVP GOOD "m=video 0 RTP/AVP 99\r\na=bundle-only\r\n"), SDP_PLAIN);
	assert_int_equal(check(SRTP_REQUIRED, HEAD), SDP_ACCEPTABLE);
}

static void test_keys_at_session_level_count_for_nothing_and_are_removed(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_OPTIONAL, HEAD GOOD SAVP), SDP_NO_KEY);
	assert_removed(SRTP_OPTIONAL, HEAD GOOD SAVP GOOD, HEAD SAVP GOOD);
}

/* What follows "a=crypto:". */
static const char *const usable[] = {
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY,
	"1 aes_cm_128_hmac_sha1_80 INLINE:" KEY,
	"999999999 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^48",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|1048576",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|1:4",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4;inline:" KEY "|2^20|2:4",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " WSH=64 FEC_ORDER=FEC_SRTP -x=1 ",
};
static const char *const unusable[] = {
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " UNENCRYPTED_SRTP",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " unencrypted_srtp",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " UNENCRYPTED_SRTCP",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4 WSH=64 UNAUTHENTICATED_SRTP",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " KDR=4",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " something",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "\tUNENCRYPTED_SRTP",
	"1  AES_CM_128_HMAC_SHA1_80 inline:" KEY,
	" 1 AES_CM_128_HMAC_SHA1_80 inline:" KEY,
	"1\tAES_CM_128_HMAC_SHA1_80\tinline:" KEY,
	"x AES_CM_128_HMAC_SHA1_80 inline:" KEY,
	"1 AES_CM_128_HMAC_SHA1_80x inline:" KEY,
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "A",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "=",
	"1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|0",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^49",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:0",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:129",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4|2",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY ";inline:AAAA",
	/* rtpengine drops these */
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY ";inline:" KEY,
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20;inline:" KEY "|2^20",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|1:4;inline:" KEY "|2:4",
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4;inline:" KEY,
	"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY ";",
	"1 AES_CM_128_HMAC_SHA1_80 uri:" KEY,
	"1 AES_CM_128_HMAC_SHA1_80",
	"1",
	"",
};

static void test_a_key_line_must_be_one_that_rtpengine_reads(void **state)
{
	char sdp[1024];
	(void)state;
	for (size_t i = 0; i < sizeof(usable) / sizeof(*usable); i++) {
		snprintf(sdp, sizeof(sdp), HEAD SAVP "a=crypto:%s\r\n", usable[i]);
		if (check(SRTP_REQUIRED, sdp) != SDP_ACCEPTABLE)
			fail_msg("refused: %s", usable[i]);
		assert_int_equal(verdict.removable, 0);
	}
	for (size_t i = 0; i < sizeof(unusable) / sizeof(*unusable); i++) {
		snprintf(sdp, sizeof(sdp), HEAD SAVP "a=crypto:%s\r\n", unusable[i]);
		if (check(SRTP_REQUIRED, sdp) != SDP_NO_ALLOWED_SUITE)
			fail_msg("accepted: %s", unusable[i]);
		assert_string_equal(text(), "media section 1: no allowed SRTP suite; has unusable keys");
		assert_removed(SRTP_REQUIRED, sdp, HEAD SAVP);
	}
}

static void test_what_has_been_secured_is_kept_so(void **state)
{
	static const char mixed[] = HEAD SAVP GOOD "m=video 5 RTP/AVP 96\r\n",
			  rejected[] = HEAD "m=audio 0 RTP/AVP 8\r\n", plain[] = HEAD AVP,
			  osrtp[] = HEAD AVP GOOD "m=video 5 RTP/AVP 96\r\n", fax[] = HEAD "m=image 5 udptl t38\r\n",
			  secured[] = HEAD SAVP GOOD "m=video 0 RTP/AVP 96\r\n";
	struct srtp_policy policy = policy_of(SRTP_OPTIONAL);
	(void)state;
	assert_int_equal(sdp_check(span_of(mixed), &policy, &verdict), SDP_ACCEPTABLE);
	assert_int_equal(sdp_secured(&verdict), 1);
	assert_int_equal(sdp_check(span_of(plain), &policy, &verdict), SDP_ACCEPTABLE);
	assert_int_equal(sdp_secured(&verdict), 0);
	assert_int_equal(sdp_check(span_of(secured), &policy, &verdict), SDP_ACCEPTABLE);
	assert_int_equal(sdp_secured(&verdict), UINT32_MAX);
	policy.kept = 1;
	assert_int_equal(sdp_check(span_of(mixed), &policy, &verdict), SDP_ACCEPTABLE);
	assert_int_equal(sdp_check(span_of(osrtp), &policy, &verdict), SDP_ACCEPTABLE);
	assert_int_equal(sdp_check(span_of(rejected), &policy, &verdict), SDP_ACCEPTABLE);
	assert_int_equal(sdp_secured(&verdict), 0);
	assert_int_equal(sdp_check(span_of(fax), &policy, &verdict), SDP_PLAIN);
	assert_int_equal(sdp_check(span_of(plain), &policy, &verdict), SDP_PLAIN);
	policy.kept = 2;
	assert_int_equal(sdp_check(span_of(plain), &policy, &verdict), SDP_ACCEPTABLE);
	assert_int_equal(sdp_check(span_of(mixed), &policy, &verdict), SDP_PLAIN);
	assert_int_equal(verdict.section, 2);
	policy.mode = SRTP_FORBIDDEN;
	assert_int_equal(sdp_check(span_of(plain), &policy, &verdict), SDP_ACCEPTABLE);
}

static void test_key_length_is_that_of_the_suite(void **state)
{
	char key[80], sdp[1024];
	struct srtp_policy policy = {SRTP_REQUIRED, ~0u, 0, 0};
	(void)state;
	memset(key, 'A', sizeof(key));
	for (unsigned i = 0; srtp_suites[i].name; i++) {
		int digits = (srtp_suites[i].key_length * 4 + 2) / 3;
		int padding = (4 - digits % 4) % 4;
		for (int length = digits - 1; length <= digits + 1; length++) {
			snprintf(sdp, sizeof(sdp), HEAD SAVP "a=crypto:1 %s inline:%.*s\r\n", srtp_suites[i].name,
				 length, key);
			assert_int_equal(sdp_check(span_of(sdp), &policy, &verdict) == SDP_ACCEPTABLE,
					 length == digits);
		}
		snprintf(sdp, sizeof(sdp), HEAD SAVP "a=crypto:1 %s inline:%.*s%.*s|2^31\r\n", srtp_suites[i].name,
			 digits, key, padding, "==");
		assert_int_equal(sdp_check(span_of(sdp), &policy, &verdict), SDP_ACCEPTABLE);
		assert_int_equal(verdict.sections[0].suites, 1u << i);
	}
}

static void test_lenient_spellings_of_crypto_are_found(void **state)
{
	(void)state;
	assert_removed(SRTP_OPTIONAL, HEAD AVP "a=CRYPTO:1 x\r\na= crypto :1 x\r\na=crypto\r\na=cryptos:1\r\n",
		       HEAD AVP "a=cryptos:1\r\n");
}

static void test_lenient_spellings_of_crypto_are_no_key(void **state)
{
	static const char *const spellings[] = {"a=CRYPTO:", "a= crypto:", "a=crypto :"};
	char sdp[1024];
	(void)state;
	for (size_t i = 0; i < sizeof(spellings) / sizeof(*spellings); i++) {
		snprintf(sdp, sizeof(sdp), HEAD SAVP "%s1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "\r\n", spellings[i]);
		assert_int_equal(check(SRTP_REQUIRED, sdp), SDP_NO_ALLOWED_SUITE);
		assert_removed(SRTP_REQUIRED, sdp, HEAD SAVP);
	}
}

static void test_what_can_be_read_in_two_ways_is_unreadable(void **state)
{
	static const char *const bad[] = {
		"",
		"\r\n",
		"v=1\r\n",
		"m=audio 4000 RTP/AVP 8\r\n",
		HEAD "v=0\r\n" SAVP GOOD,
		HEAD "\r\n" SAVP GOOD,
		HEAD SAVP GOOD "\r\n" AVP,
		HEAD SAVP GOOD "\n\n" WEAK,
		HEAD "x\r\n",
		HEAD "a:b\r\n",
		HEAD " a=b\r\n",
		HEAD SAVP "a=x\ra=y\r\n" GOOD,
		HEAD SAVP GOOD "a=x\r\r\n",
		HEAD "m=audio  4000 RTP/AVP 8\r\n",
		HEAD "m=audio 4000\r\n",
		HEAD "m=audio 65536 RTP/AVP 8\r\n",
		HEAD "m=audio -1 RTP/AVP 8\r\n",
		HEAD "m=audio 4000/ RTP/AVP 8\r\n",
		HEAD "m=audio 4000 RTP/\x01SAVP 8\r\n",
		HEAD "m=audio 4000\tRTP/AVP 8\r\n",
		HEAD SAVP GOOD "c=IN IP4 1.2.3.4\r\nc=IN IP4 1.2.3.4\r\n",
	};
	struct srtp_policy policy = policy_of(SRTP_OPTIONAL);
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (check(SRTP_OPTIONAL, bad[i]) != SDP_UNREADABLE)
			fail_msg("read: %s", bad[i]);
	assert_int_equal(sdp_check(SPAN_LIT(HEAD SAVP GOOD "a=x\0\r\n"), &policy, &verdict), SDP_UNREADABLE);
	assert_int_equal(sdp_warning_code(verdict.reason), 399);
}

static void test_ends_of_lines_may_be_lf_and_the_last_may_lack(void **state)
{
	(void)state;
	assert_int_equal(check(SRTP_REQUIRED, "v=0\nm=audio 4000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
					      "inline:" KEY),
			 SDP_ACCEPTABLE);
	assert_int_equal(check(SRTP_REQUIRED, HEAD SAVP GOOD "\r\n\r\n"), SDP_ACCEPTABLE);
}

static void test_profiles_are_known_by_their_end(void **state)
{
	static const struct {
		const char *profile;
		enum sdp_kind kind;
	} rows[] = {
		{"RTP/AVP", SDP_AVP},          {"rtp/avpf", SDP_AVP},          {"TCP/RTP/AVP", SDP_AVP},
		{"RTP/SAVP", SDP_SAVP},        {"Rtp/SavpF", SDP_SAVP},        {"TCP/RTP/SAVP", SDP_SAVP},
		{"UDP/TLS/RTP/SAVP", SDP_TLS}, {"udp/tls/rtp/savpf", SDP_TLS}, {"TCP/TLS/RTP/SAVP", SDP_TLS},
		{"udptl", SDP_OTHER},          {"UDP/TLS/UDPTL", SDP_OTHER},   {"UDP/DTLS/SCTP", SDP_OTHER},
		{"SAVP", SDP_OTHER},
	};
	char sdp[256];
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(sdp, sizeof(sdp), HEAD "m=audio 4000 %s 8\r\n", rows[i].profile);
		check(SRTP_OPTIONAL, sdp);
		assert_int_equal(verdict.sections[0].kind, rows[i].kind);
	}
}

static void test_sections_have_a_limit(void **state)
{
	char sdp[4096] = HEAD;
	(void)state;
	for (int i = 0; i < SDP_SECTIONS_MAX; i++)
		strcat(sdp, AVP);
	assert_int_equal(check(SRTP_OPTIONAL, sdp), SDP_ACCEPTABLE);
	assert_int_equal(verdict.count, SDP_SECTIONS_MAX);
	strcat(sdp, AVP);
	assert_int_equal(check(SRTP_OPTIONAL, sdp), SDP_TOO_MANY_SECTIONS);
}

static void test_connection_of_a_section_is_its_own_or_the_sessions(void **state)
{
	(void)state;
	check(SRTP_OPTIONAL, HEAD AVP "c=IN IP4 198.51.100.7/127\r\n" AVP);
	assert_true(span_equal(verdict.sections[0].connection, SPAN_LIT("198.51.100.7")));
	assert_true(span_equal(verdict.sections[1].connection, SPAN_LIT("192.0.2.1")));
	assert_true(verdict.sections[0].own_connection && !verdict.sections[1].own_connection);
	check(SRTP_OPTIONAL, "v=0\r\n" AVP);
	assert_int_equal(verdict.sections[0].connection.len, 0);
}

static void test_addresses_are_found_wherever_media_could_be_sent(void **state)
{
	static const struct {
		unsigned section;
		enum sdp_address_origin origin;
		const char *text;
		bool numeric;
	} expected[] = {
		{0, SDP_CONNECTION, "192.0.2.1", true},          {1, SDP_RTCP, "198.51.100.1", true},
		{1, SDP_CANDIDATE, "198.51.100.2", true},        {2, SDP_CONNECTION, "2001:db8::1", true},
		{2, SDP_CONNECTION, "media.example.com", false},
	};
	struct span rest = SPAN_LIT(HEAD AVP "a=rtcp:4001\r\na=rtcp:4001 IN IP4 198.51.100.1\r\n"
					     "a=candidate:1 1 UDP 2130706431 198.51.100.2 4000 typ host\r\n" AVP
					     "c=IN IP6 2001:db8::1\r\nc=IN IP4 media.example.com\r\n");
	struct sdp_address address;
	unsigned section = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		assert_true(sdp_address_next(&rest, &section, &address));
		assert_int_equal(address.section, expected[i].section);
		assert_int_equal(address.origin, expected[i].origin);
		assert_true(span_equal(address.text, span_of(expected[i].text)));
		assert_int_equal(address.numeric, expected[i].numeric);
	}
	assert_false(sdp_address_next(&rest, &section, &address));
}

static void test_ipv4_addresses_are_mapped(void **state)
{
	struct span rest = SPAN_LIT("v=0\r\nc=IN IP4 192.0.2.1\r\n");
	struct sdp_address address;
	unsigned section = 0;
	(void)state;
	assert_true(sdp_address_next(&rest, &section, &address));
	assert_memory_equal(address.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
}

static void test_removal_works_in_place_and_keeps_to_its_room(void **state)
{
	struct srtp_policy policy = policy_of(SRTP_OPTIONAL);
	char sdp[] = HEAD SAVP WEAK GOOD BARE "a=ptime:20\r\n";
	const char expected[] = HEAD SAVP GOOD "a=ptime:20\r\n";
	(void)state;
	assert_int_equal(sdp_remove_suites(span_of(sdp), &policy, sdp, sizeof(expected) - 2), -ENOSPC);
	strcpy(sdp, HEAD SAVP WEAK GOOD BARE "a=ptime:20\r\n");
	long length = sdp_remove_suites(span_of(sdp), &policy, sdp, sizeof(expected) - 1);
	assert_int_equal(length, sizeof(expected) - 1);
	assert_memory_equal(sdp, expected, sizeof(expected) - 1);
}

static void test_every_reason_has_its_words(void **state)
{
	(void)state;
	for (int reason = 0; reason < SDP_REASONS; reason++) {
		verdict = (struct sdp_verdict){.reason = (enum sdp_reason)reason};
		assert_non_null(sdp_reason_name(verdict.reason));
		assert_true(strlen(text()) > 0);
		assert_true(sdp_warning_code(verdict.reason) == 304 || sdp_warning_code(verdict.reason) == 399);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_savp_needs_an_allowed_suite),
		cmocka_unit_test(test_plain_is_refused_only_where_srtp_is_required),
		cmocka_unit_test(test_srtp_is_refused_where_it_is_forbidden),
		cmocka_unit_test(test_keys_on_rtp_avp_secure_it),
		cmocka_unit_test(test_keys_on_rtp_avp_are_removed_where_srtp_is_forbidden),
		cmocka_unit_test(test_dtls_needs_a_fingerprint_of_the_section_or_the_session),
		cmocka_unit_test(test_a_fingerprint_counts_with_a_role_only),
		cmocka_unit_test(test_without_allowed_profiles_dtls_is_refused_and_removed),
		cmocka_unit_test(test_rejected_sections_are_not_judged_but_bundled_ones_are),
		cmocka_unit_test(test_keys_at_session_level_count_for_nothing_and_are_removed),
		cmocka_unit_test(test_a_key_line_must_be_one_that_rtpengine_reads),
		cmocka_unit_test(test_what_has_been_secured_is_kept_so),
		cmocka_unit_test(test_key_length_is_that_of_the_suite),
		cmocka_unit_test(test_lenient_spellings_of_crypto_are_found),
		cmocka_unit_test(test_lenient_spellings_of_crypto_are_no_key),
		cmocka_unit_test(test_what_can_be_read_in_two_ways_is_unreadable),
		cmocka_unit_test(test_ends_of_lines_may_be_lf_and_the_last_may_lack),
		cmocka_unit_test(test_profiles_are_known_by_their_end),
		cmocka_unit_test(test_sections_have_a_limit),
		cmocka_unit_test(test_connection_of_a_section_is_its_own_or_the_sessions),
		cmocka_unit_test(test_addresses_are_found_wherever_media_could_be_sent),
		cmocka_unit_test(test_ipv4_addresses_are_mapped),
		cmocka_unit_test(test_removal_works_in_place_and_keeps_to_its_room),
		cmocka_unit_test(test_every_reason_has_its_words),
	};
	return cmocka_run_group_tests_name("sdp", tests, NULL, NULL);
}
