/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The caller's side of the worker's socket. */
#include "client.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { RESPONSE_MAX = 256 << 20, RETRY_MS = 20, FILE_CONTROL_SIZE = CMSG_SPACE(sizeof(int)) };

static int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for @p events until @p deadline. Returns 0 or -ETIMEDOUT. */
static int socket_wait(int fd, short events, int64_t deadline)
{
	for (;;) {
		int64_t left = deadline - clock_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		struct pollfd poll_fd = {.fd = fd, .events = events};
		int rc = poll(&poll_fd, 1, (int)left);
		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return -errno;
	}
}

/* A local socket whose queue is full answers EAGAIN and cannot be polled for room. */
static int socket_connect(const char *path, int64_t deadline)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		int error = errno;
		if ((error == EAGAIN || error == EINTR) && clock_ms() < deadline) {
			poll(NULL, 0, RETRY_MS);
			continue;
		}
		close(fd);
		return -error;
	}
	return fd;
}

/* The descriptor goes with the first byte. */
static void file_attach(struct msghdr *message, char control[FILE_CONTROL_SIZE], int file)
{
	message->msg_control = control;
	message->msg_controllen = FILE_CONTROL_SIZE;
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(file));
	memcpy(CMSG_DATA(header), &file, sizeof(file));
}

static int line_send(int fd, const char *line, size_t length, int file, int64_t deadline)
{
	_Alignas(struct cmsghdr) char control[FILE_CONTROL_SIZE] = {0};
	char newline[] = "\n";

	for (size_t sent = 0; sent < length + 1;) {
		struct iovec parts[] = {{.iov_base = (void *)(uintptr_t)(line + (sent < length ? sent : length)),
					 .iov_len = sent < length ? length - sent : 0},
					{.iov_base = newline, .iov_len = 1}};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		if (file >= 0 && sent == 0)
			file_attach(&message, control, file);
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return 0; /* the worker may have answered before it closed */
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		int rc = socket_wait(fd, POLLOUT, deadline);
		if (rc)
			return rc;
	}
	return 0;
}

struct line {
	char *text;
	size_t length, size;
};

static int line_grow(struct line *line)
{
	if (line->length + 1 < line->size)
		return 0;
	size_t size = line->size ? line->size * 2 : 4096;
	char *text = size <= RESPONSE_MAX ? realloc(line->text, size) : NULL;
	if (!text)
		return -ENOMEM;
	line->text = text;
	line->size = size;
	return 0;
}

/* Returns 1 with a whole line, 0 for more, or -errno. */
static int line_receive(int fd, struct line *line, int64_t deadline)
{
	int rc = line_grow(line);

	if (rc)
		return rc;
	ssize_t n = recv(fd, line->text + line->length, line->size - line->length - 1, 0);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? socket_wait(fd, POLLIN, deadline) : -errno;
	char *end = memchr(line->text + line->length, '\n', (size_t)n);
	line->length += (size_t)n;
	if (!end)
		return 0;
	*end = '\0';
	return 1;
}

int client_call(const char *socket, const char *request, int timeout_ms, char **response)
{
	return client_call_file(socket, request, -1, timeout_ms, response);
}

int client_call_file(const char *socket, const char *request, int file, int timeout_ms, char **response)
{
	int64_t deadline = clock_ms() + timeout_ms;
	struct line line = {0};

	if (strchr(request, '\n'))
		return -EINVAL;
	int fd = socket_connect(socket, deadline);
	if (fd < 0)
		return fd;
	int rc = line_send(fd, request, strlen(request), file, deadline);
	while (rc == 0)
		rc = line_receive(fd, &line, deadline);
	close(fd);
	if (rc < 0) {
		free(line.text);
		return rc;
	}
	*response = line.text;
	return 0;
}

char *client_request(const char *operation, const char *const *arguments, size_t count, const char *document,
		     const char *via)
{
	struct json_object *request = json_object_new_object();
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, json_object_new_string(arguments[i]));
	json_object_object_add(request, "operation", json_object_new_string(operation));
	json_object_object_add(request, "arguments", list);
	if (document)
		json_object_object_add(request, "document", json_object_new_string(document));
	if (via)
		json_object_object_add(request, "via", json_object_new_string(via));
	const char *text =
		json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *copy = text ? strdup(text) : NULL;
	json_object_put(request);
	return copy;
}
