/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The differences between Kamailio 5.6 and 6.x that our modules meet; nowhere else is VERSIONVAL read. */
#ifndef TRUNKGATE_KAMAILIO_COMPAT_H
#define TRUNKGATE_KAMAILIO_COMPAT_H

#include <core/sr_module.h>
#include <core/xavp.h>

#if VERSIONVAL >= 5007000
/* int became long in pseudo-variables and XAVPs */
typedef long kamailio_int;
#define KAMAILIO_XAVP_INT_TYPE        SR_XTYPE_LONG
#define kamailio_xavp_int_value(xavp) ((xavp)->val.v.l)
#else
typedef int kamailio_int;
#define KAMAILIO_XAVP_INT_TYPE        SR_XTYPE_INT
#define kamailio_xavp_int_value(xavp) ((xavp)->val.v.i)
#endif

/* RET_ARRAY of 5.6, RPC_RET_ARRAY of later versions: without it jsonrpcs keeps the last row only. */
enum { RPC_ROWS = 1 << 0 };

#endif
