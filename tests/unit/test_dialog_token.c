/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "dialog_token.h"

static const uint8_t key[DIALOG_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const struct dialog sample = {
	.direction = TO_OPERATOR, .policy = 63, .ingress = 0xffffff, .egress = 1, .attribute_set = 0xfedcba98};

static void test_token_brings_every_field_back(void **state)
{
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, SPAN_LIT("call-1@host"), key, token);
	assert_int_equal(strlen(token), DIALOG_TOKEN_LENGTH);
	assert_int_equal(dialog_token_read(span_of(token), SPAN_LIT("call-1@host"), key, &back), 0);
	assert_int_equal(back.direction, sample.direction);
	assert_int_equal(back.policy, sample.policy);
	assert_int_equal(back.ingress, sample.ingress);
	assert_int_equal(back.egress, sample.egress);
	assert_int_equal(back.attribute_set, sample.attribute_set);
}

static void test_token_of_another_call_is_refused(void **state)
{
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, SPAN_LIT("call-1"), key, token);
	assert_int_equal(dialog_token_read(span_of(token), SPAN_LIT("call-2"), key, &back), -EBADMSG);
	assert_int_equal(dialog_token_read(span_of(token), SPAN_LIT(""), key, &back), -EBADMSG);
}

static void test_token_of_another_key_is_refused(void **state)
{
	static const uint8_t other[DIALOG_KEY_SIZE] = {1};
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, SPAN_LIT("call-1"), key, token);
	assert_int_equal(dialog_token_read(span_of(token), SPAN_LIT("call-1"), other, &back), -EBADMSG);
}

static void test_every_changed_character_is_refused(void **state)
{
	char token[DIALOG_TOKEN_LENGTH + 1];
	struct dialog back;
	(void)state;
	for (size_t i = 0; i < DIALOG_TOKEN_LENGTH; i++) {
		dialog_token_write(&sample, SPAN_LIT("call-1"), key, token);
		token[i] = token[i] == 'A' ? 'B' : 'A';
		assert_true(dialog_token_read(span_of(token), SPAN_LIT("call-1"), key, &back) < 0);
		token[i] = '=';
		assert_int_equal(dialog_token_read(span_of(token), SPAN_LIT("call-1"), key, &back), -EINVAL);
	}
}

static void test_token_of_another_length_is_refused(void **state)
{
	char token[DIALOG_TOKEN_LENGTH + 2] = {0};
	struct dialog back;
	(void)state;
	dialog_token_write(&sample, SPAN_LIT("call-1"), key, token);
	token[DIALOG_TOKEN_LENGTH] = 'A';
	for (size_t len = 0; len <= DIALOG_TOKEN_LENGTH + 1; len++)
		if (len != DIALOG_TOKEN_LENGTH)
			assert_int_equal(dialog_token_read((struct span){token, len}, SPAN_LIT("call-1"), key, &back),
					 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_brings_every_field_back),
		cmocka_unit_test(test_token_of_another_call_is_refused),
		cmocka_unit_test(test_token_of_another_key_is_refused),
		cmocka_unit_test(test_every_changed_character_is_refused),
		cmocka_unit_test(test_token_of_another_length_is_refused),
	};
	return cmocka_run_group_tests_name("dialog_token", tests, NULL, NULL);
}
