/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The caller: calls at a steady rate over UDP, each to its end; one line a call says what became of it. */
#include "load_role.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "load_text.h"

enum {
	CALLS_MAX = LOAD_CALLS_MAX,
	REPEAT_MS = 500,
	REPEAT_MAX_MS = 4000,
	GIVE_UP_MS = 60000,
	ENDING_MS = 8000,
	LINGER_MS = 400
};

enum state { CALLING, RINGING, TALKING, ENDING, REFUSED, OVER };

struct call {
	enum state state;
	int status, end_status, finals;
	bool cancelled;
	int64_t begun, ringing, answered, due, repeat;
	int repeat_ms;
	size_t live; /* place in the list */
	char site[64], refused_tag[64];
	char *target, *routes, *to; /* of the dialog */
	char *request;              /* the INVITE, BYE or CANCEL that is repeated until its answer */
};

static struct {
	const struct load_options *options;
	struct load_from gateway;
	char host[INET_ADDRSTRLEN], port[8];
	struct call *calls;
	size_t count;
	size_t *live, live_count;
	unsigned long answered, lost, ended;
	int64_t next, last;
	bool stopped;
} caller;

static int64_t now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void texts_free(struct call *call)
{
	free(call->target);
	free(call->routes);
	free(call->to);
	free(call->request);
	call->target = call->routes = call->to = call->request = NULL;
}

/* number, begun, ringing, answered (ns), the INVITE's status, finals, the BYE's status, who rang */
static void call_over(struct call *call)
{
	size_t number = (size_t)(call - caller.calls);

	if (caller.options->log)
		fprintf(caller.options->log, "%zu %lld %lld %lld %d %d %d %s\n", number, (long long)call->begun,
			(long long)call->ringing, (long long)call->answered, call->status, call->finals,
			call->end_status, call->site[0] ? call->site : "-");
	if (call->answered == 0)
		caller.lost++;
	else
		caller.ended++;
	texts_free(call);
	call->state = OVER;
	size_t last = caller.live[--caller.live_count];
	caller.live[call->live] = last;
	caller.calls[last].live = call->live;
}

static void message_send(const struct load_text *text)
{
	load_net_send(&caller.gateway, text->bytes, text->length);
}

static void repeated_send(struct call *call, const struct load_text *text)
{
	free(call->request);
	call->request = strndup(text->bytes, text->length);
	call->repeat_ms = REPEAT_MS;
	call->repeat = now() + load_ms(REPEAT_MS);
	message_send(text);
}

static void head_add(struct load_text *text, const struct call *call, const char *method, const char *target,
		     unsigned cseq, char kind)
{
	size_t number = (size_t)(call - caller.calls);

	load_add(text,
		 "%s %s SIP/2.0\r\n"
		 "Via: SIP/2.0/UDP %s:%s;branch=z9hG4bK%c%zu.%d;rport\r\n"
		 "Max-Forwards: 70\r\n"
		 "From: <sip:%s@%s>;tag=from%zu\r\n"
		 "Call-ID: %zu.%d@%s\r\n"
		 "CSeq: %u %s\r\n",
		 method, target, caller.host, caller.port, kind, number, getpid(), caller.options->from, caller.host,
		 number, number, getpid(), caller.host, cseq, method);
}

/* The INVITE's, ACK's and CANCEL's URI and To. */
static void target_of(const struct call *call, char uri[160])
{
	unsigned user = caller.options->users ? (unsigned)(call - caller.calls) % caller.options->users : 0;
	char called[64], gateway[INET_ADDRSTRLEN];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(called, sizeof(called), caller.options->to, user);
#pragma GCC diagnostic pop
	inet_ntop(AF_INET, &caller.options->gateway.sin_addr, gateway, sizeof(gateway));
	snprintf(uri, 160, "sip:%s@%s:%u", called, gateway, ntohs(caller.options->gateway.sin_port));
}

static void invite_send(struct call *call)
{
	struct load_text text = {.length = 0};
	char uri[160];

	target_of(call, uri);
	head_add(&text, call, "INVITE", uri, 1, 'i');
	load_add(&text, "To: <%s>\r\nContact: <sip:load@%s:%s>\r\n", uri, caller.host, caller.port);
	load_add_body(&text, caller.options->sdp);
	repeated_send(call, &text);
}

/* The ACK of a negative answer. */
static void refusal_acknowledge(struct call *call, const char *answer)
{
	struct load_text text = {.length = 0};
	char uri[160];

	target_of(call, uri);
	head_add(&text, call, "ACK", uri, 1, 'i');
	load_add_lines(&text, answer, "To:");
	load_add_body(&text, NULL);
	message_send(&text);
}

static void dialog_send(struct call *call, const char *method, unsigned cseq, char kind)
{
	struct load_text text = {.length = 0};

	head_add(&text, call, method, call->target, cseq, kind);
	load_add(&text, "To: %s\r\n%s", call->to, call->routes);
	load_add_body(&text, NULL);
	if (kind == 'a')
		message_send(&text);
	else
		repeated_send(call, &text);
}

static void cancel_send(struct call *call)
{
	struct load_text text = {.length = 0};
	char uri[160];

	call->cancelled = true;
	target_of(call, uri);
	head_add(&text, call, "CANCEL", uri, 1, 'i');
	load_add(&text, "To: <%s>\r\n", uri);
	load_add_body(&text, NULL);
	repeated_send(call, &text);
	call->due = now() + load_ms(ENDING_MS);
}

static void bye_send(struct call *call)
{
	call->state = ENDING;
	call->due = now() + load_ms(ENDING_MS);
	dialog_send(call, "BYE", 2, 'b');
}

static void call_new(void)
{
	struct call *call = &caller.calls[caller.count];

	*call = (struct call){.begun = now(), .live = caller.live_count};
	call->due = call->begun + load_ms(GIVE_UP_MS);
	caller.live[caller.live_count++] = caller.count++;
	invite_send(call);
}

/* --- answers --- */

static void ringing(struct call *call, const char *answer)
{
	char to[256];

	if (call->state != CALLING)
		return;
	call->state = RINGING;
	call->ringing = now();
	call->due = call->ringing + load_ms(caller.options->patience_ms);
	load_value(answer, "To:", to, sizeof(to));
	load_piece(to, ";tag=", ";>", call->site, sizeof(call->site));
}

static void answered(struct call *call, const char *answer)
{
	char value[512], routes[4096];

	if (call->state == CALLING || call->state == RINGING) {
		call->answered = now();
		call->status = load_status(answer);
		call->finals++;
		caller.answered++;
		load_value(answer, "To:", value, sizeof(value));
		call->to = strdup(value);
		load_piece(value, ";tag=", ";>", call->site, sizeof(call->site));
		load_value(answer, "Contact:", value, sizeof(value));
		char target[256];
		load_piece(value, "<", ">", target, sizeof(target));
		call->target = strdup(target);
		load_routes(answer, routes, sizeof(routes));
		call->routes = strdup(routes);
		free(call->request);
		call->request = NULL;
		call->state = TALKING;
		call->due = call->answered + load_ms(call->cancelled ? 0 : caller.options->hold_ms);
	} else if (call->state == REFUSED) {
		call->finals++;
	}
	if (call->target)
		dialog_send(call, "ACK", 1, 'a');
}

static void refused(struct call *call, const char *answer)
{
	char to[256], tag[64];

	refusal_acknowledge(call, answer);
	load_value(answer, "To:", to, sizeof(to));
	load_piece(to, ";tag=", ";>", tag, sizeof(tag));
	if (call->state == TALKING || call->state == ENDING || call->state == REFUSED) {
		if (call->state != REFUSED || strcmp(tag, call->refused_tag) != 0)
			call->finals++;
		return;
	}
	memcpy(call->refused_tag, tag, sizeof(tag));
	call->status = load_status(answer);
	call->finals++;
	call->state = REFUSED;
	free(call->request);
	call->request = NULL;
	/* A second final answer would come soon. */
	call->due = now() + load_ms(LINGER_MS);
}

static void invite_answer(struct call *call, const char *answer)
{
	int status = load_status(answer);

	if (status < 200) {
		/* CANCEL has taken the INVITE's place. */
		if (!call->cancelled && call->state == CALLING) {
			free(call->request);
			call->request = NULL;
		}
		if (status > 100)
			ringing(call, answer);
	} else if (status < 300) {
		answered(call, answer);
	} else {
		refused(call, answer);
	}
}

static void bye_answer(struct call *call, const char *answer)
{
	if (call->state == ENDING && load_status(answer) >= 200) {
		call->end_status = load_status(answer);
		call_over(call);
	}
}

static void options_answer(const struct load_from *from, const char *request)
{
	struct load_text text = {.length = 0};

	load_add(&text, "SIP/2.0 200 OK\r\n");
	load_add_lines(&text, request, "Via:");
	load_add_lines(&text, request, "From:");
	load_add_lines(&text, request, "To:");
	load_add_lines(&text, request, "Call-ID:");
	load_add_lines(&text, request, "CSeq:");
	load_add_body(&text, NULL);
	load_net_send(from, text.bytes, text.length);
}

void call_message(const struct load_from *from, char *text)
{
	char value[160];

	if (load_status(text) == 0) {
		if (strncmp(text, "OPTIONS ", 8) == 0 || strncmp(text, "BYE ", 4) == 0)
			options_answer(from, text);
		return;
	}
	load_value(text, "Call-ID:", value, sizeof(value));
	size_t number = strtoull(value, NULL, 10);
	if (number >= caller.count || caller.calls[number].state == OVER)
		return;
	load_value(text, "CSeq:", value, sizeof(value));
	if (strstr(value, "INVITE"))
		invite_answer(&caller.calls[number], text);
	else if (strstr(value, "BYE"))
		bye_answer(&caller.calls[number], text);
}

/* --- time --- */

static void call_due(struct call *call)
{
	switch (call->state) {
	case CALLING:
	case RINGING:
		if (call->cancelled)
			call_over(call);
		else
			cancel_send(call);
		break;
	case TALKING:
		bye_send(call);
		break;
	case ENDING:
	case REFUSED:
		call_over(call);
		break;
	case OVER:
		break;
	}
}

static void call_repeat(struct call *call, int64_t time)
{
	load_net_send(&caller.gateway, call->request, strlen(call->request));
	call->repeat_ms = call->repeat_ms < REPEAT_MAX_MS ? call->repeat_ms * 2 : REPEAT_MAX_MS;
	call->repeat = time + load_ms(call->repeat_ms);
}

void call_time(int64_t time)
{
	for (; !caller.stopped && caller.next <= time && caller.next < caller.last &&
	       caller.count < caller.options->calls;
	     caller.next += 1000000000 / caller.options->rate)
		call_new();
	/* Backwards: one that is over gives its place to the last. */
	for (size_t i = caller.live_count; i-- > 0;) {
		struct call *call = &caller.calls[caller.live[i]];
		if (call->due <= time)
			call_due(call);
		else if (call->request && call->repeat <= time)
			call_repeat(call, time);
	}
}

bool call_begin(const struct load_options *options)
{
	const char *colon = options->port_count ? strrchr(options->ports[0], ':') : NULL;

	if (!colon || strncmp(options->ports[0], "udp:", 4) != 0 || options->rate == 0 || options->calls > CALLS_MAX ||
	    !options->to)
		return false;
	caller.options = options;
	snprintf(caller.host, sizeof(caller.host), "%.*s", (int)(colon - options->ports[0] - 4), options->ports[0] + 4);
	snprintf(caller.port, sizeof(caller.port), "%s", colon + 1);
	caller.gateway = (struct load_from){.address = options->gateway};
	caller.calls = calloc(CALLS_MAX, sizeof(*caller.calls));
	caller.live = calloc(CALLS_MAX, sizeof(*caller.live));
	caller.next = now();
	caller.last = caller.next + load_ms(options->seconds * 1000ll);
	return caller.calls && caller.live;
}

/* "counts": calls begun, answered, over without answer, over after one, alive. "stop": no new calls. */
void call_control(const char *command, char *reply, size_t size)
{
	if (strcmp(command, "stop") == 0)
		caller.stopped = true;
	snprintf(reply, size, "%zu %lu %lu %lu %zu", caller.count, caller.answered, caller.lost, caller.ended,
		 caller.live_count);
}

bool call_done(void)
{
	return (caller.stopped || caller.next >= caller.last || caller.count >= caller.options->calls) &&
	       caller.live_count == 0;
}
