/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The snapshot of the number table. */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "digest.h"
#include "number.h"
#include "range.h"

enum { VERSION = 3, PAGE = 4096, BLOCK = 1 << 20, SYNC_BLOCKS = 16 };
static const char magic[8] = "TRNKSNAP";

/* The first page, little-endian like the table itself; then the parts, each from a page on. */
struct header {
	char magic[8];
	uint32_t version, size;
	char id[REGION_STORE_ID_SIZE + 3];
	uint64_t revision, digest[2];
	uint64_t part_size[NUMBER_IMAGE_PARTS], part_sum[NUMBER_IMAGE_PARTS];
	uint64_t sum; /* of all before it */
};

static uint64_t header_sum(const struct header *header)
{
	return XXH3_64bits(header, offsetof(struct header, sum));
}

static uint64_t page_round(uint64_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

static int reason_set(char reason[SNAPSHOT_REASON_SIZE], int rc, const char *text)
{
	snprintf(reason, SNAPSHOT_REASON_SIZE, "%s", text);
	return rc;
}

static void name_make(const struct store *store, const char *end, char name[PATH_MAX])
{
	snprintf(name, PATH_MAX, "%s.snapshot%s", store->path, end);
}

/* --- writing --- */

static int bytes_write(int file, const void *bytes, size_t length, uint64_t offset)
{
	const char *at = bytes;

	while (length > 0) {
		ssize_t n = pwrite(file, at, length, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		offset += (uint64_t)n;
		length -= (size_t)n;
	}
	return 0;
}

/* By way of a buffer: the sum must be of what is written, and the table may change meanwhile. */
static int part_write(int file, const char *data, uint64_t size, uint64_t offset, struct bulk_progress *progress,
		      uint64_t *sum)
{
	XXH3_state_t *state = XXH3_createState();
	char *block = malloc(BLOCK);
	int rc = state && block ? 0 : -ENOMEM;

	if (rc == 0)
		XXH3_64bits_reset(state);
	for (uint64_t at = 0; at < size && rc == 0; at += BLOCK) {
		size_t length = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
		memcpy(block, data + at, length);
		XXH3_64bits_update(state, block, length);
		rc = bytes_write(file, block, length, offset + at);
		if (rc == 0 && (at / BLOCK + 1) % SYNC_BLOCKS == 0 && fdatasync(file) != 0)
			rc = -errno;
		if (rc == 0 && bulk_cancelled(progress))
			rc = -ECANCELED;
	}
	if (rc == 0)
		*sum = XXH3_64bits_digest(state);
	free(block);
	XXH3_freeState(state);
	return rc;
}

static int parts_write(int file, const struct region *region, uint32_t sets, struct header *header,
		       struct bulk_progress *progress)
{
	struct number_image image;
	uint64_t offset = PAGE;
	int rc = number_image_start(region, &image);

	for (unsigned part = 0; part < NUMBER_IMAGE_PARTS && rc == 0; part++) {
		const void *data = number_image_part(region, &image, part, sets);
		rc = part_write(file, data, image.size[part], offset, progress, &header->part_sum[part]);
		header->part_size[part] = image.size[part];
		offset += page_round(image.size[part]);
	}
	if (rc == 0 && !number_image_current(region, &image))
		rc = -ESTALE;
	return rc ? rc : ftruncate(file, (off_t)offset) == 0 ? 0 : -errno;
}

/* The header comes last: a file without it is none. */
static int file_fill(int file, const struct snapshot *snapshot, const struct region *region, uint32_t sets,
		     struct bulk_progress *progress)
{
	struct header header = {.version = VERSION, .size = sizeof(header), .revision = snapshot->revision};
	int rc = parts_write(file, region, sets, &header, progress);

	if (rc)
		return rc;
	memcpy(header.magic, magic, sizeof(magic));
	memcpy(header.id, snapshot->id, sizeof(snapshot->id));
	memcpy(header.digest, snapshot->digest, sizeof(header.digest));
	header.sum = header_sum(&header);
	rc = bytes_write(file, &header, sizeof(header), 0);
	return rc ? rc : fsync(file) == 0 ? 0 : -errno;
}

static int folder_sync(const char *path)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s", path);
	int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

int snapshot_write(const struct snapshot *snapshot, struct store *store, const struct region *region,
		   struct bulk_progress *progress, char reason[SNAPSHOT_REASON_SIZE])
{
	char beside[PATH_MAX], name[PATH_MAX];
	int64_t sets = 0;
	int rc = store_integer(store, &sets, "SELECT coalesce(max(id), 0) FROM attribute_set", "");

	if (rc)
		return reason_set(reason, rc, store->error);
	name_make(store, "", name);
	name_make(store, ".new", beside);
	int file = open(beside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return reason_set(reason, -errno, strerror(errno));
	rc = file_fill(file, snapshot, region, (uint32_t)sets, progress);
	close(file);
	if (rc == 0 && rename(beside, name) != 0)
		rc = -errno;
	if (rc == 0)
		rc = folder_sync(name);
	else
		unlink(beside);
	return rc ? reason_set(reason, rc, strerror(-rc)) : 0;
}

/* --- reading --- */

static int header_read(int file, struct header *header, char reason[SNAPSHOT_REASON_SIZE])
{
	struct stat status;
	uint64_t size = PAGE;

	if (pread(file, header, sizeof(*header), 0) != (ssize_t)sizeof(*header) ||
	    memcmp(header->magic, magic, sizeof(magic)) != 0)
		return reason_set(reason, -EBADMSG, "it is no snapshot, or cut short");
	if (header->version != VERSION || header->size != sizeof(*header))
		return reason_set(reason, -EPROTO, "it was written by another version");
	if (header->sum != header_sum(header))
		return reason_set(reason, -EBADMSG, "its first page is damaged");
	for (unsigned part = 0; part < NUMBER_IMAGE_PARTS; part++) {
		if (header->part_size[part] > INT64_MAX / 8)
			return reason_set(reason, -EBADMSG, "its first page is damaged");
		size += page_round(header->part_size[part]);
	}
	if (fstat(file, &status) != 0 || (uint64_t)status.st_size != size)
		return reason_set(reason, -EBADMSG, "it is cut short");
	header->id[REGION_STORE_ID_SIZE - 1] = '\0';
	return 0;
}

/* Only changes of single numbers and of what is read from the store anyway can be put on top. */
static int history_check(struct store *store, const struct header *header, uint64_t *changes,
			 char reason[SNAPSHOT_REASON_SIZE])
{
	char digest[2 * STORE_DIGEST_SIZE + 1];
	int64_t found = 0, count = 0;

	if (strcmp(header->id, store->id) != 0)
		return reason_set(reason, -ESTALE, "it is of another store");
	if (header->revision > store->revision)
		return reason_set(reason, -ESTALE, "it is newer than the store");
	store_digest_text(header->digest, digest);
	int rc =
		store_integer(store, &found, "SELECT 1 FROM change_log WHERE revision = ? AND digest = digest_bytes(?)",
			      "it", (int64_t)header->revision, digest);
	if (rc == -ENOENT)
		return reason_set(reason, -ESTALE, "the store had other content at its revision");
	if (rc == 0)
		rc = store_integer(
			store, &count,
			"SELECT count(*) FROM change_log WHERE revision > ? AND operation IN " STORE_SMALL_CHANGES, "i",
			(int64_t)header->revision);
	if (rc)
		return reason_set(reason, rc, store->error);
	*changes = store->revision - header->revision;
	if ((uint64_t)count != *changes)
		return reason_set(reason, -ESTALE, "there was an import or a deleted account since");
	return *changes > SNAPSHOT_CHANGES_MAX ? reason_set(reason, -ESTALE, "there were too many changes since") : 0;
}

static int part_read(int file, char *room, uint64_t size, uint64_t offset, uint64_t expected,
		     char reason[SNAPSHOT_REASON_SIZE])
{
	XXH3_state_t *state = XXH3_createState();
	uint64_t at = 0;

	if (!state)
		return -ENOMEM;
	XXH3_64bits_reset(state);
	while (at < size) {
		size_t length = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
		ssize_t n = pread(file, room + at, length, (off_t)(offset + at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		XXH3_64bits_update(state, room + at, (size_t)n);
		at += (uint64_t)n;
	}
	bool right = at == size && XXH3_64bits_digest(state) == expected;
	XXH3_freeState(state);
	return right ? 0 : reason_set(reason, -EBADMSG, "it is damaged");
}

static int parts_read(int file, const struct header *header, struct number_table *table,
		      char reason[SNAPSHOT_REASON_SIZE])
{
	uint64_t offset = PAGE;
	int rc = 0;

	for (unsigned part = 0; part < NUMBER_IMAGE_PARTS && rc == 0; part++) {
		uint64_t size = header->part_size[part];
		char *room = number_image_room(table, part);
		madvise(room, page_round(size), MADV_POPULATE_WRITE); /* one call, not a fault a page; may fail */
		rc = part_read(file, room, size, offset, header->part_sum[part], reason);
		offset += page_round(size);
	}
	return rc;
}

/* --- what changed since --- */

/* As the store has it now, whatever the log says in between. */
static int number_refresh(struct store *store, struct number_table *table, uint64_t e164)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement,
			      "SELECT s.id, s.service, s.account, s.header FROM number n"
			      " JOIN attribute_set s ON s.id = n.attribute_set WHERE n.e164 = ?",
			      "i", (int64_t)e164);

	if (rc == 0)
		rc = store_step(store, &statement);
	if (rc == 0)
		number_table_delete(table, e164);
	if (rc < 1)
		return rc;
	uint32_t set = (uint32_t)sqlite3_column_int64(statement, 0);
	rc = number_table_add_set(table, set, (uint16_t)sqlite3_column_int(statement, 1),
				  span_of(store_text(statement, 2)), span_of(store_text(statement, 3)));
	sqlite3_finalize(statement);
	return rc ? rc : number_table_put(table, e164, set);
}

static int changes_apply(struct store *store, struct number_table *table, uint64_t revision)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement,
			      "SELECT DISTINCT json_extract(arguments, '$[0]') FROM change_log WHERE revision > ?"
			      " AND operation IN ('number_set', 'number_delete')",
			      "i", (int64_t)revision);

	while (rc == 0 && (rc = store_step(store, &statement)) > 0) {
		uint64_t e164;
		rc = number_parse(span_of(store_text(statement, 0)), &e164);
		if (rc == 0)
			rc = number_refresh(store, table, e164);
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

static int table_read(int file, struct store *store, struct region *region, struct number_table **table,
		      uint64_t *changes, char reason[SNAPSHOT_REASON_SIZE])
{
	struct number_image image = {0};
	struct header header;
	int rc = header_read(file, &header, reason);

	if (rc == 0)
		rc = history_check(store, &header, changes, reason);
	if (rc)
		return rc;
	memcpy(image.size, header.part_size, sizeof(image.size));
	rc = number_image_new(region, &image, table);
	if (rc)
		return reason_set(reason, rc, "its table does not fit the region");
	rc = parts_read(file, &header, *table, reason);
	if (rc)
		return rc;
	if (number_image_end(*table, &image) != 0)
		return reason_set(reason, -EBADMSG, "it is damaged");
	rc = changes_apply(store, *table, header.revision);
	if (rc == 0)
		rc = ranges_publish(store, *table);
	return rc ? reason_set(reason, rc, rc == -ENOSPC ? "its table is full" : "the log cannot be put on top") : 0;
}

int snapshot_read(struct store *store, struct region *region, struct number_table **table, uint64_t *changes,
		  char reason[SNAPSHOT_REASON_SIZE])
{
	struct number_table *read = NULL;
	char name[PATH_MAX];

	*reason = '\0';
	name_make(store, "", name);
	int file = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (file < 0)
		return reason_set(reason, -errno, strerror(errno));
	int rc = table_read(file, store, region, &read, changes, reason);
	close(file);
	if (rc) {
		number_table_free(read);
		return rc;
	}
	*table = read;
	return 0;
}
