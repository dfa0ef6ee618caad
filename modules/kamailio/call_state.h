/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The state of a call while its transaction lives: fields, which scripts see as $tg(field).
 *
 * They work where XAVPs are current: request_route, branch_route, onreply_route, failure_route. In the core
 * reply_route they are not; there call_state_enter() makes those of the transaction current.
 */
#ifndef TRUNKGATE_CALL_STATE_H
#define TRUNKGATE_CALL_STATE_H

#include <stdbool.h>

#include <core/str.h>
#include <core/xavp.h>
#include <modules/tm/tm_load.h>

/** The fields that modules use; call_state.c has the names by which scripts know them. */
enum call_field {
	CALL_SIDE,       /* int: enum side of the sender of the current request */
	CALL_GROUP,      /* str: group that sent the request */
	CALL_IN,         /* int: peer that sent it, TOPOLOGY_NONE if several share the source prefix */
	CALL_DIRECTION,  /* int: enum direction of the dialog */
	CALL_ATTRIBUTES, /* int: attribute set, 0 = none */
	CALL_ACCOUNT,    /* str */
	CALL_SERVICE,    /* str */
	CALL_OUT_GROUP,  /* str: group that gets the call */
	CALL_OUT,        /* int: peer that gets it */
	CALL_SECURED,    /* int: enum call_secured bits: who began the dialog with SRTP, as a side of the request */
	CALL_INVITE,     /* int: which INVITE began the dialog, see dialog_token.h */
	CALL_RELAYED,    /* int: enum call_relayed: whose offer rtpengine got first */
	CALL_OVER,       /* int: of a BYE: enum call_ended */
	CALL_CALLED,     /* str: number in the request URI */
	CALL_CALLING,    /* str: number of the caller */
	CALL_USER,       /* str: user part of the URI that each peer gets, none: the URI stays */
	CALL_USER_END,   /* str: what follows the peer's address in that URI */
	/* of site_failover alone */
	CALL_CANDIDATES, /* str: numbers of the targets still to try, "4,7,9" */
	CALL_SENT,       /* int: number of the target that got the call last and whose fate is not known yet, or 0 */
	CALL_TRIED,      /* int: targets that got the call */
	CALL_END,        /* int: clock when the time for all tries is over */
	CALL_HELD,       /* int: peer at which the call has a place, TOPOLOGY_NONE = none */
	CALL_OPENED,     /* int: the caller's peer, or TOPOLOGY_NONE, while the call has no final answer */
	CALL_MARK,       /* int: what calls_mark() returned, while CALL_OPENED is set */
	CALL_CLAIMED,    /* int: branch + 1 whose 2xx is the caller's */
	CALL_EMERGENCY,  /* int: 1 = never refused by capacity, drain or health */
	CALL_TARGET,     /* str: in an event route: URI of the target */
	CALL_REASON,     /* str: in an event route: the last failure */
	CALL_FIELDS,
};

enum { CALL_FIELD_MAX = 11 }; /**< length of a name */

enum call_relayed { CALL_RELAYED_NOT, CALL_RELAYED_CALLER, CALL_RELAYED_CALLEE };

/** What a BYE ended: a call that this node counted; one of several of its INVITE; one that it does not know. */
enum call_ended { CALL_ENDED = 1, CALL_OF_SEVERAL, CALL_NOT_KNOWN };

enum call_secured { CALL_SECURED_SENDER = 1, CALL_SECURED_RECEIVER = 2 };

/** The number in a field, or @p missing. */
int call_state_int(unsigned field, int missing);
/** True if the field has a number. */
bool call_state_has(unsigned field);
/** The text in a field, or the empty str. Valid until the field is set again: copy it to keep it. */
str call_state_str(unsigned field);
/** Each returns 0, or -ENOMEM: no memory, or the fields of a call take more than 4 KB of text. */
int call_state_set_int(unsigned field, int value);
int call_state_set_str(unsigned field, str value);
/** Empties a field. */
void call_state_clear(unsigned field);

/** The field of this name, or CALL_FIELDS: none of enum call_field. */
unsigned call_field_known(const char *name);
/**
 * A field that a script made up, by its name: a number for the functions above, of this call only. CALL_FIELDS, which
 * they take for an empty one, if there is none and it is not to be made, or no room is left.
 */
unsigned call_field_named(const char *name, bool make);

/** What call_state_leave() needs to put things back. */
struct call_state_scope {
	sr_xavp_t **saved;
	struct cell *locked;
};

/** Makes the XAVPs of @p cell current and keeps its other replies out until call_state_leave(): read, and leave. */
struct call_state_scope call_state_enter(struct cell *cell);
void call_state_leave(struct call_state_scope scope);

#endif
