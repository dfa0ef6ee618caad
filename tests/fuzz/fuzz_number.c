/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What number_parse() takes, number_format() gives back to the letter. */
#include "fuzz.h"
#include "number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	char back[NUMBER_TEXT_SIZE];
	uint64_t e164;
	int result = number_parse(text, &e164);
	REQUIRE((result == 0) == (number_fault(text) == NULL));
	if (result == 0) {
		number_format(e164, back);
		REQUIRE(span_equal(span_of(back), text));
		number_mask(e164, back);
		REQUIRE(strlen(back) == size);
	}
	return 0;
}
