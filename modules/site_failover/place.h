/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Where a peer is: what the topology says of it and its group, with the address of one of its targets. */
#ifndef TRUNKGATE_PLACE_H
#define TRUNKGATE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include <core/ip_addr.h>

#include "field.h"
#include "slots.h"
#include "topology.h"

enum { PLACE_URI_MAX = 128, PLACE_ADDRESS_MAX = 64 };

struct place {
	uint32_t peer;
	char name[FIELD_NAME_MAX + 1], site[FIELD_NAME_MAX + 1], group[FIELD_NAME_MAX + 1];
	char host[TOPOLOGY_HOST_MAX + 1], local_socket[TOPOLOGY_HOST_MAX + 1];
	enum side side;
	enum transport transport;
	enum media media;
	enum admin_state admin;
	uint32_t capacity, calls_per_second; /* 0 = no limit */
	uint16_t port;                       /* never 0 */
	bool has_address;
	struct ip_addr address;
	uint32_t target; /* number of the target's record; 0 = none */
};

/** Copies text into a C string, cut to fit. */
void place_copy_text(char *to, size_t size, struct span text);

/** Looks a peer up by id, without an address. Returns 0, -ENOENT, or -EAGAIN if nothing is published yet. */
int place_find(uint32_t peer, struct place *place);

/** The same for one row of an open picture: the caller checks topology_current(). Returns 0 or -ENOENT. */
int place_of_peer(const struct topology_view *view, const struct peer_view *peer, struct place *place);

/** The place of a target by the number of its record. Returns 0, -ENOENT (no target of its peer any more) or -EAGAIN.
 */
int place_of_target(uint32_t number, struct place *place);

/** Gives the place the address of one of its peer's targets: the best one now. Returns 0, -EHOSTUNREACH or -EAGAIN. */
int place_aim(struct place *place);

/** The name of a peer; unchanged if there is none of this id. */
void place_name_of(uint32_t peer, char name[FIELD_NAME_MAX + 1]);

/** What all peers of a group share; no peer and no address. Returns 0, or -ENOENT: this is no group. */
int place_of_group(const struct group_view *group, struct place *place);

/** Another address than the peer's; @p port 0 is the transport's default. */
void place_set_address(struct place *place, const struct ip_addr *address, uint16_t port);

/** The address of a target of this peer, and the number of its record. */
void place_set_target(struct place *place, const struct topology_target *target);

/** "sip:192.0.2.1:5061;transport=tls"; has_address must be true. */
void place_uri(const struct place *place, char uri[PLACE_URI_MAX]);

/** "192.0.2.1:5061" */
void place_write_address(const struct slot_key *key, char text[PLACE_ADDRESS_MAX]);

/** The socket to send from, or NULL: Kamailio may choose. */
struct socket_info *place_socket(const struct place *place);

/** The same, or the one that Kamailio would choose; NULL: none reaches this address. */
struct socket_info *place_send_socket(const struct place *place);

/** The 16-byte form that the topology uses, and back. */
void place_address_bytes(const struct ip_addr *address, uint8_t bytes[16]);
void place_address_of_bytes(const uint8_t bytes[16], struct ip_addr *address);

#endif
