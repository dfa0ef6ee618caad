/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Whatever rtpengine says of a call: a label that is written and read the same, or an error that leaves it as it was.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "media_label.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct media_label before = {.firm = {9, 9}, .loose = {9, 9}};
	struct media_label label = before, again;
	char text[MEDIA_LABEL_LENGTH + 1], query[200];
	int result = media_label_read((struct span){(const char *)data, size}, "a-caller", "a-callee", &label);

	REQUIRE(result == 0 || result == -EINVAL || result == -ENOENT);
	if (result) {
		REQUIRE(memcmp(&label, &before, sizeof(label)) == 0);
		return 0;
	}
	media_label_write(&label, text);
	snprintf(query, sizeof(query), "{\"tags\":{\"a-caller\":{\"label\":\"%s\"}}}", text);
	REQUIRE(media_label_read(span_of(query), "a-caller", "a-callee", &again) == 0);
	REQUIRE(memcmp(&label, &again, sizeof(label)) == 0);
	return 0;
}
