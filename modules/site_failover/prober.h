/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The two processes that watch the peers: OPTIONS in one, names in the other. SIP workers wait for neither. */
#ifndef TRUNKGATE_PROBER_H
#define TRUNKGATE_PROBER_H

/** In mod_init: tells Kamailio how many processes come. Returns 0 or -1. */
int prober_register(void);
/** In child_init of the main process. Returns 0 or -1. */
int prober_start(void);

#endif
