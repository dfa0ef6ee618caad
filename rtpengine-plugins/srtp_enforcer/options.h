/* SPDX-License-Identifier: GPL-2.0-or-later */
/** rtpengine's own options, read as it reads them: command line and configuration file; and our section of that file.
 */
#ifndef TRUNKGATE_OPTIONS_H
#define TRUNKGATE_OPTIONS_H

#include <stdint.h>

#include "span.h"

enum { OPTIONS_SOCKETS_MAX = 16, OPTIONS_TEXT_MAX = 512 };

/** One of listen-ng. */
struct options_socket {
	uint16_t port;
	bool numeric;        /**< an address stands there; else all addresses, or a host name */
	uint8_t address[16]; /**< IPv4 as ::ffff:a.b.c.d */
};

struct options {
	struct options_socket ng[OPTIONS_SOCKETS_MAX]; /**< all that are named anywhere */
	unsigned ng_count;
	uint16_t port_min, port_max;          /**< of media */
	unsigned open;                        /**< other control doors, and options that put keys into the log */
	int level, level_control, level_srtp; /**< of the log; 0 = not named */
	bool informs;                         /**< --version, --help: it will not serve */
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
/** After both: is there something to guard, no other door, and no key in the log? Returns 0 or -EINVAL. */
int options_check(struct options *options);

/** Is a socket that is bound to this address and port one of listen-ng? */
bool options_is_ng(const struct options *options, const uint8_t address[16], uint16_t port);

#endif
