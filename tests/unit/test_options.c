/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "options.h"

static struct options options;

static int setup(void **state)
{
	(void)state;
	options_init(&options);
	return options_file(&options, SPAN_LIT("[rtpengine]\nlog-level-control = 3\n"));
}

#define ARGUMENTS(...) options_arguments(&options, (char *const[]){__VA_ARGS__, NULL})

static int file(const char *text)
{
	return options_file(&options, span_of(text));
}

static void test_listen_ng_is_found_in_each_form_of_the_command_line(void **state)
{
	(void)state;
	assert_int_equal(ARGUMENTS("--listen-ng=127.0.0.1:1001", "--listen-ng", "[::1]:1002", "-n", "1003", "-n1004",
				   "-fEn", "host:1005", "-L", "6", "-fL6", "--", "-n", "9"),
			 0);
	assert_int_equal(options.ng_count, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(options.ng[i].port, 1001 + i);
	assert_true(options.log_stderr);
	assert_int_equal(options_check(&options), 0);
}

static void test_listen_ng_is_found_in_the_file(void **state)
{
	(void)state;
	assert_int_equal(file("# a remark\n[other]\nlisten-ng=1\n\n[rtpengine]\n  listen-ng = 127.0.0.1:1001 ; "
			      "[::1]:1002;\r\nport-min = 2000\nport-max=3000\n"),
			 0);
	assert_int_equal(options.ng_count, 2);
	assert_int_equal(options.ng[1].port, 1002);
	assert_int_equal(options.port_max, 3000);
	assert_int_equal(options_check(&options), 0);
}

static void test_the_section_may_have_another_name(void **state)
{
	(void)state;
	assert_int_equal(ARGUMENTS("--config-section=media-1", "--config-file", "/x"), 0);
	assert_string_equal(options.config_file, "/x");
	assert_int_equal(file("[rtpengine]\nlisten-ng=1001\n[media-1]\nlisten-ng=1002\n"), 0);
	assert_int_equal(options.ng_count, 1);
	assert_int_equal(options.ng[0].port, 1002);
}

static void test_other_doors_are_refused_unless_allowed(void **state)
{
	static const char *const doors[] = {"listen-tcp-ng", "listen-http", "listen-https", "listen-udp", "listen-tcp"};
	char text[128];
	(void)state;
	for (size_t i = 0; i < sizeof(doors) / sizeof(*doors); i++) {
		for (int allowed = 0; allowed < 2; allowed++) {
			setup(NULL);
			snprintf(text, sizeof(text),
				 "[rtpengine]\nlisten-ng=1001\n%s = 1002\n[srtp-enforcer]\nallow = x, %s\n", doors[i],
				 allowed ? doors[i] : "y");
			assert_int_equal(file(text), 0);
			assert_int_equal(options_check(&options), allowed ? 0 : -EINVAL);
			assert_true(allowed || strstr(options.error, doors[i]));
		}
	}
	setup(NULL);
	assert_int_equal(ARGUMENTS("-n", "1001", "-fu", "1002"), 0);
	assert_int_equal(options_check(&options), -EINVAL);
	assert_non_null(strstr(options.error, "listen-udp"));
}

static void test_options_that_log_keys_are_refused_unless_allowed(void **state)
{
	static const struct {
		const char *text, *allow;
	} loud[] = {{"log-srtp-keys = true", "log-srtp-keys"},
		    {"debug-srtp=1", "debug-srtp"},
		    {"log-level-control = 4", "log-level-control"},
		    {"log-level = 7", "log-level-control"},
		    {"log-level-srtp = 7", "log-level-control"}};
	char text[128];
	(void)state;
	for (size_t i = 0; i < sizeof(loud) / sizeof(*loud); i++)
		for (int allowed = 0; allowed < 2; allowed++) {
			setup(NULL);
			snprintf(text, sizeof(text), "[rtpengine]\nlisten-ng=1001\n%s\n[srtp-enforcer]\nallow=%s\n",
				 loud[i].text, allowed ? loud[i].allow : "");
			assert_int_equal(file(text), 0);
			assert_int_equal(options_check(&options), allowed ? 0 : -EINVAL);
		}
}

static void test_the_log_levels_are_understood(void **state)
{
	static const struct {
		const char *text;
		bool quiet;
	} levels[] = {{"", false},
		      {"log-level=3", true},
		      {"log-level=4", false},
		      {"log-level=3\nlog-level-control=0", true},
		      {"log-level-control=3", true},
		      {"log-level=7\nlog-level-control=2", false},
		      {"log-level=7\nlog-level-control=2\nlog-level-srtp=6", true},
		      {"log-srtp-keys=false\nlog-level-control=3", true}};
	char text[128];
	(void)state;
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		options_init(&options);
		snprintf(text, sizeof(text), "[rtpengine]\nlisten-ng=1001\n%s\n", levels[i].text);
		assert_int_equal(file(text), 0);
		assert_int_equal(options_check(&options), levels[i].quiet ? 0 : -EINVAL);
	}
	options_init(&options);
	assert_int_equal(ARGUMENTS("-n", "1001", "-L3", "-fF"), 0);
	assert_int_equal(options_check(&options), -EINVAL);
	assert_non_null(strstr(options.error, "log-srtp-keys"));
	assert_int_equal(ARGUMENTS("--log-level-control", "x"), -EINVAL);
}

static void test_our_section_is_read(void **state)
{
	(void)state;
	assert_int_equal(file("[srtp-enforcer]\nsuites = A B\ndtls-profiles= none \nallow=start recording\n"), 0);
	assert_string_equal(options.suites, "A B");
	assert_string_equal(options.profiles, "none");
	assert_string_equal(options.allow, "start recording");
	assert_int_equal(file("[srtp-enforcer]\nsuite = A\n"), -EINVAL);
	assert_non_null(strstr(options.error, "suite"));
}

static void test_nothing_to_guard_is_refused(void **state)
{
	(void)state;
	assert_int_equal(options_check(&options), -EINVAL);
	assert_int_equal(ARGUMENTS("--listen-ng=127.0.0.1:0"), -EINVAL);
	assert_int_equal(ARGUMENTS("--listen-ng=127.0.0.1:ng"), -EINVAL);
	assert_int_equal(ARGUMENTS("--listen-ng"), 0);
}

static void test_ng_among_the_media_ports_needs_an_address(void **state)
{
	(void)state;
	assert_int_equal(ARGUMENTS("-n", "35000"), 0);
	assert_int_equal(options_check(&options), -EINVAL);
	assert_int_equal(ARGUMENTS("-m", "40000", "-M", "41000"), 0);
	assert_int_equal(options_check(&options), 0);
	assert_int_equal(ARGUMENTS("-n", "127.0.0.1:40000"), 0);
	assert_int_equal(options_check(&options), 0);
	assert_int_equal(ARGUMENTS("-n", "0.0.0.0:40000"), 0);
	assert_int_equal(options_check(&options), -EINVAL);
}

static void test_a_socket_is_known_by_its_address_and_port(void **state)
{
	static const uint8_t loopback[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1},
			     other[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1}, any4[16] = {[10] = 0xff, 0xff},
			     six[16] = {[15] = 1};
	(void)state;
	assert_int_equal(ARGUMENTS("-n", "127.0.0.1:1001", "-n", "1002", "-n", "[::1]:1003", "-n", "localhost:1004"),
			 0);
	assert_true(options_is_ng(&options, loopback, 1001));
	assert_true(options_is_ng(&options, any4, 1001));
	assert_false(options_is_ng(&options, other, 1001));
	assert_false(options_is_ng(&options, loopback, 1000));
	assert_true(options_is_ng(&options, other, 1002));
	assert_true(options_is_ng(&options, six, 1003));
	assert_false(options_is_ng(&options, loopback, 1003));
	assert_true(options_is_ng(&options, six, 1004));
}

static void test_a_call_for_help_is_known(void **state)
{
	static char *const words[] = {"--version", "-v", "--help", "-h", "-?"};
	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		setup(NULL);
		assert_int_equal(ARGUMENTS(words[i]), 0);
		assert_true(options.informs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_listen_ng_is_found_in_each_form_of_the_command_line, setup),
		cmocka_unit_test_setup(test_listen_ng_is_found_in_the_file, setup),
		cmocka_unit_test_setup(test_the_section_may_have_another_name, setup),
		cmocka_unit_test_setup(test_other_doors_are_refused_unless_allowed, setup),
		cmocka_unit_test_setup(test_options_that_log_keys_are_refused_unless_allowed, setup),
		cmocka_unit_test_setup(test_the_log_levels_are_understood, setup),
		cmocka_unit_test_setup(test_our_section_is_read, setup),
		cmocka_unit_test_setup(test_nothing_to_guard_is_refused, setup),
		cmocka_unit_test_setup(test_ng_among_the_media_ports_needs_an_address, setup),
		cmocka_unit_test_setup(test_a_socket_is_known_by_its_address_and_port, setup),
		cmocka_unit_test_setup(test_a_call_for_help_is_known, setup),
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
