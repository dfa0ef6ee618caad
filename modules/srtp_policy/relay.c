/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Words for rtpengine, and SDP that it gets a second time. */
#include "relay.h"

#include <errno.h>
#include <stdio.h>

#include <core/dprint.h>
#include <core/kemi.h>
#include <core/locking.h>
#include <core/mem/mem.h>
#include <core/mem/shm_mem.h>

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

enum { TELL_MAX = 4, LATER_MAX = 2000 };

/* A call whose offer came to nothing. */
struct restored {
	const struct parties *parties;
	const struct receive_info *rcv;
	str call_id;
};

typedef int rtpengine_function(sip_msg_t *msg, str *flags);

/* rtpengine's module takes SDP from a message only, and tells where that came from. */
static int tell(const struct restored *call, const char *function, char *flags, struct span sdp)
{
	static const char form[] = "INVITE sip:media@localhost SIP/2.0\r\nVia: SIP/2.0/UDP localhost\r\n"
				   "From: <sip:media@localhost>;tag=a\r\nTo: <sip:media@localhost>;tag=b\r\n"
				   "Call-ID: %.*s\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n"
				   "Content-Length: %zu\r\n\r\n%.*s";
	const sr_kemi_t *found = find_function(function);
	size_t size = sizeof(form) + 20 + (size_t)call->call_id.len + sdp.len;
	char *text = pkg_malloc(size);
	struct sip_msg message = {.rcv = *call->rcv};
	str words = {.s = flags, .len = (int)strlen(flags)};
	int result = -1;

	if (text && found) {
		message.buf = text;
		message.len =
			(unsigned)snprintf(text, size, form, STR_FMT(&call->call_id), sdp.len, (int)sdp.len, sdp.ptr);
		if (parse_msg(message.buf, message.len, &message) == 0)
			result = ((rtpengine_function *)found->func)(&message, &words);
		free_sip_msg(&message);
	}
	if (text)
		pkg_free(text);
	return result > 0 ? 0 : -EIO;
}

static int tell_again(const struct restored *call, const struct agreement_exchange *exchange)
{
	char offer[RELAY_WORDS_MAX], answer[RELAY_WORDS_MAX];
	bool by_caller = exchange->offered_by_caller;

	relay_words(call->parties, by_caller, RTPENGINE_OFFER, offer);
	relay_words(call->parties, !by_caller, RTPENGINE_ANSWER, answer);
	int result = tell(call, "rtpengine_offer", offer, exchange->offer);
	if (result || exchange->answer.len == 0)
		return result;
	return tell(call, "rtpengine_answer", answer, exchange->answer);
}

/* Whoever refused may offer at once, and another process may tell rtpengine so between two words of ours: then it is
 * told that again.
 */
static int tell_what_holds(const struct restored *call)
{
	struct agreement_exchange exchange = {};
	int result = 0;

	for (int i = 0; i < TELL_MAX && result == 0; i++) {
		result = agreement_read(&call->parties->id, &exchange);
		if (result)
			return result == -ENOENT ? 0 : result;
		result = tell_again(call, &exchange);
		agreement_exchange_free(&exchange);
	}
	return result;
}

static int restore(const struct restored *call)
{
	int result = tell_what_holds(call);

	if (result)
		LM_WARN("call %.*s: rtpengine keeps an offer that was refused (%s)\n", STR_FMT(&call->call_id),
			result == -EIO ? "it did not take the last one again" : "the last one is not known");
	return result;
}

static int undo(struct sip_msg *msg, struct parties *parties)
{
	if (parties_find(msg, parties))
		return -ENOENT;
	struct agreement_transaction transaction = media_transaction(msg, parties, false);
	return agreement_undo(&parties->id, &transaction);
}

int relay_restore(struct sip_msg *msg)
{
	struct parties parties;

	if (undo(msg, &parties))
		return -ENOENT;
	return restore(&(struct restored){.parties = &parties, .rcv = &msg->rcv, .call_id = msg->callid->body});
}

/* ------- later ------- */

struct later {
	struct later *next;
	struct parties parties;
	struct receive_info rcv;
	int length;
	char call_id[];
};

static struct {
	gen_lock_t lock;
	struct later *first, *last;
	unsigned count;
} * queue;

int relay_init(void)
{
	queue = shm_malloc(sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	memset(queue, 0, sizeof(*queue));
	lock_init(&queue->lock);
	return 0;
}

static struct later *queue_take(void)
{
	lock_get(&queue->lock);
	struct later *later = queue->first;
	if (later) {
		queue->first = later->next;
		queue->count--;
	}
	lock_release(&queue->lock);
	return later;
}

void relay_finish(void)
{
	struct later *later;

	while (queue && (later = queue_take()))
		shm_free(later);
	if (queue)
		shm_free(queue);
	queue = NULL;
}

static int queue_put(struct later *later)
{
	lock_get(&queue->lock);
	bool full = queue->count >= LATER_MAX;
	if (!full) {
		if (queue->first)
			queue->last->next = later;
		else
			queue->first = later;
		queue->last = later;
		queue->count++;
	}
	lock_release(&queue->lock);
	return full ? -ENOMEM : 0;
}

int relay_restore_later(struct sip_msg *msg)
{
	struct parties parties;

	if (undo(msg, &parties))
		return -ENOENT;
	const str *call_id = &msg->callid->body;
	struct later *later = shm_malloc(sizeof(*later) + (size_t)call_id->len);
	if (!later)
		return -ENOMEM;
	*later = (struct later){.parties = parties, .rcv = msg->rcv, .length = call_id->len};
	memcpy(later->call_id, call_id->s, (size_t)call_id->len);
	if (queue_put(later) == 0)
		return 0;
	shm_free(later);
	return -ENOMEM;
}

int relay_restore_next(void)
{
	struct later *later = queue_take();

	if (!later)
		return -ENOENT;
	int result = restore(&(struct restored){
		.parties = &later->parties, .rcv = &later->rcv, .call_id = {later->call_id, later->length}});
	shm_free(later);
	return result;
}
