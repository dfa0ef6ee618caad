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
#include <core/parser/parse_nameaddr.h>
#include <core/parser/parse_to.h>

#include "call_state.h"
#include "glue.h"
#include "hop.h"
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
	ENDED_MS = 64000,     /* an ended call is remembered: longer than anything of it is repeated (RFC 3261 64*T1) */
	TEXT_MAX = 2048,
	MARKS = 65536, /* as many as half a mark can name */
	NO_SUCH_CALL = 481,
};

/*
 * What a request within the dialog needs; an end is named by whom the request goes to. The groups are kept of every
 * call, the rest only where one of the two peers has a capacity.
 */
enum end { CALLER, CALLEE, ENDS };
enum text {
	GROUP,
	URI = GROUP + ENDS,
	TAG = URI + ENDS,
	CONTACT = TAG + ENDS,
	ROUTES = CONTACT + ENDS,
	CALL_ID = ROUTES + ENDS,
	TEXTS,
};

struct address {
	struct socket_info *socket; /* it goes out of */
	struct ip_addr ip, source;  /* source: where this end's own messages come from */
	uint16_t port;
	uint8_t transport;
};

struct call {
	struct call *next;
	uint64_t key;      /* of the dialog and the INVITE that began it */
	uint64_t names;    /* of the dialog alone: Call-ID and both tags */
	uint64_t begun_by; /* of the INVITE: Call-ID, caller's tag and number */
	uint64_t caller_tag;
	uint32_t invite; /* its number */
	enum direction direction;
	bool learned;    /* from a request within it: the INVITE is that of its token */
	uint64_t due_ms; /* when an end is asked for it next, or it ends unasked; when it is forgotten, if it has ended
			  */
	uint32_t ingress, egress;
	uint32_t cseq[ENDS]; /* used already towards this end */
	bool ended;
	enum call_relayed relayed;
	enum end turn; /* who is asked next */
	struct address addresses[ENDS];
	uint16_t lengths[TEXTS];
	char text[];
};

struct table {
	uint8_t secret[crypto_shorthash_KEYBYTES];
	gen_lock_t locks[LOCKS];
	uint32_t count, ended, next_bucket;
	uint32_t trying;         /* INVITEs that were sent and have no final answer */
	bool full;               /* said so in the log */
	uint16_t open[2][MARKS]; /* the same, by each half of their marks: how many have it */
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

/* ------- names ------- */

/* An INVITE that began the dialog has no callee's tag. */
static bool read_names(struct sip_msg *msg)
{
	return parse_headers(msg, HDR_EOH_F, 0) >= 0 && msg->callid && msg->cseq && parse_from_header(msg) >= 0 &&
	       parse_to_header(msg) >= 0 && get_from(msg)->tag_value.len;
}

static bool read_ends(struct sip_msg *msg)
{
	return read_names(msg) && get_to(msg)->tag_value.len;
}

/* ------- calls that are not answered yet ------- */

uint32_t calls_trying(void)
{
	return __atomic_load_n(&table->trying, __ATOMIC_RELAXED);
}

static uint64_t hash_of(const void *bytes, size_t length)
{
	uint64_t hash;
	crypto_shorthash((unsigned char *)&hash, bytes, length, table->secret);
	return hash;
}

static uint64_t hash_of_str(str text)
{
	return hash_of(text.s ? text.s : "", (size_t)text.len);
}

/* The INVITE that began the dialog of this message, with one of its tags as the caller's. */
static uint64_t begun_by(struct sip_msg *msg, str caller_tag, uint32_t invite)
{
	const uint64_t parts[] = {hash_of_str(msg->callid->body), hash_of_str(caller_tag), invite};
	return hash_of(parts, sizeof(parts));
}

static uint32_t invite_now(void)
{
	return (uint32_t)call_state_int(CALL_INVITE, 0);
}

uint32_t calls_mark(struct sip_msg *invite)
{
	return table && read_names(invite) ? (uint32_t)begun_by(invite, get_from(invite)->tag_value, invite_now()) : 0;
}

static uint16_t *open_at(uint32_t mark, unsigned half)
{
	return &table->open[half][(mark >> 16 * half) % MARKS];
}

void calls_open(uint32_t mark, uint32_t ingress)
{
	if (!table)
		return;
	for (unsigned half = 0; half < 2; half++)
		__atomic_fetch_add(open_at(mark, half), 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&table->trying, 1, __ATOMIC_RELAXED);
	load_open(ingress);
}

void calls_close(uint32_t mark, uint32_t ingress)
{
	if (!table)
		return;
	for (unsigned half = 0; half < 2; half++)
		__atomic_fetch_sub(open_at(mark, half), 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&table->trying, 1, __ATOMIC_RELAXED);
	load_close(ingress);
}

static bool is_open(uint64_t begun_by)
{
	uint32_t mark = (uint32_t)begun_by;
	return __atomic_load_n(open_at(mark, 0), __ATOMIC_RELAXED) &&
	       __atomic_load_n(open_at(mark, 1), __ATOMIC_RELAXED);
}

/* ------- the table ------- */

static size_t bucket_of(struct sip_msg *msg)
{
	return hash_of_str(msg->callid->body) % BUCKETS;
}

/* Of a dialog, the same for a request of either end. */
static uint64_t names_of(struct sip_msg *msg)
{
	const uint64_t parts[] = {hash_of_str(msg->callid->body),
				  hash_of_str(get_from(msg)->tag_value) + hash_of_str(get_to(msg)->tag_value)};
	return hash_of(parts, sizeof(parts));
}

/* A call may pass twice, and one INVITE may begin several dialogs: all are in one bucket. */
static uint64_t key_of(const struct dialog *dialog, struct sip_msg *msg)
{
	const uint64_t parts[] = {names_of(msg), dialog->invite};
	return hash_of(parts, sizeof(parts)) / BUCKETS * BUCKETS + bucket_of(msg);
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

static bool is_known(uint64_t key)
{
	lock_get(lock_of(key % BUCKETS));
	bool known = *find(key);
	lock_release(lock_of(key % BUCKETS));
	return known;
}

static enum call_relayed relayed_by(uint64_t key, enum call_relayed missing)
{
	lock_get(lock_of(key % BUCKETS));
	const struct call *call = *find(key);
	enum call_relayed by = call ? call->relayed : missing;
	lock_release(lock_of(key % BUCKETS));
	return by;
}

/* The INVITE that began a dialog: by both tags, as either of its ends may have sent the message in hand. */
struct beginning {
	uint64_t by_from, by_to;
};

static struct beginning beginning_of(struct sip_msg *msg, uint32_t invite)
{
	return (struct beginning){.by_from = begun_by(msg, get_from(msg)->tag_value, invite),
				  .by_to = begun_by(msg, get_to(msg)->tag_value, invite)};
}

static bool is_early(const struct beginning *beginning)
{
	return is_open(beginning->by_from) || is_open(beginning->by_to);
}

static bool has_live_call(struct sip_msg *msg, const struct beginning *beginning)
{
	size_t bucket = bucket_of(msg);
	bool found = false;
	lock_get(lock_of(bucket));
	for (const struct call *call = table->buckets[bucket]; call && !found; call = call->next)
		found = !call->ended && (call->begun_by == beginning->by_from || call->begun_by == beginning->by_to);
	lock_release(lock_of(bucket));
	return found;
}

bool calls_share_media(struct sip_msg *msg)
{
	if (!table || !read_names(msg))
		return false;
	struct beginning beginning = beginning_of(msg, invite_now());
	return has_live_call(msg, &beginning);
}

bool calls_are_early(struct sip_msg *msg)
{
	if (!table || !read_names(msg))
		return false;
	struct beginning beginning = beginning_of(msg, invite_now());
	return is_early(&beginning);
}

static enum call_relayed first_offer(const struct dialog *dialog)
{
	return dialog->policy & DIALOG_LATE_OFFER ? CALL_RELAYED_CALLEE : CALL_RELAYED_CALLER;
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

/* Takes over @p call, or frees it: it is counted already, or has ended. True if it was taken over. */
static bool insert(struct call *call)
{
	size_t bucket = call->key % BUCKETS;
	lock_get(lock_of(bucket));
	struct call **link = find(call->key);
	bool fresh = !*link;
	if (fresh)
		*link = call;
	lock_release(lock_of(bucket));
	if (!fresh)
		shm_free(call);
	return fresh;
}

static void begin(struct call *call)
{
	uint32_t ingress = call->ingress, egress = call->egress;
	if (!insert(call))
		return;
	__atomic_fetch_add(&table->count, 1, __ATOMIC_RELAXED);
	load_begin(ingress);
	load_begin(egress);
}

/* What has ended stays for a while: an answer or a refresh that comes after the BYE begins no new call. */
static bool end(uint64_t key)
{
	size_t bucket = key % BUCKETS;
	uint32_t ingress = TOPOLOGY_NONE, egress = TOPOLOGY_NONE;
	lock_get(lock_of(bucket));
	struct call *call = *find(key);
	bool was_live = call && !call->ended;
	if (was_live) {
		call->ended = true;
		call->due_ms = site_clock_ms() + ENDED_MS;
		ingress = call->ingress;
		egress = call->egress;
	}
	lock_release(lock_of(bucket));
	if (!was_live)
		return false;
	__atomic_fetch_add(&table->ended, 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&table->count, 1, __ATOMIC_RELAXED);
	load_end(ingress);
	load_end(egress);
	table->full = false;
	return true;
}

/* A BYE may come before the answer to the INVITE is counted. */
static void remember_ended(uint64_t key, enum call_relayed relayed)
{
	if (is_known(key) ||
	    __atomic_load_n(&table->ended, __ATOMIC_RELAXED) >= (uint32_t)site_state.parameters.calls_max)
		return;
	struct call *call = shm_malloc(sizeof(*call));
	if (!call)
		return;
	*call = (struct call){.key = key, .ended = true, .relayed = relayed, .due_ms = site_clock_ms() + ENDED_MS};
	if (insert(call))
		__atomic_fetch_add(&table->ended, 1, __ATOMIC_RELAXED);
}

static void forget_ended(size_t bucket, uint64_t now_ms)
{
	lock_get(lock_of(bucket));
	for (struct call **link = &table->buckets[bucket], *call; (call = *link);) {
		if (!call->ended || now_ms < call->due_ms) {
			link = &call->next;
			continue;
		}
		*link = call->next;
		shm_free(call);
		__atomic_fetch_sub(&table->ended, 1, __ATOMIC_RELAXED);
	}
	lock_release(lock_of(bucket));
}

/* ------- a call begins ------- */

static bool is_limited(uint32_t peer)
{
	struct place place;
	return peer != TOPOLOGY_NONE && site_state.parameters.audit_interval && place_find(peer, &place) == 0 &&
	       place.capacity;
}

static uint64_t next_audit(void)
{
	return site_clock_ms() + (uint64_t)site_state.parameters.audit_interval * 1000;
}

static uint64_t end_unasked(void)
{
	uint64_t limit_ms = (uint64_t)site_state.parameters.unasked_limit * 1000;
	return limit_ms ? site_clock_ms() + limit_ms : UINT64_MAX;
}

static bool is_askable(const struct call *call)
{
	return !call->ended && (call->lengths[CONTACT + CALLER] || call->lengths[CONTACT + CALLEE]);
}

/* All that is known of a call before it is put into the table. */
struct draft {
	struct dialog dialog;
	uint64_t key;
	uint32_t cseq[ENDS];
	struct address addresses[ENDS];
	str texts[TEXTS];
	char routes[ENDS][TEXT_MAX];
	size_t length;
};

static void measure(struct draft *draft)
{
	draft->length = 0;
	for (size_t i = 0; i < TEXTS; i++)
		draft->length += (size_t)draft->texts[i].len;
}

static void keep_groups_only(struct draft *draft)
{
	memset(draft->texts + GROUP + ENDS, 0, (TEXTS - ENDS) * sizeof(*draft->texts));
}

/* With too much of anything the call is counted but never asked for. */
static struct call *make(struct draft *draft)
{
	const struct dialog *dialog = &draft->dialog;
	measure(draft);
	if (draft->length > TEXT_MAX) {
		keep_groups_only(draft);
		measure(draft);
	}
	struct call *call = shm_malloc(sizeof(*call) + draft->length);
	if (!call)
		return NULL;
	*call = (struct call){
		.key = draft->key,
		.ingress = dialog->policy & DIALOG_INGRESS_SHARED ? TOPOLOGY_NONE : dialog->ingress,
		.egress = dialog->egress,
		.cseq = {draft->cseq[CALLER], draft->cseq[CALLEE]},
		.addresses = {draft->addresses[CALLER], draft->addresses[CALLEE]},
		.turn = CALLEE,
	};
	size_t length = 0;
	for (size_t i = 0; i < TEXTS; i++) {
		str text = draft->texts[i];
		call->lengths[i] = (uint16_t)text.len;
		if (text.len)
			memcpy(call->text + length, text.s, (size_t)text.len);
		length += (size_t)text.len;
	}
	call->due_ms = is_askable(call) ? next_audit() : end_unasked();
	return call;
}

static bool write_route(char text[TEXT_MAX], str *routes, str value)
{
	int room = TEXT_MAX - routes->len;
	int length = snprintf(text + routes->len, (size_t)room, "Route: %.*s\r\n", STR_FMT(&value));
	if (length >= room)
		return false;
	*routes = (str){.s = text, .len = routes->len + length};
	return true;
}

/* Of the sender of a response: his Record-Routes beyond ours, backwards. */
static bool write_response_routes(const struct route_set *set, char text[TEXT_MAX], str *routes)
{
	for (size_t i = 0; i < set->count; i++)
		if (!write_route(text, routes, set->routes[i]))
			return false;
	return true;
}

/* Of the sender of a request: its Record-Routes as they stand. */
static bool write_request_routes(struct sip_msg *request, char text[TEXT_MAX], str *routes)
{
	for (struct hdr_field *header = request->headers; header; header = header->next)
		if (header->type == HDR_RECORDROUTE_T && !write_route(text, routes, header->body))
			return false;
	return true;
}

/* @p sender: who wrote the From. */
static void draft_names(struct draft *draft, struct sip_msg *msg, enum end sender)
{
	enum end other = sender == CALLER ? CALLEE : CALLER;
	draft->texts[CALL_ID] = msg->callid->body;
	draft->texts[URI + sender] = get_from(msg)->uri;
	draft->texts[TAG + sender] = get_from(msg)->tag_value;
	draft->texts[URI + other] = get_to(msg)->uri;
	draft->texts[TAG + other] = get_to(msg)->tag_value;
	str2int(&get_cseq(msg)->number, &draft->cseq[other]);
}

static uint8_t transport_of(int proto)
{
	return proto == PROTO_TLS ? TRANSPORT_TLS : proto == PROTO_TCP ? TRANSPORT_TCP : TRANSPORT_UDP;
}

static struct address source_of(const struct receive_info *from)
{
	return (struct address){.socket = from->bind_address,
				.ip = from->src_ip,
				.source = from->src_ip,
				.port = from->src_port,
				.transport = transport_of(from->proto)};
}

static struct address destination_of(const struct dest_info *to)
{
	struct address address = {
		.socket = to->send_sock, .port = su_getport(&to->to), .transport = transport_of(to->proto)};
	union sockaddr_union where = to->to;
	su2ip_addr(&address.ip, &where);
	return address;
}

/* Requests go to the first Route or the Contact, if that is an address of the end's group. */
static void prefer_hop(struct address *address, str uri, str group)
{
	struct place place;
	if (uri.len == 0 || hop_of_uri(uri, span_of_str(&group), &place))
		return;
	address->ip = place.address;
	address->port = place.port;
}

static void draft_callee(struct draft *draft, struct sip_msg *response)
{
	struct route_set set;
	str *contact = &draft->texts[CONTACT + CALLEE], *routes = &draft->texts[ROUTES + CALLEE];
	if (route_set_contact(response, contact) || route_set_read(response, draft->dialog.invite, &set) ||
	    !write_response_routes(&set, draft->routes[CALLEE], routes)) {
		*contact = *routes = (str){};
		return;
	}
	prefer_hop(&draft->addresses[CALLEE], set.count ? set.next : *contact, draft->texts[GROUP + CALLEE]);
}

static str first_route(struct sip_msg *request)
{
	name_addr_t route;
	for (struct hdr_field *header = request->headers; header; header = header->next)
		if (header->type == HDR_RECORDROUTE_T)
			return parse_nameaddr(&header->body, &route) < 0 ? (str){} : route.uri;
	return (str){};
}

/* The request may be the transaction's, in shared memory: it is only read. */
static void draft_caller(struct draft *draft, struct sip_msg *request, enum end sender)
{
	name_addr_t contact;
	str *uri = &draft->texts[CONTACT + sender], *routes = &draft->texts[ROUTES + sender];
	if (!request->contact || parse_nameaddr(&request->contact->body, &contact) < 0 ||
	    !write_request_routes(request, draft->routes[sender], routes)) {
		*routes = (str){};
		return;
	}
	*uri = contact.uri;
	str first = first_route(request);
	prefer_hop(&draft->addresses[sender], first.len ? first : *uri, draft->texts[GROUP + sender]);
}

static bool is_asked_for(const struct dialog *dialog)
{
	return is_limited(dialog->egress) || (!(dialog->policy & DIALOG_INGRESS_SHARED) && is_limited(dialog->ingress));
}

static void set_dialog(struct call *call, const struct dialog *dialog, struct sip_msg *msg, str caller_tag)
{
	call->names = names_of(msg);
	call->caller_tag = hash_of_str(caller_tag);
	call->begun_by = begun_by(msg, caller_tag, dialog->invite);
	call->invite = dialog->invite;
	call->direction = dialog->direction;
}

void calls_begin(const struct dialog *dialog, struct cell *cell, int branch, struct sip_msg *response)
{
	static struct draft draft;
	if (!read_ends(response) || branch < 0 || !cell->uas.request || !has_room())
		return;
	draft = (struct draft){.dialog = *dialog, .key = key_of(dialog, response)};
	if (is_known(draft.key))
		return;
	draft.texts[GROUP + CALLER] = call_state_str(CALL_GROUP);
	draft.texts[GROUP + CALLEE] = call_state_str(CALL_OUT_GROUP);
	draft.addresses[CALLER] = source_of(&cell->uas.request->rcv);
	draft.addresses[CALLEE] = destination_of(&cell->uac[branch].request.dst);
	draft.addresses[CALLEE].source = response->rcv.src_ip;
	draft_names(&draft, response, CALLER);
	draft_callee(&draft, response);
	draft_caller(&draft, cell->uas.request, CALLER);
	if (!is_asked_for(dialog))
		keep_groups_only(&draft);
	struct call *call = make(&draft);
	if (!call)
		return;
	set_dialog(call, dialog, response, get_from(response)->tag_value);
	call->relayed = (enum call_relayed)call_state_int(CALL_RELAYED, CALL_RELAYED_NOT);
	begin(call);
}

/* ------- a call that nobody counts yet ------- */

static void on_refreshed(struct cell *cell, int type, struct tmcb_params *event)
{
	struct call **learned = *event->param;
	if (!table || event->code < 200 || event->code >= 300 || !has_room())
		return;
	struct call *call = __atomic_exchange_n(learned, NULL, __ATOMIC_ACQ_REL);
	if (call)
		begin(call);
}

static void free_learned(void *parameter)
{
	struct call **learned = parameter;
	if (*learned)
		shm_free(*learned);
	shm_free(learned);
}

static str caller_tag_of(struct sip_msg *request, bool forward)
{
	return forward ? get_from(request)->tag_value : get_to(request)->tag_value;
}

static struct call *make_learned(const struct dialog *dialog, uint64_t key, struct sip_msg *request, bool forward,
				 const struct place *receiver)
{
	static struct draft draft;
	enum end from = forward ? CALLER : CALLEE, to = forward ? CALLEE : CALLER;
	draft = (struct draft){.dialog = *dialog, .key = key};
	draft.texts[GROUP + from] = call_state_str(CALL_GROUP);
	draft.texts[GROUP + to] = str_of(receiver->group);
	draft.addresses[from] = source_of(&request->rcv);
	draft.addresses[to] = (struct address){.socket = place_send_socket(receiver),
					       .ip = receiver->address,
					       .source = receiver->address,
					       .port = receiver->port,
					       .transport = (uint8_t)receiver->transport};
	draft_names(&draft, request, from);
	draft_caller(&draft, request, from);
	draft.texts[CONTACT + to] = *GET_RURI(request);
	if (!is_asked_for(dialog))
		keep_groups_only(&draft);
	struct call *call = make(&draft);
	if (!call)
		return NULL;
	set_dialog(call, dialog, request, caller_tag_of(request, forward));
	call->learned = true;
	call->relayed = first_offer(dialog);
	return call;
}

/* Its ends still talk about it. Returns false if there is no such call. */
static bool refresh(uint64_t key, enum call_relayed by)
{
	lock_get(lock_of(key % BUCKETS));
	struct call *call = *find(key);
	if (call && !call->relayed)
		call->relayed = by;
	if (call && !call->ended && !is_askable(call))
		call->due_ms = end_unasked();
	lock_release(lock_of(key % BUCKETS));
	return call;
}

void calls_learn(const struct dialog *dialog, struct sip_msg *request, bool forward, const struct place *receiver)
{
	if (!read_ends(request))
		return;
	uint64_t key = key_of(dialog, request);
	/* it may have an offer */
	bool known = refresh(key, forward ? CALL_RELAYED_CALLER : CALL_RELAYED_CALLEE);
	known = known || is_open(begun_by(request, caller_tag_of(request, forward), dialog->invite));
	struct call **learned = known || !has_room() ? NULL : shm_malloc(sizeof(struct call *));
	if (!learned)
		return;
	*learned = make_learned(dialog, key, request, forward, receiver);
	if (!*learned ||
	    site_state.tm.register_tmcb(request, NULL, TMCB_RESPONSE_FWDED, on_refreshed, learned, free_learned) <= 0)
		free_learned(learned);
}

enum call_ended calls_end(const struct dialog *dialog, struct sip_msg *request, enum call_relayed *relayed)
{
	*relayed = first_offer(dialog);
	if (!read_ends(request))
		return CALL_NOT_KNOWN;
	uint64_t key = key_of(dialog, request);
	*relayed = relayed_by(key, *relayed);
	bool ended = end(key);
	if (!ended)
		remember_ended(key, *relayed);
	struct beginning beginning = beginning_of(request, dialog->invite);
	/* the INVITE of a live call has its final answer */
	if (has_live_call(request, &beginning) || (!ended && is_early(&beginning)))
		return CALL_OF_SEVERAL;
	return ended ? CALL_ENDED : CALL_NOT_KNOWN;
}

uint32_t calls_invite(const struct dialog *dialog, struct sip_msg *request)
{
	uint32_t invite = dialog->invite;
	if (!table || !read_ends(request) || is_known(key_of(dialog, request)))
		return invite;
	size_t bucket = bucket_of(request);
	uint64_t names = names_of(request);
	lock_get(lock_of(bucket));
	for (const struct call *call = table->buckets[bucket]; call; call = call->next)
		if (!call->ended && !call->learned && call->names == names && call->direction == dialog->direction)
			invite = call->invite;
	lock_release(lock_of(bucket));
	return invite;
}

/* ------- where the ends of a call are ------- */

static str text_of(const struct call *call, size_t wanted)
{
	str text = {.s = (char *)call->text, .len = call->lengths[wanted]};
	for (size_t i = 0; i < wanted; i++)
		text.s += call->lengths[i];
	return text;
}

static void place_of_address(const struct address *address, struct place *place)
{
	*place = (struct place){.transport = (enum transport)address->transport};
	place_set_address(place, &address->ip, address->port);
	if (address->socket)
		place_copy_text(place->local_socket, sizeof(place->local_socket),
				span_of_str(&address->socket->sock_str));
}

/* -EPERM: who sent this is of neither group. */
static int find_receiver(const struct call *call, bool forward, struct place *receiver)
{
	enum end from = forward ? CALLER : CALLEE, to = forward ? CALLEE : CALLER;
	str sender = text_of(call, GROUP + from), group = text_of(call, GROUP + to),
	    actual = call_state_str(CALL_GROUP);
	if (!STR_EQ(sender, actual))
		return -EPERM;
	place_of_address(&call->addresses[to], receiver);
	place_copy_text(receiver->group, sizeof(receiver->group), span_of_str(&group));
	return 0;
}

/* The counted call of a request, locked, and which end sent it; NULL: none, or its ends are not known. */
static struct call *lock_call(const struct dialog *dialog, struct sip_msg *request, enum end *sender)
{
	uint64_t key = key_of(dialog, request);
	lock_get(lock_of(key % BUCKETS));
	struct call *call = *find(key);
	if (call && call->lengths[GROUP]) {
		*sender = hash_of_str(get_from(request)->tag_value) == call->caller_tag ? CALLER : CALLEE;
		return call;
	}
	lock_release(lock_of(key % BUCKETS));
	return NULL;
}

static void unlock_call(const struct call *call)
{
	lock_release(lock_of(call->key % BUCKETS));
}

int calls_find(const struct dialog *dialog, struct sip_msg *request, bool *forward, struct place *receiver)
{
	enum end sender;
	if (!read_ends(request))
		return -EINVAL;
	struct call *call = lock_call(dialog, request, &sender);
	if (!call)
		return -ENOENT;
	*forward = sender == CALLER;
	int result = find_receiver(call, *forward, receiver);
	unlock_call(call);
	return result;
}

static bool has_address(const struct address *address, const struct receive_info *from)
{
	return address->transport == transport_of(from->proto) &&
	       (ip_addr_cmp(&address->source, &from->src_ip) || ip_addr_cmp(&address->ip, &from->src_ip));
}

int calls_find_sender(const struct dialog *dialog, struct sip_msg *request, bool *caller,
		      char group[FIELD_NAME_MAX + 1])
{
	enum end sender;
	if (!read_ends(request))
		return -EINVAL;
	struct call *call = lock_call(dialog, request, &sender);
	if (!call)
		return -ENOENT;
	str name = text_of(call, GROUP + sender);
	*caller = sender == CALLER;
	place_copy_text(group, FIELD_NAME_MAX + 1, span_of_str(&name));
	int result = has_address(&call->addresses[sender], &request->rcv) ? 0 : -EPERM;
	unlock_call(call);
	return result;
}

/* ------- asking for calls ------- */

struct question {
	uint64_t key;
	enum end end; /* who is asked */
	uint32_t cseq;
	struct address address;
	str texts[TEXTS];
	char text[TEXT_MAX];
};

static enum end other_end(enum end end)
{
	return end == CALLER ? CALLEE : CALLER;
}

static void copy(const struct call *call, struct question *question)
{
	enum end asked = call->lengths[CONTACT + call->turn] ? call->turn : other_end(call->turn);
	size_t length = 0;
	*question = (struct question){
		.key = call->key, .end = asked, .cseq = call->cseq[asked], .address = call->addresses[asked]};
	for (size_t i = 0; i < TEXTS; i++) {
		memcpy(question->text + length, call->text + length, call->lengths[i]);
		question->texts[i] = (str){.s = question->text + length, .len = call->lengths[i]};
		length += call->lengths[i];
	}
}

static bool is_gone(uint32_t peer)
{
	struct place place;
	return peer != TOPOLOGY_NONE && place_find(peer, &place) == -ENOENT;
}

/* Nobody will ever tell the end of a call whose peer is gone from the topology and answers no more. */
static bool has_lost_a_peer(uint64_t key)
{
	uint32_t ingress = TOPOLOGY_NONE, egress = TOPOLOGY_NONE;
	lock_get(lock_of(key % BUCKETS));
	struct call *call = *find(key);
	if (call) {
		ingress = call->ingress;
		egress = call->egress;
	}
	lock_release(lock_of(key % BUCKETS));
	return is_gone(ingress) || is_gone(egress);
}

static void on_answer(struct cell *cell, int type, struct tmcb_params *event)
{
	uint64_t key = (uint64_t)(uintptr_t)*event->param;
	if (!table)
		return;
	if (event->rpl == FAKED_REPLY ? !has_lost_a_peer(key) : event->code != NO_SUCH_CALL)
		return;
	if (!end(key))
		return;
	site_count(calls_lost);
	LM_NOTICE("a live call is gone: its peer knows it no more\n");
}

/*
 * The other end's dialog, but a CSeq that he has used already, or 0: an OPTIONS that left a gap for his next request
 * would break his call; this one is at worst answered with 500, which tells as well that the call lives.
 */
static int ask(struct question *question)
{
	static str method = STR_STATIC_INIT("OPTIONS");
	char hop[PLACE_URI_MAX];
	struct place place;
	uac_req_t request;
	place_of_address(&question->address, &place);
	place_uri(&place, hop);
	str *texts = question->texts;
	enum end to = question->end, from = other_end(to);
	dlg_t dialog = {
		.id = {.call_id = texts[CALL_ID], .loc_tag = texts[TAG + from], .rem_tag = texts[TAG + to]},
		.loc_seq = {.value = question->cseq, .is_set = 1},
		.loc_uri = texts[URI + from],
		.rem_uri = texts[URI + to],
		.rem_target = texts[CONTACT + to],
		.dst_uri = str_of(hop),
		.state = DLG_CONFIRMED,
		.send_sock = question->address.socket,
	};
	str *routes = &texts[ROUTES + to];
	if (!dialog.send_sock)
		return -ENOTCONN;
	set_uac_req(&request, &method, routes->len ? routes : NULL, NULL, &dialog, TMCB_LOCAL_COMPLETED, on_answer,
		    (void *)(uintptr_t)question->key);
	site_count(calls_audited);
	return site_state.tm.t_uac(&request) < 0 ? -EIO : 0;
}

/* The next call of a bucket that is due, copied; its turn is then over. */
static bool next_due(size_t bucket, uint64_t now_ms, struct question *question)
{
	bool found = false;
	lock_get(lock_of(bucket));
	for (struct call *call = table->buckets[bucket]; call && !found; call = call->next) {
		found = is_askable(call) && now_ms >= call->due_ms;
		if (!found)
			continue;
		copy(call, question);
		call->due_ms = next_audit();
		call->turn = other_end(question->end);
	}
	lock_release(lock_of(bucket));
	return found;
}

static void ask_later(uint64_t key)
{
	size_t bucket = key % BUCKETS;
	lock_get(lock_of(bucket));
	struct call *call = *find(key);
	if (call && !call->ended)
		call->due_ms = site_clock_ms() + AGAIN_MS;
	lock_release(lock_of(bucket));
}

/* Nobody is asked for these, so one whose BYE was lost would count for ever. */
static bool next_over(size_t bucket, uint64_t now_ms, uint64_t *key)
{
	bool found = false;
	lock_get(lock_of(bucket));
	for (struct call *call = table->buckets[bucket]; call && !found; call = call->next) {
		found = !call->ended && !is_askable(call) && now_ms >= call->due_ms;
		if (found)
			*key = call->key;
	}
	lock_release(lock_of(bucket));
	return found;
}

static void end_overdue(size_t bucket, uint64_t now_ms)
{
	uint64_t key;
	while (next_over(bucket, now_ms, &key) && end(key)) {
		site_count(calls_lost);
		LM_NOTICE("a live call is counted no more: nothing was heard of it for %d s\n",
			  site_state.parameters.unasked_limit);
	}
}

void calls_audit(void)
{
	static struct question question;
	uint64_t now_ms = site_clock_ms();
	size_t asked = 0;
	for (size_t i = 0; i < SLICE && asked < AT_ONCE; i++) {
		size_t bucket = table->next_bucket;
		forget_ended(bucket, now_ms);
		end_overdue(bucket, now_ms);
		while (asked < AT_ONCE && next_due(bucket, now_ms, &question)) {
			if (ask(&question))
				ask_later(question.key);
			asked++;
		}
		table->next_bucket = (uint32_t)((bucket + 1) % BUCKETS);
	}
}

static void ask_now(struct call *call, uint32_t peer, uint64_t now_ms)
{
	if (call->ended || (call->egress != peer && call->ingress != peer))
		return;
	call->turn = call->egress == peer ? CALLEE : CALLER;
	call->due_ms = now_ms;
}

void calls_audit_peer(uint32_t peer)
{
	uint64_t now_ms = site_clock_ms();
	for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
		lock_get(lock_of(bucket));
		for (struct call *call = table->buckets[bucket]; call; call = call->next)
			ask_now(call, peer, now_ms);
		lock_release(lock_of(bucket));
	}
}
