/* SPDX-License-Identifier: GPL-2.0-or-later */
/** RTP at a steady rate over many streams in turns. Reads lines "ADDRESS FROM-PORT TO-PORT" (to 127.0.0.1) up to an
 * empty one, then, for each line "PACKETS-PER-SECOND MILLISECONDS" of standard input, sends and answers with the number
 * of packets. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS_MAX = 512, PACKET = 172 };

struct stream {
	int fd;
	uint16_t sequence;
	uint32_t stamp;
};

static struct stream streams[STREAMS_MAX];
static unsigned stream_count;

static struct sockaddr_in address_of(in_addr_t host, unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = host;
	return address;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Bound to its own port, so that rtpengine's answers meet a socket, which nobody reads: the kernel drops them. */
static void stream_add(in_addr_t host, unsigned from, unsigned to)
{
	struct sockaddr_in own = address_of(host, from), other = address_of(htonl(INADDR_LOOPBACK), to);
	int room = 2048, fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || stream_count == STREAMS_MAX)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)) ||
	    (to && connect(fd, (struct sockaddr *)&other, sizeof(other))))
		fail("bind");
	if (to)
		streams[stream_count++].fd = fd;
}

static void stream_send(struct stream *stream, uint32_t ssrc)
{
	uint8_t packet[PACKET] = {0x80, 8};
	uint16_t sequence = htons(stream->sequence++);
	uint32_t stamp = htonl(stream->stamp);
	stream->stamp += 160;
	memcpy(packet + 2, &sequence, 2);
	memcpy(packet + 4, &stamp, 4);
	memcpy(packet + 8, &ssrc, 4);
	memset(packet + 12, 0xd5, PACKET - 12);
	if (send(stream->fd, packet, PACKET, 0) < 0)
		return; /* counted by who receives */
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static unsigned long run(double per_second, double seconds)
{
	static unsigned next;
	unsigned long sent = 0;
	for (double begin = now(), passed = 0; passed < seconds; passed = now() - begin) {
		for (; (double)sent < passed * per_second; sent++) {
			stream_send(&streams[next], htonl(0x1000 + next));
			next = (next + 1) % stream_count;
		}
		usleep(500);
	}
	return sent;
}

int main(void)
{
	unsigned a, b;
	char line[64], host[32];
	while (fgets(line, sizeof(line), stdin) && *line != '\n')
		if (sscanf(line, "%31s %u %u", host, &a, &b) == 3)
			stream_add(inet_addr(host), a, b);
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "%u %u", &a, &b) == 2) {
		printf("%lu\n", run(a, b * 1e-3));
		fflush(stdout);
	}
	return 0;
}
