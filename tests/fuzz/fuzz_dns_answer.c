/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Whatever a name server sends: records that can be called, or a reason. The first byte picks the type. */
#include "dns_answer.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum record_type types[] = {RECORD_A, RECORD_AAAA, RECORD_SRV};
	static struct record records[RESOLUTION_ANSWER_MAX];
	struct answer answer;
	if (size == 0)
		return 0;
	enum record_type type = types[data[0] % 3];
	dns_answer_read(data + 1, size - 1, type, records, &answer);
	REQUIRE(answer.kind == ANSWER_RECORDS ? answer.count > 0 && answer.count <= RESOLUTION_ANSWER_MAX
					      : answer.count == 0 && answer.reason);
	for (size_t i = 0; i < answer.count; i++) {
		if (type == RECORD_SRV)
			REQUIRE(records[i].port && memchr(records[i].name, 0, sizeof(records[i].name)) &&
				records[i].name[0]);
		else
			REQUIRE(!address_fault(records[i].address));
	}
	return 0;
}
