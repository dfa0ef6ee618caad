/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Words for rtpengine, and SDP that it gets a second time. */
#include "relay.h"

#include <errno.h>
#include <stdio.h>

#include <core/dprint.h>
#include <core/kemi.h>
#include <core/mem/mem.h>

#include "glue.h"
#include "state.h"

void relay_words(const struct parties *parties, bool of_caller, enum rtpengine_verb verb, char text[RELAY_WORDS_MAX])
{
	char from[MEDIA_TAG_LENGTH + 1], to[MEDIA_TAG_LENGTH + 1];
	const struct party *own = &parties->sender, *other = &parties->receiver;
	bool by_caller = of_caller == (verb == RTPENGINE_OFFER); /* rtpengine's from-tag is always who offered */

	if (of_caller != parties->from_caller) {
		own = &parties->receiver;
		other = &parties->sender;
	}
	party_tag(parties, by_caller, from);
	party_tag(parties, !by_caller, to);
	size_t length = rtpengine_words(&own->leg, &other->leg, verb, policy_state.words, text);
	stpcpy(stpcpy(stpcpy(stpcpy(text + length, " from-tag="), from), " to-tag="), to);
}

/* ------- once more ------- */

/* The module rtpengine has no interface for C but that of its functions for scripts. */
static sr_kemi_t *find_function(const char *name)
{
	sr_kemi_module_t *modules = sr_kemi_modules_get();
	str function = str_of(name);

	for (int i = 1; i < sr_kemi_modules_size_get(); i++)
		if (span_equal(span_of_str(&modules[i].mname), SPAN_LIT("rtpengine")))
			return sr_kemi_lookup(&modules[i].mname, i, &function);
	return NULL;
}

enum { TELL_MAX = 4 };

typedef int rtpengine_function(sip_msg_t *msg, str *flags);

/* rtpengine's module takes SDP from a message only, and tells where that came from. */
static int tell(struct sip_msg *msg, const char *function, char *flags, struct span sdp)
{
	static const char form[] = "INVITE sip:media@localhost SIP/2.0\r\nVia: SIP/2.0/UDP localhost\r\n"
				   "From: <sip:media@localhost>;tag=a\r\nTo: <sip:media@localhost>;tag=b\r\n"
				   "Call-ID: %.*s\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n"
				   "Content-Length: %zu\r\n\r\n%.*s";
	const sr_kemi_t *found = find_function(function);
	const str *call_id = &msg->callid->body;
	size_t size = sizeof(form) + 20 + (size_t)call_id->len + sdp.len;
	char *text = pkg_malloc(size);
	struct sip_msg message = {.rcv = msg->rcv};
	str words = {.s = flags, .len = (int)strlen(flags)};
	int result = -1;

	if (text && found) {
		message.buf = text;
		message.len = (unsigned)snprintf(text, size, form, STR_FMT(call_id), sdp.len, (int)sdp.len, sdp.ptr);
		if (parse_msg(message.buf, message.len, &message) == 0)
			result = ((rtpengine_function *)found->func)(&message, &words);
		free_sip_msg(&message);
	}
	if (text)
		pkg_free(text);
	return result > 0 ? 0 : -EIO;
}

static int tell_again(struct sip_msg *msg, const struct parties *parties, const struct agreement_exchange *exchange)
{
	char offer[RELAY_WORDS_MAX], answer[RELAY_WORDS_MAX];
	bool by_caller = exchange->offered_by_caller;

	relay_words(parties, by_caller, RTPENGINE_OFFER, offer);
	relay_words(parties, !by_caller, RTPENGINE_ANSWER, answer);
	int result = tell(msg, "rtpengine_offer", offer, exchange->offer);
	if (result || exchange->answer.len == 0)
		return result;
	return tell(msg, "rtpengine_answer", answer, exchange->answer);
}

/* Whoever refused may offer at once, and another process may tell rtpengine so between two words of ours: then it is
 * told that again.
 */
static int tell_what_holds(struct sip_msg *msg, const struct parties *parties)
{
	struct agreement_exchange exchange = {};
	int result = 0;

	for (int i = 0; i < TELL_MAX && result == 0; i++) {
		result = agreement_read(&parties->id, &exchange);
		if (result)
			return result == -ENOENT ? 0 : result;
		result = tell_again(msg, parties, &exchange);
		agreement_exchange_free(&exchange);
	}
	return result;
}

int relay_restore(struct sip_msg *msg)
{
	struct parties parties;

	if (parties_find(msg, &parties))
		return -ENOENT;
	struct agreement_transaction transaction = media_transaction(msg, &parties, false);
	int result = agreement_undo(&parties.id, &transaction);
	if (result == 0)
		result = tell_what_holds(msg, &parties);
	if (result == -ENODATA || result == -EIO)
		LM_WARN("call %.*s: rtpengine keeps an offer that was refused (%s)\n", STR_FMT(&msg->callid->body),
			result == -EIO ? "it did not take the last one again" : "the last one is not known");
	return result;
}
