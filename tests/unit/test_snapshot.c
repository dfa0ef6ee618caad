/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Tests of the snapshot: what is read is what was written and what came after; everything else is refused. */
#include "provision.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "snapshot.h"

#define SERVICE "teamsOperatorConnect"
enum { FIRST = 15550000, COUNT = 3000, PAGE = 4096 };

static void snapshot_name(const struct provision *provision, char name[128])
{
	snprintf(name, 128, "%s.snapshot", provision->path);
}

static struct snapshot snapshot_now(const struct provision *provision)
{
	const struct store *store = provision->provisioner.store;
	struct snapshot snapshot = {.revision = store->revision, .digest = {store->digest[0], store->digest[1]}};
	memcpy(snapshot.id, store->id, sizeof(store->id));
	return snapshot;
}

static void snapshot_make(struct provision *provision, const struct snapshot *snapshot)
{
	struct bulk_progress progress = {0};
	char reason[SNAPSHOT_REASON_SIZE] = "";
	if (snapshot_write(snapshot, provision->provisioner.store, provision->publisher.region, &progress, reason))
		fail_msg("%s", reason);
}

static void number_set(struct provision *provision, uint64_t e164, const char *header)
{
	char text[NUMBER_TEXT_SIZE];
	number_format(e164, text);
	DONE(ASK(provision, "number_set", text, "acme", SERVICE, header));
}

static int snapshot_init(void **state)
{
	provision_region_init(state);
	struct provision *provision = *state;
	assert_int_equal(store_run(provision->provisioner.store, "PRAGMA synchronous = OFF", ""), 0);
	DONE(ASK(provision, "account_set", "acme"));
	for (uint64_t i = 0; i < COUNT; i++)
		number_set(provision, FIRST + i, i % 2 ? "odd" : NULL);
	DONE(ASK(provision, "range_set", "+4420", "+4429", "acme", SERVICE, "range"));
	struct snapshot snapshot = snapshot_now(provision);
	snapshot_make(provision, &snapshot);
	return 0;
}

static int snapshot_finish(void **state)
{
	char name[128];
	snapshot_name(*state, name);
	unlink(name);
	return provision_finish(state);
}

/* Starts over in other memory; returns the revision of the snapshot, 0 if it was not used. */
static uint64_t restart(struct provision *provision, char reason[SNAPSHOT_REASON_SIZE])
{
	uint64_t revision;
	publisher_finish(&provision->publisher);
	munmap(provision->memory, region_size_min);
	provision->memory = unit_region_memory(region_size_min);
	assert_int_equal(region_format(provision->memory, region_size_min, &provision->publisher.region), 0);
	*reason = '\0';
	assert_int_equal(publisher_start(&provision->publisher, provision->provisioner.store, &revision, reason), 0);
	return revision;
}

static void answers(struct provision *provision, uint64_t e164, const char *header)
{
	struct attribute_set set;
	assert_int_equal(number_table_find(provision->publisher.region, e164, &set), header ? 0 : -ENOENT);
	if (header)
		assert_string_equal(attribute_set_header(&set), header);
}

static void is_refused(struct provision *provision, const char *expected)
{
	char reason[SNAPSHOT_REASON_SIZE];
	assert_int_equal(restart(provision, reason), 0);
	if (!strstr(reason, expected))
		fail_msg("expected '%s', got '%s'", expected, reason);
	answers(provision, FIRST + 1, "odd");
	answers(provision, 4425, "range");
}

static void test_snapshot_gives_the_table(void **state)
{
	struct provision *provision = *state;
	char reason[SNAPSHOT_REASON_SIZE];
	assert_int_equal(restart(provision, reason), COUNT + 2);
	for (uint64_t i = 0; i < COUNT; i++)
		answers(provision, FIRST + i, i % 2 ? "odd" : "");
	answers(provision, 4425, "range");
	answers(provision, FIRST - 1, NULL);
	assert_int_equal(number_table_count(provision->publisher.region), COUNT);
	number_set(provision, FIRST - 1, "late");
	answers(provision, FIRST - 1, "late");
}

static void test_changes_since_are_put_on_top(void **state)
{
	struct provision *provision = *state;
	char reason[SNAPSHOT_REASON_SIZE];
	DONE(ASK(provision, "account_set", "other"));
	number_set(provision, FIRST, "new");
	number_set(provision, FIRST + 5000, "new2");
	DONE(ASK(provision, "number_delete", "+15550002"));
	number_set(provision, FIRST + 3, "gone");
	DONE(ASK(provision, "number_delete", "+15550003"));
	DONE(ASK(provision, "range_set", "+4500", "+4599", "acme", SERVICE, "range2"));
	DONE(ASK(provision, "range_delete", "+4420", "+4429"));
	DONE(LOAD(provision, provision_topology, "t.json"));
	assert_int_equal(restart(provision, reason), COUNT + 2);
	answers(provision, FIRST, "new");
	answers(provision, FIRST + 5000, "new2");
	answers(provision, FIRST + 2, NULL);
	answers(provision, FIRST + 3, NULL);
	answers(provision, 4550, "range2");
	answers(provision, 4425, NULL);
	assert_int_equal(number_table_count(provision->publisher.region), COUNT - 1);
}

/* The table may change while it is copied: what the file names is its start. */
static void test_snapshot_may_be_ahead_of_its_revision(void **state)
{
	struct provision *provision = *state;
	struct snapshot before = snapshot_now(provision);
	char reason[SNAPSHOT_REASON_SIZE];
	number_set(provision, FIRST, "new");
	DONE(ASK(provision, "number_delete", "+15550002"));
	snapshot_make(provision, &before);
	DONE(ASK(provision, "number_delete", "+15550000"));
	number_set(provision, FIRST + 2, "back");
	assert_int_equal(restart(provision, reason), COUNT + 2);
	answers(provision, FIRST, NULL);
	answers(provision, FIRST + 2, "back");
	assert_int_equal(number_table_count(provision->publisher.region), COUNT - 1);
}

static void test_what_cannot_be_put_on_top_is_refused(void **state)
{
	struct provision *provision = *state;
	DONE(ASK(provision, "account_set", "other"));
	DONE(ASK(provision, "account_delete", "other"));
	is_refused(provision, "there was an import or a deleted account since");
}

static void test_snapshot_of_another_history_is_refused(void **state)
{
	struct provision *provision = *state;
	struct snapshot other = snapshot_now(provision);
	other.revision++;
	snapshot_make(provision, &other);
	is_refused(provision, "it is newer than the store");
	other.revision--;
	other.digest[1]++;
	snapshot_make(provision, &other);
	is_refused(provision, "the store had other content at its revision");
	other.digest[1]--;
	other.id[0] = other.id[0] == 'a' ? 'b' : 'a';
	snapshot_make(provision, &other);
	is_refused(provision, "it is of another store");
}

static off_t file_size(const char *name)
{
	struct stat status;
	assert_int_equal(stat(name, &status), 0);
	return status.st_size;
}

static void test_truncated_snapshot_is_refused(void **state)
{
	struct provision *provision = *state;
	char name[128];
	snapshot_name(provision, name);
	for (off_t size = file_size(name) - PAGE; size >= 0; size -= PAGE) {
		assert_int_equal(truncate(name, size), 0);
		is_refused(provision, "cut short");
	}
	unlink(name);
	is_refused(provision, "No such file");
	assert_int_equal(mkdir(name, 0700), 0);
	is_refused(provision, "no snapshot");
	rmdir(name);
}

static void byte_flip(const char *name, off_t at)
{
	unsigned char byte;
	int file = open(name, O_RDWR);
	assert_int_equal(pread(file, &byte, 1, at), 1);
	byte ^= 0x20;
	assert_int_equal(pwrite(file, &byte, 1, at), 1);
	close(file);
}

static void test_damaged_snapshot_is_refused(void **state)
{
	struct provision *provision = *state;
	char name[128];
	snapshot_name(provision, name);
	for (off_t at = 0; at < 136; at += 7) {
		byte_flip(name, at);
		is_refused(provision, "");
		byte_flip(name, at);
	}
	for (off_t at = PAGE; at < 10 * PAGE; at += 1999) { /* buckets: what fills up their last page is no matter */
		byte_flip(name, at);
		is_refused(provision, "it is damaged");
		byte_flip(name, at);
	}
	byte_flip(name, 3);
	is_refused(provision, "it is no snapshot");
	byte_flip(name, 3);
	byte_flip(name, 8);
	is_refused(provision, "it was written by another version");
	byte_flip(name, 8);
	char reason[SNAPSHOT_REASON_SIZE];
	assert_int_equal(restart(provision, reason), COUNT + 2);
}

static void test_snapshot_is_given_up_when_the_table_grows(void **state)
{
	struct provision *provision = *state;
	struct number_image image;
	assert_int_equal(number_image_start(provision->publisher.region, &image), 0);
	assert_true(number_image_current(provision->publisher.region, &image));
	assert_int_equal(publisher_rebuild(&provision->publisher, provision->provisioner.store), 0);
	assert_false(number_image_current(provision->publisher.region, &image));
}

#define SNAPSHOT_TEST(name) cmocka_unit_test_setup_teardown(name, snapshot_init, snapshot_finish)

int main(void)
{
	const struct CMUnitTest tests[] = {SNAPSHOT_TEST(test_snapshot_gives_the_table),
					   SNAPSHOT_TEST(test_changes_since_are_put_on_top),
					   SNAPSHOT_TEST(test_snapshot_may_be_ahead_of_its_revision),
					   SNAPSHOT_TEST(test_what_cannot_be_put_on_top_is_refused),
					   SNAPSHOT_TEST(test_snapshot_of_another_history_is_refused),
					   SNAPSHOT_TEST(test_truncated_snapshot_is_refused),
					   SNAPSHOT_TEST(test_damaged_snapshot_is_refused),
					   SNAPSHOT_TEST(test_snapshot_is_given_up_when_the_table_grows)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
