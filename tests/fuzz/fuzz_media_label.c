/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Whatever rtpengine says of a call: bits of the two ends, or an error that leaves the label as it was. */
#include "fuzz.h"

#include <errno.h>

#include "media_label.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct media_label label = {.firm = 9, .loose = 9};
	int result = media_label_read((struct span){(const char *)data, size}, "a-caller", "a-callee", &label);

	REQUIRE(result == 0 || result == -EINVAL || result == -ENOENT);
	if (result == 0)
		REQUIRE(label.firm <= 3 && label.loose <= 3);
	else
		REQUIRE(label.firm == 9 && label.loose == 9);
	return 0;
}
