/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Calls at a steady rate, and how long the gateway takes to route each: from our sendto(), which on loopback is its
 * receipt, to the kernel's time stamp of the INVITE that it sends on. Neither end's own scheduling counts.
 *
 * usage: bench_call GATEWAY-PORT OPERATOR-PORT SERVICE-PORT COUNT RATE
 *   The operator is 127.0.1.10, the service 127.0.2.10, the gateway 127.0.0.1. Numbers: random ones of the first COUNT.
 *   The INVITE has no SDP, so no media relay is asked; the service answers 486. A line "STATE" or "STATE spin" on
 *   standard input begins a window: the calls from then on are of that state, in windows counted from 0; spin:
 *   SCHED_IDLE spinners on all processors, so that none sleeps. At the end of the input each call of a state other than
 *   "-" is printed: "STATE WINDOW MICROSECONDS", -1 if it was lost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "number.h"
#include "series.h"

enum {
	SPINNERS_MAX = 256,
	CALLS_MAX = 1 << 18,
	WINDOWS_MAX = 1024,
	STATE_SIZE = 32,
	MESSAGE_MAX = 8192,
	WAIT_MS = 1000,
	SECOND_NS = 1000000000
};

static struct {
	int operator_fd, service_fd;
	struct sockaddr_in gateway;
	unsigned short operator_port;
	uint64_t count, random;
	int64_t sent[CALLS_MAX];
	double route_us[CALLS_MAX]; /* -1: not yet */
	uint16_t window[CALLS_MAX];
	size_t calls;
	char states[WINDOWS_MAX][STATE_SIZE];
	unsigned windows;
	char line[256];
	size_t line_length;
	bool ended, spinning;
	pid_t spinners[SPINNERS_MAX];
} bench;

static struct sockaddr_in address_of(const char *host, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};

	inet_pton(AF_INET, host, &address.sin_addr);
	return address;
}

static int socket_open(const char *host, int port)
{
	struct sockaddr_in address = address_of(host, port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, size = 1 << 22;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static void send_to_gateway(int fd, const char *text, size_t length)
{
	if (sendto(fd, text, length, 0, (const struct sockaddr *)&bench.gateway, sizeof(bench.gateway)) < 0)
		perror("bench_call: sendto");
}

static void invite(void)
{
	char text[MESSAGE_MAX], number[NUMBER_TEXT_SIZE];
	size_t call = bench.calls;

	number_format(series_number(series_random(&bench.random) % bench.count), number);
	int length = snprintf(text, sizeof(text),
			      "INVITE sip:%s@127.0.0.1 SIP/2.0\r\n"
			      "Via: SIP/2.0/UDP 127.0.1.10:%u;branch=z9hG4bK%d-%zu\r\n"
			      "Max-Forwards: 70\r\n"
			      "From: <sip:+15550009999@127.0.1.10>;tag=from%zu\r\n"
			      "To: <sip:%s@127.0.0.1>\r\n"
			      "Call-ID: %zu.%d@bench\r\n"
			      "CSeq: 1 INVITE\r\n"
			      "Contact: <sip:bench@127.0.1.10:%u>\r\n"
			      "Content-Length: 0\r\n\r\n",
			      number, bench.operator_port, getpid(), call, call, number, call, getpid(),
			      bench.operator_port);
	bench.route_us[call] = -1;
	bench.window[call] = (uint16_t)(bench.windows - 1);
	bench.sent[call] = clock_ns(CLOCK_REALTIME);
	send_to_gateway(bench.operator_fd, text, (size_t)length);
	bench.calls++;
}

/* Copies the header lines of one name. */
static size_t lines_copy(char *to, const char *message, const char *name)
{
	size_t length = 0;

	for (const char *line = strstr(message, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
		const char *next = strstr(line + 2, "\r\n");
		if (!next || strncasecmp(line + 2, name, strlen(name)) != 0)
			continue;
		memcpy(to + length, line + 2, (size_t)(next - line));
		length += (size_t)(next - line);
	}
	return length;
}

static void answer(int fd, const char *request, const char *status)
{
	static const char *const names[] = {"Via:", "From:", "To:", "Call-ID:", "CSeq:"};
	char text[MESSAGE_MAX * 2];
	size_t length = (size_t)snprintf(text, sizeof(text), "SIP/2.0 %s\r\n", status);

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		length += lines_copy(text + length, request, names[i]);
		if (names[i][0] == 'T')
			length += (size_t)sprintf(text + length - 2, ";tag=to\r\n") - 2;
	}
	length += (size_t)sprintf(text + length, "Content-Length: 0\r\n\r\n");
	send_to_gateway(fd, text, length);
}

/* The ACK of a negative answer goes with the INVITE's Via. */
static void acknowledge(const char *response)
{
	static const char *const names[] = {"Via:", "From:", "To:", "Call-ID:"};
	char text[MESSAGE_MAX];
	size_t length = (size_t)sprintf(text, "ACK sip:bench@127.0.0.1 SIP/2.0\r\n");

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		length += lines_copy(text + length, response, names[i]);
	length += (size_t)sprintf(text + length, "Max-Forwards: 70\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
	send_to_gateway(bench.operator_fd, text, length);
}

static int64_t stamp_of(struct msghdr *header)
{
	for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item; item = CMSG_NXTHDR(header, item))
		if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec stamp;
			memcpy(&stamp, CMSG_DATA(item), sizeof(stamp));
			return stamp.tv_sec * (int64_t)SECOND_NS + stamp.tv_nsec;
		}
	return 0;
}

static int64_t receive(int fd, char text[MESSAGE_MAX])
{
	char control[256];
	struct iovec piece = {text, MESSAGE_MAX - 1};
	struct msghdr header = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &header, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? stamp_of(&header) : -1;
}

/* Retransmissions are answered, but only the first INVITE of a call counts. */
static void routed(const char *request, int64_t stamp)
{
	const char *line = strcasestr(request, "\r\nCall-ID: ");
	size_t call = line ? strtoull(line + strlen("\r\nCall-ID: "), NULL, 10) : CALLS_MAX;

	if (call >= bench.calls || bench.sent[call] == 0)
		return;
	bench.route_us[call] = (double)(stamp - bench.sent[call]) / 1e3;
	bench.sent[call] = 0;
}

static void service_read(void)
{
	char text[MESSAGE_MAX];
	int64_t stamp;

	while ((stamp = receive(bench.service_fd, text)) >= 0) {
		if (strncmp(text, "INVITE ", 7) == 0) {
			routed(text, stamp);
			answer(bench.service_fd, text, "486 Busy Here");
		} else if (strncmp(text, "OPTIONS ", 8) == 0) {
			answer(bench.service_fd, text, "200 OK");
		}
	}
}

static void operator_read(void)
{
	char text[MESSAGE_MAX];

	while (receive(bench.operator_fd, text) >= 0) {
		if (strncmp(text, "OPTIONS ", 8) == 0)
			answer(bench.operator_fd, text, "200 OK");
		else if (strncmp(text, "SIP/2.0 ", 8) == 0 && text[8] >= '3')
			acknowledge(text);
	}
}

/*
 * A process a processor, in a session of its own: with autogroups the kernel shares between sessions first, and a
 * SCHED_IDLE thread of our session would be an equal of Kamailio. So the session is as nice as can be, too.
 */
static void spinner(void)
{
	const struct sched_param none = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	FILE *autogroup = fopen("/proc/self/autogroup", "w");
	if (autogroup) {
		fputs("19", autogroup);
		fclose(autogroup);
	}
	sched_setscheduler(0, SCHED_IDLE, &none);
	for (volatile unsigned turns = 0;; turns++)
		;
}

static void spinners_start(void)
{
	for (long i = sysconf(_SC_NPROCESSORS_ONLN); i-- > 0;)
		if (i < SPINNERS_MAX && (bench.spinners[i] = fork()) == 0)
			spinner();
}

static void spinners_end(void)
{
	for (size_t i = 0; i < SPINNERS_MAX; i++)
		if (bench.spinners[i] > 0) {
			kill(bench.spinners[i], SIGKILL);
			waitpid(bench.spinners[i], NULL, 0);
			bench.spinners[i] = 0;
		}
}

/* --- windows --- */

static void window_begin(const char *line)
{
	char *state = bench.states[bench.windows];
	char spin[8] = "";

	if (bench.windows == WINDOWS_MAX || sscanf(line, "%31s %7s", state, spin) < 1)
		return;
	bench.windows++;
	bool spinning = strcmp(spin, "spin") == 0;
	if (spinning && !bench.spinning)
		spinners_start();
	else if (!spinning && bench.spinning)
		spinners_end();
	bench.spinning = spinning;
}

static void input_read(void)
{
	ssize_t n = read(STDIN_FILENO, bench.line + bench.line_length, sizeof(bench.line) - 1 - bench.line_length);

	if (n <= 0) {
		bench.ended = true;
		return;
	}
	bench.line_length += (size_t)n;
	bench.line[bench.line_length] = '\0';
	for (char *end; (end = strchr(bench.line, '\n'));) {
		*end = '\0';
		window_begin(bench.line);
		bench.line_length -= (size_t)(end + 1 - bench.line);
		memmove(bench.line, end + 1, bench.line_length + 1);
	}
}

static void serve(int64_t wait_ns)
{
	struct pollfd fds[] = {{.fd = bench.operator_fd, .events = POLLIN},
			       {.fd = bench.service_fd, .events = POLLIN},
			       {.fd = bench.ended ? -1 : STDIN_FILENO, .events = POLLIN}};
	struct timespec wait = {wait_ns / SECOND_NS, wait_ns % SECOND_NS};

	if (ppoll(fds, 3, &wait, NULL) <= 0)
		return;
	if (fds[0].revents)
		operator_read();
	if (fds[1].revents)
		service_read();
	if (fds[2].revents)
		input_read();
}

static void calls(unsigned rate)
{
	int64_t next = clock_ns(CLOCK_MONOTONIC);

	while (!bench.ended && bench.calls < CALLS_MAX) {
		int64_t left = next - clock_ns(CLOCK_MONOTONIC);
		if (left > 0) {
			serve(left);
			continue;
		}
		if (bench.windows)
			invite();
		next += SECOND_NS / rate;
	}
	for (int64_t until = clock_ns(CLOCK_MONOTONIC) + (int64_t)WAIT_MS * 1000000;;) {
		int64_t left = until - clock_ns(CLOCK_MONOTONIC);
		if (left <= 0)
			break;
		serve(left);
	}
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return fputs("usage: bench_call GATEWAY-PORT OPERATOR-PORT SERVICE-PORT COUNT RATE\n", stderr), 2;
	bench.gateway = address_of("127.0.0.1", atoi(argv[1]));
	bench.operator_port = (unsigned short)atoi(argv[2]);
	bench.operator_fd = socket_open("127.0.1.10", atoi(argv[2]));
	bench.service_fd = socket_open("127.0.2.10", atoi(argv[3]));
	bench.count = strtoull(argv[4], NULL, 10);
	bench.random = (uint64_t)getpid();
	if (bench.operator_fd < 0 || bench.service_fd < 0 || bench.count == 0)
		return perror("bench_call"), EXIT_FAILURE;
	calls((unsigned)atoi(argv[5]));
	spinners_end();
	for (size_t i = 0; i < bench.calls; i++)
		if (strcmp(bench.states[bench.window[i]], "-") != 0)
			printf("%s %u %.1f\n", bench.states[bench.window[i]], bench.window[i], bench.route_us[i]);
	return EXIT_SUCCESS;
}
