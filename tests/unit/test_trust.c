/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "trust.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/trunkgate-trust-XXXXXX", file[64], text[256];

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/x", folder);
	FILE *made = fopen(file, "w");
	assert_non_null(made);
	fclose(made);
	return chmod(file, 0644);
}

static int teardown(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(folder);
}

static void test_what_we_alone_can_write_is_trusted(void **state)
{
	(void)state;
	assert_int_equal(trust_check(file, text, sizeof(text)), 0);
}

static void test_what_others_can_write_is_not(void **state)
{
	(void)state;
	chmod(file, 0646);
	assert_int_equal(trust_check(file, text, sizeof(text)), -EPERM);
	assert_non_null(strstr(text, file));
	chmod(file, 0644);
	chmod(folder, 0707);
	assert_int_equal(trust_check(file, text, sizeof(text)), -EPERM);
	assert_null(strstr(text, "/x"));
	chmod(folder, 01707);
	assert_int_equal(trust_check(file, text, sizeof(text)), 0);
	chmod(folder, 0700);
}

static void test_a_link_leads_to_what_is_checked(void **state)
{
	char link[64];
	(void)state;
	snprintf(link, sizeof(link), "%s/link", folder);
	assert_int_equal(symlink(file, link), 0);
	chmod(file, 0646);
	assert_int_equal(trust_check(link, text, sizeof(text)), -EPERM);
	chmod(file, 0644);
	assert_int_equal(trust_check(link, text, sizeof(text)), 0);
	unlink(link);
}

static void test_another_owner_is_not_trusted(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(file, 65534, 65534), 0);
	assert_int_equal(trust_check(file, text, sizeof(text)), -EPERM);
	assert_int_equal(chown(file, 0, 0), 0);
}

static void test_a_missing_file_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(trust_check("/nonexistent/x", text, sizeof(text)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_we_alone_can_write_is_trusted),
		cmocka_unit_test(test_what_others_can_write_is_not),
		cmocka_unit_test(test_a_link_leads_to_what_is_checked),
		cmocka_unit_test(test_another_owner_is_not_trusted),
		cmocka_unit_test(test_a_missing_file_is_an_error),
	};
	return cmocka_run_group_tests_name("trust", tests, setup, teardown);
}
