/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Faults of operations. */
#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int fault_errno(int code)
{
	switch (code) {
	case FAULT_BAD_VALUE:
		return -EINVAL;
	case FAULT_NOT_FOUND:
		return -ENOENT;
	case FAULT_CONFLICT:
		return -EEXIST;
	case FAULT_TIMEOUT:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

int fault_set(struct fault *fault, int code, const char *field, const char *format, ...)
{
	fault->code = code;
	snprintf(fault->field, sizeof(fault->field), "%s", field);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(fault->reason, sizeof(fault->reason), format, arguments);
	va_end(arguments);
	return fault_errno(code);
}

const char *fault_quote(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (; text[n] && n + 1 < size; n++)
		out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	out[n] = '\0';
	if (text[n] && n >= 3)
		out[n - 1] = out[n - 2] = out[n - 3] = '.';
	return out;
}
