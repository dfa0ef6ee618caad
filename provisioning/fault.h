/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Why an operation was refused: a code in the manner of HTTP, the field and the reason. */
#ifndef TRUNKGATE_FAULT_H
#define TRUNKGATE_FAULT_H

#include <stddef.h>

enum {
	FAULT_BAD_VALUE = 400,   /**< the caller sent something that no store would take */
	FAULT_NOT_FOUND = 404,   /**< number, account, peer or operation that does not exist */
	FAULT_CONFLICT = 409,    /**< fine by itself, but not with what is stored */
	FAULT_UNAVAILABLE = 503, /**< the store or the region cannot take it now; nothing half done */
	FAULT_TIMEOUT = 504, /**< no answer in time: may still be applied (said by the doors, never by the worker) */
};

struct fault {
	int code; /**< 0 = none */
	char field[256];
	char reason[256];
	int retry_after; /**< seconds; 0 = not known */
};

/** Sets the fault and returns its -errno: -EINVAL, -ENOENT, -EEXIST, -EIO. */
int fault_set(struct fault *fault, int code, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/** Copies what a stranger sent so that it can be shown: printable ASCII, at most @p size - 1 characters. Returns @p
 * out. */
const char *fault_quote(const char *text, char *out, size_t size);

#endif
