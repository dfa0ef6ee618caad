/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What the two ends of each dialog have agreed on: the last offer and answer that passed, and which end has been
 * secured. In shared memory, so it does not outlive Kamailio; who has been secured, rtpengine's labels do.
 */
#ifndef TRUNKGATE_SRTP_POLICY_AGREEMENT_H
#define TRUNKGATE_SRTP_POLICY_AGREEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <core/str.h>

#include "media_label.h"
#include "span.h"

enum { AGREEMENT_ID_LENGTH = 32 };

/** Of a dialog, by its Call-ID, the caller's tag and the INVITE that began it. */
struct agreement_id {
	char digest[AGREEMENT_ID_LENGTH + 1];
};

/** The SIP transaction of an offer: by the end that sent its request, and its CSeq. */
struct agreement_transaction {
	bool by_caller;
	bool invite;     /**< of an INVITE, also in its ACK */
	uint32_t number; /**< 0: an answer to whatever waits, in a PRACK */
};

/** SDP of one end, as it came. */
struct agreement_sdp {
	bool by_caller;
	struct agreement_transaction transaction;
	uint32_t secured; /**< of its media sections, as sdp_secured() says it */
	uint32_t live;    /**< as sdp_live() says it */
	struct span text;
};

/** An offer and its answer, both in one block of private memory. */
struct agreement_exchange {
	uint32_t version; /**< 0: none was read yet */
	bool offered_by_caller;
	struct span offer, answer;
};

/**
 * @p limit: bytes kept in all; calls beyond it lose agreement_undo(), and where the dialogs alone would fill it no
 * other is remembered. Returns 0 or -ENOMEM.
 */
int agreements_init(size_t limit);
void agreements_finish(void);
/** Frees the dialogs whose end was not seen. To be called from time to time. */
void agreements_sweep(void);

/**
 * Something was offered, and waits for its answer, unless it is what is in force, said once more. Returns 0, or
 * -ENOMEM: it is not remembered.
 */
int agreement_offer(const struct agreement_id *id, const struct agreement_sdp *sdp);

/**
 * Is SDP in this response of a transaction that has been answered for good, so that nothing may come of it? That in a
 * provisional (not @p final) always is; that in a 2xx, while another offer waits or is in force.
 */
bool agreement_repeats(const struct agreement_id *id, const struct agreement_transaction *transaction,
		       bool offered_by_caller, bool final);

/** It was answered. @p final: no other answer to this offer may come. Returns 0 or -ENOMEM. */
int agreement_answer(const struct agreement_id *id, const struct agreement_sdp *sdp, bool final);

/** A 2xx with SDP, on its way to rtpengine: no provisional of its transaction may get there behind it. */
void agreement_final(const struct agreement_id *id, const struct agreement_transaction *transaction);

/** A 2xx without SDP: the answer that came before it, in a provisional, is the last. */
void agreement_settle(const struct agreement_id *id, const struct agreement_transaction *transaction);

/**
 * The media sections that this end has had secured, as sdp_secured() says it. Asked for an answer (@p answers): not by
 * what another answer to the same offer said.
 */
uint32_t agreement_secured(const struct agreement_id *id, bool caller, bool answers);

/** Is anything known of this dialog? */
bool agreement_known(const struct agreement_id *id);

/**
 * What rtpengine said of a dialog, from before a restart: it is known now. Returns 0 or -ENOMEM.
 */
int agreement_recall(const struct agreement_id *id, const struct media_label *label);

/** Who will have been secured after this answer; @p final: as above. */
struct media_label agreement_label(const struct agreement_id *id, const struct agreement_sdp *answer, bool final);

/** The offer in the request of that transaction came to nothing. Returns 0, or -ENOENT: it does not wait. */
int agreement_undo(const struct agreement_id *id, const struct agreement_transaction *transaction);

/**
 * What holds: an offer that waits for its answer (exchange.answer is empty), else what was agreed; to be freed with
 * agreement_exchange_free(). Returns 0; -ENOENT: nothing new since exchange.version; -ENODATA: it is not known.
 */
int agreement_read(const struct agreement_id *id, struct agreement_exchange *exchange);
void agreement_exchange_free(struct agreement_exchange *exchange);

/**
 * The dialog is over. Returns 0, or -ENOENT: nothing was offered in it. @p by_caller: who made an offer, and has spoken
 * to rtpengine.
 */
int agreement_forget(const struct agreement_id *id, bool *by_caller);

#endif
