/* SPDX-License-Identifier: GPL-2.0-or-later */
/** A prefix that is taken has no host bits. */
#include "fuzz.h"
#include "topology.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct prefix prefix;
	if (prefix_parse((struct span){(const char *)data, size}, &prefix))
		return 0;
	REQUIRE(prefix.length <= 128);
	for (unsigned bit = prefix.length; bit < 128; bit++)
		REQUIRE(!(prefix.address[bit / 8] & 0x80u >> bit % 8));
	return 0;
}
