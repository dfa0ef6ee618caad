/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Which calls does the program import? Only a program that receives and sends as a known rtpengine does is guarded. */
#ifndef TRUNKGATE_IMPORTS_H
#define TRUNKGATE_IMPORTS_H

#include "ng_command.h"

enum { IMPORTS_TEXT_MAX = 256 };

/** The next undefined symbol of a program, NULL at the end; @p position starts at 0. */
typedef const char *imports_next(void *program, size_t *position);

/** Finds the version whose imports these are. Returns 0, or -ENOTSUP with @p text saying what lacks or is too much. */
int imports_check(imports_next *next, void *program, enum ng_version *version, char text[IMPORTS_TEXT_MAX]);

/** Does the program do what rtpengine does, whatever its name: offer DTLS-SRTP, and open sockets itself? */
bool imports_are_relay(imports_next *next, void *program);

/** The same for the program that this process runs. */
int imports_check_self(enum ng_version *version, char text[IMPORTS_TEXT_MAX]);
bool imports_are_relay_self(void);

#endif
