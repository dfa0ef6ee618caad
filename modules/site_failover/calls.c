/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The live calls, counted at both of their peers. */
#include "calls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include <core/dprint.h>
#include <core/locking.h>
#include <core/mem/shm_mem.h>
#include <core/parser/parse_cseq.h>
#include <core/parser/parse_from.h>
#include <core/parser/parse_to.h>

#include "glue.h"
#include "load.h"
#include "place.h"
#include "route_set.h"
#include "state.h"

enum {
	BUCKETS = 8192,
	LOCKS = 64,
	SLICE = BUCKETS / 16, /* buckets looked at in one turn of the prober */
	AT_ONCE = 20,         /* calls asked for in one turn */
	AGAIN_MS = 10000,     /* a call whose peer could not be asked */
	TEXT_MAX = 2048,
	NO_SUCH_CALL = 481,
};

/* What a request within the dialog needs; only kept where the callee's peer has a capacity. */
enum text { CALL_ID, FROM_URI, FROM_TAG, TO_URI, TO_TAG, CONTACT, ROUTES, TEXTS };

struct call {
	struct call *next;
	uint64_t key, ask_ms; /* ask_ms: when its peer is asked for it next */
	uint32_t ingress, egress;
	uint32_t cseq;
	uint16_t lengths[TEXTS];
	char text[];
};

struct table {
	uint8_t secret[crypto_shorthash_KEYBYTES];
	gen_lock_t locks[LOCKS];
	uint32_t count, next_bucket;
	bool full; /* said so in the log */
	struct call *buckets[BUCKETS];
};

static struct table *table;

int calls_init(void)
{
	table = shm_malloc(sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table, 0, sizeof(*table));
	crypto_shorthash_keygen(table->secret);
	for (size_t i = 0; i < LOCKS; i++)
		lock_init(&table->locks[i]);
	return 0;
}

void calls_finish(void)
{
	struct table *gone = table;
	table = NULL;
	for (size_t i = 0; gone && i < BUCKETS; i++)
		for (struct call *call = gone->buckets[i], *next; call; call = next) {
			next = call->next;
			shm_free(call);
		}
	if (gone)
		shm_free(gone);
}

uint32_t calls_count(void)
{
	return __atomic_load_n(&table->count, __ATOMIC_RELAXED);
}

/* ------- the table ------- */

static uint64_t hash_of(const void *bytes, size_t length)
{
	uint64_t hash;
	crypto_shorthash((unsigned char *)&hash, bytes, length, table->secret);
	return hash;
}

/* One call may pass twice, and have several callees. */
static uint64_t key_of(const struct dialog *dialog, str call_id, str callee_tag)
{
	struct {
		uint64_t call_id, tag;
		uint32_t direction, ingress, egress, zero;
	} parts = {
		.call_id = hash_of(call_id.s, (size_t)call_id.len),
		.tag = hash_of(callee_tag.s ? callee_tag.s : "", (size_t)callee_tag.len),
		.direction = dialog->direction,
		.ingress = dialog->ingress,
		.egress = dialog->egress,
	};
	return hash_of(&parts, sizeof(parts));
}

static gen_lock_t *lock_of(size_t bucket)
{
	return &table->locks[bucket % LOCKS];
}

static struct call **find(uint64_t key)
{
	struct call **link = &table->buckets[key % BUCKETS];
	while (*link && (*link)->key != key)
		link = &(*link)->next;
	return link;
}

static bool has_room(void)
{
	if (calls_count() < (uint32_t)site_state.parameters.calls_max)
		return true;
	if (!table->full && site_state.parameters.calls_max)
		LM_WARN("%u live calls: no more are counted, see calls_max\n", calls_count());
	table->full = true;
	return false;
}

/* Takes over @p call, or frees it: it is counted already. */
static void insert(struct call *call)
{
	size_t bucket = call->key % BUCKETS;
	lock_get(lock_of(bucket));
	struct call **link = find(call->key);
	bool fresh = !*link;
	if (fresh)
		*link = call;
	lock_release(lock_of(bucket));
	if (!fresh) {
		shm_free(call);
		return;
	}
	__atomic_fetch_add(&table->count, 1, __ATOMIC_RELAXED);
	load_begin(call->ingress);
	load_begin(call->egress);
}

static bool take_out(uint64_t key)
{
	size_t bucket = key % BUCKETS;
	lock_get(lock_of(bucket));
	struct call **link = find(key), *call = *link;
	if (call)
		*link = call->next;
	lock_release(lock_of(bucket));
	if (!call)
		return false;
	__atomic_fetch_sub(&table->count, 1, __ATOMIC_RELAXED);
	load_end(call->ingress);
	load_end(call->egress);
	table->full = false;
	shm_free(call);
	return true;
}

/* ------- a call begins ------- */

static bool is_limited(uint32_t peer)
{
	struct place place;
	return site_state.parameters.audit_interval && place_find(peer, &place) == 0 && place.capacity;
}

static uint64_t next_audit(void)
{
	return site_clock_ms() + (uint64_t)site_state.parameters.audit_interval * 1000;
}

/* The texts may all be empty. */
static struct call *make(const struct dialog *dialog, uint64_t key, const str texts[TEXTS])
{
	size_t length = 0;
	for (size_t i = 0; i < TEXTS; i++)
		length += (size_t)texts[i].len;
	struct call *call = shm_malloc(sizeof(*call) + length);
	if (!call)
		return NULL;
	*call = (struct call){.key = key, .ingress = dialog->ingress, .egress = dialog->egress, .ask_ms = next_audit()};
	length = 0;
	for (size_t i = 0; i < TEXTS; i++) {
		call->lengths[i] = (uint16_t)texts[i].len;
		if (texts[i].len)
			memcpy(call->text + length, texts[i].s, (size_t)texts[i].len);
		length += (size_t)texts[i].len;
	}
	return call;
}

static bool write_routes(const struct route_set *set, char *text, int size, str *routes)
{
	int length = 0;
	for (size_t i = 0; i < set->count; i++) {
		length += snprintf(text + length, (size_t)(size - length), "Route: %.*s\r\n", STR_FMT(&set->routes[i]));
		if (length >= size)
			return false;
	}
	*routes = (str){.s = text, .len = length};
	return true;
}

static bool read_ends(struct sip_msg *msg)
{
	return parse_headers(msg, HDR_EOH_F, 0) >= 0 && msg->callid && msg->cseq && parse_from_header(msg) >= 0 &&
	       parse_to_header(msg) >= 0 && get_to(msg)->tag_value.len && get_from(msg)->tag_value.len;
}

static void fill_ends(struct sip_msg *msg, str texts[TEXTS])
{
	texts[CALL_ID] = msg->callid->body;
	texts[FROM_URI] = get_from(msg)->uri;
	texts[FROM_TAG] = get_from(msg)->tag_value;
	texts[TO_URI] = get_to(msg)->uri;
	texts[TO_TAG] = get_to(msg)->tag_value;
}

/* Without a Contact, or with too much of anything, the call is counted but never asked for. */
static void put(const struct dialog *dialog, uint64_t key, struct sip_msg *msg, str texts[TEXTS])
{
	static const str none[TEXTS];
	size_t length = 0;
	for (size_t i = 0; i < TEXTS; i++)
		length += (size_t)texts[i].len;
	struct call *call = make(dialog, key, length > TEXT_MAX || texts[CONTACT].len == 0 ? none : texts);
	if (!call)
		return;
	str2int(&get_cseq(msg)->number, &call->cseq);
	insert(call);
}

void calls_begin(const struct dialog *dialog, struct sip_msg *response)
{
	str texts[TEXTS] = {};
	char routes[TEXT_MAX];
	struct route_set set;
	if (!has_room() || !read_ends(response))
		return;
	if (is_limited(dialog->egress) && route_set_contact(response, &texts[CONTACT]) == 0 &&
	    route_set_read(response, &set) == 0 && write_routes(&set, routes, sizeof(routes), &texts[ROUTES]))
		fill_ends(response, texts);
	else
		texts[CONTACT] = (str){};
	put(dialog, key_of(dialog, response->callid->body, get_to(response)->tag_value), response, texts);
}

static uint64_t key_of_request(const struct dialog *dialog, struct sip_msg *request, bool forward)
{
	return key_of(dialog, request->callid->body,
		      forward ? get_to(request)->tag_value : get_from(request)->tag_value);
}

void calls_learn(const struct dialog *dialog, struct sip_msg *request, bool forward)
{
	str texts[TEXTS] = {};
	if (!has_room() || !read_ends(request))
		return;
	uint64_t key = key_of_request(dialog, request, forward);
	lock_get(lock_of(key % BUCKETS));
	bool known = *find(key);
	lock_release(lock_of(key % BUCKETS));
	if (known)
		return;
	if (forward && is_limited(dialog->egress)) {
		fill_ends(request, texts);
		texts[CONTACT] = *GET_RURI(request);
	}
	put(dialog, key, request, texts);
}

void calls_end(const struct dialog *dialog, struct sip_msg *request)
{
	if (!read_ends(request))
		return;
	if (!take_out(key_of_request(dialog, request, true)))
		take_out(key_of_request(dialog, request, false));
}

/* ------- asking for calls ------- */

struct question {
	uint64_t key;
	uint32_t egress, cseq;
	str texts[TEXTS];
	char text[TEXT_MAX];
};

static bool is_askable(const struct call *call)
{
	return call->lengths[CONTACT] != 0;
}

static void copy(const struct call *call, struct question *question)
{
	size_t length = 0;
	*question = (struct question){.key = call->key, .egress = call->egress, .cseq = call->cseq};
	for (size_t i = 0; i < TEXTS; i++) {
		memcpy(question->text + length, call->text + length, call->lengths[i]);
		question->texts[i] = (str){.s = question->text + length, .len = call->lengths[i]};
		length += call->lengths[i];
	}
}

static void on_answer(struct cell *cell, int type, struct tmcb_params *event)
{
	if (event->rpl == FAKED_REPLY || event->code != NO_SUCH_CALL || !table)
		return;
	if (!take_out((uint64_t)(uintptr_t)*event->param))
		return;
	site_count(calls_lost);
	LM_NOTICE("a live call is gone: its peer knows it no more\n");
}

/*
 * The caller's dialog, but a CSeq that he has used already: an OPTIONS that left a gap for his next request would break
 * his call; this one is at worst answered with 500, which tells as well that the call lives.
 */
static int ask(struct question *question, uint32_t limit_ms)
{
	static str method = STR_STATIC_INIT("OPTIONS");
	char hop[PLACE_URI_MAX];
	struct place place;
	uac_req_t request;
	if (place_find(question->egress, &place) || place_aim(&place))
		return -EHOSTUNREACH;
	place_uri(&place, hop);
	str *texts = question->texts;
	dlg_t dialog = {
		.id = {.call_id = texts[CALL_ID], .loc_tag = texts[FROM_TAG], .rem_tag = texts[TO_TAG]},
		.loc_seq = {.value = question->cseq, .is_set = 1},
		.loc_uri = texts[FROM_URI],
		.rem_uri = texts[TO_URI],
		.rem_target = texts[CONTACT],
		.dst_uri = str_of(hop),
		.state = DLG_CONFIRMED,
		.send_sock = place_send_socket(&place),
	};
	if (!dialog.send_sock)
		return -ENOTCONN;
	set_uac_req(&request, &method, texts[ROUTES].len ? &texts[ROUTES] : NULL, NULL, &dialog, TMCB_LOCAL_COMPLETED,
		    on_answer, (void *)(uintptr_t)question->key);
	site_count(calls_audited);
	return site_state.tm.t_uac(&request) < 0 ? -EIO : 0;
}

/* The next call of a bucket that is due, copied; its turn is then over. */
static bool next_due(size_t bucket, uint64_t now_ms, struct question *question)
{
	bool found = false;
	lock_get(lock_of(bucket));
	for (struct call *call = table->buckets[bucket]; call && !found; call = call->next) {
		found = is_askable(call) && now_ms >= call->ask_ms;
		if (!found)
			continue;
		copy(call, question);
		call->ask_ms = next_audit();
	}
	lock_release(lock_of(bucket));
	return found;
}

static void ask_later(uint64_t key)
{
	size_t bucket = key % BUCKETS;
	lock_get(lock_of(bucket));
	struct call *call = *find(key);
	if (call)
		call->ask_ms = site_clock_ms() + AGAIN_MS;
	lock_release(lock_of(bucket));
}

void calls_audit(const struct topology_settings *settings)
{
	static struct question question;
	uint64_t now_ms = site_clock_ms();
	size_t asked = 0;
	for (size_t i = 0; i < SLICE && asked < AT_ONCE; i++) {
		size_t bucket = table->next_bucket;
		while (asked < AT_ONCE && next_due(bucket, now_ms, &question)) {
			if (ask(&question, settings->probe_timeout_ms))
				ask_later(question.key);
			asked++;
		}
		table->next_bucket = (uint32_t)((bucket + 1) % BUCKETS);
	}
}

void calls_audit_peer(uint32_t peer)
{
	uint64_t now_ms = site_clock_ms();
	for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
		lock_get(lock_of(bucket));
		for (struct call *call = table->buckets[bucket]; call; call = call->next)
			if (call->egress == peer)
				call->ask_ms = now_ms;
		lock_release(lock_of(bucket));
	}
}
