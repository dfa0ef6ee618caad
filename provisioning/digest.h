/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The digest of a store: the sum modulo 2^128 of 16 bytes for each row, so it says the same of the same content
 * whatever the way there; triggers keep it, so no statement can forget it.
 *
 * Against errors, not against forgers: whoever may provision can make two contents with one sum.
 *
 * A number or range counts with its account, service and header value: SipHash-2-4 (128 bits) of the number, keyed by a
 * BLAKE2b of these three. Any other row counts with its columns: BLAKE2b. Peers and groups keep their ids in it,
 * because dialogs name them.
 */
#ifndef TRUNKGATE_DIGEST_H
#define TRUNKGATE_DIGEST_H

#include "span.h"
#include "store.h"

enum { DIGEST_KEY_SIZE = 16 };

/** SQL: digest_row(), digest_set(), digest_bytes(hexadecimal text), digest_computed(). Returns 0 or -errno. */
int digest_functions_add(struct store *store);

/** The triggers, once the schema stands. Returns 0 or -errno. */
int digest_triggers_add(struct store *store);

/**
 * Takes away the triggers of `number` on this connection, and makes them again: in between its user counts each row
 * with digest_number(), and keeps number_count. A transaction that is rolled back brings them back too. Returns 0 or
 * -errno.
 */
int digest_numbers_drop(struct store *store);
int digest_numbers_add(struct store *store);

/** What numbers with these attributes have in common. */
void digest_key(struct span account, uint16_t service, struct span header, uint8_t key[DIGEST_KEY_SIZE]);

/** Counts a number in (sign 1) or out (-1). */
void digest_number(uint64_t digest[2], int sign, const uint8_t key[DIGEST_KEY_SIZE], uint64_t e164);

/** Adds a sum of digest_number(). */
void digest_sum(uint64_t digest[2], const uint64_t more[2]);

/** The digest as 16 bytes, and as 32 hexadecimal digits. */
void digest_load(const unsigned char bytes[STORE_DIGEST_SIZE], uint64_t digest[2]);
void store_digest_text(const uint64_t digest[2], char text[2 * STORE_DIGEST_SIZE + 1]);

/** Computes the digest from all rows, to be compared with the kept one. Returns 0 or -errno. */
int store_digest_compute(struct store *store, uint64_t digest[2]);

#endif
