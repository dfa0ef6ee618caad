/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The supervisor process: starts trunkgate-worker, starts it again when it dies, stops it at the end. */
#ifndef TRUNKGATE_SUPERVISOR_H
#define TRUNKGATE_SUPERVISOR_H

struct supervisor {
	const char *worker, *store, *socket, *region; /**< region: name of this node's region */
	const char *nameservers;                      /**< "": those of /etc/resolv.conf */
	int region_fd;                                /**< the shared memory; kept open across exec */
};

/** Never returns; ends with the process that started it or on SIGTERM, and takes the worker with it. */
_Noreturn void supervisor_run(const struct supervisor *supervisor, int parent);

#endif
