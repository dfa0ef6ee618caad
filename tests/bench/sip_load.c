/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Calls at a steady rate and the endpoints that answer them, over UDP, TCP and TLS, cheap enough to leave the
 * processors to what is measured. One process is a caller, or all endpoints of one site.
 *
 *   sip_load answer --name west --listen udp:192.0.2.1:5060 [--listen tls:192.0.2.1:5061 --certificate F --key F]
 *                   [--ring MS]
 *   sip_load call --listen udp:192.0.2.9:5060 --gateway 192.0.2.5:5060 --to +1555123%04u [--users COUNT] [--from USER]
 *                 --rate CALLS --seconds S [--calls COUNT] [--hold MS] [--patience MS]
 *   both: [--sdp ADDRESS] [--log FILE] [--control SOCKET]
 *
 * The control socket takes datagrams: "counts"; for a caller "stop"; for a site the name of a behaviour
 * (load_answer.c). A caller ends when its last call is over.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "load_role.h"

enum { TICK_MS = 4 };

static const struct {
	const char *name;
	struct load_role role;
} roles[] = {{"answer", {answer_begin, answer_message, answer_time, answer_control, answer_done}},
	     {"call", {call_begin, call_message, call_time, call_control, call_done}}};

static const struct load_role *role;

static int fail(const char *what)
{
	fprintf(stderr, "sip_load: %s\n", what);
	return EXIT_FAILURE;
}

static void control_read(int fd)
{
	struct sockaddr_un from;
	socklen_t size = sizeof(from);
	char command[128], reply[256] = "";
	ssize_t n = recvfrom(fd, command, sizeof(command) - 1, 0, (struct sockaddr *)&from, &size);

	if (n < 0)
		return;
	command[n] = '\0';
	role->control(command, reply, sizeof(reply));
	(void)!sendto(fd, reply, strlen(reply), 0, (struct sockaddr *)&from, size);
}

static int control_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return -1;
	return load_net_watch(fd, control_read);
}

static FILE *log_open(const char *path)
{
	FILE *file = fopen(path, "a");

	/* A line at once: the process may be killed. */
	if (file)
		setvbuf(file, NULL, _IOLBF, BUFSIZ);
	return file;
}

enum word {
	NAME = 256,
	LISTEN,
	CERTIFICATE,
	KEY,
	RING,
	GATEWAY,
	TO,
	FROM,
	USERS,
	CALLS,
	RATE,
	SECONDS,
	HOLD,
	PATIENCE,
	SDP,
	LOG,
	CONTROL
};

static const struct option names[] = {
	{"name", 1, NULL, NAME},   {"listen", 1, NULL, LISTEN},     {"certificate", 1, NULL, CERTIFICATE},
	{"key", 1, NULL, KEY},     {"ring", 1, NULL, RING},         {"gateway", 1, NULL, GATEWAY},
	{"to", 1, NULL, TO},       {"from", 1, NULL, FROM},         {"users", 1, NULL, USERS},
	{"calls", 1, NULL, CALLS}, {"rate", 1, NULL, RATE},         {"seconds", 1, NULL, SECONDS},
	{"hold", 1, NULL, HOLD},   {"patience", 1, NULL, PATIENCE}, {"sdp", 1, NULL, SDP},
	{"log", 1, NULL, LOG},     {"control", 1, NULL, CONTROL},   {0}};

static struct {
	const char *certificate, *key, *log, *control;
} files;

static unsigned *number_of(struct load_options *options, int option)
{
	switch (option) {
	case CALLS:
		return &options->calls;
	case USERS:
		return &options->users;
	case RATE:
		return &options->rate;
	case SECONDS:
		return &options->seconds;
	case HOLD:
		return &options->hold_ms;
	case PATIENCE:
		return &options->patience_ms;
	default:
		return &options->ring_ms;
	}
}

static const char **text_of(struct load_options *options, int option)
{
	switch (option) {
	case NAME:
		return &options->name;
	case CERTIFICATE:
		return &files.certificate;
	case KEY:
		return &files.key;
	case TO:
		return &options->to;
	case FROM:
		return &options->from;
	case SDP:
		return &options->sdp;
	case LOG:
		return &files.log;
	case CONTROL:
		return &files.control;
	case LISTEN:
		return options->port_count < LOAD_PORTS_MAX ? &options->ports[options->port_count++] : NULL;
	default:
		return NULL;
	}
}

static bool options_read(int argc, char **argv, struct load_options *options)
{
	for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		const char **text = text_of(options, option);
		if (text)
			*text = optarg;
		else if (option == GATEWAY && load_address(optarg, &options->gateway) != 0)
			return false;
		else if (option == '?' || option == LISTEN)
			return false;
		else if (option != GATEWAY)
			*number_of(options, option) = (unsigned)strtoul(optarg, NULL, 10);
	}
	return true;
}

static const char *open_all(struct load_options *options)
{
	load_net_init(role->message);
	if (files.certificate && load_net_certificate(files.certificate, files.key) != 0)
		return "certificate or key";
	for (int i = 0; i < options->port_count; i++)
		if (load_net_open(options->ports[i]) != i)
			return options->ports[i];
	if (files.log && !(options->log = log_open(files.log)))
		return files.log;
	if (!role->begin(options))
		return "options are missing";
	return files.control && control_open(files.control) != 0 ? files.control : NULL;
}

int main(int argc, char **argv)
{
	static struct load_options options = {.name = "site",
					      .from = "+15550009999",
					      .calls = LOAD_CALLS_MAX,
					      .ring_ms = 1000,
					      .hold_ms = 1000,
					      .patience_ms = 5000};

	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles) && argc > 1; i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			role = &roles[i].role;
	signal(SIGPIPE, SIG_IGN);
	if (!role || !options_read(argc - 1, argv + 1, &options))
		return fail("usage: see the head of sip_load.c");
	const char *fault = open_all(&options);
	if (fault)
		return fail(fault);
	for (int64_t next = 0; !role->done();) {
		int64_t time = clock_ns(CLOCK_MONOTONIC);
		if (time >= next) {
			role->time(time);
			next = time + TICK_MS * 1000000ll;
		}
		load_net_serve((int)((next - time) / 1000000) + 1);
	}
	return EXIT_SUCCESS;
}
