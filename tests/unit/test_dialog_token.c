/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "dialog_token.h"

static const uint8_t key[DIALOG_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const struct dialog sample = {.direction = TO_OPERATOR,
				     .policy = 63,
				     .ingress = 0xffffff,
				     .egress = 1,
				     .attribute_set = 0xfedcba98,
				     .invite = 0xabcdef};

#define ID(call, from, to)                                                                                             \
	(struct dialog_id)                                                                                             \
	{                                                                                                              \
		.call_id = SPAN_LIT(call), .from_tag = SPAN_LIT(from), .to_tag = SPAN_LIT(to)                          \
	}

static const struct dialog_id id = {.call_id = {"call-1@host", 11}, .from_tag = {"caller", 6}, .to_tag = {"", 0}};

static void test_token_brings_every_field_back(void **state)
{
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, &id, key, token);
	assert_int_equal(strlen(token), DIALOG_TOKEN_LENGTH);
	assert_int_equal(dialog_token_read(span_of(token), &id, key, &back), 0);
	assert_int_equal(back.direction, sample.direction);
	assert_int_equal(back.policy, sample.policy);
	assert_int_equal(back.ingress, sample.ingress);
	assert_int_equal(back.egress, sample.egress);
	assert_int_equal(back.attribute_set, sample.attribute_set);
	assert_int_equal(back.invite, sample.invite);
}

static void test_token_of_another_call_is_refused(void **state)
{
	const struct dialog_id others[] = {
		ID("call-2@host", "caller", ""),  ID("", "caller", ""),
		ID("call-1@host", "callee", "x"), ID("call-1@host", "", ""),
		ID("call-1@hostcaller", "", ""),  ID("call-1@host\ncaller", "", ""),
	};
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, &id, key, token);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_int_equal(dialog_token_read(span_of(token), &others[i], key, &back), -EBADMSG);
}

static void test_it_tells_who_has_the_tag_of_the_caller(void **state)
{
	const struct dialog_id sent_by_caller = ID("call-1@host", "caller", "callee"),
			       sent_by_callee = ID("call-1@host", "callee", "caller"),
			       same = ID("call-1@host", "caller", "caller");
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, &id, key, token);
	assert_int_equal(dialog_token_read(span_of(token), &sent_by_caller, key, &back), 0);
	assert_int_equal(back.caller, CALLER_IN_FROM);
	assert_int_equal(dialog_token_read(span_of(token), &sent_by_callee, key, &back), 0);
	assert_int_equal(back.caller, CALLER_IN_TO);
	assert_int_equal(dialog_token_read(span_of(token), &same, key, &back), 0);
	assert_int_equal(back.caller, CALLER_IN_FROM | CALLER_IN_TO);
}

static void test_token_of_another_key_is_refused(void **state)
{
	static const uint8_t other[DIALOG_KEY_SIZE] = {1};
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, &id, key, token);
	assert_int_equal(dialog_token_read(span_of(token), &id, other, &back), -EBADMSG);
}

static void test_every_changed_character_is_refused(void **state)
{
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	for (size_t i = 0; i < DIALOG_TOKEN_LENGTH; i++) {
		dialog_token_write(&sample, &id, key, token);
		token[i] = token[i] == 'A' ? 'B' : 'A';
		assert_true(dialog_token_read(span_of(token), &id, key, &back) < 0);
		token[i] = '=';
		assert_int_equal(dialog_token_read(span_of(token), &id, key, &back), -EINVAL);
	}
}

static void test_token_of_another_length_is_refused(void **state)
{
	char token[DIALOG_TOKEN_LENGTH + 2] = {0};
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, &id, key, token);
	token[DIALOG_TOKEN_LENGTH] = 'A';
	for (size_t len = 0; len <= DIALOG_TOKEN_LENGTH + 1; len++)
		if (len != DIALOG_TOKEN_LENGTH)
			assert_int_equal(dialog_token_read((struct span){token, len}, &id, key, &back), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_brings_every_field_back),
		cmocka_unit_test(test_token_of_another_call_is_refused),
		cmocka_unit_test(test_it_tells_who_has_the_tag_of_the_caller),
		cmocka_unit_test(test_token_of_another_key_is_refused),
		cmocka_unit_test(test_every_changed_character_is_refused),
		cmocka_unit_test(test_token_of_another_length_is_refused),
	};
	return cmocka_run_group_tests_name("dialog_token", tests, NULL, NULL);
}
