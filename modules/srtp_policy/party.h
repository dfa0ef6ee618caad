/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The two ends of a message: who sent it, who gets it, and what their media must be. */
#ifndef TRUNKGATE_SRTP_POLICY_PARTY_H
#define TRUNKGATE_SRTP_POLICY_PARTY_H

#include <core/crypto/md5utils.h>
#include <core/parser/msg_parser.h>

#include "agreement.h"
#include "field.h"
#include "media_leg.h"

struct party {
	char group[FIELD_NAME_MAX + 1], peer[FIELD_NAME_MAX + 1]; /**< peer "" = several share its address */
	uint32_t id;
	struct media_leg leg;
	uint32_t bound; /**< media sections that have been secured in this dialog, as sdp_secured() says it */
};

struct parties {
	struct party sender, receiver;
	bool from_caller; /**< the sender of this message began the dialog */
	bool within;      /**< by a request that did not begin it */
	struct agreement_id id;
	char media[MD5_LEN + 1]; /**< how its media are called, see media_tag() */
};

/** By the state of the call. Returns 0, or -ENOENT: it has none, or the topology lost a group. */
int parties_find(struct sip_msg *msg, struct parties *parties);
/** The same for what follows in the handling of a message: as they were found last, if that was for this message. */
int parties_again(struct sip_msg *msg, struct parties *parties);

/** An offer of this end passes on to rtpengine, which may know the call from now on. The first one counts. */
void media_begins(struct sip_msg *msg, bool by_caller);
/** False if the callee's offer was the first. */
bool media_begun_by_caller(struct sip_msg *msg);
/** False if rtpengine never got an offer of this call, or of this dialog that ends. */
bool media_may_be_relayed(struct sip_msg *msg);

/** An answer in a provisional was refused: for the peer, who sends no other, the offer is answered all the same. */
void answer_mark_refused(struct sip_msg *msg);
bool answer_was_refused(struct sip_msg *msg);

/** A provisional or 2xx that comes after its branch, or the whole transaction, has had its end. */
bool reply_is_late(struct sip_msg *msg);

enum { MEDIA_TAG_LENGTH = MD5_LEN + sizeof("-caller") - 1 };

/**
 * How rtpengine calls an end of the dialog: by our own tags, the same whatever To tag an answer has, so that each new
 * answer changes the leg that was offered. They are of the caller's tag and the INVITE that began the dialog, so that
 * of INVITEs with the same Call-ID and From tag (forks of a proxy before us, a retry after a 422) each has its own
 * media. Nothing but letters, digits and '-'.
 */
int media_tag(struct sip_msg *msg, bool caller, char tag[MEDIA_TAG_LENGTH + 1]);
/** The same where the parties are known. */
void party_tag(const struct parties *parties, bool caller, char tag[MEDIA_TAG_LENGTH + 1]);

/** The transaction of this message, which offers or answers (@p answers). */
struct agreement_transaction media_transaction(struct sip_msg *msg, const struct parties *parties, bool answers);

/** The dialog of this message. Returns 0, or -EINVAL: it has no Call-ID or no caller's tag. */
int media_dialog(struct sip_msg *msg, struct agreement_id *id);

/** The group's policy, as it is for this dialog. */
struct srtp_policy party_policy(const struct party *party);

/** Does the policy of an end leave it the choice? */
bool parties_may_choose(const struct parties *parties);

/** May the party's media come from here (16 bytes, IPv4 mapped)? */
bool party_may_send_from(const struct party *party, const uint8_t address[16]);

#endif
