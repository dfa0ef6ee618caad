/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Every line gets an answer with a code; the store's kept digest stays that of its rows. */
#include "fuzz.h"

#include <stdio.h>
#include <unistd.h>

#include "digest.h"
#include "job.h"
#include "request.h"

static struct provisioner provisioner = {.region_name = "", .worker = true};
static char path[] = "/tmp/trunkgate-fuzz.XXXXXX";

static void remove_files(void)
{
	static const char *const endings[] = {"", ".lock", "-wal", "-shm"};
	char name[sizeof(path) + 8];
	jobs_free(provisioner.jobs);
	store_free(provisioner.store);
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		snprintf(name, sizeof(name), "%s%s", path, endings[i]);
		unlink(name);
	}
}

static void open_store(void)
{
	char error[STORE_ERROR_SIZE];
	int fd = mkstemp(path);
	REQUIRE(fd >= 0);
	close(fd);
	REQUIRE(store_open(path, true, &provisioner.store, error) == 0);
	atexit(remove_files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t digest[2];
	if (!provisioner.store)
		open_store();
	char *answer = request_answer(&provisioner, (const char *)data, size, "fuzz", -1);
	REQUIRE(answer && strncmp(answer, "{\"code\":", 8) == 0);
	free(answer);
	REQUIRE(store_digest_compute(provisioner.store, digest) == 0);
	REQUIRE(digest[0] == provisioner.store->digest[0] && digest[1] == provisioner.store->digest[1]);
	return 0;
}
