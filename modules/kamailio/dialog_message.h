/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What a SIP message says of its dialog: its names, and the token in a Route or Record-Route. */
#ifndef TRUNKGATE_DIALOG_MESSAGE_H
#define TRUNKGATE_DIALOG_MESSAGE_H

#include <core/parser/msg_parser.h>
#include <core/parser/parse_rr.h>

#include "dialog_token.h"

/** Spans point into the message; a tag may lack (RFC 2543). Returns 0, or -EINVAL: no Call-ID, From or To. */
int dialog_message_id(struct sip_msg *msg, struct dialog_id *id);

/** The value of its URI's parameter tg. Returns 0, or -ENOENT. */
int dialog_message_token(const rr_t *route, struct span *token);

#endif
