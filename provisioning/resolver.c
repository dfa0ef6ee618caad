/* SPDX-License-Identifier: GPL-2.0-or-later */
/** c-ares, the answers and the region. */
#define CARES_NO_DEPRECATED /* what both 1.18 and 1.34 have */
#include "resolver.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dns_answer.h"

enum {
	TIMEOUT_MS = 1500, /* doubled with each try */
	TRIES = 2,
	ASKED_MAX = 1024, /* at once */
	ASK_BURST = 32,   /* so many, then a pause: a name server has so much room */
	ASK_PAUSE_MS = 5,
	PUBLISH_MS = 100, /* answers of this time make one picture */
	HOSTS_TTL_S = 60,
	IDLE_MS = 60000,
};

static const char resolv_conf[] = "/etc/resolv.conf";

struct resolver {
	struct region *region;
	struct resolution *resolution;
	struct target_source source;
	const char *nameservers;
	void (*changed)(const char *host, const char *reason);
	ares_channel channel;
	struct stat conf; /* as it was when the channel was made */
	unsigned asked;
	uint64_t generation;                /* of the picture whose names are wanted */
	int64_t now_ms, publish_ms, ask_ms; /* ask_ms, publish_ms: not before */
	struct topology_target seeds[RESOLUTION_TARGETS_MAX];
};

/* ------- the channel ------- */

static int channel_error(int status)
{
	return status == ARES_ENOMEM ? -ENOMEM : status == ARES_SUCCESS ? 0 : -EINVAL;
}

static int channel_open(struct resolver *resolver)
{
	struct ares_options options = {.flags = ARES_FLAG_NOSEARCH, .timeout = TIMEOUT_MS, .tries = TRIES, .ndots = 1};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS;
#ifdef ARES_OPT_QUERY_CACHE
	mask |= ARES_OPT_QUERY_CACHE; /* none: the time of a record is kept here */
#endif
	memset(&resolver->conf, 0, sizeof(resolver->conf));
	if (!resolver->nameservers && stat(resolv_conf, &resolver->conf) != 0)
		memset(&resolver->conf, 0, sizeof(resolver->conf));
	int status = ares_init_options(&resolver->channel, &options, mask);
	if (status != ARES_SUCCESS)
		return channel_error(status);
	if (resolver->nameservers)
		status = ares_set_servers_ports_csv(resolver->channel, resolver->nameservers);
	if (status != ARES_SUCCESS)
		ares_destroy(resolver->channel);
	return channel_error(status);
}

/* Other name servers: what is asked is asked again there. */
static void channel_follow(struct resolver *resolver)
{
	struct stat conf;

	if (resolver->nameservers || stat(resolv_conf, &conf) != 0 ||
	    (conf.st_ino == resolver->conf.st_ino && conf.st_size == resolver->conf.st_size &&
	     conf.st_mtim.tv_sec == resolver->conf.st_mtim.tv_sec &&
	     conf.st_mtim.tv_nsec == resolver->conf.st_mtim.tv_nsec))
		return;
	ares_channel before = resolver->channel;
	if (channel_open(resolver) == 0)
		ares_destroy(before);
	else
		resolver->channel = before;
}

/* ------- asking ------- */

struct errand {
	struct resolver *resolver;
	struct question question;
};

static const struct {
	int status;
	struct answer answer;
} outcomes[] = {
	{ARES_ENOTFOUND, {.kind = ANSWER_NONE, .reason = "there is no such name"}},
	{ARES_ENODATA, {.kind = ANSWER_NONE, .reason = "there are no such records"}},
	{ARES_ESERVFAIL, {.kind = ANSWER_FAILED, .reason = "the name servers fail"}},
	{ARES_EREFUSED, {.kind = ANSWER_FAILED, .reason = "the name servers refuse"}},
	{ARES_ETIMEOUT, {.kind = ANSWER_FAILED, .reason = "no answer from the name servers"}},
	{ARES_ECONNREFUSED, {.kind = ANSWER_FAILED, .reason = "no name server gives an answer"}},
	{ARES_EBADNAME, {.kind = ANSWER_FAILED, .reason = "is no name for DNS"}},
};

static struct answer outcome_of(int status)
{
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++)
		if (outcomes[i].status == status)
			return outcomes[i].answer;
	return (struct answer){.kind = ANSWER_FAILED, .reason = ares_strerror(status)};
}

/* A message that says what is not there says how long, too. */
static void answered(void *context, int status, int timeouts, unsigned char *message, int length)
{
	struct errand *errand = context;
	struct resolver *resolver = errand->resolver;
	struct record records[RESOLUTION_ANSWER_MAX];
	struct answer answer = outcome_of(status), read;

	(void)timeouts;
	resolver->asked--;
	if (message && length > 0 && (status == ARES_SUCCESS || answer.kind == ANSWER_NONE)) {
		dns_answer_read(message, (size_t)length, errand->question.type, records, &read);
		if (status == ARES_SUCCESS)
			answer = read;
		else
			answer.ttl_s = read.ttl_s;
	}
	if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
		answer.reason = "the name servers changed";
	resolution_answer(resolver->resolution, &errand->question, &answer, resolver->now_ms);
	free(errand);
}

static size_t hosts_add(struct resolver *resolver, const char *name, int family, struct record *records)
{
	static const uint8_t ipv4[12] = {[10] = 0xff, [11] = 0xff};
	struct hostent *host = NULL;
	size_t count = 0;

	if (ares_gethostbyname_file(resolver->channel, name, family, &host) != ARES_SUCCESS)
		return 0;
	for (char **address = host->h_addr_list; *address && count < RESOLUTION_RECORDS_MAX; address++, count++) {
		records[count] = (struct record){0};
		if (family == AF_INET)
			memcpy(records[count].address, ipv4, sizeof(ipv4));
		memcpy(records[count].address + (family == AF_INET ? sizeof(ipv4) : 0), *address,
		       family == AF_INET ? 4 : 16);
	}
	ares_free_hostent(host);
	return count;
}

/* A name that stands in /etc/hosts is asked for nowhere else. */
static bool hosts_answer(struct resolver *resolver, const struct question *question)
{
	struct record records[2][RESOLUTION_RECORDS_MAX];
	bool is_ipv6 = question->type == RECORD_AAAA;

	if (question->type == RECORD_SRV)
		return false;
	size_t count[2] = {hosts_add(resolver, question->name, AF_INET, records[0]),
			   hosts_add(resolver, question->name, AF_INET6, records[1])};
	if (count[0] + count[1] == 0)
		return false;
	struct answer answer = {.kind = count[is_ipv6] ? ANSWER_RECORDS : ANSWER_NONE,
				.records = records[is_ipv6],
				.count = count[is_ipv6],
				.ttl_s = HOSTS_TTL_S,
				.reason = "there are no such records"};
	resolution_answer(resolver->resolution, question, &answer, resolver->now_ms);
	return true;
}

static void question_ask(struct resolver *resolver, const struct question *question)
{
	struct answer none = {.kind = ANSWER_FAILED, .reason = "out of memory"};
	struct errand *errand;

	if (hosts_answer(resolver, question))
		return;
	errand = malloc(sizeof(*errand));
	if (!errand) {
		resolution_answer(resolver->resolution, question, &none, resolver->now_ms);
		return;
	}
	*errand = (struct errand){.resolver = resolver, .question = *question};
	resolver->asked++;
	ares_query(resolver->channel, question->name, ns_c_in, (int)question->type, answered, errand);
}

static void questions_ask(struct resolver *resolver)
{
	struct question question;

	if (resolution_due_ms(resolver->resolution) > resolver->now_ms || resolver->now_ms < resolver->ask_ms)
		return;
	channel_follow(resolver);
	for (int i = 0; i < ASK_BURST && resolver->asked < ASKED_MAX; i++) {
		if (!resolution_next(resolver->resolution, resolver->now_ms, &question))
			return;
		question_ask(resolver, &question);
	}
	resolver->ask_ms = resolver->now_ms + ASK_PAUSE_MS;
}

/* ------- the region ------- */

struct walk {
	struct resolver *resolver;
	struct topology_view view;
	struct peer_view peer;
	enum transport transport;
};

static void peers_walk(struct resolver *resolver, void (*visit)(const struct walk *walk))
{
	struct walk walk = {.resolver = resolver};
	struct group_view group;

	if (topology_open(resolver->region, &walk.view) != 0)
		return;
	for (uint32_t i = 0; topology_peer(&walk.view, i, &walk.peer) == 0; i++) {
		if (topology_group(&walk.view, walk.peer.group, &group) != 0)
			continue;
		walk.transport = group.transport;
		visit(&walk);
	}
}

static void peer_seed(const struct walk *walk)
{
	struct resolver *resolver = walk->resolver;
	struct prefix address;
	size_t count = 0;

	if (prefix_parse(walk->peer.host, &address) == 0)
		return;
	while (count < walk->peer.target_count && count < RESOLUTION_TARGETS_MAX &&
	       topology_target(&walk->view, walk->peer.first_target + (uint32_t)count, &resolver->seeds[count]) == 0)
		count++;
	if (count > 0)
		resolution_seed(resolver->resolution, walk->peer.host, walk->peer.port, walk->transport,
				resolver->seeds, count);
}

static void peer_want(const struct walk *walk)
{
	resolution_want(walk->resolver->resolution, walk->peer.host, walk->peer.port, walk->transport);
}

static void topology_follow(struct resolver *resolver)
{
	uint64_t generation = topology_generation(resolver->region);

	if (generation == resolver->generation)
		return;
	resolver->generation = generation;
	resolution_begin(resolver->resolution);
	peers_walk(resolver, peer_want);
	resolution_end(resolver->resolution);
}

/* A picture that does not fit leaves the one before; the next change tries again. */
static void publish(struct resolver *resolver)
{
	if (!resolution_unsettled(resolver->resolution) || resolver->now_ms < resolver->publish_ms)
		return;
	if (!resolution_settle(resolver->resolution, resolver->changed))
		return;
	resolver->publish_ms = resolver->now_ms + PUBLISH_MS;
	int rc = topology_retarget(resolver->region, &resolver->source);
	if (rc == 0)
		resolver->generation = topology_generation(resolver->region);
	else if (rc == -ENOSPC && resolver->changed)
		resolver->changed("*", "the shared region is full: targets stay as they are");
}

/* ------- the caller's side ------- */

int resolver_new(struct region *region, const char *nameservers, void (*changed)(const char *host, const char *reason),
		 struct resolver **resolver)
{
	struct resolver *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	*new = (struct resolver){.region = region, .nameservers = nameservers, .changed = changed};
	new->resolution = resolution_new();
	new->source = (struct target_source){.find = resolution_find, .context = new->resolution};
	int rc = new->resolution ? channel_open(new) : -ENOMEM;
	if (rc) {
		resolution_free(new->resolution);
		free(new);
		return rc;
	}
	peers_walk(new, peer_seed);
	*resolver = new;
	return 0;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	ares_destroy(resolver->channel);
	resolution_free(resolver->resolution);
	free(resolver);
}

const struct target_source *resolver_source(struct resolver *resolver)
{
	return &resolver->source;
}

size_t resolver_fds(struct resolver *resolver, struct pollfd fds[RESOLVER_FDS_MAX])
{
	ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
	uint32_t wanted = (uint32_t)ares_getsock(resolver->channel, sockets, ARES_GETSOCK_MAXNUM);
	size_t count = 0;

	/* not by the library's macros: they shift a bit into the sign of an int */
	for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM && count < RESOLVER_FDS_MAX; i++) {
		bool readable = wanted >> i & 1, writable = wanted >> (i + ARES_GETSOCK_MAXNUM) & 1;
		short events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
		if (events)
			fds[count++] = (struct pollfd){.fd = sockets[i], .events = events};
	}
	return count;
}

int64_t resolver_wait_ms(struct resolver *resolver, int64_t now_ms)
{
	struct timeval limit = {.tv_sec = IDLE_MS / 1000}, left;
	int64_t wait = IDLE_MS, due = resolution_due_ms(resolver->resolution);

	if (resolver->asked > 0) {
		const struct timeval *time = ares_timeout(resolver->channel, &limit, &left);
		wait = (int64_t)time->tv_sec * 1000 + (time->tv_usec + 999) / 1000;
	}
	if (due < resolver->ask_ms)
		due = resolver->ask_ms;
	if (resolver->asked < ASKED_MAX && due - now_ms < wait)
		wait = due - now_ms;
	if (resolution_unsettled(resolver->resolution) && resolver->publish_ms - now_ms < wait)
		wait = resolver->publish_ms - now_ms;
	if (topology_generation(resolver->region) != resolver->generation)
		wait = 0;
	return wait > 0 ? wait : 0;
}

static void sockets_serve(struct resolver *resolver, const struct pollfd *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ares_socket_t in = fds[i].revents & (POLLIN | POLLHUP | POLLERR) ? fds[i].fd : ARES_SOCKET_BAD;
		ares_socket_t out = fds[i].revents & (POLLOUT | POLLERR) ? fds[i].fd : ARES_SOCKET_BAD;
		if (in != ARES_SOCKET_BAD || out != ARES_SOCKET_BAD)
			ares_process_fd(resolver->channel, in, out);
	}
	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what has waited too long */
}

void resolver_work(struct resolver *resolver, const struct pollfd *fds, size_t count, int64_t now_ms)
{
	resolver->now_ms = now_ms;
	if (resolver->asked > 0)
		sockets_serve(resolver, fds, count);
	topology_follow(resolver);
	publish(resolver);
	questions_ask(resolver);
}
