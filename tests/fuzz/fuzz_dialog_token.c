/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Nothing but what was signed with the key is taken; what is taken is written again to the letter. */
#include "dialog_token.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[DIALOG_KEY_SIZE] = {1, 2, 3};
	static const struct dialog_id id = {.call_id = {"call", 4}, .from_tag = {"a", 1}};
	struct span text = {(const char *)data, size};
	char back[DIALOG_TOKEN_LENGTH + 1];
	struct dialog dialog;
	if (dialog_token_read(text, &id, key, &dialog) == 0) {
		dialog_token_write(&dialog, &id, key, back);
		REQUIRE(span_equal(span_of(back), text));
	}
	return 0;
}
