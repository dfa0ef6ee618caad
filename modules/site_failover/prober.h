/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The process that watches the targets: OPTIONS, connections, what has to be told. SIP workers never wait for it. */
#ifndef TRUNKGATE_PROBER_H
#define TRUNKGATE_PROBER_H

/** In mod_init: tells Kamailio that a process comes. Returns 0 or -1. */
int prober_register(void);
/** In child_init of the main process. Returns 0 or -1. */
int prober_start(void);

#endif
