/* SPDX-License-Identifier: GPL-2.0-or-later */
/** trunkgate: the operations on the command line, through the worker or, while none runs, on the store itself. */
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "request.h"
#include "topology_document.h"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };
enum { ANSWER_MS = 60000, WAIT_MS = 3000, WAIT_STEP_MS = 10, COLUMNS_MAX = 16 };

struct options {
	const char *store, *socket; /**< NULL: not to be used */
	bool store_given, socket_given, json, help, operations, version;
	const char *words[OPERATION_ARGUMENTS_MAX + 3]; /**< operation and arguments, one too many at most */
	size_t word_count;
};

/* --- help --- */

static void help_print(FILE *out)
{
	char usage[160];

	fputs("usage: trunkgate [--json] [--store FILE] [--socket PATH] <operation> [<argument>...]\n\n", out);
	for (const struct operation *operation = operations; operation->name; operation++) {
		operation_usage(operation, usage, sizeof(usage));
		if (!(operation->flags & OPERATION_HIDDEN))
			fprintf(out, "  %-50s %s\n", usage, operation->help);
	}
	fputs("\n"
	      "  --json         print the worker's answer as it is\n"
	      "  --store FILE   work on this store (default " DEFAULT_STORE ")\n"
	      "  --socket PATH  the worker's socket (default " DEFAULT_SOCKET ")\n"
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

	if (strcmp(options->words[0], "topology_get") == 0) {
		puts(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								    JSON_C_TO_STRING_NOSLASHESCAPE));
	} else if (json_object_object_get_ex(result, "items", &list)) {
		table_print(list);
		if (json_object_object_get_ex(result, "next", &next))
			next_print(options, next);
	} else {
		fields_print(result);
		if (json_object_object_get_ex(result, "changes", &list))
			table_print(list);
	}
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

/* On the store itself. Returns -EBUSY while another process has it; every other outcome is an answer. */
static int store_ask(const struct options *options, const char *request, char **answer, char error[STORE_ERROR_SIZE])
{
	struct provisioner provisioner = {.region_name = ""};
	char user[32];
	int rc = store_open(options->store, operation_writes(options->words[0]), &provisioner.store, error);

	if (rc == -EBUSY)
		return rc;
	if (rc)
		*answer = request_refuse(FAULT_UNAVAILABLE, "store", error);
	else
		*answer = request_answer(&provisioner, request, strlen(request), own_name(user, sizeof(user)));
	store_free(provisioner.store);
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
 * that nobody answers on was left by a worker that was killed. Kamailio starts it again within that while, and only the
 * worker can put a change in force for the calls that go on, so until then the store is left alone.
 */
static char *ask(const struct options *options, const char *request)
{
	char error[STORE_ERROR_SIZE] = "", *answer = NULL;

	for (int waited = 0; waited <= WAIT_MS; waited += WAIT_STEP_MS) {
		int rc = options->socket ? client_call(options->socket, request, ANSWER_MS, &answer) : -ENOENT;
		if (rc == 0)
			return answer;
		if (!no_worker(rc) || !options->store)
			return socket_refusal(options->socket, rc);
		bool killed = rc == -ECONNREFUSED && waited < WAIT_MS;
		if (!killed && store_ask(options, request, &answer, error) == 0)
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

static int operation_run(const struct options *options, const struct operation *operation)
{
	const char *const *arguments = options->words + 1;
	size_t count = options->word_count - 1;
	char *document = NULL;

	if ((operation->flags & OPERATION_READS_FILE) && count > 0) {
		document = file_text(arguments[0]);
		if (!document)
			return fprintf(stderr, "trunkgate: file: %s: %s\n", arguments[0], strerror(errno)), EXIT_USAGE;
	}
	char *request = client_request(operation->name, arguments, count, document, "cli");
	char *answer = request ? ask(options, request) : NULL;
	int status =
		answer ? answer_print(options, answer) : (fprintf(stderr, "trunkgate: out of memory\n"), EXIT_REFUSED);
	free(answer);
	free(request);
	free(document);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {.store = DEFAULT_STORE, .socket = DEFAULT_SOCKET};

	if (options_parse(argc, argv, &options))
		return EXIT_USAGE;
	if (options.version)
		return printf("trunkgate %s\n", VERSION) < 0;
	if (options.operations)
		return operations_print(), EXIT_SUCCESS;
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
