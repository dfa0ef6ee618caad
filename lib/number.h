/* SPDX-License-Identifier: GPL-2.0-or-later */
/** E.164 numbers: text to integer and back. Rule: ^\+[1-9]\d+$, at most 16 characters (API schema). */
#ifndef TRUNKGATE_NUMBER_H
#define TRUNKGATE_NUMBER_H

#include <stdint.h>

#include "span.h"

enum {
	NUMBER_TEXT_MAX = 16,                   /**< characters, '+' included */
	NUMBER_TEXT_SIZE = NUMBER_TEXT_MAX + 1, /**< room for number_format() */
};

/** Why @p text is not a number, as a phrase for the user; NULL if it is one. */
const char *number_fault(struct span text);

/** Parses @p text into its digits as an integer (never 0). Returns 0 or -EINVAL. */
int number_parse(struct span text, uint64_t *e164);

/** Writes "+<digits>" and a NUL. */
void number_format(uint64_t e164, char text[NUMBER_TEXT_SIZE]);

/** Writes the number with all but its last two digits as '*', for logs: "+*********01". */
void number_mask(uint64_t e164, char text[NUMBER_TEXT_SIZE]);

#endif
