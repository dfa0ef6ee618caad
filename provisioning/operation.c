/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The operation table and the one check of arguments. */
#include "operation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "field.h"
#include "number.h"
#include "service.h"
#include "topology.h"

/* "-" stands for all accounts where a list may be narrowed, so no account bears that name. */
static const char *account_fault(struct span text)
{
	return span_equal(text, SPAN_LIT("-")) ? "'-' means all accounts and cannot be a name" : field_name_fault(text);
}

static const char *account_or_all_fault(struct span text)
{
	return text.len == 0 || span_equal(text, SPAN_LIT("-")) ? NULL : field_name_fault(text);
}

static const char *service_fault(struct span text)
{
	return service_by_name(text) ? NULL : "is not a service that this gateway knows";
}

static const char *service_choice(size_t index)
{
	return services[index].name;
}

static const char *limit_fault(struct span text)
{
	unsigned value = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9' || (i == 0 && text.ptr[i] == '0') || i == 3)
			return "must be a whole number from 1 to 500";
		value = value * 10 + (unsigned)(text.ptr[i] - '0');
	}
	return value >= 1 && value <= OPERATION_LIST_MAX ? NULL : "must be a whole number from 1 to 500";
}

static int range_parse(struct span text, uint64_t *first, uint64_t *last)
{
	const char *dash = text.len ? memchr(text.ptr, '-', text.len) : NULL;

	if (!dash)
		return -EINVAL;
	struct span low = {text.ptr, (size_t)(dash - text.ptr)}, high = {dash + 1, text.len - low.len - 1};
	int rc = number_parse(low, first);
	return rc ? rc : number_parse(high, last);
}

static const char *range_fault(struct span text)
{
	uint64_t first, last;

	return range_parse(text, &first, &last) ? "must be two numbers: +<first>-+<last>" : NULL;
}

static const char *file_fault(struct span text)
{
	return text.len >= 1 && text.len <= 4095 ? NULL : "must be the name of a file";
}

static const char *dry_run_fault(struct span text)
{
	return span_equal(text, SPAN_LIT("dry-run")) ? NULL : "must be dry-run or absent";
}

static const char *dry_run_choice(size_t index)
{
	return index == 0 ? "dry-run" : NULL;
}

static const char *const import_words[] = {"dry-run", "skip-bad", NULL};

static const char *import_fault(struct span text)
{
	for (size_t i = 0; import_words[i]; i++)
		if (span_equal(text, span_of(import_words[i])))
			return NULL;
	return "must be dry-run, skip-bad or absent";
}

static const char *import_choice(size_t index)
{
	return import_words[index];
}

static const char *count_fault(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return "must be a whole number";
	return text.len >= 1 && text.len <= 15 ? NULL : "must be a whole number";
}

static const char *state_fault(struct span text)
{
	enum admin_state state;

	return admin_state_parse(text, &state) ? "must be auto, drain or disabled" : NULL;
}

static const char *switch_fault(struct span text)
{
	return span_equal(text, SPAN_LIT("on")) || span_equal(text, SPAN_LIT("off")) ? NULL : "must be on or off";
}

static const char *switch_choice(size_t index)
{
	return index == 0 ? "on" : index == 1 ? "off" : NULL;
}

static const char *state_choice(size_t index)
{
	return index <= ADMIN_DISABLED ? admin_state_name((enum admin_state)index) : NULL;
}

static const struct argument_kind
	number_kind = {.name = "number",
		       .rule = "E.164: '+', 1-9, digits; at most 16 characters",
		       .fault = number_fault},
	account_kind = {.name = "account",
			.rule = "1-100 of A-Z a-z 0-9 _ -, but not '-' alone",
			.fault = account_fault},
	account_or_all_kind = {.name = "account-or-all",
			       .rule = "an account, or '-' for all",
			       .fault = account_or_all_fault},
	service_kind = {.name = "service",
			.rule = "a service of the gateway",
			.fault = service_fault,
			.choice = service_choice},
	range_kind = {.name = "range", .rule = "+<first>-+<last>", .fault = range_fault},
	header_kind = {.name = "header", .rule = "1-100 of A-Z a-z 0-9 _ -", .fault = field_name_fault},
	job_kind = {.name = "job", .rule = "number of a job", .fault = count_fault},
	count_kind = {.name = "count", .rule = "rows to pass over: next of the page before", .fault = count_fault},
	csv_kind = {.name = "file", .rule = "a CSV file", .fault = file_fault},
	limit_kind = {.name = "limit", .rule = "1-500 rows; 100 if absent", .fault = limit_fault},
	file_kind = {.name = "file", .rule = "a JSON file of at most 30 MB", .fault = file_fault},
	dry_run_kind = {.name = "dry-run",
			.rule = "shows the difference, changes nothing",
			.fault = dry_run_fault,
			.choice = dry_run_choice},
	import_kind = {.name = "option",
		       .rule = "dry-run: changes nothing; skip-bad: leaves wrong rows out",
		       .fault = import_fault,
		       .choice = import_choice},
	peer_kind = {.name = "peer", .rule = "name of a peer: 1-100 of A-Z a-z 0-9 _ -", .fault = field_name_fault},
	switch_kind = {.name = "switch", .rule = "on or off", .fault = switch_fault, .choice = switch_choice},
	state_kind = {.name = "state", .rule = "auto, drain or disabled", .fault = state_fault, .choice = state_choice};

const struct operation operations[] = {
	{.name = "account_set",
	 .help = "add an account",
	 .arguments = {{.name = "account", .kind = &account_kind, .required = true}},
	 .flags = OPERATION_WRITES},
	{.name = "account_get",
	 .help = "show an account",
	 .arguments = {{.name = "account", .kind = &account_kind, .required = true}}},
	{.name = "account_delete",
	 .help = "delete an account that has no numbers and ranges",
	 .arguments = {{.name = "account", .kind = &account_kind, .required = true}},
	 .flags = OPERATION_WRITES},
	{.name = "account_list",
	 .help = "list accounts by name",
	 .arguments = {{.name = "limit", .kind = &limit_kind}, {.name = "after", .kind = &account_kind}}},
	{.name = "number_set",
	 .help = "add or change a number",
	 .arguments = {{.name = "number", .kind = &number_kind, .required = true},
		       {.name = "account", .kind = &account_kind, .required = true},
		       {.name = "service", .kind = &service_kind, .required = true},
		       {.name = "header", .kind = &header_kind}},
	 .flags = OPERATION_WRITES},
	{.name = "number_get",
	 .help = "show a number",
	 .arguments = {{.name = "number", .kind = &number_kind, .required = true}}},
	{.name = "number_delete",
	 .help = "delete a number",
	 .arguments = {{.name = "number", .kind = &number_kind, .required = true}},
	 .flags = OPERATION_WRITES},
	{.name = "number_list",
	 .help = "list numbers in order, of one account or all",
	 .arguments = {{.name = "account", .kind = &account_or_all_kind},
		       {.name = "limit", .kind = &limit_kind},
		       {.name = "after", .kind = &number_kind}}},
	{.name = "range_set",
	 .help = "add or change a range of numbers",
	 .arguments = {{.name = "first", .kind = &number_kind, .required = true},
		       {.name = "last", .kind = &number_kind, .required = true},
		       {.name = "account", .kind = &account_kind, .required = true},
		       {.name = "service", .kind = &service_kind, .required = true},
		       {.name = "header", .kind = &header_kind}},
	 .flags = OPERATION_WRITES},
	{.name = "range_delete",
	 .help = "delete a range, not the ranges in it",
	 .arguments = {{.name = "first", .kind = &number_kind, .required = true},
		       {.name = "last", .kind = &number_kind, .required = true}},
	 .flags = OPERATION_WRITES},
	{.name = "range_list",
	 .help = "list ranges in order, of one account or all",
	 .arguments = {{.name = "account", .kind = &account_or_all_kind},
		       {.name = "limit", .kind = &limit_kind},
		       {.name = "after", .kind = &range_kind}}},
	{.name = "import",
	 .help = "put the numbers and ranges of a CSV file in force, all or none (skip-bad: the good rows); a job",
	 .arguments = {{.name = "file", .kind = &csv_kind, .required = true},
		       {.name = "option", .kind = &import_kind},
		       {.name = "option-2", .kind = &import_kind}},
	 .flags = OPERATION_JOB | OPERATION_TAKES_FILE},
	{.name = "export",
	 .help = "write numbers and ranges to a CSV file; a job",
	 .arguments = {{.name = "file", .kind = &csv_kind, .required = true},
		       {.name = "account", .kind = &account_or_all_kind}},
	 .flags = OPERATION_JOB | OPERATION_WRITES_FILE},
	{.name = "verify", .help = "compare the published table with the store; a job", .flags = OPERATION_JOB},
	{.name = "digest", .help = "show revision and digest, to be compared with another node"},
	{.name = "job",
	 .help = "show a job and the faults that it found",
	 .arguments = {{.name = "job", .kind = &job_kind, .required = true},
		       {.name = "limit", .kind = &limit_kind},
		       {.name = "after", .kind = &count_kind}}},
	{.name = "job_cancel",
	 .help = "end a job; nothing is changed",
	 .arguments = {{.name = "job", .kind = &job_kind, .required = true}}},
	{.name = "topology_load",
	 .help = "put a topology document in force, whole or not at all",
	 .arguments = {{.name = "file", .kind = &file_kind, .required = true},
		       {.name = "dry-run", .kind = &dry_run_kind}},
	 .flags = OPERATION_WRITES | OPERATION_READS_FILE},
	{.name = "topology_get", .help = "show the topology document in force"},
	{.name = "peer_set",
	 .help = "set the administrative state of a peer on this node",
	 .arguments = {{.name = "peer", .kind = &peer_kind, .required = true},
		       {.name = "state", .kind = &state_kind, .required = true}},
	 .flags = OPERATION_WRITES | OPERATION_NODE_LOCAL},
	{.name = "target_list",
	 .help = "list peers with their addresses, as DNS gives them",
	 .arguments = {{.name = "limit", .kind = &limit_kind}, {.name = "after", .kind = &peer_kind}}},
	{.name = "node_drain",
	 .help = "take no new calls on this node, or take them again",
	 .arguments = {{.name = "state", .kind = &switch_kind, .required = true}},
	 .flags = OPERATION_WRITES | OPERATION_NODE_LOCAL},
	{.name = "status", .help = "show the state of store and worker"},
	{0}};

const struct operation *operation_find(const char *name)
{
	for (const struct operation *operation = operations; operation->name; operation++)
		if (strcmp(operation->name, name) == 0)
			return operation;
	return NULL;
}

size_t operation_argument_count(const struct operation *operation)
{
	size_t count = 0;

	while (operation->arguments[count].name)
		count++;
	return count;
}

int operation_check(const struct operation *operation, const char *const *arguments, size_t count, struct fault *fault)
{
	size_t known = operation_argument_count(operation);

	for (size_t i = 0; i < known; i++) {
		const struct argument *argument = &operation->arguments[i];
		if (i >= count && !argument->required)
			return 0;
		if (i >= count)
			return fault_set(fault, FAULT_BAD_VALUE, argument->name, "is missing");
		const char *reason = argument->kind->fault(span_of(arguments[i]));
		if (reason)
			return fault_set(fault, FAULT_BAD_VALUE, argument->name, "%s", reason);
	}
	if (count > known) {
		char field[32], quoted[48];
		snprintf(field, sizeof(field), "argument %zu", known + 1);
		return fault_set(fault, FAULT_BAD_VALUE, field, "'%s' is too much: %s takes %zu argument%s",
				 fault_quote(arguments[known], quoted, sizeof(quoted)), operation->name, known,
				 known == 1 ? "" : "s");
	}
	return 0;
}

void operation_usage(const struct operation *operation, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "%s", operation->name);

	for (const struct argument *argument = operation->arguments; argument->name && used < size; argument++)
		used += (size_t)snprintf(text + used, size - used, argument->required ? " <%s>" : " [<%s>]",
					 argument->name);
}

int operation_range(const char *text, uint64_t *first, uint64_t *last)
{
	return range_parse(span_of(text), first, last);
}

unsigned operation_limit(const char *argument)
{
	return argument ? (unsigned)strtoul(argument, NULL, 10) : OPERATION_LIST_DEFAULT;
}
