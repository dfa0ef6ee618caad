/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The calls of rtpengine that are wrapped, and nothing else: LD_PRELOAD names this object, the dynamic linker finds
 * these names here first.
 *
 *   LD_PRELOAD=/usr/lib/trunkgate/srtp_enforcer.so
 *
 * Constant once main() runs: `guard`, which sockets are guarded (bound at start). Shared: atomic counters. All else
 * belongs to one thread: rtpengine receives, works and sends in the same one.
 */
#include "enforcer.h"
#include "imports.h"
#include "options.h"
#include "trust.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define WRAPPED __attribute__((visibility("default")))
#define HOT     __attribute__((section(".text.srtp_enforcer_hot"), aligned(32))) /* both in one cache line or two */
#define APART   __attribute__((noinline)) /* keeps the way of media packets short */

enum { GUARDED_MAX = 1024 }; /* ng sockets are opened at start: their numbers are low */

typedef ssize_t receive_call(int, struct msghdr *, int);
typedef ssize_t send_call(int, const struct msghdr *, int);
typedef int bind_call(int, const struct sockaddr *, socklen_t);
typedef int profiles_call(void *, const char *);

static receive_call receive_first;
static send_call send_first;
static bind_call bind_first;
static profiles_call profiles_first;

/* What a media packet touches, in one cache line: what the linker would have given rtpengine (found at the first call,
 * or by start()), and the range of socket numbers outside which nothing is guarded. */
static struct {
	receive_call *recvmsg;
	send_call *sendmsg;
	_Atomic unsigned first, count;
	bind_call *bind;
	profiles_call *profiles;
} real __attribute__((aligned(64))) = {
	.recvmsg = receive_first, .sendmsg = send_first, .bind = bind_first, .profiles = profiles_first};

static struct {
	bool active; /* this is rtpengine, and it is guarded */
	bool log_stderr;
	struct enforcer enforcer;
	struct options options;
	char cookie[32]; /* begins the cookies of our own requests */
} guard;

static atomic_bool guarded[GUARDED_MAX];

static struct {
	atomic_uint_least64_t requests, passed, changed, deletes, statistics;
	atomic_uint_least64_t replies, refused_requests[ENFORCER_REASONS], refused_replies[ENFORCER_REASONS];
} counters;

static void count(atomic_uint_least64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- log --- */

/* As rtpengine logs: to stderr if it was told so, else to syslog. Never a key: SDP is not among the arguments. */
static void report(int level, const char *what, const char *text, struct span call_id)
{
	char line[512];
	char id[64] = "";
	for (size_t i = 0; i < call_id.len && i < sizeof(id) - 1; i++)
		id[i] = call_id.ptr[i] > ' ' && call_id.ptr[i] < 0x7f ? call_id.ptr[i] : '?';
	snprintf(line, sizeof(line), "srtp_enforcer: %s%s%s%s%s%s", what, *text ? ": " : "", text,
		 *id ? " (call-id " : "", id, *id ? ")" : "");
	if (guard.log_stderr)
		dprintf(STDERR_FILENO, "%s\n", line);
	else
		syslog(level | LOG_DAEMON, "%s", line);
}

_Noreturn static void give_up(const char *text)
{
	guard.log_stderr = true;
	report(LOG_ERR, "rtpengine is not started", text, (struct span){"", 0});
	guard.log_stderr = false;
	if (!getenv("JOURNAL_STREAM")) /* else systemd has it from stderr */
		report(LOG_ERR, "rtpengine is not started", text, (struct span){"", 0});
	_exit(EX_CONFIG);
}

/* --- one thread's memory --- */

struct worker {
	struct enforcer_room room;
	char datagram[NG_DATAGRAM_MAX];
	/* the request that rtpengine works on */
	char call_id[ENFORCER_CALL_ID_MAX];
	size_t call_id_length;
	uint32_t profiles; /* for the DTLS contexts that it makes; before the first and after the last: the policy's */
	struct sockaddr_storage sender;
	socklen_t sender_length;
	/* a delete that it is fed next; its reply goes nowhere, the refusal that waits for it does */
	int delete_on;   /* socket, or -1 */
	bool delete_fed; /* its reply is to come */
	char cookie[64];
	char held[NG_DATAGRAM_MAX], held_control[64];
	struct iovec held_data;
	struct msghdr held_message;
	struct sockaddr_storage held_name;
};

static pthread_key_t worker_key;

static struct worker *worker_of_thread(void)
{
	struct worker *worker = pthread_getspecific(worker_key);
	if (worker)
		return worker;
	worker = calloc(1, sizeof(*worker));
	if (!worker || pthread_setspecific(worker_key, worker)) {
		free(worker);
		return NULL;
	}
	worker->delete_on = -1;
	worker->profiles = guard.enforcer.policy.profiles;
	return worker;
}

/* --- requests --- */

static inline bool is_guarded(int fd)
{
	unsigned number = (unsigned)fd - atomic_load_explicit(&real.first, memory_order_relaxed);
	return __builtin_expect(number < atomic_load_explicit(&real.count, memory_order_relaxed), 0) && guarded[fd];
}

/* Sockets are opened at start, one after the other; media sockets come later. */
static void guard_socket(int fd)
{
	unsigned first = real.count && real.first < (unsigned)fd ? real.first : (unsigned)fd;
	unsigned end =
		real.count && real.first + real.count > (unsigned)fd ? real.first + real.count : (unsigned)fd + 1;
	if (fd >= 0 && fd < GUARDED_MAX)
		guarded[fd] = true;
	else
		give_up("the number of the ng socket is too high to be guarded");
	real.first = first;
	real.count = end - first;
}

/* Back to the sender, from the address that it wrote to: IP_PKTINFO, where rtpengine asked for it, goes back as it
 * came. */
static void answer(int fd, const struct msghdr *request, struct span datagram)
{
	struct iovec iov = {(void *)datagram.ptr, datagram.len};
	struct msghdr reply = {
		.msg_name = request->msg_name, .msg_namelen = request->msg_namelen, .msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *found = request->msg_controllen ? CMSG_FIRSTHDR(request) : NULL;
	if (found && ((found->cmsg_level == IPPROTO_IP && found->cmsg_type == IP_PKTINFO) ||
		      (found->cmsg_level == IPPROTO_IPV6 && found->cmsg_type == IPV6_PKTINFO))) {
		reply.msg_control = request->msg_control;
		reply.msg_controllen = CMSG_SPACE(found->cmsg_len - CMSG_LEN(0));
	}
	real.sendmsg(fd, &reply, 0);
}

static void statistics(int fd, const struct msghdr *request, struct worker *worker, struct enforcer_outcome *outcome)
{
	char names[2 * ENFORCER_REASONS][48];
	struct enforcer_counter rows[2 * ENFORCER_REASONS + 8] = {
		{"requests", counters.requests}, {"passed", counters.passed},   {"changed", counters.changed},
		{"replies", counters.replies},   {"deletes", counters.deletes}, {"statistics", counters.statistics}};
	unsigned next = 6;
	for (unsigned i = 1; i < ENFORCER_REASONS; i++) {
		snprintf(names[2 * i], sizeof(*names), "request-refused-%s", enforcer_reason_name(i));
		snprintf(names[2 * i + 1], sizeof(*names), "reply-refused-%s", enforcer_reason_name(i));
		rows[next++] = (struct enforcer_counter){names[2 * i], counters.refused_requests[i]};
		rows[next++] = (struct enforcer_counter){names[2 * i + 1], counters.refused_replies[i]};
	}
	enforcer_statistics(rows, &worker->room, outcome);
	answer(fd, request, outcome->datagram);
}

/* Puts the delete where rtpengine looks for a datagram. */
static ssize_t delete_feed(struct worker *worker, struct msghdr *message)
{
	static atomic_uint_least64_t number;
	snprintf(worker->cookie, sizeof(worker->cookie), "%s-%" PRIu64, guard.cookie,
		 atomic_fetch_add_explicit(&number, 1, memory_order_relaxed));
	worker->delete_on = -1;
	long length = enforcer_delete(span_of(worker->cookie), (struct span){worker->call_id, worker->call_id_length},
				      message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
	if (length < 0) { /* no buffer of rtpengine's is so small */
		errno = EMSGSIZE;
		return -1;
	}
	if (message->msg_name) {
		socklen_t room = message->msg_namelen;
		memcpy(message->msg_name, &worker->sender, worker->sender_length < room ? worker->sender_length : room);
		message->msg_namelen = worker->sender_length;
	}
	message->msg_controllen = 0;
	message->msg_flags = 0;
	worker->delete_fed = true;
	count(&counters.deletes);
	return length;
}

/* What rtpengine may see of one datagram that lies in @p message. Returns its length, 0 if nothing. */
static size_t request_filter(int fd, struct msghdr *message, size_t length, struct worker *worker)
{
	struct iovec *buffer = &message->msg_iov[0];
	struct enforcer_outcome outcome;
	count(&counters.requests);
	enforcer_request(&guard.enforcer, (struct span){buffer->iov_base, length}, buffer->iov_len, &worker->room,
			 &outcome);
	switch (outcome.action) {
	case ENFORCER_REFUSED:
		count(&counters.refused_requests[outcome.reason]);
		report(LOG_WARNING, "request refused", outcome.text + strlen("srtp_enforcer: "), outcome.call_id);
		answer(fd, message, outcome.datagram);
		return 0;
	case ENFORCER_STATISTICS:
		count(&counters.statistics);
		statistics(fd, message, worker, &outcome);
		return 0;
	case ENFORCER_CHANGED:
		count(&counters.changed);
		memcpy(buffer->iov_base, outcome.datagram.ptr, outcome.datagram.len);
		break;
	case ENFORCER_PASS:
		count(&counters.passed);
	}
	worker->profiles = outcome.profiles;
	worker->call_id_length = outcome.call_id.len;
	memcpy(worker->call_id, outcome.call_id.ptr ? outcome.call_id.ptr : "", outcome.call_id.len);
	worker->sender_length = message->msg_namelen;
	memcpy(&worker->sender, message->msg_name, message->msg_namelen);
	return outcome.datagram.len;
}

/* What cannot be worked on is not received: rtpengine takes any error but EAGAIN as a warning. */
APART static ssize_t guarded_receive(int fd, struct msghdr *message, int flags)
{
	struct worker *worker = worker_of_thread();
	if (!worker || message->msg_iovlen != 1 || message->msg_iov[0].iov_len > NG_DATAGRAM_MAX ||
	    !message->msg_name || message->msg_namelen > sizeof(worker->sender) || flags & MSG_PEEK) {
		errno = ENOMEM;
		return -1;
	}
	/* what came before is done, answered or not */
	worker->profiles = guard.enforcer.policy.profiles;
	if (worker->delete_on == fd)
		return delete_feed(worker, message);
	const struct msghdr fresh = *message;
	for (;;) {
		*message = fresh;
		ssize_t length = real.recvmsg(fd, message, flags);
		if (length < 0)
			return length;
		if (length == 0 || message->msg_flags & MSG_TRUNC)
			continue; /* neither has a cookie that could be answered */
		size_t passed = request_filter(fd, message, (size_t)length, worker);
		if (passed)
			return (ssize_t)passed;
	}
}

WRAPPED HOT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	return is_guarded(fd) ? guarded_receive(fd, message, flags) : real.recvmsg(fd, message, flags);
}

/* --- replies --- */

/* The whole datagram in one piece. Returns its length, 0 if it does not fit. */
static size_t gather(const struct msghdr *message, char *out, size_t size)
{
	size_t length = 0;
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		if (message->msg_iov[i].iov_len > size - length)
			return 0;
		memcpy(out + length, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
		length += message->msg_iov[i].iov_len;
	}
	return length;
}

static bool is_reply_to_delete(struct worker *worker, struct span datagram)
{
	size_t length = strlen(worker->cookie);
	if (!worker->delete_fed || datagram.len <= length || memcmp(datagram.ptr, worker->cookie, length) != 0)
		return false;
	worker->delete_fed = false;
	return true;
}

/* Keeps a refusal until rtpengine has forgotten the call. False if it cannot be kept: then it is sent at once. */
static bool hold(struct worker *worker, const struct msghdr *message, struct span datagram)
{
	if (message->msg_namelen > sizeof(worker->held_name) || message->msg_controllen > sizeof(worker->held_control))
		return false;
	memcpy(worker->held, datagram.ptr, datagram.len);
	memcpy(&worker->held_name, message->msg_name, message->msg_namelen);
	if (message->msg_controllen)
		memcpy(worker->held_control, message->msg_control, message->msg_controllen);
	worker->held_data = (struct iovec){worker->held, datagram.len};
	worker->held_message = (struct msghdr){.msg_name = &worker->held_name,
					       .msg_namelen = message->msg_namelen,
					       .msg_iov = &worker->held_data,
					       .msg_iovlen = 1,
					       .msg_control = message->msg_controllen ? worker->held_control : NULL,
					       .msg_controllen = message->msg_controllen};
	return true;
}

/* What rtpengine replied is in force already: it is fed a delete, and the client learns of the refusal after that. */
static ssize_t reply_refuse(int fd, const struct msghdr *message, int flags, struct worker *worker,
			    const struct enforcer_outcome *outcome)
{
	struct span call_id = {worker->call_id, worker->call_id_length};
	count(&counters.refused_replies[outcome->reason]);
	report(LOG_WARNING, "reply refused", outcome->text + strlen("srtp_enforcer: "), call_id);
	if (call_id.len && hold(worker, message, outcome->datagram)) {
		worker->delete_on = fd;
		return 0;
	}
	struct iovec iov = {(void *)outcome->datagram.ptr, outcome->datagram.len};
	struct msghdr changed = *message;
	changed.msg_iov = &iov;
	changed.msg_iovlen = 1;
	return real.sendmsg(fd, &changed, flags);
}

APART static ssize_t guarded_send(int fd, const struct msghdr *message, int flags)
{
	struct worker *worker = worker_of_thread();
	struct enforcer enforcer = guard.enforcer;
	struct enforcer_outcome outcome;
	size_t length = worker ? gather(message, worker->datagram, sizeof(worker->datagram)) : 0;
	if (length == 0) {
		errno = EMSGSIZE;
		return -1;
	}
	struct span datagram = {worker->datagram, length};
	if (is_reply_to_delete(worker, datagram))
		return real.sendmsg(fd, &worker->held_message, 0) < 0 ? -1 : (ssize_t)length;
	count(&counters.replies);
	enforcer.policy.profiles = worker->profiles;
	enforcer_reply(&enforcer, datagram, &worker->room, &outcome);
	if (outcome.action == ENFORCER_PASS)
		return real.sendmsg(fd, message, flags);
	return reply_refuse(fd, message, flags, worker, &outcome) < 0 ? -1 : (ssize_t)length;
}

WRAPPED HOT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	return is_guarded(fd) ? guarded_send(fd, message, flags) : real.sendmsg(fd, message, flags);
}

/* --- sockets and profiles --- */

static bool is_ng(const struct sockaddr *given)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff};
	if (given->sa_family == AF_INET) {
		const struct sockaddr_in *four = (const struct sockaddr_in *)given;
		memcpy(address + 12, &four->sin_addr, 4);
		return options_is_ng(&guard.options, address, ntohs(four->sin_port));
	}
	if (given->sa_family != AF_INET6)
		return false;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)given;
	memcpy(address, &six->sin6_addr, 16);
	return options_is_ng(&guard.options, address, ntohs(six->sin6_port));
}

/* glibc declares the address as a union of all its types */
WRAPPED int bind(int fd, __CONST_SOCKADDR_ARG given, socklen_t length)
{
	const struct sockaddr *address = given.__sockaddr__;
	int type = 0;
	socklen_t size = sizeof(type);
	int result = real.bind(fd, address, length);
	if (!result && guard.active && is_ng(address) && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) &&
	    type == SOCK_DGRAM)
		guard_socket(fd);
	return result;
}

/* rtpengine makes a context in the thread that works on the command which needs it, and else only from Redis. */
WRAPPED int SSL_CTX_set_tlsext_use_srtp(void *context, const char *profiles)
{
	char allowed[SRTP_NAMES_MAX];
	if (!guard.active)
		return real.profiles(context, profiles);
	const struct worker *worker = pthread_getspecific(worker_key);
	uint32_t set = worker ? worker->profiles : guard.enforcer.policy.profiles;
	/* of none OpenSSL would make a context without SRTP; so there is none */
	return srtp_profiles_openssl(set, allowed, sizeof(allowed)) ? real.profiles(context, allowed) : 1;
}

/* --- start --- */

/* A function's address as dlsym() gives it: C has no cast for that. */
static void resolve(void *call, size_t size, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);
	if (found)
		memcpy(call, &found, size);
}

static ssize_t receive_first(int fd, struct msghdr *message, int flags)
{
	resolve(&real.recvmsg, sizeof(real.recvmsg), "recvmsg");
	return real.recvmsg(fd, message, flags);
}

static ssize_t send_first(int fd, const struct msghdr *message, int flags)
{
	resolve(&real.sendmsg, sizeof(real.sendmsg), "sendmsg");
	return real.sendmsg(fd, message, flags);
}

static int bind_first(int fd, const struct sockaddr *address, socklen_t length)
{
	resolve(&real.bind, sizeof(real.bind), "bind");
	return real.bind(fd, address, length);
}

static int profiles_first(void *context, const char *profiles)
{
	resolve(&real.profiles, sizeof(real.profiles), "SSL_CTX_set_tlsext_use_srtp");
	return real.profiles == profiles_first ? 1 : real.profiles(context, profiles);
}

/* By name; by what it imports where another name (dpkg-divert, a copy), ld.so or valgrind hides it. */
static bool is_rtpengine(void)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (length < 0) /* no /proc: what the kernel was told to run */
		length = snprintf(path, sizeof(path), "/%s", (const char *)getauxval(AT_EXECFN));
	path[(size_t)length < sizeof(path) ? (size_t)length : sizeof(path) - 1] = '\0';
	const char *slash = strrchr(path, '/');
	return (slash && strcmp(slash + 1, "rtpengine") == 0) || imports_are_relay_self();
}

/* Returns the file's length, 0 if it cannot be read: then rtpengine says so itself. */
static size_t file_read(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	size_t length = fread(text, 1, size, file);
	fclose(file);
	return length;
}

static void options_read(char **arguments)
{
	static char text[256 * 1024];
	struct options *options = &guard.options;
	options_init(options);
	if (options_arguments(options, arguments))
		give_up(options->error);
	if (options->informs)
		return;
	if (strcmp(options->config_file, "none") != 0) {
		size_t length = file_read(options->config_file, text, sizeof(text));
		if (length == sizeof(text))
			give_up("the configuration file is too large to be read");
		if (options_file(options, (struct span){text, length}))
			give_up(options->error);
	}
	guard.log_stderr = options->log_stderr;
	if (options_check(options))
		give_up(options->error);
}

static void policy_read(void)
{
	struct srtp_policy *policy = &guard.enforcer.policy;
	struct span bad;
	char text[128];
	policy->mode = SRTP_OPTIONAL;
	if (srtp_suites_parse(span_of(guard.options.suites), &policy->suites, &bad) ||
	    srtp_profiles_parse(span_of(guard.options.profiles), &policy->profiles, &bad)) {
		snprintf(text, sizeof(text), "[srtp-enforcer]: no suite or profile that could be allowed: %.*s",
			 SPAN_ARGS(bad));
		give_up(text);
	}
	guard.enforcer.allow = span_of(guard.options.allow);
}

static void path_check(void)
{
	char text[512];
	Dl_info info;
	if (!dladdr(&guard, &info) || !info.dli_fname)
		give_up("the plugin does not find its own path");
	if (trust_check(info.dli_fname, text, sizeof(text)))
		give_up(text);
}

static void announce(void)
{
	char suites[SRTP_NAMES_MAX], profiles[SRTP_NAMES_MAX], text[2 * SRTP_NAMES_MAX + 32];
	srtp_suites_print(guard.enforcer.policy.suites, " ", suites, sizeof(suites));
	size_t length = srtp_profiles_openssl(guard.enforcer.policy.profiles, profiles, sizeof(profiles));
	snprintf(text, sizeof(text), "%s; DTLS-SRTP %s", suites, length ? profiles : "off");
	report(LOG_INFO, guard.enforcer.version == NG_10_5 ? "guards rtpengine 10.5" : "guards rtpengine 12.5", text,
	       (struct span){"", 0});
}

/* The dynamic linker runs this before main(), with its arguments (glibc). */
__attribute__((constructor)) static void start(int argc, char **argv)
{
	char text[IMPORTS_TEXT_MAX];
	if (!is_rtpengine())
		return;
	if (argc < 1)
		give_up("no command line");
	options_read(argv + 1);
	if (guard.options.informs)
		return;
	path_check();
	if (imports_check_self(&guard.enforcer.version, text))
		give_up(text);
	policy_read();
	if (pthread_key_create(&worker_key, free))
		give_up("no room for the threads' memory");
	resolve(&real.recvmsg, sizeof(real.recvmsg), "recvmsg");
	resolve(&real.sendmsg, sizeof(real.sendmsg), "sendmsg");
	resolve(&real.bind, sizeof(real.bind), "bind");
	resolve(&real.profiles, sizeof(real.profiles), "SSL_CTX_set_tlsext_use_srtp");
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(guard.cookie, sizeof(guard.cookie), "srtpenf%llx%lx", (unsigned long long)now.tv_sec, now.tv_nsec);
	guard.active = true;
	announce();
}
