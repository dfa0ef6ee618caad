/* SPDX-License-Identifier: GPL-2.0-or-later */
/** No name or header name that is taken can end a header line or hide a byte. */
#include "field.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	if (field_name_fault(text) && field_header_name_fault(text))
		return 0;
	REQUIRE(size >= 1 && size <= FIELD_NAME_MAX);
	for (size_t i = 0; i < size; i++)
		REQUIRE(data[i] > ' ' && data[i] < 0x7f && data[i] != ':');
	return 0;
}
