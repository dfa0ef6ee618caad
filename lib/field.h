/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Rules of the text fields that operators write. Each returns NULL, or why the value is refused. */
#ifndef TRUNKGATE_FIELD_H
#define TRUNKGATE_FIELD_H

#include "span.h"

enum {
	FIELD_NAME_MAX = 100,       /**< account, group, peer, site and region names; header values */
	FIELD_HEADER_NAME_MAX = 32, /**< SIP header names (limits page of the reference) */
};

/** 1-100 of [A-Za-z0-9_-]: account names, header values, names of groups, peers, sites, regions. */
const char *field_name_fault(struct span text);

/** 1-32 characters of an RFC 3261 token; names that SIP itself uses (Via, To, ...) are refused. */
const char *field_header_name_fault(struct span text);

#endif
