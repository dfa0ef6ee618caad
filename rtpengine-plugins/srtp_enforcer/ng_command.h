/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The commands of the ng protocol, by version of rtpengine, and what happens to each. */
#ifndef TRUNKGATE_NG_COMMAND_H
#define TRUNKGATE_NG_COMMAND_H

#include "span.h"

enum ng_version { NG_10_5 = 1, NG_12_5 = 2 };

enum ng_action {
	NG_PASS,    /**< untouched: it opens no media and carries no SDP */
	NG_CHECK,   /**< carries or returns SDP */
	NG_LIMITED, /**< gives media away unencrypted, or does anything at all: only if allowed by name */
};

struct ng_command {
	const char *name;
	enum ng_action action;
	unsigned versions; /**< bits of enum ng_version that know it; the others refuse it unless it is allowed by name
			    */
	bool copy;         /**< hands out a copy of a call: it must be encrypted */
};

/** NULL if the table does not know it. */
const struct ng_command *ng_command_find(struct span name);

#endif
