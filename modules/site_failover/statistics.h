/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Statistics of each target, and of all together. */
#ifndef TRUNKGATE_SITE_FAILOVER_STATISTICS_H
#define TRUNKGATE_SITE_FAILOVER_STATISTICS_H

/** In mod_init. Returns 0 or -1. */
int statistics_register(void);

#endif
