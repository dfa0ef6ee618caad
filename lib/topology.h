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
enum media { MEDIA_RTP = 1, MEDIA_SRTP, MEDIA_SRTP_OPTIONAL };
enum admin_state { ADMIN_AUTO = 0, ADMIN_DRAIN, ADMIN_DISABLED };

enum {
	TOPOLOGY_HOST_MAX = 255,  /**< host name or address of a peer; a local socket */
	TOPOLOGY_LIST_MAX = 2047, /**< a list of names as one text */
	TOPOLOGY_NONE = 0,        /**< ids start at 1 */
	DIALOG_KEY_SIZE = 32,     /**< key of the dialog token (dialog_token.h) */
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
/** NULL, or why nobody can be called at an address. */
const char *address_fault(const uint8_t address[16]);

/* --- what the worker hands in; spans need live only during topology_publish() --- */

/** One address and port of a peer: itself, or what its name stands for in DNS. */
struct topology_target {
	uint8_t address[16]; /**< IPv4 mapped, as in struct prefix */
	uint16_t port;
	uint16_t srv_priority, srv_weight; /**< 0 without SRV records */
	struct span name;                  /**< host that an SRV record names; "" without one */
};

/** What is known of a peer's host. Texts and targets need live only until the next call. */
struct target_list {
	const struct topology_target *targets;
	size_t count;
	struct span reason; /**< why there are none, or why they are old; "" = all is well */
};

/** Finds the targets of a host name; a host that is an address has its one target. */
struct target_source {
	void (*find)(void *context, struct span host, uint16_t port, enum transport transport,
		     struct target_list *found);
	void *context;
};

struct topology_peer {
	uint32_t id; /**< the store's, stable, 1..16777215 */
	struct span name, site, host;
	uint16_t port;    /**< 0: the transport's default */
	uint8_t priority; /**< 0 is preferred; already this node's region's value */
	uint16_t weight;  /**< 0-65535 within a priority */
	enum admin_state admin;
	uint32_t capacity;            /**< live dialogs; 0 = no limit */
	uint32_t calls_per_second;    /**< 0 = no limit */
	const struct prefix *sources; /**< signalling source prefixes; none: the host itself if it is an address */
	size_t source_count;
	const struct prefix *media; /**< media source prefixes; none: any */
	size_t media_count;
};

struct topology_group {
	struct span name;
	enum side side;
	enum transport transport;
	enum media media;
	uint16_t default_service; /**< operator side: service of calls to numbers not provisioned; 0 = refuse */
	struct span local_socket; /**< "tls:192.0.2.1:5062" in Kamailio's form; "" = any */
	struct span srtp_suites, dtls_profiles; /**< IANA names, a space between two; "" = default */
	struct span keepalive_names;            /**< host names for the Contact of keepalives, likewise; "" = none */
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
	uint8_t max_tries;            /**< targets a call may try */
	uint32_t max_call_ms;         /**< time of all tries of a call */
	uint32_t slow_start_ms;       /**< from up to the full weight; 0 = at once */
	uint32_t drain_grace_ms;      /**< a draining node takes new calls so long */
	bool draining;                /**< this node */
	uint64_t draining_since_ms;   /**< Unix time; 0 if it is not draining */
	uint8_t dialog_key[DIALOG_KEY_SIZE];
};

struct topology {
	struct topology_settings settings;
	const struct topology_service *services;
	size_t service_count;
	const struct topology_group *groups;
	size_t group_count;
	const struct target_source *names; /**< NULL: no name has targets */
};

/** Writer: puts a new picture in force. Returns 0 or -ENOSPC. */
int topology_publish(struct region *region, const struct topology *topology);

/** Writer: the picture in force once more, with targets looked for afresh. Returns 0, -EAGAIN (none yet) or -ENOSPC. */
int topology_retarget(struct region *region, const struct target_source *source);

/** Port of a peer that names none: 5060, 5061 for TLS. */
uint16_t transport_port(enum transport transport);

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
	struct span srtp_suites, dtls_profiles, keepalive_names; /**< a space between two; "" = default, none */
	uint32_t first_peer, peer_count;                         /**< indexes for topology_peer() */
};

struct peer_view {
	uint32_t id, group; /**< group: index for topology_group() */
	struct span name, site, host;
	uint16_t port, weight;
	uint8_t priority;
	enum admin_state admin;
	uint32_t capacity, calls_per_second; /**< 0 = no limit */
	uint32_t first_target, target_count; /**< indexes for topology_target() */
	struct span dns_reason;              /**< why its name has no or only old targets; "" = all is well */
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
/** Targets stand in the order of DNS: SRV priority, then as answered; IPv4 before IPv6 of one name. */
int topology_target(const struct topology_view *view, uint32_t index, struct topology_target *target);
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

/**
 * May a peer's media come from this address? By its media prefixes, any if it has none; TOPOLOGY_NONE stands for all
 * peers of the group.
 */
bool topology_media_allowed(const struct topology_view *view, uint32_t peer, uint32_t group, const uint8_t address[16]);

#endif
