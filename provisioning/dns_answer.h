/* SPDX-License-Identifier: GPL-2.0-or-later */
/** One DNS message -> the records that were asked for. The C library takes the message apart. */
#ifndef TRUNKGATE_DNS_ANSWER_H
#define TRUNKGATE_DNS_ANSWER_H

#include "resolution.h"

/**
 * Reads the answers of one type. Addresses that nobody can be called at and hosts that cannot be are left out, and so
 * is what goes beyond RESOLUTION_ANSWER_MAX. Without records the answer is ANSWER_NONE, or ANSWER_FAILED if it says
 * nothing that can be used; a message that is damaged gives ANSWER_FAILED.
 */
void dns_answer_read(const unsigned char *message, size_t length, enum record_type type,
		     struct record records[RESOLUTION_ANSWER_MAX], struct answer *answer);

#endif
