/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The last offer and answer of each dialog, in a table of shared memory. */
#include "agreement.h"

#include <errno.h>
#include <string.h>

#include <core/hashes.h>
#include <core/locking.h>
#include <core/mem/mem.h>
#include <core/mem/shm_mem.h>
#include <core/timer.h>

enum {
	BUCKETS = 8192, /* a power of 2 */
	LOCKS = 64,
	TEXT_MAX = 8192,        /* longer SDP is not kept */
	KEPT_S = 86400,         /* without a new answer: its end was not seen */
	KEPT_PENDING_S = 600,   /* without any answer */
	WAITS_S = 40,           /* longer than 64*T1: whoever offered has given up */
	INVITE_WAITS_S = 310,   /* longer than it may ring */
	DIALOGS_ROOM = 1 << 20, /* for dialogs, whatever the limit is */
};

struct text {
	uint32_t length;
	char bytes[];
};

struct dialog {
	struct dialog *next;
	char digest[AGREEMENT_ID_LENGTH];
	ticks_t since;
	bool offered_by_caller;
	struct text *offer, *answer;              /* in force; NULL: not known */
	struct agreement_transaction transaction; /* of the offer in force */
	struct text *pending[MEDIA_ENDS];
	struct agreement_transaction waiting_in[MEDIA_ENDS];
	bool waits[MEDIA_ENDS]; /* an offer of this end does, though its text may not be kept */
	uint32_t done[MEDIA_ENDS]
		     [2]; /* highest CSeq that was answered for good, by who sent the request: of others, of INVITE */
	ticks_t offered[MEDIA_ENDS];
	uint32_t version;            /* counts offers, answers and what came to nothing, from 1 */
	uint32_t offers[MEDIA_ENDS]; /* what the last offer of this end secures */
	struct media_label secured;
};

struct table {
	gen_lock_t locks[LOCKS];
	size_t limit, used, dialogs;
	struct dialog *buckets[BUCKETS];
};

static struct table *table;

static void text_free(struct text **text)
{
	if (!*text)
		return;
	__atomic_fetch_sub(&table->used, (*text)->length, __ATOMIC_RELAXED);
	shm_free(*text);
	*text = NULL;
}

/* What cannot be kept is lost: only agreement_undo() misses it. */
static void text_set(struct text **text, struct span bytes)
{
	if (*text && (*text)->length == bytes.len && memcmp((*text)->bytes, bytes.ptr, bytes.len) == 0)
		return;
	text_free(text);
	if (bytes.len > TEXT_MAX || __atomic_load_n(&table->used, __ATOMIC_RELAXED) + bytes.len > table->limit)
		return;
	*text = shm_malloc(sizeof(**text) + bytes.len);
	if (!*text)
		return;
	(*text)->length = (uint32_t)bytes.len;
	memcpy((*text)->bytes, bytes.ptr, bytes.len);
	__atomic_fetch_add(&table->used, bytes.len, __ATOMIC_RELAXED);
}

static void dialog_free(struct dialog *dialog)
{
	text_free(&dialog->offer);
	text_free(&dialog->answer);
	for (enum media_end end = MEDIA_CALLEE; end < MEDIA_ENDS; end++)
		text_free(&dialog->pending[end]);
	shm_free(dialog);
	__atomic_fetch_sub(&table->used, sizeof(*dialog), __ATOMIC_RELAXED);
	__atomic_fetch_sub(&table->dialogs, 1, __ATOMIC_RELAXED);
}

/* ------- the table ------- */

int agreements_init(size_t limit)
{
	table = shm_malloc(sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table, 0, sizeof(*table));
	table->limit = limit;
	for (size_t i = 0; i < LOCKS; i++)
		lock_init(&table->locks[i]);
	return 0;
}

void agreements_finish(void)
{
	for (size_t i = 0; table && i < BUCKETS; i++)
		for (struct dialog *dialog = table->buckets[i], *next; dialog; dialog = next) {
			next = dialog->next;
			dialog_free(dialog);
		}
	if (table)
		shm_free(table);
	table = NULL;
}

static uint32_t bucket_lock(const struct agreement_id *id)
{
	str digest = {.s = (char *)id->digest, .len = AGREEMENT_ID_LENGTH};
	uint32_t bucket = get_hash1_raw(digest.s, digest.len) & (BUCKETS - 1);

	lock_get(&table->locks[bucket % LOCKS]);
	return bucket;
}

static void bucket_unlock(uint32_t bucket)
{
	lock_release(&table->locks[bucket % LOCKS]);
}

/* The place of the pointer to it, or of the NULL at the end. */
static struct dialog **dialog_find(uint32_t bucket, const struct agreement_id *id)
{
	struct dialog **place = &table->buckets[bucket];

	while (*place && memcmp((*place)->digest, id->digest, AGREEMENT_ID_LENGTH))
		place = &(*place)->next;
	return place;
}

static bool is_secured(const struct dialog *dialog)
{
	const struct media_label *label = &dialog->secured;

	return label->firm[MEDIA_CALLEE] || label->firm[MEDIA_CALLER] || label->loose[MEDIA_CALLEE] ||
	       label->loose[MEDIA_CALLER];
}

static bool is_old(const struct dialog *dialog)
{
	bool answered = dialog->answer || is_secured(dialog);

	return get_ticks() - dialog->since > (ticks_t)(answered ? KEPT_S : KEPT_PENDING_S);
}

static void dialog_remove(struct dialog **place)
{
	struct dialog *dialog = *place;

	*place = dialog->next;
	dialog_free(dialog);
}

static void bucket_sweep(uint32_t bucket)
{
	for (struct dialog **place = &table->buckets[bucket]; *place;) {
		if (is_old(*place))
			dialog_remove(place);
		else
			place = &(*place)->next;
	}
}

void agreements_sweep(void)
{
	for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
		lock_get(&table->locks[bucket % LOCKS]);
		bucket_sweep(bucket);
		bucket_unlock(bucket);
	}
}

static struct dialog *dialog_new(void)
{
	size_t room = table->limit > DIALOGS_ROOM ? table->limit : DIALOGS_ROOM;
	struct dialog *dialog = NULL;

	if ((__atomic_load_n(&table->dialogs, __ATOMIC_RELAXED) + 1) * sizeof(*dialog) <= room)
		dialog = shm_malloc(sizeof(*dialog));
	if (!dialog)
		return NULL;
	__atomic_fetch_add(&table->used, sizeof(*dialog), __ATOMIC_RELAXED);
	__atomic_fetch_add(&table->dialogs, 1, __ATOMIC_RELAXED);
	return dialog;
}

static struct dialog *dialog_open(uint32_t bucket, const struct agreement_id *id)
{
	struct dialog *dialog = *dialog_find(bucket, id);

	if (dialog) {
		dialog->since = get_ticks();
		return dialog;
	}
	dialog = dialog_new();
	if (!dialog)
		return NULL;
	*dialog = (struct dialog){.next = table->buckets[bucket], .since = get_ticks()};
	memcpy(dialog->digest, id->digest, AGREEMENT_ID_LENGTH);
	table->buckets[bucket] = dialog;
	return dialog;
}

/* ------- offers and answers ------- */

static enum media_end end_of(bool caller)
{
	return caller ? MEDIA_CALLER : MEDIA_CALLEE;
}

static bool is_same(const struct agreement_transaction *a, const struct agreement_transaction *b)
{
	return a->by_caller == b->by_caller && a->invite == b->invite && a->number == b->number;
}

/* It was answered: a 2xx says once more what a PRACK has answered, or comes again after its ACK. */
static bool is_in_force(const struct dialog *dialog, const struct agreement_sdp *offer)
{
	return dialog->offer && dialog->offered_by_caller == offer->by_caller &&
	       is_same(&dialog->transaction, &offer->transaction) &&
	       span_equal((struct span){dialog->offer->bytes, dialog->offer->length}, offer->text);
}

static void offer_put(struct dialog *dialog, const struct agreement_sdp *sdp)
{
	enum media_end end = end_of(sdp->by_caller);

	dialog->version++;
	if (is_in_force(dialog, sdp))
		return;
	text_set(&dialog->pending[end], sdp->text);
	dialog->waiting_in[end] = sdp->transaction;
	dialog->waits[end] = true;
	if (!dialog->offer)
		dialog->offered_by_caller = sdp->by_caller;
	dialog->offered[end] = get_ticks();
	dialog->offers[end] = sdp->secured;
}

int agreement_offer(const struct agreement_id *id, const struct agreement_sdp *sdp)
{
	uint32_t bucket = bucket_lock(id);
	struct dialog *dialog = dialog_open(bucket, id);

	if (dialog)
		offer_put(dialog, sdp);
	bucket_unlock(bucket);
	return dialog ? 0 : -ENOMEM;
}

static bool answers_waiting(const struct dialog *dialog, const struct agreement_transaction *transaction,
			    enum media_end offerer)
{
	return transaction->number == 0 ||
	       (dialog->waits[offerer] && is_same(&dialog->waiting_in[offerer], transaction));
}

static uint32_t *last_done(struct dialog *dialog, const struct agreement_transaction *transaction)
{
	return &dialog->done[end_of(transaction->by_caller)][transaction->invite];
}

static bool is_repeated(struct dialog *dialog, const struct agreement_transaction *transaction, enum media_end offerer,
			bool final)
{
	if (transaction->number == 0 || transaction->number > *last_done(dialog, transaction))
		return false;
	if (!final)
		return true;
	if (answers_waiting(dialog, transaction, offerer))
		return false;
	if (dialog->waits[MEDIA_CALLER] || dialog->waits[MEDIA_CALLEE])
		return true;
	return dialog->transaction.number > 0 && !is_same(&dialog->transaction, transaction);
}

bool agreement_repeats(const struct agreement_id *id, const struct agreement_transaction *transaction,
		       bool offered_by_caller, bool final)
{
	uint32_t bucket = bucket_lock(id);
	struct dialog *dialog = *dialog_find(bucket, id);
	bool result = dialog && is_repeated(dialog, transaction, end_of(offered_by_caller), final);

	bucket_unlock(bucket);
	return result;
}

/* The offer that waited is in force now. */
static void offer_take(struct dialog *dialog, enum media_end offerer)
{
	text_free(&dialog->offer);
	text_free(&dialog->answer);
	dialog->offer = dialog->pending[offerer];
	dialog->pending[offerer] = NULL;
	dialog->waits[offerer] = false;
	dialog->offered_by_caller = offerer == MEDIA_CALLER;
	dialog->transaction = dialog->waiting_in[offerer];
}

static bool takes_offer(const struct dialog *dialog, const struct agreement_sdp *sdp)
{
	enum media_end offerer = end_of(!sdp->by_caller);

	return dialog->waits[offerer] && answers_waiting(dialog, &sdp->transaction, offerer);
}

/* Another answer to the same offer takes nothing of it back. */
static void make_firm(struct media_label *label)
{
	for (enum media_end end = 0; end < MEDIA_ENDS; end++)
		label->firm[end] |= label->loose[end];
}

/* Of what was offered; the rest was never used. */
static uint32_t taken_up(uint32_t offered, uint32_t live)
{
	return offered == UINT32_MAX ? offered : offered & live;
}

static struct media_label label_after(const struct dialog *dialog, const struct agreement_sdp *sdp, bool final)
{
	struct media_label label = dialog->secured;
	enum media_end answerer = end_of(sdp->by_caller), offerer = end_of(!sdp->by_caller);

	if (takes_offer(dialog, sdp)) {
		make_firm(&label);
		label.loose[offerer] = taken_up(dialog->offers[offerer], sdp->live);
	}
	label.loose[answerer] = sdp->secured;
	if (final)
		make_firm(&label);
	return label;
}

static void answered_for_good(struct dialog *dialog, const struct agreement_transaction *transaction)
{
	uint32_t *done = last_done(dialog, transaction);

	if (*done < transaction->number)
		*done = transaction->number;
}

static void answer_put(struct dialog *dialog, const struct agreement_sdp *sdp, bool final)
{
	dialog->secured = label_after(dialog, sdp, final);
	if (takes_offer(dialog, sdp))
		offer_take(dialog, end_of(!sdp->by_caller));
	if (dialog->offer && dialog->offered_by_caller != sdp->by_caller &&
	    (sdp->transaction.number == 0 || is_same(&dialog->transaction, &sdp->transaction)))
		text_set(&dialog->answer, sdp->text);
	dialog->version++;
	if (final)
		answered_for_good(dialog, &sdp->transaction);
}

int agreement_answer(const struct agreement_id *id, const struct agreement_sdp *sdp, bool final)
{
	uint32_t bucket = bucket_lock(id);
	struct dialog *dialog = dialog_open(bucket, id);

	if (dialog)
		answer_put(dialog, sdp, final);
	bucket_unlock(bucket);
	return dialog ? 0 : -ENOMEM;
}

void agreement_final(const struct agreement_id *id, const struct agreement_transaction *transaction)
{
	uint32_t bucket = bucket_lock(id);
	struct dialog *dialog = *dialog_find(bucket, id);

	if (dialog)
		answered_for_good(dialog, transaction);
	bucket_unlock(bucket);
}

void agreement_settle(const struct agreement_id *id, const struct agreement_transaction *transaction)
{
	uint32_t bucket = bucket_lock(id);
	struct dialog *dialog = *dialog_find(bucket, id);

	if (dialog) {
		make_firm(&dialog->secured);
		answered_for_good(dialog, transaction);
	}
	bucket_unlock(bucket);
}

uint32_t agreement_secured(const struct agreement_id *id, bool caller, bool answers)
{
	uint32_t bucket = bucket_lock(id);
	const struct dialog *dialog = *dialog_find(bucket, id);
	enum media_end end = end_of(caller);
	uint32_t secured = 0;

	if (dialog) {
		bool again = answers && !dialog->waits[MEDIA_CALLER] && !dialog->waits[MEDIA_CALLEE];
		secured = dialog->secured.firm[end] | (again ? 0 : dialog->secured.loose[end]);
	}
	bucket_unlock(bucket);
	return secured;
}

bool agreement_known(const struct agreement_id *id)
{
	uint32_t bucket = bucket_lock(id);
	bool known = *dialog_find(bucket, id);

	bucket_unlock(bucket);
	return known;
}

int agreement_recall(const struct agreement_id *id, const struct media_label *label)
{
	uint32_t bucket = bucket_lock(id);
	struct dialog *dialog = dialog_open(bucket, id);

	if (dialog)
		media_label_add(&dialog->secured, label);
	bucket_unlock(bucket);
	return dialog ? 0 : -ENOMEM;
}

struct media_label agreement_label(const struct agreement_id *id, const struct agreement_sdp *answer, bool final)
{
	static const struct dialog unknown;
	uint32_t bucket = bucket_lock(id);
	const struct dialog *dialog = *dialog_find(bucket, id);

	if (!dialog)
		dialog = &unknown;
	struct media_label label = label_after(dialog, answer, final);
	bucket_unlock(bucket);
	return label;
}

/* ------- back ------- */

static bool is_waiting(const struct dialog *dialog, enum media_end end)
{
	unsigned limit = dialog->waiting_in[end].invite ? INVITE_WAITS_S : WAITS_S;

	return dialog->waits[end] && get_ticks() - dialog->offered[end] < limit;
}

static int exchange_copy(const struct text *offer, const struct text *answer, struct agreement_exchange *exchange)
{
	size_t offered = offer->length, answered = answer ? answer->length : 0;
	char *room = pkg_malloc(offered + answered);

	if (!room)
		return -ENODATA;
	memcpy(room, offer->bytes, offered);
	if (answer)
		memcpy(room + offered, answer->bytes, answered);
	exchange->offer = (struct span){room, offered};
	exchange->answer = (struct span){room + offered, answered};
	return 0;
}

static int exchange_of(const struct dialog *dialog, struct agreement_exchange *exchange)
{
	exchange->version = dialog->version;
	for (enum media_end end = MEDIA_CALLEE; end < MEDIA_ENDS; end++) {
		exchange->offered_by_caller = end == MEDIA_CALLER;
		if (is_waiting(dialog, end))
			return dialog->pending[end] ? exchange_copy(dialog->pending[end], NULL, exchange) : -ENODATA;
	}
	exchange->offered_by_caller = dialog->offered_by_caller;
	return dialog->offer && dialog->answer ? exchange_copy(dialog->offer, dialog->answer, exchange) : -ENODATA;
}

/* Nothing was ever agreed, and nothing waits: whoever offered may have made the dialog up. */
static bool is_nobodys(const struct dialog *dialog)
{
	return !dialog->offer && !dialog->transaction.number && !is_secured(dialog) && !dialog->waits[MEDIA_CALLER] &&
	       !dialog->waits[MEDIA_CALLEE];
}

int agreement_undo(const struct agreement_id *id, const struct agreement_transaction *transaction)
{
	uint32_t bucket = bucket_lock(id);
	struct dialog **place = dialog_find(bucket, id), *dialog = *place;
	enum media_end offerer = end_of(transaction->by_caller);
	int result = -ENOENT;

	if (dialog && dialog->waits[offerer] && is_same(&dialog->waiting_in[offerer], transaction)) {
		text_free(&dialog->pending[offerer]);
		dialog->waits[offerer] = false;
		dialog->version++;
		result = 0;
		if (is_nobodys(dialog))
			dialog_remove(place);
	}
	bucket_unlock(bucket);
	return result;
}

int agreement_read(const struct agreement_id *id, struct agreement_exchange *exchange)
{
	uint32_t bucket = bucket_lock(id), version = exchange->version;
	const struct dialog *dialog = *dialog_find(bucket, id);
	int result = dialog || version ? -ENOENT : -ENODATA;

	if (dialog && dialog->version != version)
		result = exchange_of(dialog, exchange);
	bucket_unlock(bucket);
	return result;
}

void agreement_exchange_free(struct agreement_exchange *exchange)
{
	pkg_free((char *)exchange->offer.ptr);
}

/* ------- the end ------- */

int agreement_forget(const struct agreement_id *id, bool *by_caller)
{
	uint32_t bucket = bucket_lock(id);
	struct dialog **place = dialog_find(bucket, id);
	int result = *place ? 0 : -ENOENT;

	if (*place) {
		*by_caller = (*place)->offered_by_caller;
		dialog_remove(place);
	}
	bucket_unlock(bucket);
	return result;
}
