/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What SDP says about the encryption of media, held against a policy: offers and answers, SDES (RFC 4568), DTLS-SRTP
 * (RFC 5763), and keys on RTP/AVP (OSRTP, RFC 8643). Nothing is allocated; spans point into the SDP that was read.
 *
 * The reader is stricter than rtpengine or any endpoint need be: what two readers could understand differently (a NUL,
 * a lone CR, text after an empty line, a second v=) is unreadable, and a key line that rtpengine would ignore is no
 * key.
 */
#ifndef TRUNKGATE_SDP_H
#define TRUNKGATE_SDP_H

#include "srtp_suite.h"

enum {
	SDP_SECTIONS_MAX = 32,
	SDP_TEXT_MAX = 640, /**< room for sdp_verdict_text() */
};

enum sdp_kind {
	SDP_AVP,  /**< RTP/AVP, RTP/AVPF */
	SDP_SAVP, /**< RTP/SAVP, RTP/SAVPF */
	SDP_TLS,  /**< UDP/TLS/RTP/SAVP, UDP/TLS/RTP/SAVPF */
	SDP_OTHER,
};

enum sdp_secured { SDP_SDES = 1, SDP_DTLS = 2 };

/** One m= section with what the session level adds. */
struct sdp_section {
	struct span media, profile; /**< "audio", "RTP/SAVP" */
	struct span connection;     /**< address of c=, its own or the session's; "" = none */
	bool own_connection;        /**< its own */
	enum sdp_kind kind;
	uint16_t port;
	bool rejected;       /**< port 0 and not bundle-only (RFC 8843): no media, nothing to judge */
	bool fingerprint;    /**< a usable a=fingerprint, its own or the session's, and setup */
	bool setup;          /**< a=setup, its own or else the session's, lets DTLS begin */
	bool unusable_keys;  /**< an a=crypto of unknown suite, malformed, or with UNENCRYPTED_... or the like */
	uint32_t suites;     /**< of its well-formed a=crypto lines, allowed or not */
	unsigned secured_by; /**< enum sdp_secured, by what the policy allows; 0 = not secured */
};

enum sdp_reason {
	SDP_ACCEPTABLE = 0,
	SDP_UNREADABLE,
	SDP_TOO_MANY_SECTIONS,
	SDP_PLAIN,              /**< not SRTP, where it is required */
	SDP_SECURED,            /**< SRTP, where it is forbidden */
	SDP_NO_KEY,             /**< an SRTP profile without a=crypto and a=fingerprint */
	SDP_NO_ALLOWED_SUITE,   /**< all its suites are excluded or unusable */
	SDP_NO_FINGERPRINT,     /**< a DTLS profile without a usable a=fingerprint */
	SDP_NO_ALLOWED_PROFILE, /**< DTLS-SRTP alone, where it is not allowed */
	SDP_REASONS,
};

struct sdp_verdict {
	enum sdp_reason reason; /**< the first fault */
	unsigned section;       /**< it is in this one, from 1; 0 = no section's */
	unsigned removable;     /**< lines that sdp_remove_suites() would leave out */
	unsigned count;         /**< of sections */
	struct sdp_section sections[SDP_SECTIONS_MAX];
};

/**
 * Is the SDP acceptable once sdp_remove_suites() has been applied? Fills @p verdict whatever the result, which is its
 * reason. Required: each section that is not rejected is secured by an allowed suite or profile. Optional: plain
 * sections are fine but for those that policy.kept names; those on an SRTP profile are held to the same. Forbidden: no
 * SRTP profile; keys on RTP/AVP are an offer that may be ignored, so they are only removed. An SDP that may hold
 * nothing excluded at all (what rtpengine wrote) must also have removable = 0.
 */
enum sdp_reason sdp_check(struct span sdp, const struct srtp_policy *policy, struct sdp_verdict *verdict);

/**
 * Copies @p sdp without the a=crypto lines that the policy excludes and, if it allows no DTLS-SRTP, without
 * a=fingerprint. @p out may be the memory of @p sdp itself. Returns the length, -ENOSPC, or -EINVAL for text that is no
 * SDP; whether the result is acceptable is for sdp_check() to say.
 */
long sdp_remove_suites(struct span sdp, const struct srtp_policy *policy, char *out, size_t size);

/**
 * No relay could make it acceptable: a section that is not RTP, where SRTP is required. Then true, and that is the
 * fault in @p verdict, which sdp_check() of the sender's policy has filled.
 */
bool sdp_never_acceptable(struct sdp_verdict *verdict, const struct srtp_policy *receiver);

/** Bits of the sections that are secured, 1 is the first; all 32 if there is no other that is not rejected. */
uint32_t sdp_secured(const struct sdp_verdict *verdict);
/** Bits of the sections that are not rejected. */
uint32_t sdp_live(const struct sdp_verdict *verdict);

/** Short name of a reason for counters and logs ("no-allowed-suite"). */
const char *sdp_reason_name(enum sdp_reason reason);
/** Code of a Warning header: 304 if the media is at fault, else 399. */
int sdp_warning_code(enum sdp_reason reason);
/** Text of a Warning header: no quotes, nothing that the sender chose, no key. Returns its length. */
size_t sdp_verdict_text(const struct sdp_verdict *verdict, char *text, size_t size);

/** Where SDP asks for media to be sent. */
enum sdp_address_origin { SDP_CONNECTION, SDP_RTCP, SDP_CANDIDATE };
struct sdp_address {
	unsigned section; /**< from 1; 0 = session level */
	enum sdp_address_origin origin;
	struct span text;
	bool numeric;      /**< else a host name, or not readable */
	uint8_t bytes[16]; /**< IPv4 as ::ffff:a.b.c.d */
};
/** Walks all addresses: start with rest = the SDP and section 0, both kept by the caller between calls. */
bool sdp_address_next(struct span *rest, unsigned *section, struct sdp_address *address);

#endif
