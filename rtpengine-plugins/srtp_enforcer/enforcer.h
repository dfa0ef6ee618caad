/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The rules as a pure function: a datagram in, a datagram or a refusal out. It knows no sockets and keeps nothing, so
 * it can as well stand in a relay in front of an rtpengine that cannot be wrapped.
 */
#ifndef TRUNKGATE_ENFORCER_H
#define TRUNKGATE_ENFORCER_H

#include "ng_command.h"
#include "ng_message.h"
#include "sdp.h"

/** What is configured; constant once rtpengine runs. */
struct enforcer {
	struct srtp_policy policy; /**< mode SRTP_OPTIONAL: which side must be secured is not known here */
	enum ng_version version;
	struct span allow; /**< names separated by ',' or ';': commands of ng_command.h that are refused otherwise,
			      "plain subscribe" */
};

enum enforcer_action {
	ENFORCER_PASS,    /**< the datagram goes on as it came */
	ENFORCER_CHANGED, /**< outcome.datagram goes on in its place */
	ENFORCER_REFUSED, /**< a request: outcome.datagram goes back to its sender; a reply: it goes on in its place */
	ENFORCER_STATISTICS, /**< a question for the plugin itself: answer with enforcer_statistics() */
};

/** enum sdp_reason, then what is no fault of the SDP. */
enum enforcer_reason {
	ENFORCER_UNREADABLE = SDP_REASONS, /**< no message of the protocol, or ambiguous */
	ENFORCER_COMMAND,                  /**< a command that is not allowed */
	ENFORCER_RECORDING,                /**< a flag that records the call in plain */
	ENFORCER_DEBUG,                    /**< a flag that makes rtpengine log the call's keys */
	ENFORCER_PLAIN_COPY,               /**< a plain copy of a call is asked for */
	ENFORCER_DTLS,                     /**< dtls-profiles or fingerprints that cannot be read without doubt */
	ENFORCER_TOO_LARGE,                /**< does not fit rtpengine's buffer once its flags are in */
	ENFORCER_REASONS,
};
const char *enforcer_reason_name(unsigned reason);

enum { ENFORCER_CALL_ID_MAX = 1024, ENFORCER_TEXT_MAX = SDP_TEXT_MAX + 64 };

struct enforcer_outcome {
	enum enforcer_action action;
	unsigned reason;   /**< of a refusal: enum sdp_reason or enforcer_reason */
	uint32_t profiles; /**< of a request: DTLS-SRTP profiles that may be negotiated for what it makes; maybe none */
	struct span datagram;
	struct span command, call_id; /**< of a request, as far as it could be read; in the room */
	char text[ENFORCER_TEXT_MAX]; /**< of a refusal, as rtpengine's client gets it: no key, nothing the sender chose
				       */
};

/** Working memory of one call: one a thread. Outcomes point into it. */
struct enforcer_room {
	struct ng_message message;
	struct sdp_verdict verdict;
	char command[64], call_id[ENFORCER_CALL_ID_MAX];
	char sdp[NG_DATAGRAM_MAX], out[NG_DATAGRAM_MAX];
};

/**
 * @p limit: room that rtpengine's buffer has, at most NG_DATAGRAM_MAX. Keys of our own: `dtls-profiles` narrows the
 * profiles for this request and its reply (whoever gives the reply to enforcer_reply() puts outcome.profiles into the
 * policy), `fingerprints` = "remove" takes them out of the request's SDP.
 */
void enforcer_request(const struct enforcer *enforcer, struct span datagram, size_t limit, struct enforcer_room *room,
		      struct enforcer_outcome *outcome);
void enforcer_reply(const struct enforcer *enforcer, struct span datagram, struct enforcer_room *room,
		    struct enforcer_outcome *outcome);

/** The request that ends a call at once; returns its length or -ENOSPC. */
long enforcer_delete(struct span cookie, struct span call_id, char *out, size_t size);

struct enforcer_counter {
	const char *name;
	uint64_t value;
};
/** Answers the request that the room holds; @p counters end with a NULL name. */
void enforcer_statistics(const struct enforcer_counter *counters, struct enforcer_room *room,
			 struct enforcer_outcome *outcome);

/** Is @p name in a list of names? */
bool enforcer_allows(struct span allow, const char *name);

#endif
