/* SPDX-License-Identifier: GPL-2.0-or-later */
/** E.164 numbers: text to integer and back. */
#include "number.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

const char *number_fault(struct span text)
{
	if (text.len == 0)
		return "is empty";
	if (text.ptr[0] != '+')
		return "must start with '+'";
	if (text.len > NUMBER_TEXT_MAX)
		return "is longer than 16 characters";
	if (text.len < 3)
		return "needs at least two digits after '+'";
	if (text.ptr[1] == '0')
		return "must not have 0 as its first digit";
	for (size_t i = 1; i < text.len; i++)
		if (!is_digit(text.ptr[i]))
			return "may hold only digits after '+'";
	return NULL;
}

int number_parse(struct span text, uint64_t *e164)
{
	if (number_fault(text))
		return -EINVAL;
	uint64_t value = 0;
	for (size_t i = 1; i < text.len; i++)
		value = value * 10 + (uint64_t)(text.ptr[i] - '0');
	*e164 = value;
	return 0;
}

void number_format(uint64_t e164, char text[NUMBER_TEXT_SIZE])
{
	snprintf(text, NUMBER_TEXT_SIZE, "+%" PRIu64, e164);
}

void number_mask(uint64_t e164, char text[NUMBER_TEXT_SIZE])
{
	number_format(e164, text);
	size_t len = strlen(text);
	if (len > 3)
		memset(text + 1, '*', len - 3);
}
