/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What a SIP message says of its dialog: its names, and the token in a Route or Record-Route. */
#ifndef TRUNKGATE_DIALOG_MESSAGE_H
#define TRUNKGATE_DIALOG_MESSAGE_H

#include <core/parser/msg_parser.h>
#include <core/parser/parse_rr.h>

#include "dialog_token.h"

/** Spans point into the message; a tag may lack (RFC 2543). Returns 0, or -EINVAL: no Call-ID, From or To. */
int dialog_message_id(struct sip_msg *msg, struct dialog_id *id);

/**
 * Which INVITE this is, of all that have its Call-ID and From tag: a number of 24 bits made of its Via and CSeq, the
 * same for each copy of it (RFC 3261 17.2.3). 0: it has no CSeq.
 */
uint32_t dialog_message_invite(struct sip_msg *msg, const uint8_t key[DIALOG_KEY_SIZE]);

/** The value of its URI's parameter tg. Returns 0, or -ENOENT. */
int dialog_message_token(const rr_t *route, struct span *token);

#endif
