/* SPDX-License-Identifier: GPL-2.0-or-later */
/** trunkgate: the operations on the command line, through the worker or, while none runs, on the store itself. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "job.h"
#include "sites.h"
#include "topology_document.h"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };
enum { ANSWER_MS = 60000, WAIT_MS = 3000, WAIT_STEP_MS = 10, COLUMNS_MAX = 16 };
enum { POLL_FIRST_MS = 5, POLL_LAST_MS = 200, BAR_WIDTH = 30 };

struct options {
	const char *store, *socket; /**< NULL: not to be used */
	const char *kamailio;       /**< its JSON-RPC socket */
	bool store_given, socket_given, json, help, operations, version, no_wait;
	const char *report;
	const char *words[OPERATION_ARGUMENTS_MAX + 3]; /**< operation and arguments, one too many at most */
	size_t word_count;
};

/* Who answers. The store stays open while a job runs in this process. */
struct door {
	const struct options *options;
	struct provisioner provisioner;
	int file; /* goes along with the first request */
};

/* --- help --- */

/* No operation: calls and probes are Kamailio's, not the worker's. */
static const char sites_usage[] = "sites [<group>]", sites_help[] = "show what Kamailio sees of its peers, and why";

static void help_print(FILE *out)
{
	char usage[160];

	fputs("usage: trunkgate [--json] [--store FILE] [--socket PATH] <operation> [<argument>...]\n\n", out);
	for (const struct operation *operation = operations; operation->name; operation++) {
		operation_usage(operation, usage, sizeof(usage));
		if (!(operation->flags & OPERATION_HIDDEN))
			fprintf(out, "  %-50s %s\n", usage, operation->help);
	}
	fprintf(out, "  %-50s %s\n", sites_usage, sites_help);
	fputs("\n"
	      "  --json         print the worker's answer as it is\n"
	      "  --store FILE   work on this store (default " DEFAULT_STORE ")\n"
	      "  --socket PATH  the worker's socket (default " DEFAULT_SOCKET ")\n"
	      "  --kamailio PATH  sites: Kamailio's JSON-RPC socket (default " DEFAULT_KAMAILIO ")\n"
	      "  --no-wait      import, export, verify: show the job's number and end; the worker goes on\n"
	      "  --report FILE  import: write every fault to this file as well\n"
	      "  --             what follows is no option\n"
	      "  --help, --version, --operations\n\n"
	      "Only one of --store and --socket: the other is not used. `trunkgate <operation> --help` tells more.\n"
	      "Exit status: 0 done, 1 refused or failed, 2 wrong command line.\n",
	      out);
}

static void operation_help_print(const struct operation *operation)
{
	char usage[160];

	operation_usage(operation, usage, sizeof(usage));
	printf("usage: trunkgate %s\n%s\n", usage, operation->help);
	for (const struct argument *argument = operation->arguments; argument->name; argument++) {
		printf("  %-10s %s", argument->name, argument->kind->rule);
		for (size_t i = 0; argument->kind->choice && argument->kind->choice(i); i++)
			printf("%s%s", i ? ", " : ": ", argument->kind->choice(i));
		printf("\n");
	}
}

/* For the completion: operation, then one field an argument: kind, or kind:choice choice... */
static void operations_print(void)
{
	for (const struct operation *operation = operations; operation->name; operation++) {
		if (operation->flags & OPERATION_HIDDEN)
			continue;
		fputs(operation->name, stdout);
		for (const struct argument *argument = operation->arguments; argument->name; argument++) {
			printf("\t%s", argument->kind->name);
			for (size_t i = 0; argument->kind->choice && argument->kind->choice(i); i++)
				printf("%s%s", i ? " " : ":", argument->kind->choice(i));
		}
		putchar('\n');
	}
	puts("sites\tgroup");
}

/* --- printing answers --- */

/* Names come from others: nothing of them may steer the terminal. */
static void text_print(FILE *out, const char *text, size_t width)
{
	size_t n = 0;

	for (; text[n]; n++)
		fputc((unsigned char)text[n] < ' ' || text[n] == 127 ? '?' : text[n], out);
	for (; n < width; n++)
		fputc(' ', out);
}

static const char *value_text(struct json_object *value)
{
	return value ? json_object_get_string(value) : "";
}

struct column {
	const char *key;
	size_t width;
};

static size_t columns_collect(struct json_object *items, struct column *columns)
{
	size_t count = 0;

	for (size_t i = 0; i < json_object_array_length(items); i++) {
		json_object_object_foreach(json_object_array_get_idx(items, i), key, value)
		{
			size_t c = 0, width = strlen(value_text(value));
			while (c < count && strcmp(columns[c].key, key) != 0)
				c++;
			if (c == COLUMNS_MAX)
				continue;
			if (c == count)
				columns[count++] = (struct column){.key = key, .width = strlen(key)};
			if (width > columns[c].width)
				columns[c].width = width;
		}
	}
	return count;
}

static void table_print(struct json_object *items)
{
	struct column columns[COLUMNS_MAX];
	size_t count = columns_collect(items, columns);

	for (size_t c = 0; c < count; c++)
		text_print(stdout, columns[c].key, c + 1 < count ? columns[c].width + 2 : 0);
	if (count)
		putchar('\n');
	for (size_t i = 0; i < json_object_array_length(items); i++) {
		for (size_t c = 0; c < count; c++) {
			struct json_object *value = NULL;
			json_object_object_get_ex(json_object_array_get_idx(items, i), columns[c].key, &value);
			text_print(stdout, value_text(value), c + 1 < count ? columns[c].width + 2 : 0);
		}
		putchar('\n');
	}
}

static void fields_print(struct json_object *result)
{
	size_t width = 0;

	json_object_object_foreach(result, name, unused)
	{
		(void)unused;
		if (strlen(name) > width)
			width = strlen(name);
	}
	json_object_object_foreach(result, key, value)
	{
		if (json_object_is_type(value, json_type_array))
			continue;
		text_print(stdout, key, width + 2);
		text_print(stdout, value_text(value), 0);
		putchar('\n');
	}
}

static void member_copy(struct json_object *to, const char *key, struct json_object *from, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(from, name, &value);
	json_object_object_add(to, key, value ? json_object_get(value) : json_object_new_string("-"));
}

/* One row a target; a peer without has one too, for its reason. */
static struct json_object *targets_table(struct json_object *peers)
{
	struct json_object *rows = json_object_new_array(), *targets = NULL;

	for (size_t i = 0; i < json_object_array_length(peers); i++) {
		struct json_object *peer = json_object_array_get_idx(peers, i);
		json_object_object_get_ex(peer, "targets", &targets);
		size_t count = json_object_array_length(targets), k = 0;
		do {
			struct json_object *row = json_object_new_object();
			struct json_object *target = k < count ? json_object_array_get_idx(targets, k) : NULL;
			member_copy(row, "peer", peer, "peer");
			member_copy(row, "host", peer, "host");
			member_copy(row, "address", target, "address");
			member_copy(row, "port", target, "port");
			member_copy(row, "name", target, "name");
			member_copy(row, "priority", target, "srvPriority");
			member_copy(row, "weight", target, "srvWeight");
			member_copy(row, "reason", peer, "reason");
			json_object_array_add(rows, row);
		} while (++k < count);
	}
	return rows;
}

static void targets_print(struct json_object *peers)
{
	struct json_object *rows = targets_table(peers);

	table_print(rows);
	json_object_put(rows);
}

static void next_print(const struct options *options, struct json_object *next)
{
	const char *const *words = options->words;
	bool numbers = strcmp(words[0], "number_list") == 0 || strcmp(words[0], "range_list") == 0;
	size_t limit = numbers ? 2 : 1;

	fprintf(stderr, "more: trunkgate %s ", words[0]);
	if (numbers)
		fprintf(stderr, "%s ", options->word_count > 1 && *words[1] ? words[1] : "-");
	fprintf(stderr, "%s %s\n", options->word_count > limit ? words[limit] : "100", value_text(next));
}

static void result_print(const struct options *options, struct json_object *result)
{
	struct json_object *list = NULL, *next = NULL;
	bool waits = json_object_object_get_ex(result, "inForce", NULL);

	if (strcmp(options->words[0], "topology_get") == 0) {
		puts(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								    JSON_C_TO_STRING_NOSLASHESCAPE));
	} else if (json_object_object_get_ex(result, "job", &list)) {
		fields_print(result);
		if (json_object_object_get_ex(result, "items", &list))
			table_print(list);
	} else if (json_object_object_get_ex(result, "items", &list)) {
		(strcmp(options->words[0], "target_list") == 0 ? targets_print : table_print)(list);
		if (json_object_object_get_ex(result, "next", &next))
			next_print(options, next);
	} else {
		fields_print(result);
		if (json_object_object_get_ex(result, "changes", &list))
			table_print(list);
	}
	if (waits)
		puts("stored: comes into force when a worker starts");
}

static void error_print(struct json_object *error, int code)
{
	struct json_object *field = NULL, *reason = NULL;

	json_object_object_get_ex(error, "field", &field);
	json_object_object_get_ex(error, "reason", &reason);
	fputs("trunkgate: ", stderr);
	text_print(stderr, value_text(field), 0);
	fputs(": ", stderr);
	text_print(stderr, value_text(reason), 0);
	fprintf(stderr, " (%d)\n", code);
}

/* Returns the exit status. */
static int answer_print(const struct options *options, const char *answer)
{
	char reason[160];
	struct json_object *object = document_parse(answer, strlen(answer), reason, sizeof(reason)), *code = NULL;
	struct json_object *part = NULL;

	if (!object || !json_object_object_get_ex(object, "code", &code)) {
		fprintf(stderr, "trunkgate: the answer of the worker %s\n", object ? "has no code" : reason);
		json_object_put(object);
		return EXIT_REFUSED;
	}
	bool done = json_object_get_int(code) == 200;
	if (options->json)
		puts(answer);
	else if (done && json_object_object_get_ex(object, "result", &part))
		result_print(options, part);
	else if (json_object_object_get_ex(object, "error", &part))
		error_print(part, json_object_get_int(code));
	json_object_put(object);
	return done ? EXIT_SUCCESS : EXIT_REFUSED;
}

/* --- asking --- */

static const char *own_name(char *text, size_t size)
{
	const struct passwd *entry = getpwuid(getuid());

	if (entry)
		return entry->pw_name;
	snprintf(text, size, "uid %ld", (long)getuid());
	return text;
}

static bool operation_writes(const char *name)
{
	const struct operation *operation = operation_find(name);

	return operation && (operation->flags & OPERATION_WRITES);
}

static void door_close(struct door *door)
{
	jobs_free(door->provisioner.jobs);
	store_free(door->provisioner.store);
	door->provisioner = (struct provisioner){.region_name = ""};
}

/* On the store itself. Returns -EBUSY while another process has it; every other outcome is an answer. */
static int store_ask(struct door *door, const char *request, bool worker_awaited, char **answer,
		     char error[STORE_ERROR_SIZE])
{
	const struct options *options = door->options;
	struct provisioner *provisioner = &door->provisioner;
	provisioner->worker_awaited = worker_awaited;
	char user[32];
	int rc = provisioner->store
			 ? 0
			 : store_open(options->store, operation_writes(options->words[0]), &provisioner->store, error);

	if (rc == -EBUSY)
		return rc;
	if (rc)
		*answer = request_refuse(FAULT_UNAVAILABLE, "store", error);
	else
		*answer = request_answer(provisioner, request, strlen(request), own_name(user, sizeof(user)),
					 door->file >= 0 ? dup(door->file) : -1);
	if (!provisioner->jobs)
		door_close(door);
	return 0;
}

static char *socket_refusal(const char *socket, int error)
{
	char reason[512];
	bool lost = error == -ETIMEDOUT || error == -ECONNRESET;

	if (lost)
		return request_refuse(FAULT_TIMEOUT, "worker", "no answer: the operation may still be applied");
	snprintf(reason, sizeof(reason), "%s: %s", socket,
		 error == -EAGAIN ? "the worker takes no connection" : strerror(-error));
	return request_refuse(FAULT_UNAVAILABLE, "worker", reason);
}

static bool no_worker(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED;
}

static char *busy_refusal(const struct options *options, const char *error)
{
	char reason[STORE_ERROR_SIZE + 300];

	snprintf(reason, sizeof(reason), "%s%s%s", error,
		 options->socket ? " and no worker answers on " : ": name its --socket too",
		 options->socket ? options->socket : "");
	return request_refuse(FAULT_UNAVAILABLE, "store", reason);
}

/*
 * Another process may be just starting as the worker or just ending: both doors are tried for a short while. A socket
 * that nobody answers on was left by a worker that ended. Kamailio starts it again within that while, and only the
 * worker can put a change in force for the calls that go on, so until then the store is left alone.
 */
static char *ask(struct door *door, const char *request)
{
	const struct options *options = door->options;
	char error[STORE_ERROR_SIZE] = "", *answer = NULL;

	if (door->provisioner.store) /* a job runs in this process */
		return store_ask(door, request, door->provisioner.worker_awaited, &answer, error) == 0 ? answer : NULL;
	for (int waited = 0; waited <= WAIT_MS; waited += WAIT_STEP_MS) {
		int rc = options->socket ? client_call_file(options->socket, request, door->file, ANSWER_MS, &answer)
					 : -ENOENT;
		if (rc == 0)
			return answer;
		if (!no_worker(rc) || !options->store)
			return socket_refusal(options->socket, rc);
		bool left = rc == -ECONNREFUSED;
		if ((!left || waited >= WAIT_MS) && store_ask(door, request, left, &answer, error) == 0)
			return answer;
		poll(NULL, 0, WAIT_STEP_MS);
	}
	return busy_refusal(options, error);
}

/* --- files --- */

/* The whole file as text, read by the caller's own user; "-" is the standard input. */
static char *file_text(const char *name)
{
	FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
	size_t length = 0, size = 0, n = 0;
	char *text = NULL;

	if (!file)
		return NULL;
	do {
		length += n;
		if (size - length < BUFSIZ) {
			size = size ? size * 2 : 4 * (size_t)BUFSIZ;
			char *larger = size <= 4u * OPERATION_FILE_MAX ? realloc(text, size) : NULL;
			if (!larger) {
				errno = EFBIG;
				break;
			}
			text = larger;
		}
	} while ((n = fread(text + length, 1, size - length - 1, file)) > 0);
	bool failed = ferror(file) || length > OPERATION_FILE_MAX || n > 0;
	if (length > OPERATION_FILE_MAX)
		errno = EFBIG;
	if (!failed && memchr(text, '\0', length)) {
		errno = EILSEQ;
		failed = true;
	}
	int error = errno;
	if (file != stdin)
		fclose(file);
	if (failed) {
		free(text);
		errno = error;
		return NULL;
	}
	text[length] = '\0';
	return text;
}

/* --- the command line --- */

/* Returns the number of arguments used, 0 for a plain word, -1 for a mistake. */
static int option_take(struct options *options, int left, char **argv)
{
	bool report_given, kamailio_given;
	struct {
		const char *name;
		bool *flag;
		const char **value;
		bool *given;
	} known[] = {{"--json", &options->json, NULL, NULL},
		     {"--help", &options->help, NULL, NULL},
		     {"-h", &options->help, NULL, NULL},
		     {"--version", &options->version, NULL, NULL},
		     {"--operations", &options->operations, NULL, NULL},
		     {"--no-wait", &options->no_wait, NULL, NULL},
		     {"--report", NULL, &options->report, &report_given},
		     {"--kamailio", NULL, &options->kamailio, &kamailio_given},
		     {"--store", NULL, &options->store, &options->store_given},
		     {"--socket", NULL, &options->socket, &options->socket_given}};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		size_t length = strlen(known[i].name);
		if (strncmp(argv[0], known[i].name, length) != 0)
			continue;
		if (known[i].flag && argv[0][length] == '\0')
			return *known[i].flag = true, 1;
		if (!known[i].value || (argv[0][length] != '=' && argv[0][length] != '\0'))
			continue;
		*known[i].given = true;
		if (argv[0][length] == '=')
			return *known[i].value = argv[0] + length + 1, 1;
		if (left < 2)
			return fprintf(stderr, "trunkgate: %s needs a value\n", known[i].name), -1;
		return *known[i].value = argv[1], 2;
	}
	if (strncmp(argv[0], "--", 2) == 0)
		return fprintf(stderr, "trunkgate: there is no option %s (after -- it would be an argument)\n",
			       argv[0]),
		       -1;
	return 0;
}

static int options_parse(int argc, char **argv, struct options *options)
{
	bool plain = false;

	for (int i = 1; i < argc;) {
		int used = 0;
		if (!plain && strcmp(argv[i], "--") == 0) {
			plain = true;
			i++;
			continue;
		}
		if (!plain)
			used = option_take(options, argc - i, argv + i);
		if (used < 0)
			return -EINVAL;
		if (used == 0 && options->word_count < sizeof(options->words) / sizeof(*options->words))
			options->words[options->word_count++] = argv[i];
		i += used ? used : 1;
	}
	/* A store that was named must not be mistaken for that of the machine's worker, nor the other way round. */
	if (options->store_given && !options->socket_given)
		options->socket = NULL;
	if (options->socket_given && !options->store_given)
		options->store = NULL;
	return 0;
}

/* --- jobs --- */

static int64_t object_integer(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_int64(value) : 0;
}

static const char *object_text(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

/* The worker's answer to "job <id> [<limit> <after>]"; NULL if it cannot be had, which is told. */
static struct json_object *job_ask(struct door *door, int64_t id, const char *limit, int64_t after, char **line)
{
	char id_text[24], after_text[24], reason[160];
	struct json_object *code = NULL;

	snprintf(id_text, sizeof(id_text), "%lld", (long long)id);
	snprintf(after_text, sizeof(after_text), "%lld", (long long)after);
	const char *const arguments[] = {id_text, limit, after_text};
	char *request = client_request("job", arguments, 3, NULL, "cli");
	*line = request ? ask(door, request) : NULL;
	free(request);
	struct json_object *answer = *line ? document_parse(*line, strlen(*line), reason, sizeof(reason)) : NULL;
	if (answer && json_object_object_get_ex(answer, "code", &code) && json_object_get_int(code) == 200)
		return answer;
	fprintf(stderr, "trunkgate: the worker ended while the job ran: see `trunkgate status` for what it holds\n");
	json_object_put(answer);
	free(*line);
	*line = NULL;
	return NULL;
}

/* A bar on a terminal, else a line a phase. */
static void progress_print(struct json_object *job, char phase[16])
{
	int percent = (int)object_integer(job, "percent"), full = percent * BAR_WIDTH / 100;
	const char *now = object_text(job, "phase");

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%-8s [%.*s%*s] %3d %% %12lld\033[K", now, full, "##############################",
			BAR_WIDTH - full, "", percent, (long long)object_integer(job, "done"));
	else if (strcmp(phase, now) != 0)
		fprintf(stderr, "%s\n", now);
	snprintf(phase, 16, "%s", now);
}

/* The last answer, when the job has ended. */
static struct json_object *job_wait(struct door *door, int64_t id, char **line)
{
	char phase[16] = "";

	for (int wait = POLL_FIRST_MS;; wait = wait * 2 < POLL_LAST_MS ? wait * 2 : POLL_LAST_MS) {
		struct json_object *answer = job_ask(door, id, "20", 0, line), *job = NULL;
		if (!answer)
			return NULL;
		json_object_object_get_ex(answer, "result", &job);
		if (strcmp(object_text(job, "state"), "running") != 0) {
			if (isatty(STDERR_FILENO))
				fputs("\r\033[K", stderr);
			return answer;
		}
		progress_print(job, phase);
		json_object_put(answer);
		free(*line);
		poll(NULL, 0, wait);
	}
}

static void faults_write(FILE *file, struct json_object *items)
{
	for (size_t i = 0; items && i < json_object_array_length(items); i++) {
		struct json_object *item = json_object_array_get_idx(items, i);
		fprintf(file, "%lld,%s,\"%s\"\n", (long long)object_integer(item, "line"), object_text(item, "column"),
			object_text(item, "reason"));
	}
}

/* Every fault that the worker keeps, page after page. */
static int report_write(struct door *door, int64_t id)
{
	FILE *file = fopen(door->options->report, "w");
	int64_t next = 0;

	if (!file)
		return fprintf(stderr, "trunkgate: %s: %s\n", door->options->report, strerror(errno)), -errno;
	fputs("line,column,reason\n", file);
	do {
		char *line = NULL;
		struct json_object *answer = job_ask(door, id, "500", next, &line), *job = NULL, *items = NULL;
		json_object_object_get_ex(answer, "result", &job);
		json_object_object_get_ex(job, "items", &items);
		faults_write(file, items);
		next = object_integer(job, "next");
		json_object_put(answer);
		free(line);
	} while (next);
	return fclose(file) == 0 ? 0 : -errno;
}

static int job_follow(struct door *door, const char *answer)
{
	char reason[160], *line = NULL;
	struct json_object *start = document_parse(answer, strlen(answer), reason, sizeof(reason)), *job = NULL;

	json_object_object_get_ex(start, "result", &job);
	int64_t id = object_integer(job, "job");
	json_object_put(start);
	struct json_object *end = job_wait(door, id, &line);
	if (!end)
		return EXIT_REFUSED;
	json_object_object_get_ex(end, "result", &job);
	bool done = strcmp(object_text(job, "state"), "done") == 0;
	if (door->options->json)
		puts(line);
	else
		result_print(door->options, job);
	int rc = door->options->report ? report_write(door, id) : 0;
	json_object_put(end);
	free(line);
	return done && rc == 0 ? EXIT_SUCCESS : EXIT_REFUSED;
}

/* The caller's own user opens the files: import from it, or export beside it and rename. */
static int job_file(const struct operation *operation, const char *name, char *beside, size_t size)
{
	if (operation->flags & OPERATION_TAKES_FILE)
		return strcmp(name, "-") == 0 ? dup(STDIN_FILENO) : open(name, O_RDONLY | O_CLOEXEC);
	if (strcmp(name, "-") == 0)
		return dup(STDOUT_FILENO);
	snprintf(beside, size, "%s.XXXXXX", name);
	return mkostemp(beside, O_CLOEXEC);
}

/* Before this process opens the store: see store_file_is(). */
static bool file_of_store(const struct options *options, const struct operation *operation, const char *name)
{
	bool reads = operation->flags & OPERATION_TAKES_FILE, standard = strcmp(name, "-") == 0;
	struct stat file;
	int rc = standard ? fstat(reads ? STDIN_FILENO : STDOUT_FILENO, &file) : stat(name, &file);

	return rc == 0 && options->store && store_file_is(options->store, &file);
}

static bool answer_done(const char *answer)
{
	return strncmp(answer, "{\"code\":200,", 12) == 0;
}

static int beside_finish(const char *beside, const char *name, int status)
{
	mode_t mask = umask(0);

	umask(mask);
	if (status == EXIT_SUCCESS && chmod(beside, 0666 & ~mask) == 0 && rename(beside, name) == 0)
		return EXIT_SUCCESS;
	if (status == EXIT_SUCCESS)
		fprintf(stderr, "trunkgate: %s: %s\n", name, strerror(errno));
	unlink(beside);
	return EXIT_REFUSED;
}

static int job_run(const struct options *options, const struct operation *operation)
{
	const char *const *arguments = options->words + 1;
	size_t count = options->word_count - 1;
	char beside[PATH_MAX + 8] = "";
	bool waits = !options->no_wait, file = operation->flags & (OPERATION_TAKES_FILE | OPERATION_WRITES_FILE);
	struct door door = {.options = options, .provisioner = {.region_name = ""}, .file = -1};

	/* what is not waited for is written by the worker's own user to its own path */
	if (file && count && (waits || (operation->flags & OPERATION_TAKES_FILE))) {
		if (file_of_store(options, operation, arguments[0]))
			return fprintf(stderr, "trunkgate: file: %s is a file of the store itself\n", arguments[0]),
			       EXIT_USAGE;
		door.file = job_file(operation, arguments[0], beside, sizeof(beside));
		if (door.file < 0)
			return fprintf(stderr, "trunkgate: file: %s: %s\n", arguments[0], strerror(errno)), EXIT_USAGE;
	}
	char *request = client_request(operation->name, arguments, count, NULL, "cli");
	char *answer = request ? ask(&door, request) : NULL;
	if (door.file >= 0)
		close(door.file);
	door.file = -1;
	int status = EXIT_REFUSED;
	if (answer && answer_done(answer) && (waits || door.provisioner.store))
		status = job_follow(&door, answer);
	else if (answer)
		status = answer_print(options, answer);
	if (*beside)
		status = beside_finish(beside, arguments[0], status);
	door_close(&door);
	free(answer);
	free(request);
	return status;
}

static int operation_run(const struct options *options, const struct operation *operation)
{
	const char *const *arguments = options->words + 1;
	size_t count = options->word_count - 1;
	struct door door = {.options = options, .provisioner = {.region_name = ""}, .file = -1};
	char *document = NULL;

	if (operation->flags & OPERATION_JOB)
		return job_run(options, operation);

	if ((operation->flags & OPERATION_READS_FILE) && count > 0) {
		document = file_text(arguments[0]);
		if (!document)
			return fprintf(stderr, "trunkgate: file: %s: %s\n", arguments[0], strerror(errno)), EXIT_USAGE;
	}
	/* Checked here too: what is no UTF-8 text could not be sent, and its field is to be named. */
	struct fault fault;
	bool good = operation_check(operation, arguments, count, &fault) == 0;
	char *request = good ? client_request(operation->name, arguments, count, document, "cli") : NULL;
	char *answer = request ? ask(&door, request)
		       : good  ? NULL
			       : request_refuse(fault.code, fault.field, fault.reason);
	int status =
		answer ? answer_print(options, answer) : (fprintf(stderr, "trunkgate: out of memory\n"), EXIT_REFUSED);
	free(answer);
	free(request);
	free(document);
	return status;
}

static void sites_print(struct json_object *sites)
{
	struct json_object *table = sites_table(sites);
	char node[160];

	sites_node(sites, node, sizeof(node));
	fputs("node: ", stdout);
	text_print(stdout, node, 0);
	putchar('\n');
	table_print(table);
	json_object_put(table);
}

static int sites_run(const struct options *options)
{
	struct json_object *sites = NULL;
	struct fault fault;
	char *refusal;

	if (options->help)
		return printf("usage: trunkgate %s\n%s\n", sites_usage, sites_help), EXIT_SUCCESS;
	if (options->word_count > 2)
		return fprintf(stderr, "trunkgate: sites takes at most 1 argument\n"), EXIT_USAGE;
	if (sites_ask(options->kamailio, options->word_count > 1 ? options->words[1] : "-", &sites, &fault) != 0) {
		refusal = request_refuse(fault.code, fault.field, fault.reason);
		int status = refusal ? answer_print(options, refusal) : EXIT_REFUSED;
		free(refusal);
		return status;
	}
	if (options->json)
		printf("{\"code\":200,\"result\":%s}\n",
		       json_object_to_json_string_ext(sites, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		sites_print(sites);
	json_object_put(sites);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options = {.store = DEFAULT_STORE, .socket = DEFAULT_SOCKET, .kamailio = DEFAULT_KAMAILIO};

	if (options_parse(argc, argv, &options))
		return EXIT_USAGE;
	if (options.version)
		return printf("trunkgate %s\n", VERSION) < 0;
	if (options.operations)
		return operations_print(), EXIT_SUCCESS;
	if (options.word_count && strcmp(options.words[0], "sites") == 0)
		return sites_run(&options);
	const struct operation *operation = options.word_count ? operation_find(options.words[0]) : NULL;
	if (options.help && !operation)
		return help_print(stdout), EXIT_SUCCESS;
	if (options.help)
		return operation_help_print(operation), EXIT_SUCCESS;
	if (!options.word_count)
		return help_print(stderr), EXIT_USAGE;
	if (!operation)
		return fprintf(stderr, "trunkgate: there is no operation %s; see trunkgate --help\n", options.words[0]),
		       EXIT_USAGE;
	return operation_run(&options, operation);
}
