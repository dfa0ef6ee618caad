/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "srtp_suite.h"

static uint32_t set_of(const char *names)
{
	uint32_t set = 0;
	assert_int_equal(srtp_suites_parse(span_of(names), &set, NULL), 0);
	return set;
}

static void test_no_name_is_the_default(void **state)
{
	uint32_t set;
	(void)state;
	assert_int_equal(set_of(""), srtp_suites_default());
	assert_int_equal(set_of(" \t"), srtp_suites_default());
	assert_int_equal(set_of("AES_CM_128_HMAC_SHA1_80"), srtp_suites_default());
	assert_int_equal(srtp_profiles_parse(SPAN_LIT(""), &set, NULL), 0);
	assert_int_equal(set, srtp_profiles_default());
	assert_int_equal(srtp_profiles_parse(SPAN_LIT("SRTP_AES128_CM_HMAC_SHA1_80"), &set, NULL), 0);
	assert_int_equal(set, srtp_profiles_default());
}

static void test_names_are_separated_by_space_comma_or_semicolon(void **state)
{
	char text[SRTP_NAMES_MAX];
	uint32_t set = set_of(" AEAD_AES_128_GCM,AES_CM_128_HMAC_SHA1_80;aes_256_cm_hmac_sha1_80\tAEAD_AES_128_GCM ");
	(void)state;
	srtp_suites_print(set, " ", text, sizeof(text));
	assert_string_equal(text, "AES_CM_128_HMAC_SHA1_80 AES_256_CM_HMAC_SHA1_80 AEAD_AES_128_GCM");
}

static void test_all_names_print_and_parse(void **state)
{
	char text[SRTP_NAMES_MAX];
	uint32_t encrypting = 0, all = 0, set;
	(void)state;
	for (unsigned i = 0; srtp_suites[i].name; i++) {
		all |= 1u << i;
		encrypting |= srtp_suites[i].encrypts ? 1u << i : 0;
	}
	assert_true(srtp_suites_print(all, ", ", text, sizeof(text)) < sizeof(text) - 1);
	srtp_suites_print(encrypting, " ", text, sizeof(text));
	assert_int_equal(set_of(text), encrypting);
	srtp_profiles_print(0xf, ";", text, sizeof(text));
	assert_int_equal(srtp_profiles_parse(span_of(text), &set, NULL), 0);
	assert_int_equal(set, 0xf);
}

static void test_suites_that_do_not_encrypt_are_never_allowed(void **state)
{
	static const char *const names[] = {"NULL_HMAC_SHA1_80", "null_hmac_sha1_32"};
	uint32_t set = 7;
	struct span bad;
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char text[64];
		snprintf(text, sizeof(text), "AEAD_AES_128_GCM %s", names[i]);
		assert_int_equal(srtp_suites_parse(span_of(text), &set, &bad), -EPERM);
		assert_true(span_equal(bad, span_of(names[i])));
	}
	assert_int_equal(set, 7);
}

static void test_unknown_names_are_refused_and_named(void **state)
{
	uint32_t set = 7;
	struct span bad;
	(void)state;
	assert_int_equal(srtp_suites_parse(SPAN_LIT("AES_CM_128_HMAC_SHA1_80 AES_CM_128"), &set, &bad), -EINVAL);
	assert_true(span_equal(bad, SPAN_LIT("AES_CM_128")));
	assert_int_equal(srtp_profiles_parse(SPAN_LIT("SRTP_NULL_HMAC_SHA1_80"), &set, &bad), -EINVAL);
	assert_true(span_equal(bad, SPAN_LIT("SRTP_NULL_HMAC_SHA1_80")));
	assert_int_equal(set, 7);
}

static void test_none_is_the_empty_set_of_profiles_and_stands_alone(void **state)
{
	uint32_t set = 7;
	(void)state;
	assert_int_equal(srtp_profiles_parse(SPAN_LIT(" none "), &set, NULL), 0);
	assert_int_equal(set, 0);
	assert_int_equal(srtp_profiles_parse(SPAN_LIT("none SRTP_AEAD_AES_128_GCM"), &set, NULL), -EINVAL);
	assert_int_equal(srtp_profiles_parse(SPAN_LIT("SRTP_AEAD_AES_128_GCM none"), &set, NULL), -EINVAL);
	assert_int_equal(srtp_suites_parse(SPAN_LIT("none"), &set, NULL), -EINVAL);
}

static void test_openssl_gets_its_own_names(void **state)
{
	char text[SRTP_NAMES_MAX];
	(void)state;
	srtp_profiles_openssl(srtp_profiles_default() | 4, text, sizeof(text));
	assert_string_equal(text, "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM");
}

static void test_print_never_writes_past_its_end(void **state)
{
	char text[16];
	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(srtp_suites_print(0xfff, ", ", text, 8), 7);
	assert_string_equal(text, "AES_CM_");
	assert_int_equal(text[8], 'x');
	assert_int_equal(srtp_suites_print(0, ", ", text, 8), 0);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_name_is_the_default),
		cmocka_unit_test(test_names_are_separated_by_space_comma_or_semicolon),
		cmocka_unit_test(test_all_names_print_and_parse),
		cmocka_unit_test(test_suites_that_do_not_encrypt_are_never_allowed),
		cmocka_unit_test(test_unknown_names_are_refused_and_named),
		cmocka_unit_test(test_none_is_the_empty_set_of_profiles_and_stands_alone),
		cmocka_unit_test(test_openssl_gets_its_own_names),
		cmocka_unit_test(test_print_never_writes_past_its_end),
	};
	return cmocka_run_group_tests_name("srtp_suite", tests, NULL, NULL);
}
