/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The rules: what is done to a request, and what a reply may hold. */
#include "enforcer.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

static const struct {
	const char *name, *text;
} reasons[ENFORCER_REASONS] = {
	[ENFORCER_UNREADABLE] = {"unreadable-message", "a message that cannot be read without doubt"},
	[ENFORCER_COMMAND] = {"command", "this command is not allowed"},
	[ENFORCER_RECORDING] = {"recording", "recording is not allowed"},
	[ENFORCER_DEBUG] = {"debug", "the flag debug puts keys into the log"},
	[ENFORCER_PLAIN_COPY] = {"plain-copy", "a copy of a call must be SRTP"},
	[ENFORCER_DTLS] = {"dtls", "dtls-profiles is no list of known profiles, or fingerprints not \"remove\""},
	[ENFORCER_TOO_LARGE] = {"too-large", "too large for rtpengine's buffer"},
};

const char *enforcer_reason_name(unsigned reason)
{
	if (reason < SDP_REASONS)
		return sdp_reason_name((enum sdp_reason)reason);
	return reason < ENFORCER_REASONS ? reasons[reason].name : "unknown";
}

bool enforcer_allows(struct span allow, const char *name)
{
	while (allow.len) {
		size_t length = 0;
		while (length < allow.len && allow.ptr[length] != ',' && allow.ptr[length] != ';')
			length++;
		if (ng_key_is(span_trim((struct span){allow.ptr, length}), name))
			return true;
		size_t skipped = length < allow.len ? length + 1 : length;
		allow = (struct span){allow.ptr + skipped, allow.len - skipped};
	}
	return false;
}

/* --- outcomes --- */

static void refuse(struct enforcer_room *room, struct enforcer_outcome *outcome, unsigned reason)
{
	static const char prefix[] = "srtp_enforcer: ";
	struct ng_writer writer;
	memcpy(outcome->text, prefix, sizeof(prefix));
	char *text = outcome->text + strlen(prefix);
	size_t size = sizeof(outcome->text) - strlen(prefix);
	if (reason < SDP_REASONS)
		sdp_verdict_text(&room->verdict, text, size);
	else if (reason < ENFORCER_REASONS)
		snprintf(text, size, "%s", reasons[reason].text);
	/* a cookie that leaves no room for a reason: nobody waits for the answer */
	const struct ng_message *message = &room->message;
	bool usual = message->cookie.len > 0 && message->cookie.len < sizeof(room->out) - 2 * sizeof(outcome->text);
	ng_write_begin(&writer, message->format, usual ? message->cookie : SPAN_LIT("-"), room->out, sizeof(room->out));
	ng_write_text(&writer, SPAN_LIT("result"), SPAN_LIT("error"));
	ng_write_text(&writer, SPAN_LIT("error-reason"), span_of(outcome->text));
	long length = ng_write_end(&writer);
	outcome->action = ENFORCER_REFUSED;
	outcome->reason = reason;
	outcome->datagram = (struct span){room->out, (size_t)length};
}

/* --- requests --- */

static const char profiles_key[] = "dtls-profiles", fingerprints_key[] = "fingerprints";

/* Everything that one request needs on its way. */
struct request {
	const struct enforcer *enforcer;
	const struct ng_command *command;
	struct enforcer_room *room;
	struct srtp_policy policy;
	bool fingerprints_removed; /* who sent the SDP may not use DTLS-SRTP */
	struct span sdp;           /* without what the policy excludes; "" = none came */
	size_t limit;
};

static bool is_off(struct span value)
{
	return ng_key_is(value, "off") || ng_key_is(value, "no") || ng_key_is(value, "disabled") || value.len == 0;
}

/* What a request may not ask for unless it is allowed: as a key, in the list of flags, or in the string of flags that
 * rtpengine 12.5 reads itself. All that begins so is meant. */
static const struct {
	const char *word, *allow;
	enum enforcer_reason reason;
} wishes[] = {
	{"record", "start recording", ENFORCER_RECORDING},
	{"vsc-", "start recording", ENFORCER_RECORDING}, /* recording that the caller starts by DTMF */
	{"debug", "debug", ENFORCER_DEBUG},
};

static bool begins_with(struct span text, const char *word)
{
	size_t length = strlen(word);
	return text.len >= length && ng_key_is((struct span){text.ptr, length}, word);
}

static bool holds(struct span text, const char *word)
{
	for (; text.len; text = (struct span){text.ptr + 1, text.len - 1})
		if (begins_with(text, word))
			return true;
	return false;
}

static bool is_among_flags(const struct ng_message *message, const char *word, char *room, size_t size)
{
	struct span text;
	struct ng_value item;
	const struct ng_value *flags = ng_find(message, "flags");
	if (!flags)
		return false;
	for (struct span rest = ng_items(flags); ng_item_next(message->format, &rest, &item);)
		if (!ng_text(message->format, &item, room, size, &text) && begins_with(text, word))
			return true;
	return false;
}

static bool asks_for(const struct ng_message *message, const char *word, char *room, size_t size)
{
	struct span text;
	for (unsigned i = 0; i < message->count; i++) {
		const struct ng_entry *entry = &message->entries[i];
		if (begins_with(entry->key, word) &&
		    (ng_text(message->format, &entry->value, room, size, &text) || !is_off(text)))
			return true;
	}
	const struct ng_value *value = ng_find(message, "rtpp-flags");
	if (value && (ng_text(message->format, value, room, size, &text) || holds(text, word)))
		return true;
	return is_among_flags(message, word, room, size);
}

/* Returns a reason, 0 if it asks for nothing of the kind. */
static unsigned wishes_check(const struct enforcer *enforcer, struct enforcer_room *room)
{
	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++)
		if (!enforcer_allows(enforcer->allow, wishes[i].allow) &&
		    asks_for(&room->message, wishes[i].word, room->sdp, sizeof(room->sdp)))
			return wishes[i].reason;
	return 0;
}

/* Of "subscribe request": the profile that is asked for. None is fine: one is added. */
static bool asks_for_plain(const struct ng_message *message)
{
	static const char *const secure[] = {"RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"};
	char room[64];
	struct span text;
	const struct ng_value *value = ng_find(message, "transport-protocol");
	if (!value)
		return false;
	if (ng_text(message->format, value, room, sizeof(room), &text))
		return true;
	for (size_t i = 0; i < sizeof(secure) / sizeof(*secure); i++)
		if (text.len == strlen(secure[i]) && !strncasecmp(text.ptr, secure[i], text.len))
			return false;
	return true;
}

/* They are ours only where rtpengine's clients put a key: elsewhere nobody would read them. */
static bool stands_elsewhere(const struct ng_message *message, const char *key, char *room, size_t size)
{
	struct span text;
	const struct ng_value *value = ng_find(message, "rtpp-flags");
	if (is_among_flags(message, key, room, size))
		return true;
	return value && !ng_text(message->format, value, room, size, &text) && holds(text, key);
}

/* A list without any name would be read as the default. */
static bool begins_with_name(struct span names)
{
	return names.len && !strchr(" \t,;", *names.ptr);
}

/* Narrows the policy to what the request names. False if that is not clear. */
static bool profiles_narrow(struct request *request)
{
	struct enforcer_room *room = request->room;
	const struct ng_value *value = ng_find(&room->message, profiles_key);
	struct span names;
	uint32_t named;
	if (!value)
		return true;
	if (ng_text(room->message.format, value, room->sdp, sizeof(room->sdp), &names) || !begins_with_name(names) ||
	    srtp_profiles_parse(names, &named, NULL))
		return false;
	request->policy.profiles &= named;
	return true;
}

static bool fingerprints_narrow(struct request *request)
{
	struct enforcer_room *room = request->room;
	const struct ng_value *value = ng_find(&room->message, fingerprints_key);
	struct span text;
	request->fingerprints_removed = value != NULL;
	return !value || (!ng_text(room->message.format, value, room->sdp, sizeof(room->sdp), &text) &&
			  span_equal(text, SPAN_LIT("remove")));
}

/* Returns a reason, 0 if fine. */
static unsigned dtls_narrow(struct request *request)
{
	struct enforcer_room *room = request->room;
	static const char *const keys[] = {profiles_key, fingerprints_key};
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (stands_elsewhere(&room->message, keys[i], room->sdp, sizeof(room->sdp)))
			return ENFORCER_DTLS;
	return profiles_narrow(request) && fingerprints_narrow(request) ? 0 : ENFORCER_DTLS;
}

/* Reads the SDP and takes out what the policy excludes. Returns a reason, 0 if fine. */
static unsigned sdp_take(struct request *request)
{
	struct enforcer_room *room = request->room;
	const struct ng_value *value = ng_find(&room->message, "sdp");
	struct srtp_policy policy = request->policy;
	struct span sdp;
	if (!value)
		return SDP_ACCEPTABLE;
	if (request->fingerprints_removed)
		policy.profiles = 0;
	if (ng_text(room->message.format, value, room->sdp, sizeof(room->sdp), &sdp))
		return ENFORCER_UNREADABLE;
	if (sdp_check(sdp, &policy, &room->verdict))
		return room->verdict.reason;
	long length = sdp_remove_suites(sdp, &policy, room->sdp, sizeof(room->sdp));
	if (length < 0)
		return ENFORCER_UNREADABLE;
	request->sdp = (struct span){room->sdp, (size_t)length};
	return SDP_ACCEPTABLE;
}

static void write_flags(const struct request *request, struct ng_writer *writer, struct span key,
			const struct ng_value *flags)
{
	char flag[64];
	ng_write_list_begin(writer, key, flags);
	for (unsigned i = 0; srtp_suites[i].name; i++) {
		if (request->policy.suites & 1u << i)
			continue;
		int length = snprintf(flag, sizeof(flag), "SDES-no-%s", srtp_suites[i].name);
		ng_write_list_text(writer, (struct span){flag, (size_t)length});
	}
	ng_write_list_end(writer);
}

static bool is_own(const struct request *request, struct span key)
{
	return (request->policy.profiles == 0 && ng_key_is(key, "DTLS")) || ng_key_is(key, "flags") ||
	       ng_key_is(key, profiles_key) || ng_key_is(key, fingerprints_key) ||
	       (request->sdp.len && ng_key_is(key, "sdp"));
}

/* The whole request anew: what came, with our SDP and flags. */
static long request_write(const struct request *request)
{
	struct enforcer_room *room = request->room;
	const struct ng_message *message = &room->message;
	const struct ng_value *flags = ng_find(message, "flags");
	struct ng_writer writer;
	ng_write_begin(&writer, message->format, message->cookie, room->out, request->limit);
	for (unsigned i = 0; i < message->count; i++)
		if (!is_own(request, message->entries[i].key))
			ng_write_raw(&writer, message->entries[i].key, message->entries[i].value.raw);
	if (request->sdp.len)
		ng_write_text(&writer, SPAN_LIT("sdp"), request->sdp);
	write_flags(request, &writer, SPAN_LIT("flags"), flags);
	if (request->policy.profiles == 0)
		ng_write_text(&writer, SPAN_LIT("DTLS"), SPAN_LIT("off"));
	if (request->policy.mode == SRTP_REQUIRED && !ng_find(message, "transport-protocol"))
		ng_write_text(&writer, SPAN_LIT("transport-protocol"), SPAN_LIT("RTP/SAVP"));
	return ng_write_end(&writer);
}

/* Checks a command that carries or returns SDP. Returns a reason, 0 if fine. */
static unsigned check(struct request *request, struct enforcer_outcome *outcome)
{
	const struct enforcer *enforcer = request->enforcer;
	struct enforcer_room *room = request->room;
	const struct ng_value *flags = ng_find(&room->message, "flags");
	if (flags && flags->type != NG_LIST)
		return ENFORCER_UNREADABLE;
	unsigned reason = wishes_check(enforcer, room);
	if (reason)
		return reason;
	if (request->command->copy && !enforcer_allows(enforcer->allow, "plain subscribe")) {
		request->policy.mode = SRTP_REQUIRED;
		if (asks_for_plain(&room->message))
			return ENFORCER_PLAIN_COPY;
	}
	reason = dtls_narrow(request);
	if (!reason)
		reason = sdp_take(request);
	if (reason)
		return reason;
	long length = request_write(request);
	if (length < 0)
		return ENFORCER_TOO_LARGE;
	outcome->action = ENFORCER_CHANGED;
	outcome->profiles = request->policy.profiles;
	outcome->datagram = (struct span){room->out, (size_t)length};
	return 0;
}

static bool is_allowed(const struct enforcer *enforcer, const struct ng_command *command, struct span name)
{
	char text[64];
	if (command && command->action != NG_LIMITED && command->versions & enforcer->version)
		return true;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(name));
	return name.len > 0 && enforcer_allows(enforcer->allow, text);
}

/* Copies a text of the message into the room, where an outcome may point. */
static bool text_keep(const struct ng_message *message, const char *key, char *room, size_t size, struct span *text)
{
	const struct ng_value *value = ng_find(message, key);
	if (!value)
		return true;
	if (ng_text(message->format, value, room, size, text) || text->len > size)
		return false;
	memmove(room, text->ptr, text->len);
	text->ptr = room;
	return true;
}

void enforcer_request(const struct enforcer *enforcer, struct span datagram, size_t limit, struct enforcer_room *room,
		      struct enforcer_outcome *outcome)
{
	struct ng_message *message = &room->message;
	*outcome = (struct enforcer_outcome){
		.action = ENFORCER_PASS, .profiles = enforcer->policy.profiles, .datagram = datagram};
	int error = ng_read(datagram, message);
	if (error && message->cookie.len == 0)
		return; /* rtpengine neither answers nor reads what has no cookie */
	if (error || !text_keep(message, "command", room->command, sizeof(room->command) - 1, &outcome->command) ||
	    !text_keep(message, "call-id", room->call_id, sizeof(room->call_id), &outcome->call_id) ||
	    outcome->command.len == 0) {
		refuse(room, outcome, ENFORCER_UNREADABLE);
		return;
	}
	if (span_equal(outcome->command, SPAN_LIT("srtp-enforcer statistics"))) {
		outcome->action = ENFORCER_STATISTICS;
		return;
	}
	struct request request = {.enforcer = enforcer, .room = room, .policy = enforcer->policy, .limit = limit};
	request.command = ng_command_find(outcome->command);
	unsigned reason = 0;
	if (!is_allowed(enforcer, request.command, outcome->command))
		reason = ENFORCER_COMMAND;
	else if (request.command && request.command->action == NG_CHECK)
		reason = check(&request, outcome);
	if (reason)
		refuse(room, outcome, reason);
}

/* --- replies --- */

/* May rtpengine hand this out? Unlike a request it may hold nothing excluded at all. */
static unsigned reply_check(const struct enforcer *enforcer, struct enforcer_room *room)
{
	struct srtp_policy policy = enforcer->policy;
	const struct ng_message *message = &room->message;
	const struct ng_value *value = ng_find(message, "sdp");
	struct span sdp;
	if (!value)
		return 0;
	if (ng_text(message->format, value, room->sdp, sizeof(room->sdp), &sdp))
		return ENFORCER_UNREADABLE;
	/* only "subscribe request" is answered with the list of those who are copied */
	if (ng_find(message, "from-tags") && !enforcer_allows(enforcer->allow, "plain subscribe"))
		policy.mode = SRTP_REQUIRED;
	if (sdp_check(sdp, &policy, &room->verdict))
		return room->verdict.reason;
	if (room->verdict.removable)
		room->verdict.reason = SDP_NO_ALLOWED_SUITE;
	return room->verdict.reason;
}

void enforcer_reply(const struct enforcer *enforcer, struct span datagram, struct enforcer_room *room,
		    struct enforcer_outcome *outcome)
{
	*outcome = (struct enforcer_outcome){.action = ENFORCER_PASS, .datagram = datagram};
	unsigned reason = ng_read(datagram, &room->message) ? ENFORCER_UNREADABLE : reply_check(enforcer, room);
	if (reason)
		refuse(room, outcome, reason);
}

/* --- messages of our own --- */

long enforcer_delete(struct span cookie, struct span call_id, char *out, size_t size)
{
	struct ng_writer writer;
	ng_write_begin(&writer, NG_BENCODE, cookie, out, size);
	ng_write_text(&writer, SPAN_LIT("command"), SPAN_LIT("delete"));
	ng_write_text(&writer, SPAN_LIT("call-id"), call_id);
	ng_write_number(&writer, SPAN_LIT("delete-delay"), 0);
	return ng_write_end(&writer);
}

void enforcer_statistics(const struct enforcer_counter *counters, struct enforcer_room *room,
			 struct enforcer_outcome *outcome)
{
	struct ng_writer writer;
	ng_write_begin(&writer, room->message.format, room->message.cookie, room->out, sizeof(room->out));
	ng_write_text(&writer, SPAN_LIT("result"), SPAN_LIT("ok"));
	for (; counters->name; counters++)
		ng_write_number(&writer, span_of(counters->name), counters->value);
	long length = ng_write_end(&writer);
	if (length < 0)
		refuse(room, outcome, ENFORCER_TOO_LARGE);
	else
		outcome->datagram = (struct span){room->out, (size_t)length};
}
