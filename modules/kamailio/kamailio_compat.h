/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The differences between Kamailio 5.6 and 6.x that our modules meet; nowhere else is VERSIONVAL read. */
#ifndef TRUNKGATE_KAMAILIO_COMPAT_H
#define TRUNKGATE_KAMAILIO_COMPAT_H

#include <core/sr_module.h>

/* RET_ARRAY of 5.6, RPC_RET_ARRAY of later versions: without it jsonrpcs keeps the last row only. */
enum { RPC_ROWS = 1 << 0 };

#endif
