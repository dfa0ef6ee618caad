/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Feeds every file of a folder to the fuzzer, each cut short at every length as well. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* An exact copy on the heap, so that the address sanitiser sees one byte too many. */
static void feed(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	REQUIRE(copy);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void replay(const char *folder, const char *name)
{
	static uint8_t data[65536];
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	REQUIRE(file);
	size_t size = fread(data, 1, sizeof(data), file);
	fclose(file);
	for (size_t length = size > 2048 ? size - 2048 : 0; length <= size; length++)
		feed(data, length);
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	if (!folder) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (entry->d_name[0] == '.')
			continue;
		replay(argv[1], entry->d_name);
		count++;
	}
	closedir(folder);
	printf("%u inputs\n", count);
	return count ? 0 : 1;
}
