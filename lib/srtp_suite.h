/* SPDX-License-Identifier: GPL-2.0-or-later */
/** SRTP suites (SDES, RFC 4568) and DTLS-SRTP profiles (RFC 5764) as data, and the policy that names the allowed ones.
 */
#ifndef TRUNKGATE_SRTP_SUITE_H
#define TRUNKGATE_SRTP_SUITE_H

#include <stdbool.h>
#include <stdint.h>

#include "span.h"

/** A suite of a=crypto; its place in the table is its bit in a set. */
struct srtp_suite {
	const char *name;   /**< IANA's where there is one */
	uint8_t key_length; /**< bytes of master key and salt together */
	bool encrypts;      /**< false: never allowed, whoever names it */
};

/** A profile of DTLS-SRTP; its place in the table is its bit in a set. */
struct srtp_profile {
	const char *name;    /**< IANA's */
	const char *openssl; /**< as SSL_CTX_set_tlsext_use_srtp() takes it */
};

/** All that rtpengine knows, ended by a row whose name is NULL. */
extern const struct srtp_suite srtp_suites[];
extern const struct srtp_profile srtp_profiles[];

enum {
	SRTP_NAMES_MAX = 512, /**< room for all names of either table */
};

/** What a peer's media must be. */
enum srtp_mode { SRTP_OPTIONAL = 0, SRTP_REQUIRED, SRTP_FORBIDDEN };

struct srtp_policy {
	enum srtp_mode mode;
	uint32_t suites;   /**< bits of srtp_suites[] */
	uint32_t profiles; /**< bits of srtp_profiles[]; 0: no DTLS-SRTP */
	uint32_t kept;     /**< SRTP_OPTIONAL: bits of the media sections that must be secured; 1 is the first */
};

/** The sets where nothing is configured: AES_CM_128_HMAC_SHA1_80 and its DTLS-SRTP profile. */
uint32_t srtp_suites_default(void);
uint32_t srtp_profiles_default(void);

/** Bit of a suite as SDP writes it (case does not matter), or -1. */
int srtp_suite_find(struct span name);

/**
 * Names separated by spaces, tabs, commas or semicolons; no name gives the default set. Returns 0; -EINVAL for an
 * unknown name, -EPERM for a suite that does not encrypt: then @p bad, if not NULL, is that name.
 */
int srtp_suites_parse(struct span names, uint32_t *suites, struct span *bad);
/** The same for profiles; the one name "none" gives the empty set. */
int srtp_profiles_parse(struct span names, uint32_t *profiles, struct span *bad);

/** Names of a set, in the table's order, with @p separator between; ends in NUL. Returns the length, cut to fit. */
size_t srtp_suites_print(uint32_t suites, const char *separator, char *text, size_t size);
size_t srtp_profiles_print(uint32_t profiles, const char *separator, char *text, size_t size);
/** The same with OpenSSL's names and ':', as SSL_CTX_set_tlsext_use_srtp() takes it. */
size_t srtp_profiles_openssl(uint32_t profiles, char *text, size_t size);

#endif
