/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Where a peer is: what the topology says of it and its group, with the address that is known of it. */
#ifndef TRUNKGATE_PLACE_H
#define TRUNKGATE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include <core/ip_addr.h>

#include "field.h"
#include "topology.h"

enum { PLACE_URI_MAX = 128 };

struct place {
	uint32_t peer;
	char name[FIELD_NAME_MAX + 1], site[FIELD_NAME_MAX + 1], group[FIELD_NAME_MAX + 1];
	char host[TOPOLOGY_HOST_MAX + 1], local_socket[TOPOLOGY_HOST_MAX + 1];
	enum side side;
	enum transport transport;
	enum media media;
	enum admin_state admin;
	uint16_t port; /* never 0 */
	bool host_is_address;
	bool has_address;
	struct ip_addr address;
};

/** Copies text into a C string, cut to fit. */
void place_copy_text(char *to, size_t size, struct span text);

/** Looks a peer up by id. Returns 0, -ENOENT, or -EAGAIN if nothing is published yet. */
int place_find(uint32_t peer, struct place *place);

/** The same for one row of an open picture: the caller checks topology_current(). Returns 0 or -ENOENT. */
int place_at(const struct topology_view *view, uint32_t index, struct place *place);

/** What all peers of a group share; no peer and no address. Returns 0, or -ENOENT: this is no group. */
int place_of_group(const struct group_view *group, struct place *place);

/** Another address than the peer's; @p port 0 is the transport's default. */
void place_set_address(struct place *place, const struct ip_addr *address, uint16_t port);

/** "sip:192.0.2.1:5061;transport=tls"; has_address must be true. */
void place_uri(const struct place *place, char uri[PLACE_URI_MAX]);

/** The socket to send from, or NULL: Kamailio may choose. */
struct socket_info *place_socket(const struct place *place);

/** The 16-byte form that the topology uses. */
void place_address_bytes(const struct ip_addr *address, uint8_t bytes[16]);

#endif
