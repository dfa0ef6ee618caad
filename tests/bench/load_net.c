/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "load_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORTS_MAX = 32, LINKS_MAX = 1024, EVENTS_MAX = 64, BACKLOG = 256, BUFFER_BYTES = 1 << 22 };

enum transport { UDP, TCP, TLS };

struct port {
	int fd;
	enum transport transport;
	struct sockaddr_in address;
};

/* A connection. */
struct link {
	int fd; /* -1: free */
	int port;
	unsigned generation;
	SSL *ssl;
	bool greeted;          /* its handshake is done */
	struct sockaddr_in to; /* opened here; else zero */
	size_t in_length, out_length;
	char in[LOAD_MESSAGE_MAX], *out;
};

/* What epoll's data says: a kind and an index. */
enum source { SOURCE_PORT, SOURCE_LINK, SOURCE_WATCH };

static struct {
	load_message_fn *message;
	int epoll;
	struct port ports[PORTS_MAX];
	int port_count;
	struct link *links;
	SSL_CTX *tls, *tls_client;
	int watched;
	void (*ready)(int fd);
} net;

static int watch(int fd, uint32_t events, enum source source, unsigned index, int operation)
{
	struct epoll_event event = {.events = events, .data.u64 = (uint64_t)source << 32 | index};

	return epoll_ctl(net.epoll, operation, fd, &event) == 0 ? 0 : -errno;
}

void load_net_init(load_message_fn *message)
{
	net.message = message;
	net.epoll = epoll_create1(EPOLL_CLOEXEC);
	net.links = calloc(LINKS_MAX, sizeof(*net.links));
	if (!net.links)
		abort();
	for (unsigned i = 0; i < LINKS_MAX; i++)
		net.links[i].fd = -1;
}

int load_net_certificate(const char *certificate, const char *key)
{
	net.tls = SSL_CTX_new(TLS_server_method());
	net.tls_client = SSL_CTX_new(TLS_client_method());
	if (!net.tls || !net.tls_client || SSL_CTX_use_certificate_chain_file(net.tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(net.tls, key, SSL_FILETYPE_PEM) != 1)
		return -EINVAL;
	SSL_CTX_set_mode(net.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_mode(net.tls_client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return 0;
}

void load_net_handshakes(bool fail)
{
	/* TLS 1.1 has no place at the gateway, and none at OpenSSL's own security level. */
	for (SSL_CTX **tls = (SSL_CTX *[]){net.tls, net.tls_client, NULL}; *tls; tls++)
		SSL_CTX_set_max_proto_version(*tls, fail ? TLS1_1_VERSION : 0);
}

int load_address(const char *text, struct sockaddr_in *address)
{
	char host[INET_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
	return inet_pton(AF_INET, host, &address->sin_addr) == 1 ? 0 : -EINVAL;
}

int load_net_open(const char *where)
{
	static const char *const names[] = {[UDP] = "udp:", [TCP] = "tcp:", [TLS] = "tls:"};
	struct port *port = &net.ports[net.port_count];
	int on = 1, size = BUFFER_BYTES;

	for (port->transport = UDP; strncmp(where, names[port->transport], 4) != 0; port->transport++)
		if (port->transport == TLS)
			return -EINVAL;
	if (load_address(where + 4, &port->address) != 0 || net.port_count == PORTS_MAX ||
	    (port->transport == TLS && !net.tls))
		return -EINVAL;
	port->fd =
		socket(AF_INET, (port->transport == UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->fd < 0)
		return -errno;
	setsockopt(port->fd, SOL_SOCKET, port->transport == UDP ? SO_RCVBUF : SO_REUSEADDR,
		   port->transport == UDP ? &size : &on, sizeof(int));
	if (bind(port->fd, (struct sockaddr *)&port->address, sizeof(port->address)) != 0 ||
	    (port->transport != UDP && listen(port->fd, BACKLOG) != 0))
		return -errno;
	int rc = watch(port->fd, EPOLLIN, SOURCE_PORT, (unsigned)net.port_count, EPOLL_CTL_ADD);
	return rc ? rc : net.port_count++;
}

int load_net_watch(int fd, void (*ready)(int fd))
{
	net.watched = fd;
	net.ready = ready;
	return watch(fd, EPOLLIN, SOURCE_WATCH, 0, EPOLL_CTL_ADD);
}

/* --- connections --- */

static void link_close(struct link *link)
{
	if (link->fd < 0)
		return;
	SSL_free(link->ssl);
	close(link->fd);
	free(link->out);
	link->out = NULL;
	link->ssl = NULL;
	link->fd = -1;
	link->in_length = link->out_length = 0;
	link->generation++;
}

static void link_reset(struct link *link)
{
	struct linger now = {.l_onoff = 1};

	if (link->fd >= 0)
		setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	link_close(link);
}

static struct link *link_of(const struct load_from *from)
{
	struct link *link = &net.links[from->link];

	return link->fd >= 0 && link->generation == from->generation ? link : NULL;
}

void load_net_reset(const struct load_from *from)
{
	struct link *link = net.ports[from->port].transport == UDP ? NULL : link_of(from);

	if (link)
		link_reset(link);
}

void load_net_reset_all(void)
{
	for (unsigned i = 0; i < LINKS_MAX; i++)
		link_reset(&net.links[i]);
}

/* to: opened by us, NULL: accepted. */
static struct link *link_new(int fd, int number, const struct sockaddr_in *to)
{
	int on = 1;
	unsigned i = 0;

	while (i < LINKS_MAX && net.links[i].fd >= 0)
		i++;
	if (i == LINKS_MAX) {
		close(fd);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	struct link *link = &net.links[i];
	link->fd = fd;
	link->port = number;
	link->to = to ? *to : (struct sockaddr_in){0};
	link->greeted = net.ports[number].transport == TCP;
	if (!link->greeted) {
		link->ssl = SSL_new(to ? net.tls_client : net.tls);
		SSL_set_fd(link->ssl, fd);
		(to ? SSL_set_connect_state : SSL_set_accept_state)(link->ssl);
	}
	watch(fd, EPOLLIN, SOURCE_LINK, i, EPOLL_CTL_ADD);
	return link;
}

static void link_accept(int number)
{
	int fd = accept4(net.ports[number].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		link_new(fd, number, NULL);
}

/* "Via: SIP/2.0/TCP 192.0.2.1:5060;branch=..." */
static int via_address(const char *text, struct sockaddr_in *address)
{
	const char *via = strstr(text, "\r\nVia: SIP/2.0/"),
		   *host = via ? strchr(via + strlen("\r\nVia: "), ' ') : NULL;
	char where[64];
	size_t length = host ? strcspn(host + 1, ";\r") : 0;

	if (!host || length >= sizeof(where))
		return -EINVAL;
	memcpy(where, host + 1, length);
	where[length] = '\0';
	return load_address(where, address);
}

/* RFC 3261 18.2.2: an answer whose connection has ended goes over another one, to where its Via says. */
static struct link *link_again(int number, const char *answer)
{
	struct sockaddr_in to, from = net.ports[number].address;

	if (strncmp(answer, "SIP/2.0 ", 8) != 0 || via_address(answer, &to) != 0)
		return NULL;
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (net.links[i].fd >= 0 && net.links[i].port == number &&
		    memcmp(&net.links[i].to, &to, sizeof(to)) == 0)
			return &net.links[i];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	from.sin_port = 0;
	if (fd >= 0 && (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
			(connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS))) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? NULL : link_new(fd, number, &to);
}

/* What a call of OpenSSL means: 0 is "again", negative the end. */
static ssize_t tls_result(struct link *link, int rc)
{
	if (rc > 0)
		return rc;
	int error = SSL_get_error(link->ssl, rc);
	ERR_clear_error();
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -EPIPE;
}

static ssize_t link_receive(struct link *link, char *to, size_t size)
{
	if (link->ssl)
		return tls_result(link, SSL_read(link->ssl, to, (int)size));
	ssize_t n = recv(link->fd, to, size, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n > 0 ? n : -EPIPE;
}

static ssize_t link_transmit(struct link *link, const char *data, size_t length)
{
	if (link->ssl)
		return tls_result(link, SSL_write(link->ssl, data, (int)length));
	ssize_t n = send(link->fd, data, length, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n;
}

/* Sends what waits; what the peer does not take now waits on. */
static void link_flush(struct link *link)
{
	while (link->out_length > 0 && link->greeted) {
		ssize_t n = link_transmit(link, link->out, link->out_length);
		if (n < 0) {
			link_close(link);
			return;
		}
		if (n == 0)
			break;
		link->out_length -= (size_t)n;
		memmove(link->out, link->out + n, link->out_length);
	}
	watch(link->fd, EPOLLIN | (link->out_length > 0 ? EPOLLOUT : 0), SOURCE_LINK, (unsigned)(link - net.links),
	      EPOLL_CTL_MOD);
}

static size_t body_length(const char *head)
{
	const char *line = strcasestr(head, "\r\nContent-Length:");

	return line ? (size_t)atoi(line + strlen("\r\nContent-Length:")) : 0;
}

/* Hands over the whole messages at the front of the buffer. */
static void link_deliver(struct link *link)
{
	struct load_from from = {
		.port = link->port, .link = (unsigned)(link - net.links), .generation = link->generation};

	for (;;) {
		size_t blank = strspn(link->in, "\r\n");
		link->in_length -= blank;
		memmove(link->in, link->in + blank, link->in_length + 1);
		char *end = strstr(link->in, "\r\n\r\n");
		if (!end)
			return;
		char text[LOAD_MESSAGE_MAX], kept = end[2];
		end[2] = '\0';
		size_t length = (size_t)(end - link->in) + 4 + body_length(link->in);
		end[2] = kept;
		if (length > link->in_length)
			return;
		memcpy(text, link->in, length);
		text[length] = '\0';
		link->in_length -= length;
		memmove(link->in, link->in + length, link->in_length + 1);
		net.message(&from, text);
		if (!link_of(&from))
			return;
	}
}

static void link_greet(struct link *link)
{
	int rc = SSL_do_handshake(link->ssl);

	link->greeted = rc == 1;
	if (!link->greeted && tls_result(link, rc) < 0)
		link_close(link);
}

static void link_read(struct link *link)
{
	unsigned generation = link->generation;
	for (;;) {
		ssize_t n = link_receive(link, link->in + link->in_length, sizeof(link->in) - 1 - link->in_length);
		if (n == 0)
			return;
		if (n < 0) {
			link_close(link);
			return;
		}
		link->in_length += (size_t)n;
		link->in[link->in_length] = '\0';
		link_deliver(link);
		if (link->generation != generation)
			return;
	}
}

/* --- all of them --- */

static void datagrams_read(int number)
{
	char text[LOAD_MESSAGE_MAX];
	struct load_from from = {.port = number};

	for (;;) {
		socklen_t size = sizeof(from.address);
		ssize_t n = recvfrom(net.ports[number].fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&from.address,
				     &size);
		if (n < 0)
			return;
		text[n] = '\0';
		if (n > 4)
			net.message(&from, text);
	}
}

void load_net_send(const struct load_from *to, const char *text, size_t length)
{
	if (net.ports[to->port].transport == UDP) {
		/* An error is an ICMP of earlier; the datagram is lost, as on the network. */
		(void)!sendto(net.ports[to->port].fd, text, length, 0, (const struct sockaddr *)&to->address,
			      sizeof(to->address));
		return;
	}
	struct link *link = link_of(to);
	if (!link)
		link = link_again(to->port, text);
	char *out = link ? realloc(link->out, link->out_length + length) : NULL;
	if (!out)
		return;
	link->out = out;
	memcpy(out + link->out_length, text, length);
	link->out_length += length;
	link_flush(link);
}

static void link_serve(struct link *link, uint32_t events)
{
	if (link->fd >= 0 && !link->greeted)
		link_greet(link);
	if (link->fd >= 0 && link->greeted && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		link_read(link);
	if (link->fd >= 0 && link->out_length > 0)
		link_flush(link);
}

void load_net_serve(int ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(net.epoll, events, EVENTS_MAX, ms);

	for (int i = 0; i < count; i++) {
		unsigned index = (unsigned)events[i].data.u64;
		switch ((enum source)(events[i].data.u64 >> 32)) {
		case SOURCE_LINK:
			link_serve(&net.links[index], events[i].events);
			break;
		case SOURCE_PORT:
			if (net.ports[index].transport == UDP)
				datagrams_read((int)index);
			else
				link_accept((int)index);
			break;
		case SOURCE_WATCH:
			net.ready(net.watched);
		}
	}
}
