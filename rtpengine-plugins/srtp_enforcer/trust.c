/* SPDX-License-Identifier: GPL-2.0-or-later */
/** May others change a file? */
#include "trust.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_ours(const struct stat *status)
{
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return false;
	if (S_ISDIR(status->st_mode) && status->st_mode & S_ISVTX)
		return true;
	return !(status->st_mode & S_IWOTH) && (!(status->st_mode & S_IWGRP) || status->st_gid == 0);
}

int trust_check(const char *path, char *text, unsigned long size)
{
	char real[PATH_MAX];
	struct stat status;
	if (!realpath(path, real)) {
		int error = errno;
		snprintf(text, size, "%s: %s", path, strerror(error));
		return -error;
	}
	for (char *end = real + strlen(real); *real;) {
		if (stat(real, &status) || !is_ours(&status)) {
			snprintf(text, size, "others can write %s", real);
			return -EPERM;
		}
		if (end == real + 1)
			break;
		while (end > real && *--end != '/')
			;
		end = end == real ? real + 1 : end;
		*end = '\0';
	}
	return 0;
}
