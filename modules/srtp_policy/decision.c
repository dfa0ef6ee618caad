/* SPDX-License-Identifier: GPL-2.0-or-later */
/** SDP held against the policies of the two ends. */
#include "decision.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include <core/dprint.h>
#include <core/globals.h>

#include "agreement.h"
#include "call_state.h"
#include "glue.h"
#include "message_sdp.h"
#include "party.h"
#include "relay.h"
#include "state.h"

static const char no_relay[] = "No Media Relay";

/* Of the message in hand: a process handles one after the other. */
static struct {
	unsigned id;
	bool known;
	bool answers;           /* what its sender's check found */
	uint32_t secured, live; /* by sdp_secured(), sdp_live() */
	bool unasked;           /* rtpengine did not say who has been secured, which it could */
	struct decision decision;
} current;

static struct decision *decision_new(struct sip_msg *msg)
{
	if (!current.known || current.id != msg->id) {
		current.answers = current.unasked = false;
		current.secured = current.live = 0;
	}
	current.id = msg->id;
	current.known = true;
	current.decision = (struct decision){.code = 503, .reason = no_relay};
	return &current.decision;
}

const struct decision *decision_read(struct sip_msg *msg)
{
	if (!current.known || current.id != msg->id)
		decision_new(msg);
	return &current.decision;
}

/* ------- refusals ------- */

static void warn(struct decision *decision, int code, const char *text)
{
	snprintf(decision->warning, sizeof(decision->warning), "%d trunkgate \"%s\"", code, text);
}

static int refuse_sdp(struct sip_msg *msg, struct decision *decision, const struct party *party,
		      const struct sdp_verdict *verdict)
{
	char text[SDP_TEXT_MAX];

	sdp_verdict_text(verdict, text, sizeof(text));
	decision->code = 488;
	decision->reason = verdict->reason == SDP_UNREADABLE ? "Not SDP" : "Not Acceptable Here";
	warn(decision, sdp_warning_code(verdict->reason), text);
	policy_count(refused[verdict->reason]);
	LM_WARN("SDP of %s %s refused, call %.*s: %s\n", party->group, party->peer, STR_FMT(&msg->callid->body), text);
	return -1;
}

static int refuse_unreadable(struct sip_msg *msg, struct decision *decision, const struct party *party)
{
	return refuse_sdp(msg, decision, party, &(struct sdp_verdict){.reason = SDP_UNREADABLE});
}

static int refuse_address(struct sip_msg *msg, struct decision *decision, const struct party *party,
			  const struct sdp_address *address)
{
	char text[INET6_ADDRSTRLEN] = "a name";

	if (address->numeric)
		inet_ntop(AF_INET6, address->bytes, text, sizeof(text));
	decision->code = 488;
	decision->reason = "Media Address Not Allowed";
	warn(decision, 399, "media address is not among those of the peer");
	policy_count(foreign_address);
	LM_WARN("media address %s of %s %s is not allowed, call %.*s\n", text, party->group, party->peer,
		STR_FMT(&msg->callid->body));
	return -1;
}

/* ------- media addresses ------- */

/* 0.0.0.0 and :: are on hold (RFC 3264 8.4): nothing comes from there. */
static bool is_unspecified(const uint8_t address[16])
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t zero[16];

	return memcmp(address, mapped, 16) == 0 || memcmp(address, zero, 16) == 0;
}

/* Then the address of the session is nobody's (RFC 8866 5.7). */
static bool all_have_their_own(const struct sdp_verdict *verdict)
{
	for (unsigned i = 0; i < verdict->count; i++)
		if (!verdict->sections[i].rejected && !verdict->sections[i].own_connection)
			return false;
	return true;
}

static bool is_judged(const struct sdp_address *address, const struct sdp_verdict *verdict)
{
	if (address->origin == SDP_CANDIDATE) /* rtpengine takes none (ICE-reject) */
		return false;
	if (address->section > 0 && address->section <= verdict->count &&
	    verdict->sections[address->section - 1].rejected)
		return false;
	if (address->section == 0 && address->origin == SDP_CONNECTION && all_have_their_own(verdict))
		return false;
	return !address->numeric || !is_unspecified(address->bytes);
}

static bool find_foreign(struct span sdp, const struct party *party, const struct sdp_verdict *verdict,
			 struct sdp_address *address)
{
	unsigned section = 0;

	while (sdp_address_next(&sdp, &section, address))
		if (is_judged(address, verdict) && (!address->numeric || !party_may_send_from(party, address->bytes)))
			return true;
	return false;
}

/* ------- the two checks ------- */

static int unknown_parties(struct sip_msg *msg)
{
	LM_ERR("call %.*s: no known peer group at both ends\n", STR_FMT(&msg->callid->body));
	return -1;
}

/* That of a negative answer says what the callee could do, and his address; that of a late one must not become the
 * media of a call that somebody else has answered. Nobody needs either.
 */
static bool has_sdp_in_vain(struct sip_msg *msg)
{
	return msg->first_line.type == SIP_REPLY && (msg->REPLY_STATUS >= 300 || reply_is_late(msg));
}

static int refuse_late(struct decision *decision)
{
	decision->code = 488;
	decision->reason = "Not Acceptable Here";
	warn(decision, 399, "the answer in a provisional response was refused");
	return -1;
}

static struct agreement_sdp sdp_in_hand(struct sip_msg *msg, const struct parties *parties)
{
	return (struct agreement_sdp){.by_caller = parties->from_caller,
				      .transaction = media_transaction(msg, parties, current.answers),
				      .secured = current.secured,
				      .live = current.live};
}

static bool is_final(struct sip_msg *msg)
{
	return msg->first_line.type == SIP_REQUEST || msg->REPLY_STATUS >= 200;
}

struct media_label decision_label(struct sip_msg *msg, const struct parties *parties)
{
	decision_read(msg);
	struct agreement_sdp sdp = sdp_in_hand(msg, parties);

	return agreement_label(&parties->id, &sdp, is_final(msg));
}

/* A call that cannot be remembered could lose its keys unseen: it is as if there were no media relay. */
static int remember(struct sip_msg *msg, const struct parties *parties)
{
	struct agreement_sdp sdp = sdp_in_hand(msg, parties);
	int error = message_sdp(msg, &sdp.text) != 1;

	if (error == 0)
		error = current.answers ? agreement_answer(&parties->id, &sdp, is_final(msg))
					: agreement_offer(&parties->id, &sdp);
	if (error)
		LM_ERR("no memory for call %.*s\n", STR_FMT(&msg->callid->body));
	return error ? -1 : 1;
}

/* Who has been secured in this dialog until now. */
static void bind_parties(struct parties *parties, bool answers)
{
	struct party *caller = parties->from_caller ? &parties->sender : &parties->receiver;
	struct party *callee = parties->from_caller ? &parties->receiver : &parties->sender;
	caller->bound |= agreement_secured(&parties->id, true, answers);
	callee->bound |= agreement_secured(&parties->id, false, answers);
}

static bool may_choose_still(const struct party *party)
{
	return party->leg.policy.mode == SRTP_OPTIONAL && party->bound != UINT32_MAX;
}

/* Kamailio was started since, or another node began the dialog: rtpengine knows who has been secured. False: it must
 * not go on without that.
 */
static bool recall(struct sip_msg *msg, const struct parties *parties, bool answers)
{
	if (!parties->within || !(may_choose_still(&parties->sender) || may_choose_still(&parties->receiver)) ||
	    agreement_known(&parties->id))
		return true;
	int result = relay_recall(msg, parties);
	/* an unknown call, or no word: an offer may begin the call anew, an answer will not be taken */
	current.unasked = result == -ENOENT;
	return result == 0 || (current.unasked && !answers);
}

/* What is over already: rtpengine must not hear it after newer SDP. */
static bool is_repetition(struct sip_msg *msg, const struct parties *parties, bool answers)
{
	struct agreement_transaction transaction = media_transaction(msg, parties, answers);

	return (answers || msg->first_line.type == SIP_REPLY) &&
	       agreement_repeats(&parties->id, &transaction, parties->from_caller != answers, is_final(msg));
}

static bool is_2xx(struct sip_msg *msg)
{
	return msg->first_line.type == SIP_REPLY && msg->REPLY_STATUS >= 200 && msg->REPLY_STATUS < 300;
}

static void settle(struct sip_msg *msg)
{
	struct parties parties;

	if (get_cseq(msg)->method_id != METHOD_INVITE || reply_is_late(msg) || parties_find(msg, &parties))
		return;
	struct agreement_transaction transaction = media_transaction(msg, &parties, true);
	agreement_settle(&parties.id, &transaction);
}

/* The answer to a 2xx's INVITE was in a provisional (RFC 3262), from which we may have taken it. */
static int decision_without_sdp(struct sip_msg *msg, struct decision *decision, bool answers)
{
	if (!is_2xx(msg))
		return 2;
	if (answers && answer_was_refused(msg))
		return refuse_late(decision);
	settle(msg);
	return 2;
}

/* Refused before rtpengine takes it: what it was told once it keeps, whatever becomes of the message. */
static enum sdp_reason judge_sender(struct span sdp, const struct parties *parties, bool answers,
				    struct sdp_verdict *verdict)
{
	struct srtp_policy policy = party_policy(&parties->sender), receiver = party_policy(&parties->receiver);

	if (answers)
		policy = media_leg_answers(&parties->sender.leg, policy);
	if (sdp_check(sdp, &policy, verdict) == SDP_ACCEPTABLE)
		sdp_never_acceptable(verdict, &receiver);
	return verdict->reason;
}

static int pass_on(struct sip_msg *msg, const struct parties *parties)
{
	int result = current.answers ? 1 : remember(msg, parties);

	if (is_2xx(msg)) {
		struct agreement_transaction transaction = media_transaction(msg, parties, current.answers);
		agreement_final(&parties->id, &transaction);
	}
	return result;
}

int decision_of_sender(struct sip_msg *msg, bool answers)
{
	struct decision *decision = decision_new(msg);
	struct parties parties;
	struct sdp_verdict verdict;
	struct sdp_address address;
	struct span sdp;

	if (parse_headers(msg, HDR_EOH_F, 0) < 0 || !msg->callid)
		return -1;
	int found = message_sdp(msg, &sdp);
	if (found != 0 && has_sdp_in_vain(msg)) {
		message_strip(msg);
		return 2;
	}
	if (found == 0)
		return decision_without_sdp(msg, decision, answers);
	if (parties_find(msg, &parties))
		return unknown_parties(msg);
	if (is_repetition(msg, &parties, answers)) {
		message_strip(msg);
		return 2;
	}
	if (found > 0 && !recall(msg, &parties, answers))
		return -1;
	bind_parties(&parties, answers);
	media_begins(msg, parties.from_caller != answers);
	policy_count(checked);
	if (found < 0)
		return refuse_unreadable(msg, decision, &parties.sender);
	if (judge_sender(sdp, &parties, answers, &verdict) != SDP_ACCEPTABLE)
		return refuse_sdp(msg, decision, &parties.sender, &verdict);
	if (parties.sender.leg.limited && find_foreign(sdp, &parties.sender, &verdict, &address))
		return refuse_address(msg, decision, &parties.sender, &address);
	current.answers = answers;
	current.secured = sdp_secured(&verdict);
	current.live = sdp_live(&verdict);
	if (!parties.within && msg->first_line.type == SIP_REQUEST && current.secured == UINT32_MAX)
		call_state_set_int(CALL_SECURED, CALL_SECURED_SENDER);
	return pass_on(msg, &parties);
}

/* rtpengine took the offer, so it answers and knows the call now: that of before, with its labels, or a new one. */
static int recall_late(struct sip_msg *msg, struct decision *decision, struct parties *parties)
{
	struct sdp_verdict verdict;
	struct span sdp;

	if (relay_recall(msg, parties))
		return -1;
	bind_parties(parties, false);
	if (message_sdp(msg, &sdp) != 1 || judge_sender(sdp, parties, false, &verdict) == SDP_ACCEPTABLE)
		return 1;
	return refuse_sdp(msg, decision, &parties->sender, &verdict);
}

int decision_of_receiver(struct sip_msg *msg)
{
	struct decision *decision = decision_new(msg);
	struct parties parties;
	struct sdp_verdict verdict;
	struct span sdp;

	if (message_new_sdp(msg, &sdp)) {
		LM_ERR("rtpengine left SDP as it was; its parameters write_sdp_pv and read_sdp_pv must not be set\n");
		return -1;
	}
	if (parties_again(msg, &parties))
		return unknown_parties(msg);
	if (current.unasked && recall_late(msg, decision, &parties) < 0)
		return -1;
	bind_parties(&parties, current.answers);
	/* what rtpengine leaves in is a promise of ours: nothing that would have to be taken out */
	struct srtp_policy policy = party_policy(&parties.receiver);
	if (sdp_check(sdp, &policy, &verdict) == SDP_ACCEPTABLE && verdict.removable == 0)
		return current.answers ? remember(msg, &parties) : 1;
	if (verdict.reason == SDP_ACCEPTABLE)
		verdict.reason = SDP_NO_ALLOWED_SUITE;
	return refuse_sdp(msg, decision, &parties.receiver, &verdict);
}
