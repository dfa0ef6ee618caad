/* SPDX-License-Identifier: GPL-2.0-or-later */
/** rtpengine's own options. Where command line and file differ both count: more is guarded rather than less. */
#include "options.h"

#include "enforcer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

/* Short options of both versions that take a value: the rest of their word, or the next one. */
static const char short_with_value[] = "GLMNTabcdgiklmnoprstuwxy";

/* What an option means here. */
enum meaning { DOOR, LEAK, LISTEN_NG, PORT_MIN, PORT_MAX, CONFIG_FILE, CONFIG_SECTION, LOG_STDERR, LEVEL, INFORMS };

/* Options that matter, with their short letters. The first are a bit each: refused unless allowed by name. */
static const struct known {
	const char *name;
	char letter;
	enum meaning meaning;
} known[] = {
	/* doors that no datagram of ours guards */
	{"listen-tcp-ng", 'N', DOOR},
	{"listen-http", 0, DOOR},
	{"listen-https", 0, DOOR},
	{"listen-udp", 'u', DOOR},
	{"listen-tcp", 'l', DOOR},
	/* keys in the log */
	{"log-srtp-keys", 'F', LEAK},
	{"debug-srtp", 0, LEAK},

	{"listen-ng", 'n', LISTEN_NG},
	{"port-min", 'm', PORT_MIN},
	{"port-max", 'M', PORT_MAX},
	{"config-file", 0, CONFIG_FILE},
	{"config-section", 0, CONFIG_SECTION},
	{"log-stderr", 'E', LOG_STDERR},
	{"log-level", 'L', LEVEL},
	{"log-level-control", 0, LEVEL},
	{"log-level-srtp", 0, LEVEL},
	{"version", 'v', INFORMS},
	{"help", 'h', INFORMS},
	{"help", '?', INFORMS},
	{"help-all", 0, INFORMS},
};

enum { KNOWN = sizeof(known) / sizeof(*known) };

static int fail(struct options *options, const char *what, struct span value)
{
	snprintf(options->error, sizeof(options->error), "%s: %.*s", what, SPAN_ARGS(value));
	return -EINVAL;
}

static bool is(struct span name, const char *word)
{
	return span_equal(name, span_of(word));
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
		struct span one = span_trim((struct span){value.ptr + start, i - start});
		if (one.len)
			error = ng_add(options, one);
		start = i + 1;
	}
	return error;
}

static bool takes_value(enum meaning meaning)
{
	return meaning != LEAK && meaning != LOG_STDERR && meaning != INFORMS;
}

static bool is_on(struct span value)
{
	return !is(value, "false") && !is(value, "0");
}

/* The highest of those named counts; 0 is "as log-level". */
static int level_add(struct options *options, struct span name, struct span value)
{
	int *level = is(name, "log-level-control") ? &options->level_control
		     : is(name, "log-level-srtp")  ? &options->level_srtp
						   : &options->level;
	if (value.len != 1 || *value.ptr < '0' || *value.ptr > '7')
		return fail(options, "no log level", value);
	if (*value.ptr - '0' > *level)
		*level = *value.ptr - '0';
	return 0;
}

static const struct known *known_find(struct span name)
{
	for (size_t i = 0; i < KNOWN; i++)
		if (is(name, known[i].name))
			return &known[i];
	return NULL;
}

static int option_add(struct options *options, struct span name, struct span value)
{
	const struct known *option = known_find(name);
	value = span_trim(value);
	switch (option ? (int)option->meaning : -1) {
	case DOOR:
	case LEAK:
		if (option->meaning == DOOR ? value.len > 0 : is_on(value))
			options->open |= 1u << (option - known);
		break;
	case LISTEN_NG:
		return ng_add_all(options, value);
	case PORT_MIN:
		return port_read(options, value, &options->port_min);
	case PORT_MAX:
		return port_read(options, value, &options->port_max);
	case CONFIG_FILE:
		return keep(options, options->config_file, sizeof(options->config_file), value);
	case CONFIG_SECTION:
		return keep(options, options->config_section, sizeof(options->config_section), value);
	case LEVEL:
		return level_add(options, name, value);
	case LOG_STDERR:
		options->log_stderr = is_on(value);
		break;
	case INFORMS:
		options->informs = true;
	}
	return 0;
}

/* "--name=value", "--name value"; of others a value in the next word is not looked for. */
static int long_add(struct options *options, char *const **argument)
{
	struct span word = span_of(**argument + 2);
	const char *equals = strchr(**argument, '=');
	if (equals)
		word.len = (size_t)(equals - word.ptr);
	struct span value = equals ? span_of(equals + 1) : (struct span){"", 0};
	const struct known *option = known_find(word);
	if (!equals && option && takes_value(option->meaning) && (*argument)[1])
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
		for (size_t i = 0; i < KNOWN; i++)
			if (known[i].letter == *letter)
				name = span_of(known[i].name);
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
		struct span line = span_trim((struct span){text.ptr, length});
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
			struct span name = span_trim((struct span){line.ptr, (size_t)(equals - line.ptr)});
			struct span value =
				span_trim((struct span){equals + 1, line.len - (size_t)(equals - line.ptr) - 1});
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

/* rtpengine logs whole datagrams, keys included, with the answer to any that it refuses (LOG_WARNING of "control"), and
 * its DTLS key at LOG_DEBUG of "srtp". */
static bool is_quiet(const struct options *options)
{
	int level = options->level ? options->level : LOG_INFO;
	int control = options->level_control ? options->level_control : level;
	int srtp = options->level_srtp ? options->level_srtp : level;
	return control < LOG_WARNING && srtp < LOG_DEBUG;
}

/* Refuses what is open and not allowed. */
static int open_check(struct options *options)
{
	struct span allow = span_of(options->allow);
	for (size_t i = 0; i < KNOWN && known[i].meaning <= LEAK; i++)
		if (options->open & 1u << i && !enforcer_allows(allow, known[i].name))
			return fail(options,
				    known[i].meaning == DOOR ? "a control door that is not guarded (allow it in "
							       "[srtp-enforcer], or take it out)"
							     : "an option that puts keys into the log",
				    span_of(known[i].name));
	if (!is_quiet(options) && !enforcer_allows(allow, "log-level-control"))
		return fail(options, "rtpengine would log keys",
			    SPAN_LIT("it needs log-level-control = 3, and no log level of 7"));
	return 0;
}

int options_check(struct options *options)
{
	if (options->ng_count == 0)
		return fail(options, "rtpengine has no listen-ng to guard", (struct span){"", 0});
	for (unsigned i = 0; i < options->ng_count; i++)
		if (is_ambiguous(options, &options->ng[i]))
			return fail(options, "listen-ng lies among the media ports and has no address of its own",
				    (struct span){"", 0});
	return open_check(options);
}
