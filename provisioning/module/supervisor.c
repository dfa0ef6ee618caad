/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The loop of the supervisor process.
 *
 * Kamailio ends when one of its direct children does, so this process outlives every fault of the worker.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <core/dprint.h>

enum {
	BACKOFF_FIRST_MS = 50,
	BACKOFF_LAST_MS = 2000,
	STEADY_MS = 10000, /* a worker that lived so long has earned a fast restart */
	STOP_MS = 3000,
	REGION_FD = 3, /* where the worker finds the region */
};

struct worker {
	pid_t pid; /* 0: not running */
	int log;   /* read end of its stderr, or -1 */
	char line[1024], last_line[256];
	size_t length;
	int64_t started_ms, start_at_ms;
	int backoff_ms;
	bool stopping;
};

static int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Between fork and exec: nothing here may use Kamailio's memory or log. */
static _Noreturn void worker_exec(const struct supervisor *supervisor, pid_t parent, int log)
{
	char region_fd[12];
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setsid(); /* signals for Kamailio's process group are ours to pass on */
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	int null = open("/dev/null", O_RDWR);
	int region = fcntl(supervisor->region_fd, F_DUPFD, REGION_FD + 1);
	log = fcntl(log, F_DUPFD, REGION_FD + 1);
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	dup2(region, REGION_FD);
	close_range(REGION_FD + 1, ~0U, 0);
	snprintf(region_fd, sizeof(region_fd), "%d", REGION_FD);
	execl(supervisor->worker, "trunkgate-worker", "--store", supervisor->store, "--socket", supervisor->socket,
	      "--region-fd", region_fd, "--region", supervisor->region, "--nameservers", supervisor->nameservers,
	      (char *)NULL);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", supervisor->worker, strerror(errno));
	_exit(127);
}

static void worker_retry_later(struct worker *worker)
{
	int64_t now = clock_ms();

	if (now - worker->started_ms >= STEADY_MS)
		worker->backoff_ms = BACKOFF_FIRST_MS;
	worker->start_at_ms = now + worker->backoff_ms;
	worker->backoff_ms = worker->backoff_ms * 2 < BACKOFF_LAST_MS ? worker->backoff_ms * 2 : BACKOFF_LAST_MS;
}

static void worker_start(struct worker *worker, const struct supervisor *supervisor)
{
	int ends[2];
	pid_t parent = getpid();

	worker->started_ms = clock_ms();
	if (pipe2(ends, O_CLOEXEC) != 0) {
		LM_ERR("cannot start the worker: pipe: %s\n", strerror(errno));
		worker_retry_later(worker);
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		worker_exec(supervisor, parent, ends[1]);
	close(ends[1]);
	if (pid < 0) {
		LM_ERR("cannot start the worker: fork: %s\n", strerror(errno));
		close(ends[0]);
		worker_retry_later(worker);
		return;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	if (worker->log >= 0)
		close(worker->log);
	worker->pid = pid;
	worker->log = ends[0];
	worker->length = 0;
	worker->last_line[0] = '\0';
	LM_INFO("worker started, pid %d\n", (int)pid);
}

/* The last line is kept: it mostly says why the worker ended. */
static void worker_log_line(struct worker *worker, const char *line)
{
	static const char name[] = "trunkgate-worker: ";

	if (strncmp(line, name, sizeof(name) - 1) == 0)
		line += sizeof(name) - 1;
	LM_INFO("worker: %s\n", line);
	snprintf(worker->last_line, sizeof(worker->last_line), "%s", line);
}

/* Hands whole lines to Kamailio's log; a line longer than the buffer comes in pieces. Returns false at the end. */
static bool worker_log_read(struct worker *worker)
{
	ssize_t n = read(worker->log, worker->line + worker->length, sizeof(worker->line) - 1 - worker->length);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		close(worker->log);
		worker->log = -1;
	}
	if (n <= 0)
		return false;
	worker->length += (size_t)n;
	worker->line[worker->length] = '\0';
	char *rest = worker->line;
	for (char *end; (end = strchr(rest, '\n')); rest = end + 1) {
		*end = '\0';
		worker_log_line(worker, rest);
	}
	worker->length = strlen(rest);
	if (worker->length == sizeof(worker->line) - 1) {
		worker_log_line(worker, rest);
		worker->length = 0;
	}
	memmove(worker->line, rest, worker->length);
	return true;
}

static void worker_reap(struct worker *worker)
{
	int status;

	if (worker->pid == 0 || waitpid(worker->pid, &status, WNOHANG) != worker->pid)
		return;
	while (worker->log >= 0 && worker_log_read(worker))
		;
	worker->pid = 0;
	if (worker->stopping)
		return;
	worker_retry_later(worker);
	LM_ERR("worker ended (%s %d, its last words: %s), next start in %d ms; calls go on with what is in memory\n",
	       WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	       worker->last_line, (int)(worker->start_at_ms - clock_ms()));
}

/* Waits until something happens, at most until @p until_ms (0: no limit). Returns true if we are told to end. */
static bool supervisor_wait(struct worker *worker, int signals, int64_t until_ms)
{
	struct pollfd sources[] = {{.fd = signals, .events = POLLIN}, {.fd = worker->log, .events = POLLIN}};
	struct signalfd_siginfo info;
	int64_t left = until_ms ? until_ms - clock_ms() : -1;

	poll(sources, 2, left > 0 || !until_ms ? (int)left : 0);
	if (sources[1].revents)
		worker_log_read(worker);
	bool end = false;
	while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		end = end || info.ssi_signo == SIGTERM;
	worker_reap(worker);
	return end;
}

static void worker_stop(struct worker *worker, int signals)
{
	int64_t deadline = clock_ms() + STOP_MS;

	worker->stopping = true;
	if (worker->pid)
		kill(worker->pid, SIGTERM);
	while (worker->pid && clock_ms() < deadline)
		supervisor_wait(worker, signals, deadline);
	if (worker->pid) {
		kill(worker->pid, SIGKILL);
		waitpid(worker->pid, NULL, 0);
	}
}

/* There will be no next worker, so the command line need not wait for one. Another one's socket stays. */
static void socket_remove(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

_Noreturn void supervisor_run(const struct supervisor *supervisor, int parent)
{
	struct worker worker = {.log = -1, .backoff_ms = BACKOFF_FIRST_MS};
	sigset_t watched;

	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGTERM);
	sigprocmask(SIG_BLOCK, &watched, NULL);
	int signals = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	bool end = getppid() != parent;
	while (!end) {
		if (!worker.pid && clock_ms() >= worker.start_at_ms)
			worker_start(&worker, supervisor);
		end = supervisor_wait(&worker, signals, worker.pid ? 0 : worker.start_at_ms);
	}
	worker_stop(&worker, signals);
	if (getppid() == parent)
		socket_remove(supervisor->socket);
	_exit(0);
}
