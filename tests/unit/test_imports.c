/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "imports.h"

static const char *next_of(void *program, size_t *position)
{
	const char *const *names = program;
	return names[*position] ? names[(*position)++] : NULL;
}

static const char *const of_10_5[] = {"malloc", "recvmsg",   "sendmsg", "bind", "SSL_CTX_set_tlsext_use_srtp",
				      "sendto", "pcre_exec", "send",    NULL};
static const char *const of_12_5[] = {
	"recvmsg", "sendmsg", "bind", "SSL_CTX_set_tlsext_use_srtp", "sendto", "io_uring_submit_and_get_events", NULL};

static char text[IMPORTS_TEXT_MAX];

static int check(const char *const *names, enum ng_version *version)
{
	return imports_check(next_of, (void *)names, version, text);
}

static void test_each_version_is_known_by_its_imports(void **state)
{
	enum ng_version version;
	(void)state;
	assert_int_equal(check(of_10_5, &version), 0);
	assert_int_equal(version, NG_10_5);
	assert_int_equal(check(of_12_5, &version), 0);
	assert_int_equal(version, NG_12_5);
}

static void test_a_missing_import_is_named(void **state)
{
	enum ng_version version;
	const char *names[8];
	(void)state;
	for (size_t left_out = 1; left_out < 5; left_out++) {
		size_t count = 0;
		for (size_t i = 0; of_10_5[i]; i++)
			if (i != left_out)
				names[count++] = of_10_5[i];
		names[count] = NULL;
		assert_int_equal(check(names, &version), -ENOTSUP);
		assert_non_null(strstr(text, of_10_5[left_out]));
	}
}

static void test_an_additional_import_is_named(void **state)
{
	static const char *const extra[] = {"recvmmsg", "recv", "recvfrom", "sendmmsg", "__recvfrom_chk", "syscall"};
	enum ng_version version;
	const char *names[8];
	(void)state;
	for (size_t i = 0; i < sizeof(extra) / sizeof(*extra); i++) {
		memcpy(names, of_12_5, sizeof(of_12_5));
		names[6] = extra[i];
		names[7] = NULL;
		assert_int_equal(check(names, &version), -ENOTSUP);
		assert_non_null(strstr(text, extra[i]));
	}
}

static void test_a_relay_is_known_by_what_it_imports(void **state)
{
	static const char *const openssl[] = {"malloc", "SSL_CTX_set_tlsext_use_srtp", "recv", NULL};
	static const char *const unknown[] = {"bind", "recvmmsg", "SSL_CTX_set_tlsext_use_srtp", NULL};
	static const char *const server[] = {"bind", "recvmsg", "sendmsg", NULL};
	(void)state;
	assert_true(imports_are_relay(next_of, (void *)of_10_5));
	assert_true(imports_are_relay(next_of, (void *)of_12_5));
	assert_true(imports_are_relay(next_of, (void *)unknown));
	assert_false(imports_are_relay(next_of, (void *)openssl));
	assert_false(imports_are_relay(next_of, (void *)server));
	assert_false(imports_are_relay_self());
}

static void test_this_program_is_no_rtpengine(void **state)
{
	enum ng_version version;
	(void)state;
	assert_int_equal(imports_check_self(&version, text), -ENOTSUP);
	assert_non_null(strstr(text, "does not import bind"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_version_is_known_by_its_imports),
		cmocka_unit_test(test_a_missing_import_is_named),
		cmocka_unit_test(test_an_additional_import_is_named),
		cmocka_unit_test(test_a_relay_is_known_by_what_it_imports),
		cmocka_unit_test(test_this_program_is_no_rtpengine),
	};
	return cmocka_run_group_tests_name("imports", tests, NULL, NULL);
}
