/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What was removed is gone: SDP that was acceptable stays so, and nothing more can be removed from it. */
#include "fuzz.h"
#include "sdp.h"

static void check(struct span sdp, const struct srtp_policy *policy)
{
	struct sdp_verdict before, after;
	char text[SDP_TEXT_MAX];
	char *out = malloc(sdp.len + 1);
	REQUIRE(out);
	enum sdp_reason reason = sdp_check(sdp, policy, &before);
	REQUIRE(sdp_verdict_text(&before, text, sizeof(text)) < sizeof(text) - 1);
	long length = sdp_remove_suites(sdp, policy, out, sdp.len);
	REQUIRE(length <= (long)sdp.len);
	if (reason == SDP_ACCEPTABLE) {
		REQUIRE(length >= 0);
		REQUIRE(sdp_check((struct span){out, (size_t)length}, policy, &after) == SDP_ACCEPTABLE);
		REQUIRE(after.removable == 0 && after.count == before.count);
		for (unsigned i = 0; i < after.count; i++)
			REQUIRE(after.sections[i].secured_by == before.sections[i].secured_by &&
				!(after.sections[i].suites & ~policy->suites) && !after.sections[i].unusable_keys);
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span sdp = {(const char *)data, size};
	for (int mode = SRTP_OPTIONAL; mode <= SRTP_FORBIDDEN; mode++) {
		check(sdp, &(struct srtp_policy){mode, srtp_suites_default(), srtp_profiles_default(), 0});
		check(sdp, &(struct srtp_policy){mode, 0x3ff, 0, 5});
	}
	struct sdp_address address;
	unsigned section = 0;
	for (size_t left = sdp.len + 1; sdp_address_next(&sdp, &section, &address); left = sdp.len)
		REQUIRE(sdp.len < left);
	return 0;
}
