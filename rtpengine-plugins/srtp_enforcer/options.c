/* SPDX-License-Identifier: GPL-2.0-or-later */
/** rtpengine's own options. Where command line and file differ both count: more is guarded rather than less. */
#include "options.h"

#include "enforcer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Short options of both versions that take a value: the rest of their word, or the next one. */
static const char short_with_value[] = "GLMNTabcdgiklmnoprstuwxy";

/* Short spellings of options that matter here. */
static const struct {
	char letter;
	const char *name;
} short_names[] = {{'n', "listen-ng"}, {'N', "listen-tcp-ng"}, {'l', "listen-tcp"}, {'u', "listen-udp"},
		   {'m', "port-min"},  {'M', "port-max"},      {'E', "log-stderr"}, {'v', "version"},
		   {'h', "help"},      {'?', "help"}};

/* Doors that no datagram of ours guards. */
static const char *const doors[] = {"listen-tcp-ng", "listen-http", "listen-https", "listen-udp", "listen-tcp"};

static int fail(struct options *options, const char *what, struct span value)
{
	snprintf(options->error, sizeof(options->error), "%s: %.*s", what, SPAN_ARGS(value));
	return -EINVAL;
}

static bool is(struct span name, const char *word)
{
	return span_equal(name, span_of(word));
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span text)
{
	while (text.len && is_space(*text.ptr))
		text = (struct span){text.ptr + 1, text.len - 1};
	while (text.len && is_space(text.ptr[text.len - 1]))
		text.len--;
	return text;
}

static int keep(struct options *options, char *room, size_t size, struct span value)
{
	if (value.len >= size)
		return fail(options, "too long", value);
	memcpy(room, value.ptr, value.len);
	room[value.len] = '\0';
	return 0;
}

static int port_read(struct options *options, struct span text, uint16_t *port)
{
	char digits[8];
	char *end;
	if (text.len == 0 || text.len >= sizeof(digits))
		return fail(options, "no port", text);
	memcpy(digits, text.ptr, text.len);
	digits[text.len] = '\0';
	unsigned long value = strtoul(digits, &end, 10);
	if (*end || value == 0 || value > UINT16_MAX)
		return fail(options, "no port", text);
	*port = (uint16_t)value;
	return 0;
}

/* "192.0.2.1", "[::1]", "::1"; anything else is no address. */
static bool address_read(struct span text, uint8_t address[16])
{
	char name[INET6_ADDRSTRLEN];
	if (text.len > 1 && *text.ptr == '[' && text.ptr[text.len - 1] == ']')
		text = (struct span){text.ptr + 1, text.len - 2};
	if (text.len == 0 || text.len >= sizeof(name))
		return false;
	memcpy(name, text.ptr, text.len);
	name[text.len] = '\0';
	memcpy(address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	return inet_pton(AF_INET, name, address + 12) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static bool is_any(const uint8_t address[16])
{
	static const uint8_t any[16], any4[16] = {[10] = 0xff, [11] = 0xff};
	return memcmp(address, any, 16) == 0 || memcmp(address, any4, 16) == 0;
}

/* "127.0.0.1:2223", "[::1]:2223", "host:2223", "2223" */
static int ng_add(struct options *options, struct span text)
{
	size_t start = text.len;
	while (start && text.ptr[start - 1] != ':')
		start--;
	if (options->ng_count == OPTIONS_SOCKETS_MAX)
		return fail(options, "too many of listen-ng", text);
	struct options_socket *ng = &options->ng[options->ng_count];
	if (port_read(options, (struct span){text.ptr + start, text.len - start}, &ng->port))
		return -EINVAL;
	ng->numeric = start && address_read((struct span){text.ptr, start - 1}, ng->address) && !is_any(ng->address);
	options->ng_count++;
	return 0;
}

/* Several addresses in one value are separated by ';' (GKeyFile's lists). */
static int ng_add_all(struct options *options, struct span value)
{
	int error = 0;
	for (size_t start = 0, i = 0; i <= value.len && !error; i++) {
		if (i < value.len && value.ptr[i] != ';')
			continue;
		struct span one = trim((struct span){value.ptr + start, i - start});
		if (one.len)
			error = ng_add(options, one);
		start = i + 1;
	}
	return error;
}

static int option_add(struct options *options, struct span name, struct span value)
{
	value = trim(value);
	for (size_t i = 0; i < sizeof(doors) / sizeof(*doors); i++)
		if (is(name, doors[i]) && value.len)
			options->doors |= 1u << i;
	if (is(name, "listen-ng"))
		return ng_add_all(options, value);
	if (is(name, "port-min"))
		return port_read(options, value, &options->port_min);
	if (is(name, "port-max"))
		return port_read(options, value, &options->port_max);
	if (is(name, "config-file"))
		return keep(options, options->config_file, sizeof(options->config_file), value);
	if (is(name, "config-section"))
		return keep(options, options->config_section, sizeof(options->config_section), value);
	if (is(name, "log-stderr"))
		options->log_stderr = !is(value, "false") && !is(value, "0");
	if (is(name, "version") || is(name, "help") || is(name, "help-all"))
		options->informs = true;
	return 0;
}

static bool matters(struct span name)
{
	static const char *const others[] = {"listen-ng", "port-min", "port-max", "config-file", "config-section"};
	bool found = false;
	for (size_t i = 0; i < sizeof(doors) / sizeof(*doors); i++)
		found = found || is(name, doors[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		found = found || is(name, others[i]);
	return found;
}

/* "--name=value", "--name value"; of others a value in the next word is not looked for. */
static int long_add(struct options *options, char *const **argument)
{
	struct span word = span_of(**argument + 2);
	const char *equals = strchr(**argument, '=');
	if (equals)
		word.len = (size_t)(equals - word.ptr);
	struct span value = equals ? span_of(equals + 1) : (struct span){"", 0};
	if (!equals && matters(word) && (*argument)[1])
		value = span_of(*++*argument);
	return option_add(options, word, value);
}

/* "-n 2223", "-n2223", "-fEn 2223" */
static int short_add(struct options *options, char *const **argument)
{
	for (const char *letter = **argument + 1; *letter; letter++) {
		bool takes = strchr(short_with_value, *letter) != NULL;
		struct span value = {"", 0}, name = {"", 0};
		if (takes)
			value = letter[1] ? span_of(letter + 1) : (*argument)[1] ? span_of(*++*argument) : value;
		for (size_t i = 0; i < sizeof(short_names) / sizeof(*short_names); i++)
			if (short_names[i].letter == *letter)
				name = span_of(short_names[i].name);
		int error = option_add(options, name, value);
		if (error || takes)
			return error;
	}
	return 0;
}

void options_init(struct options *options)
{
	*options = (struct options){.port_min = 30000,
				    .port_max = 40000,
				    .config_file = "/etc/rtpengine/rtpengine.conf",
				    .config_section = "rtpengine"};
}

int options_arguments(struct options *options, char *const *arguments)
{
	int error = 0;
	for (; *arguments && !error && strcmp(*arguments, "--") != 0; arguments++) {
		if ((*arguments)[0] != '-' || (*arguments)[1] == '\0')
			continue;
		error = (*arguments)[1] == '-' ? long_add(options, &arguments) : short_add(options, &arguments);
	}
	return error;
}

/* A key of our own section. */
static int own_add(struct options *options, struct span name, struct span value)
{
	if (is(name, "suites"))
		return keep(options, options->suites, sizeof(options->suites), value);
	if (is(name, "dtls-profiles"))
		return keep(options, options->profiles, sizeof(options->profiles), value);
	if (is(name, "allow"))
		return keep(options, options->allow, sizeof(options->allow), value);
	return fail(options, "[srtp-enforcer] knows suites, dtls-profiles and allow, not", name);
}

int options_file(struct options *options, struct span text)
{
	enum { OTHER, RTPENGINE, OWN } section = OTHER;
	int error = 0;
	while (text.len && !error) {
		const char *end = memchr(text.ptr, '\n', text.len);
		size_t length = end ? (size_t)(end - text.ptr) : text.len;
		struct span line = trim((struct span){text.ptr, length});
		text = (struct span){text.ptr + length + (end != NULL), text.len - length - (end != NULL)};
		const char *equals = line.len ? memchr(line.ptr, '=', line.len) : NULL;
		if (line.len == 0 || *line.ptr == '#')
			continue;
		if (*line.ptr == '[') {
			struct span name = {line.ptr + 1, line.len - 1};
			const char *close = memchr(name.ptr, ']', name.len);
			name.len = close ? (size_t)(close - name.ptr) : name.len;
			section = is(name, "srtp-enforcer")           ? OWN
				  : is(name, options->config_section) ? RTPENGINE
								      : OTHER;
		} else if (equals && section != OTHER) {
			struct span name = trim((struct span){line.ptr, (size_t)(equals - line.ptr)});
			struct span value = trim((struct span){equals + 1, line.len - (size_t)(equals - line.ptr) - 1});
			error = section == OWN ? own_add(options, name, value) : option_add(options, name, value);
		}
	}
	return error;
}

bool options_is_ng(const struct options *options, const uint8_t address[16], uint16_t port)
{
	for (unsigned i = 0; i < options->ng_count; i++) {
		const struct options_socket *ng = &options->ng[i];
		if (ng->port == port && (!ng->numeric || is_any(address) || !memcmp(ng->address, address, 16)))
			return true;
	}
	return false;
}

/* Where only the port tells what is a control socket, no media may have that port. */
static bool is_ambiguous(const struct options *options, const struct options_socket *ng)
{
	return !ng->numeric && ng->port >= options->port_min && ng->port <= options->port_max;
}

int options_check(struct options *options)
{
	for (size_t i = 0; i < sizeof(doors) / sizeof(*doors); i++)
		if (options->doors & 1u << i && !enforcer_allows(span_of(options->allow), doors[i]))
			return fail(options,
				    "a control door that is not guarded (allow it in [srtp-enforcer], or take it out)",
				    span_of(doors[i]));
	if (options->ng_count == 0)
		return fail(options, "rtpengine has no listen-ng to guard", (struct span){"", 0});
	for (unsigned i = 0; i < options->ng_count; i++)
		if (is_ambiguous(options, &options->ng[i]))
			return fail(options, "listen-ng lies among the media ports and has no address of its own",
				    (struct span){"", 0});
	return 0;
}
