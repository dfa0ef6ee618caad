/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The resolver of the worker: asks DNS for the names of peers in the background and puts the targets in the region.
 *
 * c-ares does the asking, without waiting; the caller's loop polls its sockets. /etc/hosts is asked first.
 */
#ifndef TRUNKGATE_RESOLVER_H
#define TRUNKGATE_RESOLVER_H

#include <poll.h>

#include "resolution.h"

enum { RESOLVER_FDS_MAX = 16 };

struct resolver;

/**
 * @p nameservers: "192.0.2.53,[2001:db8::53]:5353", or NULL for those of /etc/resolv.conf. What the region's picture
 * knows from an earlier worker is kept until an answer comes. @p changed is told of each name whose reason is another.
 * Returns 0, -EINVAL (name servers) or another -errno.
 */
int resolver_new(struct region *region, const char *nameservers, void (*changed)(const char *host, const char *reason),
		 struct resolver **resolver);
void resolver_free(struct resolver *resolver);

/** Where topology_publish() finds targets. */
const struct target_source *resolver_source(struct resolver *resolver);

/** Fills in descriptors to poll. Returns their number. */
size_t resolver_fds(struct resolver *resolver, struct pollfd fds[RESOLVER_FDS_MAX]);

/** Milliseconds until resolver_work() is due again. */
int64_t resolver_wait_ms(struct resolver *resolver, int64_t now_ms);

/** Takes answers, follows the topology, asks what is due, publishes what is new; waits for nothing. */
void resolver_work(struct resolver *resolver, const struct pollfd *fds, size_t count, int64_t now_ms);

#endif
