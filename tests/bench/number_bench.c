/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Kamailio module `number_bench`, only for the benchmarks: look-ups in our table, htable and mtree by one loop.
 *
 *   loadmodule "number_bench.so"
 *   modparam("number_bench", "count", 1000000)
 *   modparam("number_bench", "shared", "/proc/1/fd/5")   # memfds that bench_region filled
 *
 * RPC number_bench.run <kind,kind,...> <rounds> <workers>: nanoseconds per look-up, `kind median low high found`.
 * In each round every kind has one batch, in an order of its own, so whatever disturbs the machine disturbs all alike;
 * dram has one before each batch of the shared table, so that both are as often in a cache. Each look-up begins when
 * the one before has ended, as the one look-up of a call does; otherwise the processor would overlap them. Before each
 * batch the nearer caches are filled with something else. Processor time: being preempted does not count.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <core/atomic_ops.h>
#include <core/dprint.h>
#include <core/mem/mem.h>
#include <core/mem/shm_mem.h>
#include <core/pt.h>
#include <core/rpc.h>
#include <core/rpc_lookup.h>
#include <core/sr_module.h>
#include <modules/htable/ht_api.h>
#include <modules/htable/api.h>
#include <modules/mtree/api.h>

#include "clock.h"
#include "kamailio_compat.h"
#include "number.h"
#include "number_table.h"
#include "series.h"

MODULE_VERSION

enum {
	BATCH = 8192,
	ROUNDS_MAX = 1000,
	WORKERS = 4,
	LINE_WORDS = 8,
	WAIT_US = 200,
	RUN_S = 300,
	OTHER_BYTES = 16 << 20, /**< larger than a second-level cache */
	TEXT_LENGTH = 12,       /* "+49" and nine digits */
};

enum layout { SHARED, UNIQUE, RANGES, LINES, LAYOUTS };

static struct {
	int count, range_count, stock_count;
	char *path[LAYOUTS];
} params;

static const param_export_t parameters[] = {
	{"count", PARAM_INT, &params.count},
	{"range_count", PARAM_INT, &params.range_count},
	{"stock_count", PARAM_INT, &params.stock_count},
	{"shared", PARAM_STRING, &params.path[SHARED]},
	{"unique", PARAM_STRING, &params.path[UNIQUE]},
	{"ranges", PARAM_STRING, &params.path[RANGES]},
	{"lines", PARAM_STRING, &params.path[LINES]},
	{},
};

struct key {
	uint64_t e164;
	char text[TEXT_LENGTH + 4];
};

static struct {
	const struct region *region[LAYOUTS];
	const uint64_t *line;
	uint64_t line_count;
	htable_api_t htable;
	mtree_api_t mtree;
	uint64_t random;
	struct key keys[BATCH];
} state;

/* Lets no later load begin before all earlier instructions have ended. */
static inline void look_up_ends(void)
{
#if defined(__x86_64__)
	__asm__ volatile("lfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("dsb sy\n\tisb" ::: "memory");
#else
#error "which instruction waits for earlier loads here?"
#endif
}

/* --- the look-ups --- */

static uint64_t region_lookups(enum layout layout, size_t count)
{
	const struct region *region = state.region[layout];
	struct attribute_set set;
	uint64_t found = 0;

	for (size_t i = 0; i < count; i++) {
		found += number_table_find(region, state.keys[i].e164, &set) == 0;
		look_up_ends();
	}
	return found;
}

/* From the text, as number_route() does. */
static uint64_t text_lookups(enum layout layout, size_t count)
{
	const struct region *region = state.region[layout];
	struct attribute_set set;
	uint64_t found = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t e164;
		struct span text = {state.keys[i].text, TEXT_LENGTH};
		found += number_parse(text, &e164) == 0 && number_table_find(region, e164, &set) == 0;
		look_up_ends();
	}
	return found;
}

/* The least that a look-up can cost: one word of one line. */
static uint64_t line_reads(enum layout layout, size_t count)
{
	uint64_t found = 0;

	for (size_t i = 0; i < count; i++) {
		found += state.line[state.keys[i].e164 * LINE_WORDS] != 0;
		look_up_ends();
	}
	return found;
}

static uint64_t htable_lookups(enum layout layout, size_t count)
{
	static str table = STR_STATIC_INIT("numbers");
	uint64_t found = 0;

	for (size_t i = 0; i < count; i++) {
		str key = {state.keys[i].text, TEXT_LENGTH};
		ht_cell_t *cell = state.htable.get_clone(&table, &key);
		if (cell)
			pkg_free(cell);
		found += cell != NULL;
		look_up_ends();
	}
	return found;
}

/* mtree's API (bind_mtree) gives the value to the pseudo-variable that the configuration names; its keys are digits. */
static uint64_t mtree_lookups(enum layout layout, size_t count)
{
	static str tree = STR_STATIC_INIT("numbers");
	static struct sip_msg message;
	uint64_t found = 0;

	for (size_t i = 0; i < count; i++) {
		str key = {state.keys[i].text + 1, TEXT_LENGTH - 1};
		found += state.mtree.mt_match(&message, &tree, &key, 0) > 0;
		look_up_ends();
	}
	return found;
}

static uint64_t random_below(uint64_t limit)
{
	return series_random(&state.random) % limit;
}

static uint64_t key_line(void)
{
	return random_below(state.line_count);
}

static uint64_t key_hit(void)
{
	return series_number(random_below((uint64_t)params.count));
}

static uint64_t key_stock_hit(void)
{
	return series_number(random_below((uint64_t)params.stock_count));
}

static uint64_t key_miss(void)
{
	return series_number(SERIES_ABSENT + random_below(SERIES_SPACE - SERIES_ABSENT));
}

/* Inside one of the outer ranges. */
static uint64_t key_range(void)
{
	uint64_t index = random_below((uint64_t)params.range_count);

	if (index % SERIES_NESTED == SERIES_NESTED - 1)
		index--;
	return series_range(index) + random_below(SERIES_RANGE_STEP);
}

enum stock { STOCK_NONE, STOCK_HTABLE, STOCK_MTREE };

static const struct kind {
	const char *name;
	uint64_t (*lookups)(enum layout layout, size_t count);
	enum layout layout;
	uint64_t (*key)(void);
	enum stock stock;
} kinds[] = {
	{"dram", line_reads, LINES, key_line},
	{"hit", region_lookups, SHARED, key_hit},
	{"miss", region_lookups, SHARED, key_miss},
	{"hit_text", text_lookups, SHARED, key_hit},
	{"hit_unique", region_lookups, UNIQUE, key_hit},
	{"range", region_lookups, RANGES, key_range},
	{"range_miss", region_lookups, RANGES, key_miss},
	{"htable_hit", htable_lookups, LAYOUTS, key_stock_hit, STOCK_HTABLE},
	{"htable_miss", htable_lookups, LAYOUTS, key_miss, STOCK_HTABLE},
	{"mtree_hit", mtree_lookups, LAYOUTS, key_stock_hit, STOCK_MTREE},
	{"mtree_miss", mtree_lookups, LAYOUTS, key_miss, STOCK_MTREE},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds), DRAM = 0, DRAM_SHARE = 3 };

static bool kind_ready(const struct kind *kind)
{
	if (kind->stock)
		return params.stock_count > 0 &&
		       (kind->stock == STOCK_HTABLE ? (void *)state.htable.get_clone : (void *)state.mtree.mt_match);
	return kind->layout == LINES ? state.line != NULL : state.region[kind->layout] != NULL;
}

/* --- the workers --- */

struct result {
	double median, low, high;
	uint64_t found;
};

static struct job {
	volatile unsigned number, wanted, workers, rounds;
	atomic_t left;
	struct result results[WORKERS][KINDS];
} * job;

/* Not timed, and each round has other numbers: a table is seen as cold as a random call sees it. */
static void keys_make(uint64_t (*key)(void))
{
	for (size_t i = 0; i < BATCH; i++) {
		char text[NUMBER_TEXT_SIZE];
		state.keys[i].e164 = key();
		number_format(state.keys[i].e164, text);
		memcpy(state.keys[i].text, text, TEXT_LENGTH);
	}
}

/* So that no kind finds what the one before it left in the cache. */
static void cache_fill(void)
{
	static volatile char other[OTHER_BYTES];

	for (size_t i = 0; i < OTHER_BYTES; i += LINE_WORDS * sizeof(uint64_t))
		other[i]++;
}

static double batch_run(const struct kind *kind, uint64_t *found)
{
	cache_fill();
	keys_make(kind->key);
	int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	*found += kind->lookups(kind->layout, BATCH);
	return (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / BATCH;
}

struct samples {
	double values[ROUNDS_MAX * DRAM_SHARE];
	unsigned count;
};

static void sample(struct samples *samples, struct result *results, unsigned kind)
{
	samples[kind].values[samples[kind].count++] = batch_run(&kinds[kind], &results[kind].found);
}

static void result_make(struct result *result, struct samples *samples)
{
	qsort(samples->values, samples->count, sizeof(*samples->values), clock_compare);
	result->median = clock_quantile(samples->values, samples->count, 0.5);
	result->low = clock_quantile(samples->values, samples->count, 0.1);
	result->high = clock_quantile(samples->values, samples->count, 0.9);
}

static bool job_wants(unsigned kind)
{
	return job->wanted & 1u << kind;
}

static void round_run(struct samples *samples, struct result *results)
{
	unsigned order[KINDS], count = 0;

	for (unsigned k = DRAM + 1; k < KINDS; k++)
		if (job_wants(k))
			order[count++] = k;
	for (; count > 0; count--) {
		unsigned *place = &order[random_below(count)], k = *place;
		*place = order[count - 1];
		if (job_wants(DRAM) && kinds[k].layout == SHARED)
			sample(samples, results, DRAM);
		sample(samples, results, k);
	}
}

static void job_run(unsigned worker)
{
	static struct samples samples[KINDS];
	struct result *results = job->results[worker];

	memset(results, 0, sizeof(job->results[worker]));
	memset(samples, 0, sizeof(samples));
	for (unsigned round = 0; round < job->rounds; round++)
		round_run(samples, results);
	for (unsigned k = 0; k < KINDS; k++)
		result_make(&results[k], &samples[k]);
}

static void worker_loop(unsigned worker)
{
	unsigned seen = 0;

	state.random = (uint64_t)getpid() << 32 | worker;
	for (;;) {
		usleep(WAIT_US);
		membar();
		if (job->number == seen)
			continue;
		seen = job->number;
		if (worker < job->workers) {
			job_run(worker);
			membar();
			atomic_dec(&job->left);
		}
	}
}

static int child_init(int rank)
{
	if (rank != PROC_MAIN)
		return 0;
	for (unsigned worker = 0; worker < WORKERS; worker++) {
		int pid = fork_process(PROC_NOCHLDINIT, "number_bench", 0);
		if (pid < 0)
			return -1;
		if (pid == 0)
			worker_loop(worker);
	}
	return 0;
}

/* --- RPC --- */

static const char *const run_document[] = {"Times look-ups: number_bench.run <kinds> <rounds> <workers>", NULL};

/* "hit,miss" -> bits; 0 if one is unknown or cannot run here. */
static unsigned kinds_parse(const char *text)
{
	unsigned wanted = 0;

	for (size_t length; *text; text += length + (text[length] == ',')) {
		unsigned k = 0;
		length = strcspn(text, ",");
		while (k < KINDS && (strlen(kinds[k].name) != length || strncmp(kinds[k].name, text, length)))
			k++;
		if (k == KINDS || !kind_ready(&kinds[k]))
			return 0;
		wanted |= 1u << k;
	}
	return wanted;
}

static bool job_wait(void)
{
	for (int64_t end = clock_ns(CLOCK_MONOTONIC) + RUN_S * 1000000000ll; clock_ns(CLOCK_MONOTONIC) < end;) {
		if (atomic_get(&job->left) == 0)
			return true;
		usleep(WAIT_US);
	}
	return false;
}

static void results_print(rpc_t *rpc, void *context)
{
	for (unsigned k = 0; k < KINDS; k++) {
		if (!job_wants(k))
			continue;
		for (unsigned w = 0; w < job->workers; w++) {
			const struct result *r = &job->results[w][k];
			rpc->rpl_printf(context, "%s %.2f %.2f %.2f %llu", kinds[k].name, r->median, r->low, r->high,
					(unsigned long long)r->found);
		}
	}
}

static void rpc_run(rpc_t *rpc, void *context)
{
	char *names;
	int rounds, workers;

	if (rpc->scan(context, "sdd", &names, &rounds, &workers) != 3)
		return;
	unsigned wanted = kinds_parse(names);
	if (!wanted || rounds < 1 || rounds > ROUNDS_MAX || workers < 1 || workers > WORKERS) {
		rpc->fault(context, 400, "cannot run %s in %d rounds with %d workers", names, rounds, workers);
		return;
	}
	job->wanted = wanted;
	job->rounds = (unsigned)rounds;
	job->workers = (unsigned)workers;
	atomic_set(&job->left, workers);
	membar();
	job->number++;
	if (job_wait())
		results_print(rpc, context);
	else
		rpc->fault(context, 504, "not done in %d s", RUN_S);
}

static rpc_export_t rpcs[] = {
	{.name = "number_bench.run", .function = rpc_run, .doc_str = (const char **)run_document, .flags = RET_ARRAY},
	{},
};

/* --- life --- */

static int layout_map(enum layout layout)
{
	struct stat status;

	if (!params.path[layout])
		return 0;
	int fd = open(params.path[layout], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) != 0)
		return -errno;
	size_t size = (size_t)status.st_size;
	void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	close(fd);
	if (memory == MAP_FAILED)
		return -errno;
	if (layout == LINES) {
		state.line = memory;
		state.line_count = size / (LINE_WORDS * sizeof(uint64_t));
	} else {
		state.region[layout] = region_view(memory, size);
	}
	return 0;
}

static int stock_bind(void)
{
	if (find_module_by_name("htable") && htable_load_api(&state.htable) < 0)
		return -1;
	if (find_module_by_name("mtree") && mtree_load_api(&state.mtree) < 0)
		return -1;
	return 0;
}

static int mod_init(void)
{
	for (enum layout layout = 0; layout < LAYOUTS; layout++) {
		int rc = layout_map(layout);
		if (rc) {
			LM_ERR("cannot map %s: %s\n", params.path[layout], strerror(-rc));
			return -1;
		}
	}
	if (stock_bind() != 0 || rpc_register_array(rpcs) != 0)
		return -1;
	job = shm_malloc(sizeof(*job));
	if (!job)
		return -1;
	memset(job, 0, sizeof(*job));
	register_procs(WORKERS);
	return 0;
}

struct module_exports exports = {
	.name = "number_bench",
	.dlflags = DEFAULT_DLFLAGS,
	.params = (param_export_t *)parameters,
	.init_mod_f = mod_init,
	.init_child_f = child_init,
};
