/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Host names -> targets, as RFC 3263 section 4.2 and RFC 2782 say, from answers that others bring: no socket, no clock.
 *
 * A name that begins with '_', or has no port and has SRV records, is SRV records and then the addresses of their
 * hosts; every other name is addresses. Each question (name and type) is kept with its last good answer and asked again
 * when its time is over. A name keeps the targets that it has until every question behind it was asked once, and while
 * nothing better is known.
 */
#ifndef TRUNKGATE_RESOLUTION_H
#define TRUNKGATE_RESOLUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "topology.h"

enum {
	RESOLUTION_NAME_SIZE = 256,      /**< with the NUL */
	RESOLUTION_ANSWER_MAX = 512,     /**< records of one answer that are looked at */
	RESOLUTION_RECORDS_MAX = 32,     /**< and kept: the first in order */
	RESOLUTION_TARGETS_MAX = 32,     /**< of one name */
	RESOLUTION_QUESTIONS_MAX = 8192, /**< names beyond have no targets */
	RESOLUTION_TTL_MIN_S = 5,
	RESOLUTION_TTL_MAX_S = 3600,
	RESOLUTION_NONE_MAX_S = 60, /**< what is not there is looked for again after this time at the latest */
	RESOLUTION_RETRY_FIRST_MS = 2000,
	RESOLUTION_RETRY_LAST_MS = 60000,
};

enum record_type { RECORD_A = 1, RECORD_AAAA = 28, RECORD_SRV = 33 }; /**< IANA's numbers */

struct record {
	uint8_t address[16];             /**< A (IPv4 mapped), AAAA */
	uint16_t priority, weight, port; /**< SRV */
	char name[RESOLUTION_NAME_SIZE]; /**< SRV: its host */
};

struct question {
	char name[RESOLUTION_NAME_SIZE];
	enum record_type type;
};

struct answer {
	enum {
		ANSWER_RECORDS,
		ANSWER_NONE,   /**< the name or records of this type do not exist */
		ANSWER_FAILED, /**< nobody could tell */
	} kind;
	const struct record *records; /**< at most RESOLUTION_ANSWER_MAX */
	size_t count;
	uint32_t ttl_s;     /**< of records, or of their absence */
	const char *reason; /**< of NONE and FAILED; static text */
};

struct resolution;
struct resolution *resolution_new(void);
void resolution_free(struct resolution *resolution);

/** Names wanted from now on: one call each between begin and end. The others are forgotten. */
void resolution_begin(struct resolution *resolution);
void resolution_want(struct resolution *resolution, struct span host, uint16_t port, enum transport transport);
void resolution_end(struct resolution *resolution);

/** Targets that are known from elsewhere, for a name that is not known yet: they count until an answer comes. */
void resolution_seed(struct resolution *resolution, struct span host, uint16_t port, enum transport transport,
		     const struct topology_target *targets, size_t count);

/** The question that is due for longest, to be answered once. Returns false if there is none. */
bool resolution_next(struct resolution *resolution, int64_t now_ms, struct question *question);

/** When the next one is due; INT64_MAX: none. */
int64_t resolution_due_ms(const struct resolution *resolution);

void resolution_answer(struct resolution *resolution, const struct question *question, const struct answer *answer,
		       int64_t now_ms);

/** Anything new since the last resolution_settle()? */
bool resolution_unsettled(const struct resolution *resolution);

/**
 * Makes targets of all answers so far. Returns true if those of a name, or its reason, are others now; @p changed (or
 * NULL) is told of each name whose reason is another.
 */
bool resolution_settle(struct resolution *resolution, void (*changed)(const char *host, const char *reason));

/** target_source.find of a struct resolution. */
void resolution_find(void *context, struct span host, uint16_t port, enum transport transport,
		     struct target_list *found);

#endif
