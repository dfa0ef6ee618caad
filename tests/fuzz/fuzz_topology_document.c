/* SPDX-License-Identifier: GPL-2.0-or-later */
/** A document that is taken is taken again as it was written out, and then nothing differs. */
#include "fuzz.h"
#include "topology_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_object *document = NULL, *again = NULL;
	struct fault fault = {0};
	if (topology_document_read((const char *)data, size, &document, &fault)) {
		REQUIRE(fault.code == FAULT_BAD_VALUE || fault.code == FAULT_CONFLICT);
		REQUIRE(fault.field[0] && fault.reason[0]);
		return 0;
	}
	const char *text = json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN);
	REQUIRE(topology_document_read(text, strlen(text), &again, &fault) == 0);
	struct json_object *difference = topology_document_difference(document, again);
	REQUIRE(json_object_array_length(difference) == 0);
	json_object_put(difference);
	json_object_put(again);
	json_object_put(document);
	return 0;
}
