/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The topology: services, peer groups, peers, source prefixes and settings, as one read-only picture in the region.
 *
 * The worker builds a whole new picture for each change (topology_publish()). A reader opens the current one, reads
 * what it needs and checks with topology_current() that no later one took its place; if so it starts again:
 *
 *   do { topology_open(region, &view); ... copy out ... } while (!topology_current(&view));
 *
 * Every accessor is bounds-checked, so a picture replaced under a reader gives wrong values but never a wild read.
 */
#ifndef TRUNKGATE_TOPOLOGY_H
#define TRUNKGATE_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "field.h"
#include "region.h"
#include "span.h"

enum side { SIDE_OPERATOR = 1, SIDE_SERVICE = 2 };
enum transport { TRANSPORT_UDP = 1, TRANSPORT_TCP, TRANSPORT_TLS };
enum media { MEDIA_RTP = 1, MEDIA_SRTP };
enum admin_state { ADMIN_AUTO = 0, ADMIN_DRAIN, ADMIN_DISABLED };

enum {
	TOPOLOGY_HOST_MAX = 255, /**< host name or address of a peer; a local socket */
	TOPOLOGY_NONE = 0,       /**< ids start at 1 */
	DIALOG_KEY_SIZE = 32,    /**< key of the dialog token (dialog_token.h) */
};

/** Names are shared by writer and reader: the JSON value of each enum ("operator", "TLS", "SRTP", "drain"). */
const char *side_name(enum side side);
const char *transport_name(enum transport transport);
const char *media_name(enum media media);
const char *admin_state_name(enum admin_state state);
/** Each returns 0 or -EINVAL; case matters. */
int side_parse(struct span text, enum side *side);
int transport_parse(struct span text, enum transport *transport);
int media_parse(struct span text, enum media *media);
int admin_state_parse(struct span text, enum admin_state *state);

/** An address prefix; IPv4 is held as ::ffff:a.b.c.d with 96 added to the length. */
struct prefix {
	uint8_t address[16];
	uint8_t length; /**< 0-128 */
};
/** "192.0.2.0/24", "2001:db8::/32", or an address alone (/32, /128). Host bits must be 0. Returns 0 or -EINVAL. */
int prefix_parse(struct span text, struct prefix *prefix);

/* --- what the worker hands in; spans need live only during topology_publish() --- */

struct topology_peer {
	uint32_t id; /**< the store's, stable, 1..16777215 */
	struct span name, site, host;
	uint16_t port;    /**< 0: the transport's default */
	uint8_t priority; /**< 0 is preferred; already this node's region's value */
	uint16_t weight;  /**< 0-65535 within a priority */
	enum admin_state admin;
	const struct prefix *sources; /**< signalling source prefixes; none: the host itself if it is an address */
	size_t source_count;
};

struct topology_group {
	struct span name;
	enum side side;
	enum transport transport;
	enum media media;
	uint16_t default_service; /**< operator side: service of calls to numbers not provisioned; 0 = refuse */
	struct span local_socket; /**< "tls:192.0.2.1:5062" in Kamailio's form; "" = any */
	const struct topology_peer *peers;
	size_t peer_count;
};

struct topology_service {
	uint16_t id;                /**< service.h */
	struct span group;          /**< service-side group that serves it */
	struct span operator_group; /**< operator-side group for its calls to the operator */
};

struct topology_settings {
	bool lab;                  /**< mode */
	struct span custom_header; /**< name; "" = the gateway adds none */
	bool mask_numbers;         /**< logs show only the last two digits */
	uint32_t probe_interval_ms, probe_timeout_ms, keepalive_interval_ms;
	uint32_t silence_limit_ms;    /**< no answer at all */
	uint32_t progress_limit_ms;   /**< nothing above 100 */
	uint8_t down_after, up_after; /**< probes in a row */
	uint8_t max_tries;            /**< peers a call may try */
	uint8_t dialog_key[DIALOG_KEY_SIZE];
};

struct topology {
	struct topology_settings settings;
	const struct topology_service *services;
	size_t service_count;
	const struct topology_group *groups;
	size_t group_count;
};

/** Writer: puts a new picture in force. Returns 0 or -ENOSPC. */
int topology_publish(struct region *region, const struct topology *topology);

/* --- readers --- */

struct topology_view {
	const struct region *region;
	const void *picture;
	uint64_t generation;
};

struct group_view {
	uint32_t index; /**< position in this picture: not stable, do not keep */
	struct span name, local_socket;
	enum side side;
	enum transport transport;
	enum media media;
	uint16_t default_service;
	uint32_t first_peer, peer_count; /**< indexes for topology_peer() */
};

struct peer_view {
	uint32_t id, group; /**< group: index for topology_group() */
	struct span name, site, host;
	uint16_t port, weight;
	uint8_t priority;
	enum admin_state admin;
};

/** Returns 0, or -EAGAIN if no picture was published yet. */
int topology_open(const struct region *region, struct topology_view *view);
bool topology_current(const struct topology_view *view);
uint64_t topology_generation(const struct region *region);

/** Numbers are indexes from 0; each returns 0 or -ENOENT. Spans point into the region: copy before leaving the loop. */
uint32_t topology_group_count(const struct topology_view *view);
uint32_t topology_peer_count(const struct topology_view *view);
int topology_group(const struct topology_view *view, uint32_t index, struct group_view *group);
int topology_group_by_name(const struct topology_view *view, struct span name, struct group_view *group);
int topology_peer(const struct topology_view *view, uint32_t index, struct peer_view *peer);
int topology_peer_by_id(const struct topology_view *view, uint32_t id, struct peer_view *peer);
int topology_peer_by_name(const struct topology_view *view, struct span name, struct peer_view *peer);
/** Names of the groups that serve a service; "" if there is none. */
int topology_service(const struct topology_view *view, uint16_t id, struct span *group, struct span *operator_group);
/** Copies the settings; custom_header points into the region. */
int topology_settings(const struct topology_view *view, struct topology_settings *settings);

/** Who sends from here? */
struct sender {
	uint32_t group; /**< index */
	uint32_t peer;  /**< id, or TOPOLOGY_NONE if several peers of the group share the prefix */
};
/**
 * Longest prefix match of a source address (16 bytes, IPv4 mapped) among groups of this transport whose local socket
 * is "" or @p local_socket. Returns 0, -ENOENT, or -EPROTOTYPE if only the transport does not fit.
 */
int topology_identify(const struct topology_view *view, const uint8_t address[16], enum transport transport,
		      struct span local_socket, struct sender *sender);

#endif
