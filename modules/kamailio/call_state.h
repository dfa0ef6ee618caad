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

/* the fields that modules share */
#define CALL_SIDE       "side"      /* int: enum side of the sender of the current request */
#define CALL_GROUP      "group"     /* str: group that sent the request */
#define CALL_IN         "in"        /* int: peer that sent it, TOPOLOGY_NONE if several share the source prefix */
#define CALL_DIRECTION  "dir"       /* int: enum direction of the dialog */
#define CALL_ATTRIBUTES "attr"      /* int: attribute set, 0 = none */
#define CALL_ACCOUNT    "account"   /* str */
#define CALL_SERVICE    "service"   /* str */
#define CALL_OUT_GROUP  "out_group" /* str: group that gets the call */
#define CALL_OUT        "out"       /* int: peer that gets it */
#define CALL_SECURED                                                                                                   \
	"secured" /* int: enum call_secured bits: who began the dialog with SRTP, as a side of the request */

enum { CALL_FIELD_MAX = 11 }; /**< length of a name */

enum call_secured { CALL_SECURED_SENDER = 1, CALL_SECURED_RECEIVER = 2 };

/** The number in a field, or @p missing. */
int call_state_int(const char *field, int missing);
/** True if the field has a number. */
bool call_state_has(const char *field);
/** The text in a field, or the empty str. Valid until the field is set again: copy it to keep it. */
str call_state_str(const char *field);
/** Each returns 0, or -ENOMEM: no memory, or the fields of a call take more than 2 KB of text. */
int call_state_set_int(const char *field, int value);
int call_state_set_str(const char *field, str value);
/** Empties a field. */
void call_state_clear(const char *field);

/** What call_state_leave() needs to put things back. */
struct call_state_scope {
	sr_xavp_t **saved;
	struct cell *locked;
};

/** Makes the XAVPs of @p cell current and keeps its other replies out until call_state_leave(): read, and leave. */
struct call_state_scope call_state_enter(struct cell *cell);
void call_state_leave(struct call_state_scope scope);

#endif
