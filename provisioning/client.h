/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The worker's local socket from the caller's side: one JSON object a line each way. */
#ifndef TRUNKGATE_CLIENT_H
#define TRUNKGATE_CLIENT_H

#include <stddef.h>

/**
 * Sends @p request (one line, newline not needed) and waits for the answer line, @p timeout_ms for all of it.
 *
 * @p response is malloc'd, without the newline. Returns 0 or
 *   -ENOENT, -ECONNREFUSED  no worker: nothing was sent
 *   -EACCES                 the socket is not for this user
 *   -EAGAIN                 the worker took no connection in time: nothing was sent
 *   -ETIMEDOUT, -ECONNRESET sent, no answer: it may still be applied
 *   -ENAMETOOLONG, -ENOMEM, -EINVAL (a newline inside the request)
 */
int client_call(const char *socket, const char *request, int timeout_ms, char **response);

/** The same with a descriptor that the worker is to read or write; -1 for none. It stays open here. */
int client_call_file(const char *socket, const char *request, int file, int timeout_ms, char **response);

/** Builds a request line (malloc'd); @p document and @p via may be NULL. NULL only for want of memory. */
char *client_request(const char *operation, const char *const *arguments, size_t count, const char *document,
		     const char *via);

#endif
