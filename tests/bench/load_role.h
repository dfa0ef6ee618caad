/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The two parts that sip_load can play. */
#ifndef LOAD_ROLE_H
#define LOAD_ROLE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>

#include "load_net.h"

enum { LOAD_PORTS_MAX = 16, LOAD_CALLS_MAX = 1 << 17 };

struct load_options {
	const char *name;                  /* of the site */
	const char *ports[LOAD_PORTS_MAX]; /* "udp:192.0.2.1:5060", as they were opened */
	int port_count;
	const char *sdp; /* the media address; NULL: no SDP */
	FILE *log;       /* unbuffered, may be NULL */
	unsigned ring_ms;
	/* callers only */
	struct sockaddr_in gateway;
	const char *to, *from; /* user parts; %04u in them counts */
	unsigned users, calls, rate, seconds, hold_ms, patience_ms;
};

struct load_role {
	bool (*begin)(const struct load_options *options);
	load_message_fn *message;
	void (*time)(int64_t time);
	void (*control)(const char *command, char *reply, size_t size);
	bool (*done)(void);
};

bool answer_begin(const struct load_options *options);
void answer_message(const struct load_from *from, char *text);
void answer_time(int64_t time);
void answer_control(const char *command, char *reply, size_t size);
bool answer_done(void);

bool call_begin(const struct load_options *options);
void call_message(const struct load_from *from, char *text);
void call_time(int64_t time);
void call_control(const char *command, char *reply, size_t size);
bool call_done(void);

#endif
