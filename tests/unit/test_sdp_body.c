/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "sdp_body.h"

#define PART         "--b\r\nContent-Type: Application/SDP\r\n\r\nv=0\r\n"
#define HIDDEN(type) "--b\r\nContent-Type: " type "\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n"
#define OTHER        "--b\r\nContent-Type: text/plain\r\n\r\nABC\r\n"

static const struct {
	const char *type, *body;
	enum sdp_body kind;
} cases[] = {
	{"application/sdp", "", SDP_BODY_NONE},
	{"application/sdp", "v=0", SDP_BODY_OPEN},
	{" Application/SDP ; charset=x", "v=0", SDP_BODY_OPEN},
	{"application/sdp, text/plain", "v=0", SDP_BODY_BAD},
	{"application/sdp2", "v=0", SDP_BODY_BAD},
	{"text/sdp", "v=0", SDP_BODY_BAD},
	{"", "v=0", SDP_BODY_BAD},
	{"application/isup", "v=0", SDP_BODY_NONE},
	{"multipart/mixed;boundary=b", PART OTHER "--b--", SDP_BODY_OPEN},
	{"MultiPart/Mixed", PART, SDP_BODY_OPEN},
	{"multipart/mixed;boundary=b", PART PART "--b--", SDP_BODY_BAD},
	{"multipart/mixed;boundary=b", OTHER "--b--", SDP_BODY_NONE},
	{"multipart/mixed;boundary=b", "--b\r\nContent-Type: application/ sdp\r\n\r\nv=0\r\n--b--", SDP_BODY_BAD},
	{"multipart/mixed;boundary=b", HIDDEN("application / sdp"), SDP_BODY_BAD},
	{"multipart/mixed;boundary=b", HIDDEN("Application\t/\r\n SDP;x=y"), SDP_BODY_BAD},
	{"multipart/mixed;boundary=b", HIDDEN("application/ sdp") PART, SDP_BODY_BAD},
	{"multipart/mixed;boundary=b", HIDDEN("application / pdf"), SDP_BODY_NONE},
	{"multipart/mixed;boundary=b", "--b\r\n\r\ns=-\nm=audio 9 RTP/AVP 8\r\n--b--", SDP_BODY_BAD},
	{"multipart/alternative;boundary=b", PART, SDP_BODY_BAD},
	{"multipart/signed", PART, SDP_BODY_BAD},
	{"multipart/mixedx", PART, SDP_BODY_BAD},
	{"x/y, multipart/mixed", PART, SDP_BODY_BAD},
};

static void test_kind_of_each_body(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].type);
		assert_int_equal(sdp_body_kind(span_of(cases[i].type), span_of(cases[i].body)), cases[i].kind);
	}
}

static void test_sdp_after_a_zero_byte_is_seen(void **state)
{
	static const char body[] = "\0--b\r\nContent-Type: application/sdp\r\n\r\nv=0";

	(void)state;
	assert_int_equal(sdp_body_kind(SPAN_LIT("multipart/related"), (struct span){body, sizeof(body) - 1}),
			 SDP_BODY_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kind_of_each_body),
		cmocka_unit_test(test_sdp_after_a_zero_byte_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
