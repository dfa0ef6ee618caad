/* SPDX-License-Identifier: GPL-2.0-or-later */
/** rtpengine's own options, read as it reads them: command line and configuration file; and our section of that file.
 */
#ifndef TRUNKGATE_OPTIONS_H
#define TRUNKGATE_OPTIONS_H

#include <stdint.h>

#include "span.h"

enum { OPTIONS_PORTS_MAX = 16, OPTIONS_TEXT_MAX = 512 };

struct options {
	uint16_t ng_ports[OPTIONS_PORTS_MAX]; /**< of listen-ng, all that are named anywhere */
	unsigned ng_count;
	uint16_t port_min, port_max; /**< of media */
	unsigned doors;              /**< control doors other than listen-ng */
	bool informs;                /**< --version, --help: it will not serve */
	bool log_stderr;
	char config_file[OPTIONS_TEXT_MAX], config_section[64];
	/* [srtp-enforcer] */
	char suites[OPTIONS_TEXT_MAX], profiles[OPTIONS_TEXT_MAX], allow[OPTIONS_TEXT_MAX];
	char error[OPTIONS_TEXT_MAX]; /**< why a function failed */
};

void options_init(struct options *options);
/** The command line without the program's name, ended by NULL. Returns 0 or -EINVAL. */
int options_arguments(struct options *options, char *const *arguments);
/** Text of the configuration file (GKeyFile). Returns 0 or -EINVAL. */
int options_file(struct options *options, struct span text);
/** After both: is there something to guard, and no other door? Returns 0 or -EINVAL. */
int options_check(struct options *options);

#endif
