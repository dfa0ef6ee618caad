/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The endpoints of a site: ring, answer, and fail in the way that the control socket names. */
#include "load_role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "load_text.h"

enum { BUCKETS = 1 << 14, REPEAT_MS = 500, REPEAT_MAX_MS = 4000, REPEAT_END_MS = 32000, FORGET_MS = 6000 };

/* What a new INVITE and OPTIONS get, and what becomes of connections when the behaviour begins. */
static const struct behaviour {
	const char *name;
	int options; /* 0: nothing */
	int status;  /* of an INVITE: 0 nothing, 100 that and nothing more, 200 ring and answer, else a final answer */
	bool status_given; /* the word after the name is the status */
	bool delay_given;  /* the word after the name is the time in ms between 100 and 180 */
	bool reset_at_once, reset_at_invite, handshakes_fail;
} behaviours[] = {{.name = "normal", .options = 200, .status = 200},
		  {.name = "503", .options = 503, .status = 503},
		  {.name = "status", .options = 200, .status_given = true},
		  {.name = "slow", .options = 200, .status = 200, .delay_given = true},
		  {.name = "stuck", .status = 100},
		  {.name = "stuck-calls", .options = 200, .status = 100},
		  {.name = "silent"},
		  {.name = "silent-calls", .options = 200},
		  {.name = "reset", .options = 200, .reset_at_invite = true},
		  {.name = "tls-fails", .options = 200, .status = 200, .reset_at_once = true, .handshakes_fail = true},
		  {0}};

enum state { SLOW, RINGING, ANSWERED, CONFIRMED, OVER };

struct served {
	struct served *next; /* in the bucket */
	struct served *live_next, *live_last;
	uint64_t key;
	enum state state;
	struct load_from from;
	int64_t due, begun;
	int repeat_ms;
	char call[128];
	struct load_text reply, answer;
};

static struct {
	const struct load_options *options;
	struct behaviour behaviour;
	int delay_ms;
	struct served *buckets[BUCKETS];
	struct served *live;
	unsigned long invites, answered, confirmed, ended;
} site;

static int64_t now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void event(const char *what, const char *call, const struct load_from *from)
{
	if (site.options->log)
		fprintf(site.options->log, "%lld %s %s %d\n", (long long)now(), what, call, from->port);
}

static void reply_build(struct load_text *text, const char *request, int status, const char *reason, const char *tag)
{
	char to[256];

	text->length = 0;
	load_add(text, "SIP/2.0 %d %s\r\n", status, reason);
	load_add_lines(text, request, "Via:");
	load_add_lines(text, request, "Record-Route:");
	load_add_lines(text, request, "From:");
	load_value(request, "To:", to, sizeof(to));
	load_add(text, strstr(to, ";tag=") || !tag ? "To: %s\r\n" : "To: %s;tag=%s\r\n", to, tag ? tag : "");
	load_add_lines(text, request, "Call-ID:");
	load_add_lines(text, request, "CSeq:");
}

static void reply_send(const struct load_from *from, const char *request, int status, const char *reason)
{
	struct load_text text;

	reply_build(&text, request, status, reason, status > 100 ? site.options->name : NULL);
	load_add_body(&text, NULL);
	load_net_send(from, text.bytes, text.length);
}

/* --- calls --- */

static uint64_t key_of(const char *request, const struct load_from *from, char call[128])
{
	load_value(request, "Call-ID:", call, 128);
	return load_hash(call, (uint64_t)from->port);
}

static struct served *served_find(uint64_t key)
{
	struct served *served = site.buckets[key % BUCKETS];

	while (served && served->key != key)
		served = served->next;
	return served;
}

static struct served *served_new(uint64_t key, const struct load_from *from, const char *call)
{
	struct served *served = calloc(1, sizeof(*served));

	if (!served)
		abort();
	served->key = key;
	served->from = *from;
	served->begun = now();
	snprintf(served->call, sizeof(served->call), "%s", call);
	served->next = site.buckets[key % BUCKETS];
	site.buckets[key % BUCKETS] = served;
	served->live_next = site.live;
	if (site.live)
		site.live->live_last = served;
	site.live = served;
	return served;
}

static void served_free(struct served *served)
{
	struct served **place = &site.buckets[served->key % BUCKETS];

	while (*place != served)
		place = &(*place)->next;
	*place = served->next;
	if (served->live_last)
		served->live_last->live_next = served->live_next;
	else
		site.live = served->live_next;
	if (served->live_next)
		served->live_next->live_last = served->live_last;
	free(served);
}

static void served_over(struct served *served)
{
	served->state = OVER;
	served->due = now() + load_ms(FORGET_MS);
}

static void served_due(struct served *served, int64_t time);

/* 180 now, or after the delay of a slow site; then 200. */
static void served_ring(struct served *served, const char *request)
{
	char tag[128];

	snprintf(tag, sizeof(tag), "%s.%d.%llx", site.options->name, served->from.port,
		 (unsigned long long)served->key);
	reply_build(&served->answer, request, 200, "OK", tag);
	const char *port = site.options->ports[served->from.port];
	load_add(&served->answer, "Contact: <sip:%s@%s;transport=%.3s>\r\n", site.options->name, port + strlen("udp:"),
		 port);
	load_add_body(&served->answer, site.options->sdp);
	reply_build(&served->reply, request, 180, "Ringing", tag);
	load_add_body(&served->reply, NULL);
	served->due = now() + load_ms(site.delay_ms);
	if (site.delay_ms > 0)
		reply_send(&served->from, request, 100, "Trying");
	else
		served_due(served, served->due);
}

static void invite(const struct load_from *from, const char *request)
{
	char call[128];
	uint64_t key = key_of(request, from, call);
	struct served *served = served_find(key);

	if (served && served->state == SLOW)
		return;
	if (served) {
		load_net_send(from, served->reply.bytes, served->reply.length);
		return;
	}
	event("invite", call, from);
	site.invites++;
	if (site.behaviour.reset_at_invite) {
		load_net_reset(from);
	} else if (site.behaviour.status == 200) {
		served_ring(served_new(key, from, call), request);
	} else if (site.behaviour.status == 100) {
		reply_send(from, request, 100, "Trying");
	} else if (site.behaviour.status > 0) {
		reply_send(from, request, site.behaviour.status, "Not Today");
	}
}

static void acknowledged(const struct load_from *from, const char *request)
{
	char call[128];
	struct served *served = served_find(key_of(request, from, call));

	if (!served || served->state != ANSWERED)
		return;
	served->state = CONFIRMED;
	site.confirmed++;
	event("confirmed", call, from);
}

static void bye(const struct load_from *from, const char *request)
{
	char call[128];
	struct served *served = served_find(key_of(request, from, call));

	reply_send(from, request, served ? 200 : 481, served ? "OK" : "Unknown");
	if (!served || served->state == OVER)
		return;
	event("ended", call, from);
	site.ended++;
	served_over(served);
}

/* What it took to build the 200 is all that is left of the request: 487 is made of it. */
static void cancel(const struct load_from *from, const char *request)
{
	char call[128];
	struct served *served = served_find(key_of(request, from, call));

	reply_send(from, request, served ? 200 : 481, served ? "OK" : "Unknown");
	if (!served || served->state > RINGING)
		return;
	event("cancelled", call, from);
	struct load_text invite = served->answer;
	reply_build(&served->reply, invite.bytes, 487, "Request Terminated", NULL);
	load_add_body(&served->reply, NULL);
	load_net_send(&served->from, served->reply.bytes, served->reply.length);
	served_over(served);
}

static void options(const struct load_from *from, const char *request)
{
	event("options", "-", from);
	if (site.behaviour.options > 0)
		reply_send(from, request, site.behaviour.options, "Options");
}

static const struct {
	const char *method;
	void (*serve)(const struct load_from *from, const char *request);
} methods[] = {{"INVITE ", invite}, {"ACK ", acknowledged}, {"BYE ", bye}, {"CANCEL ", cancel}, {"OPTIONS ", options}};

void answer_message(const struct load_from *from, char *text)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (strncmp(text, methods[i].method, strlen(methods[i].method)) == 0)
			methods[i].serve(from, text);
}

/* --- time --- */

static void served_due(struct served *served, int64_t time)
{
	switch (served->state) {
	case SLOW:
		served->state = RINGING;
		load_net_send(&served->from, served->reply.bytes, served->reply.length);
		served->due = time + load_ms(site.options->ring_ms);
		return;
	case RINGING:
		served->state = ANSWERED;
		served->reply = served->answer;
		served->repeat_ms = REPEAT_MS;
		site.answered++;
		event("answered", served->call, &served->from);
		break;
	case ANSWERED:
		if (time - served->begun > load_ms(REPEAT_END_MS)) {
			event("unacknowledged", served->call, &served->from);
			served_over(served);
			return;
		}
		served->repeat_ms = served->repeat_ms < REPEAT_MAX_MS ? served->repeat_ms * 2 : REPEAT_MAX_MS;
		break;
	case CONFIRMED:
		return;
	case OVER:
		served_free(served);
		return;
	}
	load_net_send(&served->from, served->reply.bytes, served->reply.length);
	served->due = time + load_ms(served->repeat_ms);
}

void answer_time(int64_t time)
{
	for (struct served *served = site.live, *next; served; served = next) {
		next = served->live_next;
		if (served->due <= time)
			served_due(served, time);
	}
}

bool answer_begin(const struct load_options *options)
{
	site.options = options;
	site.behaviour = behaviours[0];
	return true;
}

static void behave(const struct behaviour *behaviour, int number)
{
	site.behaviour = *behaviour;
	if (behaviour->status_given)
		site.behaviour.status = number;
	site.delay_ms = behaviour->delay_given ? number : 0;
	load_net_handshakes(behaviour->handshakes_fail);
	if (behaviour->reset_at_once)
		load_net_reset_all();
}

/* "counts", or the name of a behaviour and its number. */
void answer_control(const char *command, char *reply, size_t size)
{
	char name[32] = "";
	int number = 0;

	(void)sscanf(command, "%31s %d", name, &number);
	if (strcmp(name, "counts") == 0) {
		snprintf(reply, size, "%lu %lu %lu %lu", site.invites, site.answered, site.confirmed, site.ended);
		return;
	}
	for (const struct behaviour *behaviour = behaviours; behaviour->name; behaviour++)
		if (strcmp(behaviour->name, name) == 0) {
			behave(behaviour, number);
			snprintf(reply, size, "ok");
			return;
		}
	snprintf(reply, size, "unknown behaviour");
}

bool answer_done(void)
{
	return false;
}
