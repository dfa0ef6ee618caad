/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The commands of the ng protocol (control_ng.c of each version). */
#include "ng_command.h"

enum { BOTH = NG_10_5 | NG_12_5, LATER = 0 };

static const struct ng_command commands[] = {
	{"offer", NG_CHECK, BOTH, false},
	{"answer", NG_CHECK, BOTH, false},
	{"publish", NG_CHECK, BOTH, false},
	{"subscribe request", NG_CHECK, BOTH, true},
	{"subscribe answer", NG_CHECK, BOTH, true},
	{"create", NG_CHECK, LATER, false},
	{"create answer", NG_CHECK, LATER, false},
	{"connect", NG_CHECK, LATER, false},
	{"transform", NG_CHECK, LATER, false},

	{"ping", NG_PASS, BOTH, false},
	{"delete", NG_PASS, BOTH, false},
	{"query", NG_PASS, BOTH, false},
	{"list", NG_PASS, BOTH, false},
	{"statistics", NG_PASS, BOTH, false},
	{"unsubscribe", NG_PASS, BOTH, false},
	{"block media", NG_PASS, BOTH, false},
	{"unblock media", NG_PASS, BOTH, false},
	{"silence media", NG_PASS, BOTH, false},
	{"unsilence media", NG_PASS, BOTH, false},
	{"block DTMF", NG_PASS, BOTH, false},
	{"unblock DTMF", NG_PASS, BOTH, false},
	{"play DTMF", NG_PASS, BOTH, false},
	{"play media", NG_PASS, BOTH, false},
	{"stop media", NG_PASS, BOTH, false},
	{"stop recording", NG_PASS, BOTH, false},
	{"stop forwarding", NG_PASS, BOTH, false},
	{"pause recording", NG_PASS, NG_12_5, false},

	{"start recording", NG_LIMITED, BOTH, false},
	{"start forwarding", NG_LIMITED, BOTH, false},
	{"inject start", NG_LIMITED, LATER, false},
	{"inject stop", NG_LIMITED, LATER, false},
	{"cli", NG_LIMITED, LATER, false},
};

const struct ng_command *ng_command_find(struct span name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (span_equal(name, span_of(commands[i].name)))
			return &commands[i];
	return NULL;
}
