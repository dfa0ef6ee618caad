/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * trunkgate-worker: the only writer of the store and of the shared region.
 *
 * One loop over non-blocking sockets; one operation at a time. A client that reads or writes slowly holds nobody but
 * itself: its next request waits until its last answer is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "field.h"
#include "job.h"
#include "resolver.h"

enum {
	CLIENTS_MAX = 256,
	LINE_MAX_BYTES = 32 << 20,
	INPUT_TOTAL_MAX = 256 << 20, /**< of all clients together */
	READ_SIZE = 64 << 10,
	IDLE_MS = 60000,
	USER_SIZE = 64,
	BACKLOG = 128,
	STORE_WAIT_MS = 3000,
	STORE_STEP_MS = 5,
	ACCEPTS_A_ROUND = 32,
	OWN_FDS = 3,                  /**< signals, listener, jobs */
	SNAPSHOT_NUMBERS_MIN = 10000, /**< fewer are read from the store in some milliseconds */
	LOW_NUMBERS_MIN = 200000,     /**< fewer take less than a tenth of a second in all */
	SNAPSHOT_CHANGES = 1000,      /**< so many are put on top of a snapshot in 50 ms */
	SNAPSHOT_AGE_MS = 600000,     /**< and fewer after this time */
	SNAPSHOT_QUIET_MS = 2000,     /**< no request for so long */
};

struct options {
	const char *store, *socket, *region_name, *nameservers;
	int region_fd;
	bool syslog;
};

struct client {
	int fd;
	char user[USER_SIZE];
	int file; /**< descriptor that came along with its next request, or -1 */
	char *input, *output;
	size_t input_length, input_size, scanned; /**< scanned: no newline before here */
	size_t output_length, output_sent;
	int64_t active_ms; /**< the last time that bytes moved */
	bool ending;       /**< nothing more is read; closed when the output is gone */
};

struct worker {
	struct options options;
	struct provisioner provisioner;
	struct publisher publisher;
	struct resolver *resolver; /* NULL without a region */
	int listener, signals;
	struct client clients[CLIENTS_MAX];
	size_t client_count, input_total;
	int64_t asked_ms; /**< the last request */
	bool stop;
};

static bool log_to_syslog;

static void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void log_line(int level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (log_to_syslog) {
		vsyslog(level, format, arguments);
	} else {
		char line[1024];
		vsnprintf(line, sizeof(line), format, arguments);
		fprintf(stderr, "trunkgate-worker: %s\n", line);
	}
	va_end(arguments);
}

/* --- clients --- */

static void client_close(struct worker *worker, struct client *client)
{
	worker->input_total -= client->input_size;
	close(client->fd);
	if (client->file >= 0)
		store_foreign_close(worker->provisioner.store, client->file);
	free(client->input);
	free(client->output);
	*client = worker->clients[--worker->client_count];
}

static void user_name(int fd, char user[USER_SIZE])
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
		snprintf(user, USER_SIZE, "unknown");
		return;
	}
	const struct passwd *entry = getpwuid(credentials.uid);
	if (entry)
		snprintf(user, USER_SIZE, "%s", entry->pw_name);
	else
		snprintf(user, USER_SIZE, "uid %u", credentials.uid);
}

static void output_add(struct client *client, char *text)
{
	size_t length = text ? strlen(text) : 0;
	char *line = text ? realloc(text, length + 2) : NULL;

	if (!line) {
		free(text);
		client->ending = true;
		return;
	}
	memcpy(line + length, "\n", 2);
	client->output = line;
	client->output_length = length + 1;
	client->output_sent = 0;
}

static void client_refuse(struct client *client, int code, const char *field, const char *reason)
{
	output_add(client, request_refuse(code, field, reason));
	client->ending = true;
}

/* Returns false if the client is gone. */
static bool output_send(struct client *client)
{
	while (client->output) {
		ssize_t n = send(client->fd, client->output + client->output_sent,
				 client->output_length - client->output_sent, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		client->active_ms = request_clock_ms();
		client->output_sent += (size_t)n;
		if (client->output_sent < client->output_length)
			continue;
		free(client->output);
		client->output = NULL;
	}
	return !client->ending;
}

static bool input_grow(struct worker *worker, struct client *client)
{
	if (client->input_size - client->input_length >= READ_SIZE)
		return true;
	size_t size = client->input_size ? client->input_size * 2 : READ_SIZE * 2;
	size_t more = size - client->input_size;
	char *input = worker->input_total + more <= INPUT_TOTAL_MAX ? realloc(client->input, size) : NULL;
	if (!input) {
		client_refuse(client, FAULT_UNAVAILABLE, "request", "too much is being sent at once: try again later");
		return false;
	}
	worker->input_total += more;
	client->input = input;
	client->input_size = size;
	return true;
}

/* Of several descriptors the last one counts. */
static ssize_t input_read(const struct worker *worker, struct client *client)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = {.iov_base = client->input + client->input_length, .iov_len = READ_SIZE};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return n;
	if (client->file >= 0)
		store_foreign_close(worker->provisioner.store, client->file);
	memcpy(&client->file, CMSG_DATA(header), sizeof(client->file));
	return n;
}

/* Returns false if the client is gone. */
static bool input_receive(struct worker *worker, struct client *client)
{
	if (!input_grow(worker, client))
		return true;
	ssize_t n = input_read(worker, client);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	client->active_ms = request_clock_ms();
	client->input_length += (size_t)n;
	return true;
}

/* A large buffer is given back as soon as its line was answered. */
static void input_take(struct worker *worker, struct client *client, size_t length)
{
	client->input_length -= length;
	memmove(client->input, client->input + length, client->input_length);
	client->scanned = 0;
	if (client->input_length > 0 || client->input_size <= READ_SIZE * 2)
		return;
	worker->input_total -= client->input_size;
	free(client->input);
	client->input = NULL;
	client->input_size = 0;
}

static bool line_ready(const struct client *client)
{
	return !client->output && !client->ending && client->input &&
	       memchr(client->input + client->scanned, '\n', client->input_length - client->scanned);
}

static void line_answer(struct worker *worker, struct client *client)
{
	char *end = memchr(client->input + client->scanned, '\n', client->input_length - client->scanned);
	size_t length = (size_t)(end - client->input);

	output_add(client, request_answer(&worker->provisioner, client->input, length, client->user, client->file));
	client->file = -1;
	client->active_ms = worker->asked_ms = request_clock_ms();
	input_take(worker, client, length + 1);
}

/* Returns false if the client is gone. At most one request a round, so that all get their turn. */
static bool client_serve(struct worker *worker, struct client *client, short events)
{
	if (events & (POLLERR | POLLNVAL))
		return false;
	bool wanted = !client->ending && !client->output && !line_ready(client);
	if ((events & (POLLIN | POLLHUP)) && wanted && !input_receive(worker, client))
		return false;
	if (line_ready(client)) {
		line_answer(worker, client);
	} else if (!client->output && !client->ending) {
		client->scanned = client->input_length;
		if (client->input_length > LINE_MAX_BYTES)
			client_refuse(client, FAULT_BAD_VALUE, "request", "the line is longer than 32 MB");
	}
	return output_send(client);
}

static void client_add(struct worker *worker, int fd)
{
	static const char full[] = "{\"code\":503,\"error\":{\"field\":\"request\",\"reason\":\"too many clients\"}}\n";

	if (worker->client_count < CLIENTS_MAX) {
		struct client *client = &worker->clients[worker->client_count++];
		*client = (struct client){.fd = fd, .file = -1, .active_ms = request_clock_ms()};
		user_name(fd, client->user);
		return;
	}
	if (send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL) < 0)
		log_line(LOG_INFO, "a client beyond the limit of %d is gone already", CLIENTS_MAX);
	close(fd);
}

static void clients_accept(struct worker *worker)
{
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(worker->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		client_add(worker, fd);
	}
}

/* --- the loop --- */

/* --- snapshots --- */

/* Changes that a start would have to put on top of the snapshot; 0 where none is kept. */
static uint64_t snapshot_behind(const struct worker *worker)
{
	const struct provisioner *provisioner = &worker->provisioner;

	if (!provisioner->publisher || provisioner->publisher->stale ||
	    provisioner->store->number_count < SNAPSHOT_NUMBERS_MIN)
		return 0;
	return provisioner->store->revision - provisioner->snapshot_revision;
}

/* Milliseconds until one is due. */
static int64_t snapshot_wait(const struct worker *worker, int64_t now)
{
	const struct provisioner *provisioner = &worker->provisioner;
	uint64_t behind = snapshot_behind(worker);

	if (behind == 0 || jobs_running(provisioner->jobs))
		return IDLE_MS;
	bool soon = !provisioner->snapshot_revision || behind >= SNAPSHOT_CHANGES;
	int64_t quiet = worker->asked_ms + SNAPSHOT_QUIET_MS - now, age = provisioner->snapshot_ms - now;
	age += soon ? SNAPSHOT_QUIET_MS : SNAPSHOT_AGE_MS;
	return quiet > age ? quiet : age;
}

static void snapshot_start(struct worker *worker)
{
	if (snapshot_wait(worker, request_clock_ms()) > 0)
		return;
	int rc = jobs_snapshot(&worker->provisioner);
	worker->provisioner.snapshot_ms = request_clock_ms();
	if (rc)
		log_line(LOG_INFO, "the snapshot cannot be written: %s", strerror(-rc));
}

/* At the end, where the start would be slow without it. Nothing else runs any more. */
static void snapshot_end(struct worker *worker)
{
	struct provisioner *provisioner = &worker->provisioner;
	struct bulk_progress progress = {0};
	char reason[SNAPSHOT_REASON_SIZE];
	uint64_t behind = snapshot_behind(worker);

	if (behind == 0 || (provisioner->snapshot_revision && behind < SNAPSHOT_CHANGES))
		return;
	struct store *store = provisioner->store;
	struct snapshot snapshot = {.revision = store->revision, .digest = {store->digest[0], store->digest[1]}};
	memcpy(snapshot.id, store->id, sizeof(store->id));
	if (snapshot_write(&snapshot, store, provisioner->publisher->region, &progress, reason) != 0)
		log_line(LOG_INFO, "the snapshot cannot be written: %s", reason);
}

static void log_reason(const char *what, const char *reason)
{
	log_line(LOG_INFO, "%s: %s", what, reason);
}

/* A client with a whole line waiting needs no event; one that is owed an answer is not read. */
static int poll_fill(struct worker *worker, struct pollfd *fds, size_t *names)
{
	int64_t now = request_clock_ms(), wait = IDLE_MS;

	fds[0] = (struct pollfd){.fd = worker->signals, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = worker->listener, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = worker->provisioner.jobs->event, .events = POLLIN};
	for (size_t i = 0; i < worker->client_count; i++) {
		const struct client *client = &worker->clients[i];
		fds[i + OWN_FDS] = (struct pollfd){.fd = client->fd, .events = client->output ? POLLOUT : POLLIN};
		int64_t left = line_ready(client) ? 0 : client->active_ms + IDLE_MS - now;
		if (left < wait)
			wait = left > 0 ? left : 0;
	}
	int64_t snapshot = snapshot_wait(worker, now);
	wait = snapshot < wait ? snapshot : wait;
	*names = 0;
	if (worker->resolver) {
		int64_t look_up = resolver_wait_ms(worker->resolver, now);
		*names = resolver_fds(worker->resolver, fds + OWN_FDS + worker->client_count);
		wait = look_up < wait ? look_up : wait;
	}
	return wait > 0 ? (int)wait : 0;
}

/* Backwards: closing one moves the last into its place, which was served already. */
static void clients_serve(struct worker *worker, const struct pollfd *fds, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		struct client *client = &worker->clients[i];
		bool stays = fds[i].revents || line_ready(client) ? client_serve(worker, client, fds[i].revents) : true;
		if (stays && request_clock_ms() - client->active_ms > IDLE_MS)
			stays = false;
		if (!stays)
			client_close(worker, client);
	}
}

static void signal_read(struct worker *worker)
{
	struct signalfd_siginfo info;

	if (read(worker->signals, &info, sizeof(info)) == sizeof(info))
		worker->stop = true;
}

static void worker_loop(struct worker *worker)
{
	struct pollfd fds[CLIENTS_MAX + OWN_FDS + RESOLVER_FDS_MAX];

	while (!worker->stop) {
		size_t count = worker->client_count, names;
		int wait = poll_fill(worker, fds, &names);
		int rc = poll(fds, count + OWN_FDS + names, wait);
		if (rc < 0 && errno != EINTR) {
			log_line(LOG_ERR, "poll: %s", strerror(errno));
			return;
		}
		if (rc < 0)
			continue;
		if (fds[0].revents)
			signal_read(worker);
		if (fds[2].revents)
			jobs_poll(worker->provisioner.jobs);
		snapshot_start(worker);
		clients_serve(worker, fds + OWN_FDS, count);
		if (fds[1].revents)
			clients_accept(worker);
		if (worker->resolver)
			resolver_work(worker->resolver, fds + OWN_FDS + count, names, request_clock_ms());
	}
}

/* --- start --- */

static int signals_init(void)
{
	static const int ending[] = {SIGTERM, SIGINT, SIGHUP};
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file limit is an error of the store then, not the end */
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ending) / sizeof(*ending); i++) {
		signal(ending[i], SIG_DFL); /* one that the parent ignored would never reach the descriptor */
		sigaddset(&set, ending[i]);
	}
	if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
		return -errno;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void name_log(const char *host, const char *reason)
{
	log_line(LOG_WARNING, "name %s: %s", host, *reason ? reason : "is looked up again without a fault");
}

/* Before a picture is published: the targets of the one in the region are taken over. */
static int resolver_init(struct worker *worker)
{
	int rc = resolver_new(worker->publisher.region, worker->options.nameservers, name_log, &worker->resolver);

	if (rc == 0)
		worker->publisher.names = resolver_source(worker->resolver);
	else
		log_line(LOG_ERR, "the name servers cannot be used: %s", strerror(-rc));
	return rc;
}

static int region_init(struct worker *worker)
{
	struct stat status;
	int fd = worker->options.region_fd;

	if (fd < 0)
		return 0;
	if (fstat(fd, &status) != 0)
		return -errno;
	size_t size = (size_t)status.st_size;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	madvise(memory, size, MADV_DONTDUMP);
	close(fd);
	int rc = region_format(memory, size, &worker->publisher.region);
	if (rc)
		return rc;
	worker->publisher.region_name = worker->options.region_name;
	worker->provisioner.publisher = &worker->publisher;
	return 0;
}

struct table_start {
	struct worker *worker;
	char reason[SNAPSHOT_REASON_SIZE];
	bool low; /**< at the priority of a job */
	int rc;
};

static void *table_fill(void *context)
{
	struct table_start *start = context;
	struct provisioner *provisioner = &start->worker->provisioner;

	if (start->low)
		job_priority_lower();
	start->rc = publisher_start(&start->worker->publisher, provisioner->store, &provisioner->snapshot_revision,
				    start->reason);
	return NULL;
}

/* While calls go on with the table of an earlier worker, a large one is filled as a job is: they come first. */
static int table_read(struct worker *worker, char reason[SNAPSHOT_REASON_SIZE])
{
	struct table_start start = {.worker = worker};
	struct number_image image;
	pthread_t thread;

	start.low = worker->provisioner.store->number_count >= LOW_NUMBERS_MIN &&
		    number_image_start(worker->publisher.region, &image) == 0;
	if (start.low && pthread_create(&thread, NULL, table_fill, &start) == 0) {
		pthread_join(thread, NULL);
	} else {
		start.low = false;
		table_fill(&start);
	}
	memcpy(reason, start.reason, sizeof(start.reason));
	return start.rc;
}

static int table_start(struct worker *worker)
{
	struct provisioner *provisioner = &worker->provisioner;
	int64_t begin = request_clock_ms();
	char reason[SNAPSHOT_REASON_SIZE] = "";
	int rc = table_read(worker, reason);

	if (rc || provisioner->store->number_count < SNAPSHOT_NUMBERS_MIN)
		return rc;
	long long took = request_clock_ms() - begin;
	if (provisioner->snapshot_revision)
		log_line(LOG_INFO, "table of %lld numbers from the snapshot of revision %llu in %lld ms",
			 (long long)provisioner->store->number_count,
			 (unsigned long long)provisioner->snapshot_revision, took);
	else
		log_line(LOG_INFO, "table of %lld numbers from the store in %lld ms; the snapshot: %s",
			 (long long)provisioner->store->number_count, took, reason);
	return 0;
}

static int region_start(struct worker *worker)
{
	int rc = region_init(worker);

	if (rc == 0 && worker->provisioner.publisher && resolver_init(worker) != 0)
		return -EINVAL;
	if (rc == 0 && worker->provisioner.publisher)
		rc = table_start(worker);
	if (rc == 0)
		return 0;
	log_line(LOG_ERR, "shared region: %s",
		 rc == -EPROTO   ? "it has the layout of another version: restart Kamailio"
		 : rc == -ENOSPC ? "it is too small for this store: give Kamailio's region_size a larger value"
		 : rc == -EINVAL ? "it is smaller than the least size"
				 : strerror(-rc));
	return rc;
}

/* Only a socket that nobody answers on is taken away. */
static int socket_clear(const struct sockaddr_un *address)
{
	struct stat status;

	if (lstat(address->sun_path, &status) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED
			 ? -EADDRINUSE
			 : 0;
	close(fd);
	return rc == 0 && unlink(address->sun_path) != 0 ? -errno : rc;
}

static int socket_init(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[PATH_MAX];

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	memcpy(folder, path, strlen(path) + 1);
	mkdir(dirname(folder), 0750); /* /run is empty after a boot; bind() tells what is wrong if this fails */
	int rc = socket_clear(&address);
	int fd = rc ? rc : socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return rc ? rc : -errno;
	mode_t mask = umask(0117); /* 0660 from the first moment */
	rc = bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0 ? -errno : 0;
	umask(mask);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

static const char *socket_reason(int error)
{
	return error == -EADDRINUSE ? "another worker answers on it"
	       : error == -EEXIST   ? "is not a socket"
				    : strerror(-error);
}

/* A command line that works on the store itself has it for some milliseconds; many of them must not keep us out. */
static int store_await(struct worker *worker, char error[STORE_ERROR_SIZE])
{
	int rc = store_open(worker->options.store, true, &worker->provisioner.store, error);

	for (int waited = 0; rc == -EBUSY && waited < STORE_WAIT_MS; waited += STORE_STEP_MS) {
		poll(NULL, 0, STORE_STEP_MS);
		rc = store_open(worker->options.store, true, &worker->provisioner.store, error);
	}
	return rc;
}

/* The store lock comes first: whoever has it is the one worker of this store. */
static int worker_start(struct worker *worker)
{
	char error[STORE_ERROR_SIZE];
	int rc = store_await(worker, error);

	if (rc) {
		log_line(LOG_ERR, "%s", error);
		return rc;
	}
	worker->signals = signals_init();
	rc = worker->signals < 0 ? worker->signals : jobs_new(&worker->provisioner.jobs);
	if (rc == 0)
		rc = region_start(worker);
	if (rc)
		return rc;
	worker->listener = socket_init(worker->options.socket);
	if (worker->listener < 0) {
		log_line(LOG_ERR, "%s: %s", worker->options.socket, socket_reason(worker->listener));
		return worker->listener;
	}
	log_line(LOG_INFO, "store %s at revision %llu, ready on %s", worker->options.store,
		 (unsigned long long)worker->provisioner.store->revision, worker->options.socket);
	return 0;
}

static void worker_finish(struct worker *worker)
{
	/* With a supervisor there will be a next worker: by the socket the command line knows to wait for it. */
	if (worker->listener >= 0 && worker->options.region_fd < 0)
		unlink(worker->options.socket);
	if (worker->listener >= 0)
		close(worker->listener);
	while (worker->client_count > 0)
		client_close(worker, &worker->clients[worker->client_count - 1]);
	if (worker->signals >= 0)
		close(worker->signals);
	jobs_free(worker->provisioner.jobs);
	worker->provisioner.jobs = NULL;
	if (worker->listener >= 0)
		snapshot_end(worker);
	publisher_finish(&worker->publisher);
	resolver_free(worker->resolver);
	store_free(worker->provisioner.store);
}

static const char help_text[] =
	"usage: trunkgate-worker --store FILE --socket PATH [--region-fd N] [--region NAME]\n"
	"                        [--nameservers LIST] [--syslog]\n"
	"The writer of Trunkgate's store; the Kamailio module `provisioning` starts it.\n"
	"  --store FILE    the store; made if it is not there\n"
	"  --socket PATH   local socket for operations, mode 0660\n"
	"  --region-fd N   descriptor of the shared region; without it, no number table is published\n"
	"  --region NAME   this node's region: picks the priorities of peers\n"
	"  --nameservers LIST  such as 192.0.2.53,[2001:db8::53]:5353; those of /etc/resolv.conf if absent\n"
	"  --syslog        log there and not to stderr\n";

static int region_fd_parse(const char *text, int *fd)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > INT_MAX || fcntl((int)value, F_GETFD) < 0)
		return -EINVAL;
	fcntl((int)value, F_SETFD, FD_CLOEXEC);
	*fd = (int)value;
	return 0;
}

/* Returns -1 to go on, else the exit status. */
static int options_parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {{"store", required_argument, NULL, 's'},
					      {"socket", required_argument, NULL, 'S'},
					      {"region-fd", required_argument, NULL, 'f'},
					      {"region", required_argument, NULL, 'r'},
					      {"nameservers", required_argument, NULL, 'n'},
					      {"syslog", no_argument, NULL, 'l'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	int option;

	*options = (struct options){.region_name = "", .region_fd = -1};
	while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		if (option == 's')
			options->store = optarg;
		else if (option == 'S')
			options->socket = optarg;
		else if (option == 'r')
			options->region_name = optarg;
		else if (option == 'n')
			options->nameservers = *optarg ? optarg : NULL;
		else if (option == 'l')
			options->syslog = true;
		else if (option == 'f' && region_fd_parse(optarg, &options->region_fd) == 0)
			continue;
		else if (option == 'h')
			return fputs(help_text, stdout) < 0;
		else if (option == 'f')
			return fprintf(stderr, "trunkgate-worker: --region-fd %s: is not an open descriptor\n", optarg),
			       2;
		else
			return 2;
	}
	if (!options->store || !options->socket || optind < argc)
		return fputs(help_text, stderr), 2;
	const char *reason = *options->region_name ? field_name_fault(span_of(options->region_name)) : NULL;
	if (reason)
		return fprintf(stderr, "trunkgate-worker: --region: %s\n", reason), 2;
	return -1;
}

int main(int argc, char **argv)
{
	static struct worker worker = {.listener = -1, .signals = -1};
	int status = options_parse(argc, argv, &worker.options);

	if (status >= 0)
		return status;
	/* Its mutex would be shared with a job, which may be put off for long while it holds it. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	log_to_syslog = worker.options.syslog;
	if (log_to_syslog)
		openlog("trunkgate-worker", LOG_PID, LOG_DAEMON);
	/* With a region there is a supervisor, and without that one nobody reads the region. */
	if (worker.options.region_fd >= 0)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	worker.provisioner.region_name = worker.options.region_name;
	worker.provisioner.worker = true;
	worker.provisioner.log = log_reason;
	worker.provisioner.started_ms = request_clock_ms();
	int rc = worker_start(&worker);
	if (rc == 0)
		worker_loop(&worker);
	worker_finish(&worker);
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
