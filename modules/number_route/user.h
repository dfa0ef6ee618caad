/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The user parts of a request: who is called, and who calls. */
#ifndef TRUNKGATE_NUMBER_ROUTE_USER_H
#define TRUNKGATE_NUMBER_ROUTE_USER_H

#include <core/parser/msg_parser.h>

/** Sets called, user and user_end of the call. Returns 0, -ENOENT: the request URI has no user part; or -ENOMEM. */
int user_called(struct sip_msg *msg);

/** Sets calling of the call, empty if there is none. Returns 0 or -ENOMEM. */
int user_calling(struct sip_msg *msg);

#endif
