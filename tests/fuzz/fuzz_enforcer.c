/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What goes on to rtpengine or to its client is a message that can be read, and holds nothing that is excluded. */
#include "fuzz.h"
#include "enforcer.h"

static struct enforcer_room room, again;
static struct enforcer_outcome outcome, second;
static struct ng_message message;

static void require_clean(const struct enforcer *enforcer, struct span datagram)
{
	static char decoded[NG_DATAGRAM_MAX];
	struct sdp_verdict verdict;
	struct span sdp;
	REQUIRE(ng_read(datagram, &message) == 0);
	if (!ng_find(&message, "sdp"))
		return;
	REQUIRE(ng_text(message.format, ng_find(&message, "sdp"), decoded, sizeof(decoded), &sdp) == 0);
	REQUIRE(sdp_check(sdp, &enforcer->policy, &verdict) == SDP_ACCEPTABLE && verdict.removable == 0);
}

static void request(const struct enforcer *enforcer, struct span datagram)
{
	enforcer_request(enforcer, datagram, NG_DATAGRAM_MAX, &room, &outcome);
	REQUIRE(outcome.datagram.len <= NG_DATAGRAM_MAX);
	if (outcome.action == ENFORCER_PASS)
		REQUIRE(outcome.datagram.ptr == datagram.ptr && outcome.datagram.len == datagram.len);
	if (outcome.action == ENFORCER_REFUSED)
		REQUIRE(ng_read(outcome.datagram, &message) == 0);
	REQUIRE((outcome.profiles & ~enforcer->policy.profiles) == 0);
	if (outcome.action != ENFORCER_CHANGED)
		return;
	struct enforcer narrowed = *enforcer;
	narrowed.policy.profiles = outcome.profiles;
	require_clean(&narrowed, outcome.datagram);
	REQUIRE(!ng_find(&message, "dtls-profiles") && !ng_find(&message, "fingerprints"));
	/* it would pass again, unless the flags added twice find no room */
	enforcer_request(enforcer, outcome.datagram, NG_DATAGRAM_MAX, &again, &second);
	REQUIRE(second.action == ENFORCER_CHANGED || second.reason == ENFORCER_TOO_LARGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct enforcer enforcers[] = {
		{{SRTP_OPTIONAL, 1, 3, 0}, NG_10_5, {"", 0}},
		{{SRTP_OPTIONAL, 0x3ff, 0, 0}, NG_12_5, {"plain subscribe;start recording", 31}},
	};
	struct span datagram = {(const char *)data, size};
	if (size > NG_DATAGRAM_MAX)
		return 0;
	for (size_t i = 0; i < sizeof(enforcers) / sizeof(*enforcers); i++) {
		request(&enforcers[i], datagram);
		enforcer_reply(&enforcers[i], datagram, &room, &outcome);
		if (outcome.action == ENFORCER_PASS)
			require_clean(&enforcers[i], datagram);
		else
			REQUIRE(ng_read(outcome.datagram, &message) == 0);
	}
	return 0;
}
