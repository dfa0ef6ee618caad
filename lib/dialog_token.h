/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The state of a dialog, carried in our Record-Route as tg=<token>: 32 characters of base64url (RFC 4648 section 5).
 * 14 bytes of state and 10 bytes of a keyed BLAKE2b over the state, the Call-ID and the caller's tag, so a token cannot
 * be changed or used in another call. (The callee's tag is not known when it is written.) Both sides see it: it never
 * holds a header value.
 */
#ifndef TRUNKGATE_DIALOG_TOKEN_H
#define TRUNKGATE_DIALOG_TOKEN_H

#include <stdint.h>

#include "span.h"
#include "topology.h"

enum { DIALOG_TOKEN_LENGTH = 32, DIALOG_INVITE_MAX = 0xffffff };

enum direction { TO_SERVICE = 1, TO_OPERATOR = 2 };
const char *direction_name(enum direction direction); /**< "to-service", "to-operator" */

enum dialog_policy {
	DIALOG_INGRESS_SECURED = 1, /**< who started it offered SRTP: its side stays so */
	DIALOG_INGRESS_SHARED =
		2,             /**< several peers share the source prefix of who started it: ingress is any of them */
	DIALOG_LATE_OFFER = 4, /**< its INVITE had no SDP */
};

/** What names a dialog in each of its messages (RFC 3261 12). */
struct dialog_id {
	struct span call_id, from_tag, to_tag;
};

/** Where a message has the tag of the one who began the dialog: in both, where the callee chose the same one. */
enum caller_tag { CALLER_IN_FROM = 1, CALLER_IN_TO = 2 };

struct dialog {
	enum direction direction;
	uint8_t policy;           /**< enum dialog_policy bits, 0-63 */
	uint32_t ingress, egress; /**< peer ids, 24 bits; TOPOLOGY_NONE if not unique */
	uint32_t attribute_set;   /**< 0 = none */
	uint32_t invite;          /**< 1-DIALOG_INVITE_MAX, by chance: which INVITE of its Call-ID and tag began it */
	uint8_t caller;           /**< not in the token: enum caller_tag bits of the message that it was read for */
};

/** @p id: of the request that begins the dialog. */
void dialog_token_write(const struct dialog *dialog, const struct dialog_id *id, const uint8_t key[DIALOG_KEY_SIZE],
			char token[DIALOG_TOKEN_LENGTH + 1]);

/** @p id: of any message of it. Returns 0, -EINVAL (not a token) or -EBADMSG (changed, of another call or key). */
int dialog_token_read(struct span token, const struct dialog_id *id, const uint8_t key[DIALOG_KEY_SIZE],
		      struct dialog *dialog);

#endif
