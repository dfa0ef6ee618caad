/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "enforcer.h"

#define KEY   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define HEAD  "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define AVP   HEAD "m=audio 4000 RTP/AVP 8\r\n"
#define SAVP  HEAD "m=audio 4000 RTP/SAVP 8\r\n"
#define GOOD  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "\r\n"
#define NAKED "a=crypto:2 NULL_HMAC_SHA1_80 inline:" KEY "\r\n"

static struct enforcer enforcer;
static struct enforcer_room room;
static struct enforcer_outcome outcome;
static char sent[70000];

static int setup(void **state)
{
	(void)state;
	enforcer = (struct enforcer){.version = NG_10_5};
	enforcer.policy = (struct srtp_policy){SRTP_OPTIONAL, srtp_suites_default(), srtp_profiles_default(), 0};
	return 0;
}

struct field {
	const char *key, *text; /* text: "l..." a list of one, written as such */
};

/* A request or reply of these texts; the list ends with a NULL key. */
static struct span datagram(enum ng_format format, const struct field *fields)
{
	struct ng_writer writer;
	ng_write_begin(&writer, format, SPAN_LIT("cookie"), sent, sizeof(sent));
	for (; fields->key; fields++) {
		if (strcmp(fields->key, "flags") != 0 && strcmp(fields->key, "from-tags") != 0) {
			ng_write_text(&writer, span_of(fields->key), span_of(fields->text));
			continue;
		}
		ng_write_list_begin(&writer, span_of(fields->key), NULL);
		ng_write_list_text(&writer, span_of(fields->text));
		ng_write_list_end(&writer);
	}
	long length = ng_write_end(&writer);
	assert_true(length > 0);
	return (struct span){sent, (size_t)length};
}

#define FIELDS(...) ((const struct field[]){__VA_ARGS__, {0}})

static enum enforcer_action request(enum ng_format format, const struct field *fields)
{
	enforcer_request(&enforcer, datagram(format, fields), NG_DATAGRAM_MAX, &room, &outcome);
	return outcome.action;
}

static enum enforcer_action reply(const struct field *fields)
{
	enforcer_reply(&enforcer, datagram(NG_BENCODE, fields), &room, &outcome);
	return outcome.action;
}

/* A text of the outcome's datagram. */
static const char *text_of(const char *key)
{
	static struct ng_message message;
	static char decoded[65536], text[65536];
	struct span found;
	assert_int_equal(ng_read(outcome.datagram, &message), 0);
	assert_true(span_equal(message.cookie, SPAN_LIT("cookie")));
	if (ng_text(message.format, ng_find(&message, key), decoded, sizeof(decoded), &found))
		return NULL;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(found));
	return text;
}

static bool holds(const char *text)
{
	return memmem(outcome.datagram.ptr, outcome.datagram.len, text, strlen(text)) != NULL;
}

static void test_excluded_lines_are_taken_out_and_flags_put_in(void **state)
{
	(void)state;
	for (int format = NG_BENCODE; format <= NG_JSON; format++) {
		assert_int_equal(
			request((enum ng_format)format, FIELDS({"command", "offer"}, {"call-id", "x"},
							       {"flags", "trust-address"}, {"sdp", SAVP NAKED GOOD})),
			ENFORCER_CHANGED);
		assert_string_equal(text_of("sdp"), SAVP GOOD);
		assert_string_equal(text_of("command"), "offer");
		assert_true(holds("trust-address"));
		assert_true(holds("SDES-no-NULL_HMAC_SHA1_80"));
		assert_true(holds("SDES-no-AES_CM_128_HMAC_SHA1_32"));
		assert_false(holds("SDES-no-AES_CM_128_HMAC_SHA1_80"));
		assert_true(span_equal(outcome.call_id, SPAN_LIT("x")));
	}
}

static void test_flags_are_added_where_none_came(void **state)
{
	(void)state;
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", AVP})), ENFORCER_CHANGED);
	assert_true(holds("SDES-no-NULL_HMAC_SHA1_80"));
	assert_string_equal(text_of("sdp"), AVP);
}

static void test_sdp_without_an_allowed_suite_is_refused(void **state)
{
	static const char *const commands[] = {"offer", "answer", "publish", "subscribe answer"};
	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		assert_int_equal(request(NG_BENCODE, FIELDS({"command", commands[i]}, {"sdp", SAVP NAKED})),
				 ENFORCER_REFUSED);
		assert_int_equal(outcome.reason, SDP_NO_ALLOWED_SUITE);
		assert_string_equal(text_of("result"), "error");
		assert_string_equal(text_of("error-reason"),
				    "srtp_enforcer: media section 1: no allowed SRTP suite; has NULL_HMAC_SHA1_80");
	}
	assert_int_equal(request(NG_JSON, FIELDS({"command", "offer"}, {"SDP", SAVP})), ENFORCER_REFUSED);
	assert_string_equal(text_of("result"), "error");
	assert_int_equal(outcome.datagram.ptr[7], '{');
}

static void test_commands_pass_or_are_refused_as_the_table_says(void **state)
{
	static const char *const pass[] = {"ping",       "delete",         "query",      "list",
					   "statistics", "stop recording", "block media"};
	static const char *const limited[] = {
		"start recording", "start forwarding", "inject start", "cli",  "pause recording",
		"transform",       "create",           "something",    "Ping", "offers"};
	(void)state;
	for (size_t i = 0; i < sizeof(pass) / sizeof(*pass); i++) {
		assert_int_equal(request(NG_BENCODE, FIELDS({"command", pass[i]}, {"call-id", "x"})), ENFORCER_PASS);
		assert_ptr_equal(outcome.datagram.ptr, sent);
	}
	for (size_t i = 0; i < sizeof(limited) / sizeof(*limited); i++) {
		assert_int_equal(request(NG_BENCODE, FIELDS({"command", limited[i]})), ENFORCER_REFUSED);
		assert_int_equal(outcome.reason, ENFORCER_COMMAND);
	}
	enforcer.version = NG_12_5;
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "pause recording"})), ENFORCER_PASS);
}

static void test_a_command_is_allowed_by_its_name(void **state)
{
	(void)state;
	enforcer.allow = SPAN_LIT("listen-http; start recording , something");
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "start recording"})), ENFORCER_PASS);
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "something"})), ENFORCER_PASS);
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "start forwarding"})), ENFORCER_REFUSED);
	enforcer.allow = SPAN_LIT("transform");
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "transform"}, {"sdp", SAVP NAKED})), ENFORCER_REFUSED);
	assert_int_equal(outcome.reason, SDP_NO_ALLOWED_SUITE);
}

static void test_recording_by_a_flag_is_recording(void **state)
{
	(void)state;
	static const struct field forms[][2] = {
		{{"record-call", "yes"}},
		{{"record call", "on"}},
		{{"flags", "record-call"}},
		{{"flags", "record call"}},
		{{"flags", "record-call=yes"}},
		{{"rtpp-flags", "a record-call b"}},
		{{"flags", "recording-vsc"}},
		{{"flags", "recording-VSC"}},
		{{"rtpp-flags", "a Recording-VSC"}},
		{{"vsc-start-rec", "*1"}},
		{{"VSC-start-stop-recording", "*1"}},
	};
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		enforcer.allow = SPAN_LIT("");
		assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", AVP}, forms[i][0])),
				 ENFORCER_REFUSED);
		assert_int_equal(outcome.reason, ENFORCER_RECORDING);
		enforcer.allow = SPAN_LIT("start-recording");
		assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", AVP}, forms[i][0])),
				 ENFORCER_CHANGED);
	}
	enforcer.allow = SPAN_LIT("");
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", AVP}, {"record-call", "off"})),
			 ENFORCER_CHANGED);
}

static void test_a_flag_that_logs_keys_is_refused(void **state)
{
	static const struct field forms[] = {{"flags", "debug"},
					     {"flags", "debugging"},
					     {"rtpp-flags", "a debug"},
					     {"debug", "on"},
					     {"debugging", "1"}};
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		enforcer.allow = SPAN_LIT("");
		assert_int_equal(request(NG_JSON, FIELDS({"command", "offer"}, {"sdp", AVP}, forms[i])),
				 ENFORCER_REFUSED);
		assert_int_equal(outcome.reason, ENFORCER_DEBUG);
		enforcer.allow = SPAN_LIT("debug");
		assert_int_equal(request(NG_JSON, FIELDS({"command", "offer"}, {"sdp", AVP}, forms[i])),
				 ENFORCER_CHANGED);
	}
	enforcer.allow = SPAN_LIT("");
	assert_int_equal(request(NG_JSON, FIELDS({"command", "offer"}, {"sdp", AVP}, {"flags", "no-debug"})),
			 ENFORCER_CHANGED);
}

static void test_a_copy_of_a_call_is_srtp(void **state)
{
	(void)state;
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "subscribe request"})), ENFORCER_CHANGED);
	assert_string_equal(text_of("transport-protocol"), "RTP/SAVP");
	assert_int_equal(request(NG_BENCODE,
				 FIELDS({"command", "subscribe request"}, {"transport protocol", "UDP/TLS/RTP/SAVPF"})),
			 ENFORCER_CHANGED);
	assert_int_equal(
		request(NG_BENCODE, FIELDS({"command", "subscribe request"}, {"transport-protocol", "RTP/AVP"})),
		ENFORCER_REFUSED);
	assert_int_equal(outcome.reason, ENFORCER_PLAIN_COPY);
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "subscribe answer"}, {"sdp", AVP})), ENFORCER_REFUSED);
	assert_int_equal(outcome.reason, SDP_PLAIN);
	assert_int_equal(reply(FIELDS({"result", "ok"}, {"from-tags", "a"}, {"sdp", AVP})), ENFORCER_REFUSED);
	enforcer.allow = SPAN_LIT("plain subscribe");
	assert_int_equal(
		request(NG_BENCODE, FIELDS({"command", "subscribe request"}, {"transport-protocol", "RTP/AVP"})),
		ENFORCER_CHANGED);
	assert_int_equal(reply(FIELDS({"result", "ok"}, {"from-tags", "a"}, {"sdp", AVP})), ENFORCER_PASS);
}

static void test_without_profiles_dtls_is_switched_off(void **state)
{
	(void)state;
	enforcer.policy.profiles = 0;
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", AVP}, {"dtls", "passive"})),
			 ENFORCER_CHANGED);
	assert_string_equal(text_of("DTLS"), "off");
}

#define TLS HEAD "m=audio 4000 UDP/TLS/RTP/SAVP 8\r\n"
#define FINGERPRINT                                                                                                    \
	"a=setup:active\r\na=fingerprint:sha-1 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\r\n"

static uint32_t set_of(const char *names)
{
	uint32_t set;
	assert_int_equal(srtp_profiles_parse(span_of(names), &set, NULL), 0);
	return set;
}

static void test_profiles_of_a_request_narrow_those_of_the_policy(void **state)
{
	static const struct {
		const char *key, *named, *left;
	} rows[] = {
		{"dtls-profiles", "SRTP_AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM"},
		{"DTLS profiles", "SRTP_AES128_CM_HMAC_SHA1_32,SRTP_AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM"},
		{"DTLS_Profiles", "SRTP_AEAD_AES_256_GCM;SRTP_AEAD_AES_128_GCM",
		 "SRTP_AEAD_AES_256_GCM SRTP_AEAD_AES_128_GCM"},
		{"x", "SRTP_AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM SRTP_AEAD_AES_128_GCM"},
	};
	(void)state;
	enforcer.policy.profiles = set_of("SRTP_AEAD_AES_256_GCM SRTP_AEAD_AES_128_GCM");
	for (int format = NG_BENCODE; format <= NG_JSON; format++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			assert_int_equal(
				request((enum ng_format)format, FIELDS({"command", "answer"}, {"sdp", TLS FINGERPRINT},
								       {rows[i].key, rows[i].named})),
				ENFORCER_CHANGED);
			assert_int_equal(outcome.profiles, set_of(rows[i].left));
			assert_null(text_of("dtls-profiles"));
			assert_null(text_of("DTLS"));
		}
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "ping"}, {"dtls-profiles", "none"})), ENFORCER_PASS);
	assert_int_equal(outcome.profiles, enforcer.policy.profiles);
}

static void test_a_request_without_a_profile_left_is_as_if_there_were_none(void **state)
{
	static const char *const named[] = {"none", "SRTP_AEAD_AES_128_GCM"};
	(void)state;
	for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++) {
		assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", SAVP GOOD FINGERPRINT},
							    {"dtls-profiles", named[i]})),
				 ENFORCER_CHANGED);
		assert_int_equal(outcome.profiles, 0);
		assert_string_equal(text_of("DTLS"), "off");
		assert_null(strstr(text_of("sdp"), "fingerprint"));
		assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", TLS FINGERPRINT},
							    {"dtls-profiles", named[i]})),
				 ENFORCER_REFUSED);
		assert_int_equal(outcome.reason, SDP_NO_ALLOWED_PROFILE);
	}
}

static void test_profiles_that_could_be_misread_are_refused(void **state)
{
	static const char *const bad[] = {"",
					  ",",
					  ";SRTP_AEAD_AES_256_GCM",
					  " none",
					  "SRTP_AEAD_AES_256",
					  "none,none",
					  "SRTP_AES128_CM_SHA1_80",
					  "none;SRTP_AEAD_AES_256_GCM",
					  "SRTP_AES128_CM_HMAC_SHA1_80,SRTP_NULL_SHA1_80"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(request(i & 1 ? NG_JSON : NG_BENCODE,
					 FIELDS({"command", "offer"}, {"sdp", AVP}, {"dtls-profiles", bad[i]})),
				 ENFORCER_REFUSED);
		assert_int_equal(outcome.reason, ENFORCER_DTLS);
		assert_non_null(strstr(text_of("error-reason"), "dtls-profiles is no list of known profiles"));
	}
	static const char *const wrong[] = {
		"cookie d7:command5:offer13:dtls-profilesl4:noneee",
		"cookie d7:command5:offer13:dtls-profilesi1ee",
		"cookie d7:command5:offer5:flagsl18:dtls-profiles=noneee",
		"cookie d7:command5:offer10:rtpp-flags27:RTP/AVP  dtls profiles=nonee",
		"cookie {\"command\":\"offer\",\"dtls-profiles\":[\"none\"]}",
		"cookie d7:command5:offer12:fingerprints0:e",
		"cookie d7:command5:offer12:fingerprints3:offe",
		"cookie d7:command5:offer12:fingerprintsi1ee",
		"cookie d7:command5:offer5:flagsl19:fingerprints=removeee",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		enforcer_request(&enforcer, span_of(wrong[i]), NG_DATAGRAM_MAX, &room, &outcome);
		assert_int_equal(outcome.action, ENFORCER_REFUSED);
		assert_int_equal(outcome.reason, ENFORCER_DTLS);
	}
}

static void test_fingerprints_of_a_sender_without_dtls_are_taken_out(void **state)
{
	(void)state;
	for (int format = NG_BENCODE; format <= NG_JSON; format++) {
		assert_int_equal(
			request((enum ng_format)format, FIELDS({"command", "answer"}, {"sdp", SAVP GOOD FINGERPRINT},
							       {"Fingerprints", "remove"})),
			ENFORCER_CHANGED);
		assert_string_equal(text_of("sdp"), SAVP GOOD "a=setup:active\r\n");
		assert_null(text_of("fingerprints"));
		assert_null(text_of("DTLS"));
		assert_int_equal(outcome.profiles, enforcer.policy.profiles);
		assert_int_equal(request((enum ng_format)format, FIELDS({"command", "answer"}, {"sdp", TLS FINGERPRINT},
									{"fingerprints", "remove"})),
				 ENFORCER_REFUSED);
		assert_int_equal(outcome.reason, SDP_NO_ALLOWED_PROFILE);
	}
}

static void test_replies_may_hold_nothing_excluded(void **state)
{
	(void)state;
	assert_int_equal(reply(FIELDS({"result", "ok"}, {"sdp", SAVP GOOD})), ENFORCER_PASS);
	assert_int_equal(reply(FIELDS({"result", "ok"}, {"sdp", AVP})), ENFORCER_PASS);
	assert_int_equal(reply(FIELDS({"result", "pong"})), ENFORCER_PASS);
	assert_int_equal(reply(FIELDS({"result", "ok"}, {"sdp", SAVP GOOD NAKED})), ENFORCER_REFUSED);
	assert_int_equal(outcome.reason, SDP_NO_ALLOWED_SUITE);
	assert_int_equal(reply(FIELDS({"result", "ok"}, {"sdp", SAVP})), ENFORCER_REFUSED);
	assert_int_equal(outcome.reason, SDP_NO_KEY);
	assert_string_equal(text_of("result"), "error");
	enforcer_reply(&enforcer, SPAN_LIT("cookie d6:result2:ok"), &room, &outcome);
	assert_int_equal(outcome.action, ENFORCER_REFUSED);
}

static void test_what_cannot_be_read_is_refused_or_left_to_rtpengine(void **state)
{
	(void)state;
	enforcer_request(&enforcer, SPAN_LIT("cookie d7:command5:offer"), NG_DATAGRAM_MAX, &room, &outcome);
	assert_int_equal(outcome.action, ENFORCER_REFUSED);
	assert_int_equal(outcome.reason, ENFORCER_UNREADABLE);
	enforcer_request(&enforcer, SPAN_LIT("cookie d3:sdp0:e"), NG_DATAGRAM_MAX, &room, &outcome);
	assert_int_equal(outcome.reason, ENFORCER_UNREADABLE);
	enforcer_request(&enforcer, SPAN_LIT("cookie d7:command5:offer5:flags1:a3:sdp0:e"), NG_DATAGRAM_MAX, &room,
			 &outcome);
	assert_int_equal(outcome.reason, ENFORCER_UNREADABLE);
	enforcer_request(&enforcer, SPAN_LIT("cookie d7:command5:offer3:sdpi1ee"), NG_DATAGRAM_MAX, &room, &outcome);
	assert_int_equal(outcome.reason, ENFORCER_UNREADABLE);
	enforcer_request(&enforcer, SPAN_LIT("nocookie"), NG_DATAGRAM_MAX, &room, &outcome);
	assert_int_equal(outcome.action, ENFORCER_PASS);
}

static void test_a_request_that_cannot_grow_is_refused(void **state)
{
	static char sdp[65536];
	(void)state;
	strcpy(sdp, AVP "a=x:");
	memset(sdp + strlen(sdp), 'x', 65000 - strlen(sdp));
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", sdp})), ENFORCER_CHANGED);
	memset(sdp + strlen(sdp), 'x', 65400 - strlen(sdp));
	assert_int_equal(request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", sdp})), ENFORCER_REFUSED);
	assert_int_equal(outcome.reason, ENFORCER_TOO_LARGE);
	assert_string_equal(text_of("result"), "error");
}

static void test_a_refusal_never_holds_a_key(void **state)
{
	(void)state;
	request(NG_BENCODE, FIELDS({"command", "offer"}, {"sdp", SAVP NAKED}));
	assert_false(holds(KEY));
	reply(FIELDS({"result", "ok"}, {"sdp", SAVP NAKED}));
	assert_false(holds(KEY));
}

static void test_delete_ends_the_call_at_once(void **state)
{
	char out[128];
	(void)state;
	long length = enforcer_delete(SPAN_LIT("k"), SPAN_LIT("id"), out, sizeof(out));
	assert_int_equal(length, strlen("k d7:command6:delete7:call-id2:id12:delete-delayi0ee"));
	assert_memory_equal(out, "k d7:command6:delete7:call-id2:id12:delete-delayi0ee", (size_t)length);
}

static void test_statistics_are_answered_in_the_format_of_the_question(void **state)
{
	static const struct enforcer_counter counters[] = {{"requests", 7}, {0}};
	(void)state;
	assert_int_equal(request(NG_JSON, FIELDS({"command", "srtp-enforcer statistics"})), ENFORCER_STATISTICS);
	enforcer_statistics(counters, &room, &outcome);
	assert_true(span_equal(outcome.datagram, SPAN_LIT("cookie {\"result\":\"ok\",\"requests\":7}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_excluded_lines_are_taken_out_and_flags_put_in, setup),
		cmocka_unit_test_setup(test_flags_are_added_where_none_came, setup),
		cmocka_unit_test_setup(test_sdp_without_an_allowed_suite_is_refused, setup),
		cmocka_unit_test_setup(test_commands_pass_or_are_refused_as_the_table_says, setup),
		cmocka_unit_test_setup(test_a_command_is_allowed_by_its_name, setup),
		cmocka_unit_test_setup(test_recording_by_a_flag_is_recording, setup),
		cmocka_unit_test_setup(test_a_flag_that_logs_keys_is_refused, setup),
		cmocka_unit_test_setup(test_a_copy_of_a_call_is_srtp, setup),
		cmocka_unit_test_setup(test_without_profiles_dtls_is_switched_off, setup),
		cmocka_unit_test_setup(test_profiles_of_a_request_narrow_those_of_the_policy, setup),
		cmocka_unit_test_setup(test_a_request_without_a_profile_left_is_as_if_there_were_none, setup),
		cmocka_unit_test_setup(test_profiles_that_could_be_misread_are_refused, setup),
		cmocka_unit_test_setup(test_fingerprints_of_a_sender_without_dtls_are_taken_out, setup),
		cmocka_unit_test_setup(test_replies_may_hold_nothing_excluded, setup),
		cmocka_unit_test_setup(test_what_cannot_be_read_is_refused_or_left_to_rtpengine, setup),
		cmocka_unit_test_setup(test_a_request_that_cannot_grow_is_refused, setup),
		cmocka_unit_test_setup(test_a_refusal_never_holds_a_key, setup),
		cmocka_unit_test_setup(test_delete_ends_the_call_at_once, setup),
		cmocka_unit_test_setup(test_statistics_are_answered_in_the_format_of_the_question, setup),
	};
	return cmocka_run_group_tests_name("enforcer", tests, NULL, NULL);
}
