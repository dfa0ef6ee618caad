/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Sockets of sip_load: one loop, UDP, TCP and TLS, each message handed over whole. */
#ifndef LOAD_NET_H
#define LOAD_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOAD_MESSAGE_MAX = 16384 };

/** Where a message came from, and so where its answer goes. */
struct load_from {
	int port;                   /* number of the port: 0 for the first that was opened */
	struct sockaddr_in address; /* UDP */
	unsigned link, generation;  /* TCP, TLS */
};

/** text is NUL-terminated and may be written to. */
typedef void load_message_fn(const struct load_from *from, char *text);

void load_net_init(load_message_fn *message);

/** For ports that begin with tls: that come later. */
int load_net_certificate(const char *certificate, const char *key);

/** Opens "udp:192.0.2.1:5060"; tcp and tls listen. The number of the port, or -errno. */
int load_net_open(const char *where);

/** "192.0.2.1:5060"; -EINVAL. */
int load_address(const char *text, struct sockaddr_in *address);

/** Also watches fd: ready() is called when it can be read. */
int load_net_watch(int fd, void (*ready)(int fd));

/** Whatever cannot be sent is lost; an answer whose connection ended meanwhile goes over a new one. */
void load_net_send(const struct load_from *to, const char *text, size_t length);

/** Serves for at most ms milliseconds. */
void load_net_serve(int ms);

/** RST to one connection, or to all. */
void load_net_reset(const struct load_from *from);
void load_net_reset_all(void);

/** From now on no TLS handshake succeeds. */
void load_net_handshakes(bool fail);

#endif
