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

void relay_words(const struct parties *parties, bool of_caller, enum rtpengine_verb verb,
		 const struct media_label *label, char text[RELAY_WORDS_MAX])
{
	char kept[MEDIA_LABEL_LENGTH + 1];
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
	text = stpcpy(stpcpy(stpcpy(stpcpy(text + length, " from-tag="), from), " to-tag="), to);
	if (!label)
		return;
	media_label_write(label, kept);
	stpcpy(stpcpy(text, " label="), kept);
}

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

struct relayed {
	const struct parties *parties;
	const struct receive_info *rcv;
	str call_id;
};

/* rtpengine's module takes call and SDP from a message only, and tells where that came from. */
struct form {
	char *text;
	struct sip_msg message;
};

static void form_close(struct form *form)
{
	free_sip_msg(&form->message);
	if (form->text)
		pkg_free(form->text);
}

static int form_open(struct form *form, const struct relayed *call, const char *from, const char *to, struct span sdp)
{
	static const char lines[] = "INVITE sip:media@localhost SIP/2.0\r\nVia: SIP/2.0/UDP localhost\r\n"
				    "From: <sip:media@localhost>;tag=%s\r\nTo: <sip:media@localhost>;tag=%s\r\n"
				    "Call-ID: %.*s\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n"
				    "Content-Length: %zu\r\n\r\n%.*s";
	size_t size = sizeof(lines) + 20 + strlen(from) + strlen(to) + (size_t)call->call_id.len + sdp.len;

	*form = (struct form){.text = pkg_malloc(size), .message.rcv = *call->rcv};
	if (!form->text)
		return -ENOMEM;
	form->message.buf = form->text;
	form->message.len = (unsigned)snprintf(form->text, size, lines, from, to, STR_FMT(&call->call_id), sdp.len,
					       (int)sdp.len, sdp.ptr ? sdp.ptr : "");
	return parse_msg(form->message.buf, form->message.len, &form->message) ? -EINVAL : 0;
}

typedef int rtpengine_function(sip_msg_t *msg, str *flags);

static int tell(const struct relayed *call, const char *function, char *flags, struct span sdp)
{
	const sr_kemi_t *found = find_function(function);
	str words = str_of(flags);
	struct form form = {};
	int result = -1;

	/* the words have the tags */
	if (found && form_open(&form, call, "a", "b", sdp) == 0)
		result = ((rtpengine_function *)found->func)(&form.message, &words);
	form_close(&form);
	return result > 0 ? 0 : -EIO;
}

/* ------- what it still knows ------- */

static struct {
	const struct parties *parties;
	struct media_label label;
	int result;
} query;

void relay_query_take(struct span text)
{
	char caller[MEDIA_TAG_LENGTH + 1], callee[MEDIA_TAG_LENGTH + 1];

	if (!query.parties)
		return;
	party_tag(query.parties, true, caller);
	party_tag(query.parties, false, callee);
	query.result = media_label_read(text, caller, callee, &query.label);
}

typedef int rtpengine_query_function(sip_msg_t *msg, str *format, str *variable);

static int ask(const struct relayed *call)
{
	char caller[MEDIA_TAG_LENGTH + 1], callee[MEDIA_TAG_LENGTH + 1];
	const sr_kemi_t *found = find_function("rtpengine_query_v");
	str format = str_init("j"), variable = str_init("$srtp_policy_query");
	struct form form = {};

	party_tag(call->parties, true, caller);
	party_tag(call->parties, false, callee);
	/* unless relay_query_take() gets something */
	query.result = -ENOENT;
	int result = found ? form_open(&form, call, caller, callee, (struct span){0}) : -ENOSYS;
	if (result == 0) {
		((rtpengine_query_function *)found->func)(&form.message, &format, &variable);
		result = query.result;
	}
	form_close(&form);
	return result;
}

int relay_recall(struct sip_msg *msg, const struct parties *parties)
{
	struct relayed call = {.parties = parties, .rcv = &msg->rcv, .call_id = msg->callid->body};

	query.parties = parties;
	int result = ask(&call);
	query.parties = NULL;
	if (result == 0)
		result = agreement_recall(&parties->id, &query.label);
	if (result == 0)
		policy_count(recalled);
	else if (result != -ENOENT)
		LM_ERR("call %.*s: who has been secured is not known (%s)\n", STR_FMT(&call.call_id),
		       strerror(-result));
	return result;
}

/* ------- once more ------- */

enum { TELL_MAX = 4, RESTORED_MAX = 2000, DELETED_MAX = 20000 };

static int tell_again(const struct relayed *call, const struct agreement_exchange *exchange)
{
	char offer[RELAY_WORDS_MAX], answer[RELAY_WORDS_MAX];
	bool by_caller = exchange->offered_by_caller;

	relay_words(call->parties, by_caller, RTPENGINE_OFFER, NULL, offer);
	relay_words(call->parties, !by_caller, RTPENGINE_ANSWER, NULL, answer);
	int result = tell(call, "rtpengine_offer", offer, exchange->offer);
	if (result || exchange->answer.len == 0)
		return result;
	return tell(call, "rtpengine_answer", answer, exchange->answer);
}

/* Whoever refused may offer at once, and another process may tell rtpengine so between two words of ours: then it is
 * told that again.
 */
static int tell_what_holds(const struct relayed *call)
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

static int restore(const struct relayed *call)
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
	return restore(&(struct relayed){.parties = &parties, .rcv = &msg->rcv, .call_id = msg->callid->body});
}

/* ------- later ------- */

struct later {
	struct later *next;
	struct receive_info rcv;
	const struct parties *parties;  /* in this block; NULL: to be deleted */
	char tag[MEDIA_TAG_LENGTH + 1]; /* of an end that spoke */
	str call_id;                    /* in this block */
};

struct queue {
	gen_lock_t lock;
	struct later *first, *last;
	unsigned count;
};

static struct {
	struct queue restored, deleted;
} * queues;

int relay_init(void)
{
	queues = shm_malloc(sizeof(*queues));
	if (!queues)
		return -ENOMEM;
	memset(queues, 0, sizeof(*queues));
	lock_init(&queues->restored.lock);
	lock_init(&queues->deleted.lock);
	return 0;
}

static struct later *queue_take(struct queue *queue)
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

/* Without the lock: no other process is left, but one may have been killed while it had it. */
static void queue_finish(struct queue *queue)
{
	for (struct later *later = queue->first, *next; later; later = next) {
		next = later->next;
		shm_free(later);
	}
}

void relay_finish(void)
{
	if (!queues)
		return;
	queue_finish(&queues->restored);
	queue_finish(&queues->deleted);
	shm_free(queues);
	queues = NULL;
}

static int queue_put(struct queue *queue, unsigned max, struct later *later)
{
	lock_get(&queue->lock);
	bool full = queue->count >= max;
	if (!full) {
		if (queue->first)
			queue->last->next = later;
		else
			queue->first = later;
		queue->last = later;
		queue->count++;
	}
	lock_release(&queue->lock);
	if (full)
		shm_free(later);
	return full ? -ENOMEM : 0;
}

static struct later *later_new(const struct sip_msg *msg, const struct parties *parties)
{
	const str *call_id = &msg->callid->body;
	size_t size = sizeof(struct later) + (parties ? sizeof(*parties) : 0);
	struct later *later = shm_malloc(size + (size_t)call_id->len);

	if (!later)
		return NULL;
	*later = (struct later){.rcv = msg->rcv, .call_id = {(char *)later + size, call_id->len}};
	if (parties)
		later->parties = memcpy(later + 1, parties, sizeof(*parties));
	memcpy(later->call_id.s, call_id->s, (size_t)call_id->len);
	return later;
}

static struct relayed relayed_of(const struct later *later)
{
	return (struct relayed){.parties = later->parties, .rcv = &later->rcv, .call_id = later->call_id};
}

int relay_restore_later(struct sip_msg *msg)
{
	struct parties parties;

	if (undo(msg, &parties))
		return -ENOENT;
	struct later *later = later_new(msg, &parties);
	return later ? queue_put(&queues->restored, RESTORED_MAX, later) : -ENOMEM;
}

int relay_restore_next(void)
{
	struct later *later = queue_take(&queues->restored);

	if (!later)
		return -ENOENT;
	struct relayed call = relayed_of(later);
	int result = restore(&call);
	shm_free(later);
	return result;
}

int relay_delete_later(struct sip_msg *msg)
{
	char tag[MEDIA_TAG_LENGTH + 1];

	if (media_tag(msg, media_begun_by_caller(msg), tag))
		return -EINVAL;
	struct later *later = later_new(msg, NULL);
	if (!later)
		return -ENOMEM;
	memcpy(later->tag, tag, sizeof(tag));
	return queue_put(&queues->deleted, DELETED_MAX, later);
}

int relay_delete_next(void)
{
	char words[sizeof("from-tag= delete-delay=0") + MEDIA_TAG_LENGTH];
	struct later *later = queue_take(&queues->deleted);

	if (!later)
		return -ENOENT;
	snprintf(words, sizeof(words), "from-tag=%s delete-delay=0", later->tag);
	struct relayed call = relayed_of(later);
	tell(&call, "rtpengine_delete", words, (struct span){0});
	shm_free(later);
	return 0;
}
