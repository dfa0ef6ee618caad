/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What SDP says about the encryption of media. */
#include "sdp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

/* --- text --- */

static bool same(struct span text, const char *word)
{
	return text.len == strlen(word) && !strncasecmp(text.ptr, word, text.len);
}

static bool ends_with(struct span text, const char *word)
{
	size_t length = strlen(word);
	return text.len >= length && !strncasecmp(text.ptr + text.len - length, word, length);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_profile_character(char c)
{
	return is_alphanumeric(c) || c == '/' || c == '-' || c == '.' || c == '_' || c == '+';
}

static bool is_base64(char c)
{
	return is_alphanumeric(c) || c == '+' || c == '/';
}

static size_t length_of(struct span text, bool (*is_member)(char))
{
	size_t length = 0;
	while (length < text.len && is_member(text.ptr[length]))
		length++;
	return length;
}

/* What stands before the next @p end, which is skipped; all of it if there is none. */
static struct span cut(struct span *rest, char end)
{
	const char *found = rest->len ? memchr(rest->ptr, end, rest->len) : NULL;
	struct span part = {rest->ptr, found ? (size_t)(found - rest->ptr) : rest->len};
	*rest = span_skip(*rest, part.len + (found ? 1 : 0));
	return part;
}

/* A decimal number of the whole text, at most @p max. */
static bool number_read(struct span text, uint64_t max, uint64_t *value)
{
	if (text.len == 0 || text.len > 18 || length_of(text, is_digit) != text.len)
		return false;
	*value = 0;
	for (size_t i = 0; i < text.len; i++)
		*value = *value * 10 + (uint64_t)(text.ptr[i] - '0');
	return *value <= max;
}

/* --- lines --- */

struct line {
	char type;
	struct span value, whole; /* whole: with its end of line */
};

static bool is_blank(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] != '\r' && text.ptr[i] != '\n')
			return false;
	return true;
}

/* Returns 1, 0 at the end, -EINVAL. Empty lines are read at the end only: rtpengine stops at the first, others do not.
 */
static int next_line(struct span *rest, struct line *line)
{
	if (is_blank(*rest))
		return 0;
	struct span start = *rest;
	struct span text = cut(rest, '\n');
	line->whole = (struct span){start.ptr, start.len - rest->len};
	if (text.len && text.ptr[text.len - 1] == '\r')
		text.len--;
	if (text.len < 2 || text.ptr[1] != '=' || !is_alphanumeric(*text.ptr))
		return -EINVAL;
	if (memchr(text.ptr, '\0', text.len) || memchr(text.ptr, '\r', text.len))
		return -EINVAL;
	line->type = *text.ptr;
	line->value = span_skip(text, 2);
	return 1;
}

/* The value of a=name:value. The name is compared as the most lenient reader would. */
static bool attribute(const struct line *line, const char *name, struct span *value)
{
	if (line->type != 'a')
		return false;
	*value = line->value;
	struct span found = cut(value, ':');
	while (found.len && (*found.ptr == ' ' || *found.ptr == '\t'))
		found = span_skip(found, 1);
	while (found.len && (found.ptr[found.len - 1] == ' ' || found.ptr[found.len - 1] == '\t'))
		found.len--;
	return same(found, name);
}

/* The same as rtpengine compares it: what it does not know so is nothing that it uses. */
static bool is_exact(const struct line *line, const char *name)
{
	size_t length = strlen(name);
	return line->value.len > length && !memcmp(line->value.ptr, name, length) && line->value.ptr[length] == ':';
}

/* --- a=crypto --- */

/* "2^20" or "1048576", from 1 to 2^48 (RFC 3711 section 9.2). */
static bool lifetime_read(struct span text)
{
	const uint64_t longest = (uint64_t)1 << 48;
	uint64_t value;
	if (text.len > 2 && !memcmp(text.ptr, "2^", 2))
		return number_read(span_skip(text, 2), 48, &value) && value > 0;
	return number_read(text, longest, &value) && value > 0;
}

/* "1:4": value and length in bytes. */
static bool mki_read(struct span text)
{
	uint64_t value;
	struct span number = cut(&text, ':');
	return number_read(number, UINT32_MAX, &value) && number_read(text, 128, &value) && value > 0;
}

/* One of "inline:KEY[|lifetime][|MKI:length]". */
static bool key_read(struct span text, size_t key_length)
{
	size_t digits = (key_length * 4 + 2) / 3;
	struct span method = cut(&text, ':');
	struct span key = cut(&text, '|');
	if (!same(method, "inline") || length_of(key, is_base64) != digits)
		return false;
	struct span padding = span_skip(key, digits);
	if (padding.len && (padding.len != (4 - digits % 4) % 4 || memcmp(padding.ptr, "==", padding.len)))
		return false;
	if (text.len == 0)
		return text.ptr == key.ptr + key.len; /* no '|' that nothing follows */
	struct span first = cut(&text, '|');
	if (text.len == 0)
		return first.ptr + first.len == text.ptr &&
		       (memchr(first.ptr, ':', first.len) ? mki_read(first) : lifetime_read(first));
	return lifetime_read(first) && mki_read(text);
}

/* One key; several ("inline:...;inline:...") where each has lifetime and MKI: rtpengine takes the first of those, and
 * drops the line of any others. */
static bool keys_read(struct span text, size_t key_length)
{
	bool several = text.len && memchr(text.ptr, ';', text.len);
	do {
		struct span key = cut(&text, ';');
		const char *lifetime = key.len ? memchr(key.ptr, '|', key.len) : NULL;
		if (several && !(lifetime && memrchr(key.ptr, '|', key.len) != lifetime))
			return false;
		if (!key_read(key, key_length))
			return false;
	} while (text.len);
	return true;
}

/* Session parameters that leave the media encrypted and authenticated; RFC 4568: one that is not known voids the line.
 */
static bool parameters_read(struct span text)
{
	static const char *const harmless[] = {"WSH=", "FEC_ORDER="};
	while (text.len) {
		struct span word = cut(&text, ' ');
		bool known = word.len == 0 || *word.ptr == '-';
		for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless) && !known; i++)
			known = word.len >= strlen(harmless[i]) &&
				!strncasecmp(word.ptr, harmless[i], strlen(harmless[i]));
		if (!known)
			return false;
	}
	return true;
}

/* The suite's bit of a line that rtpengine and any endpoint can use, or 0. */
static uint32_t crypto_read(struct span text)
{
	uint64_t tag;
	if (!number_read(cut(&text, ' '), 999999999, &tag))
		return 0;
	int suite = srtp_suite_find(cut(&text, ' '));
	if (suite < 0 || !keys_read(cut(&text, ' '), srtp_suites[suite].key_length) || !parameters_read(text))
		return 0;
	return 1u << suite;
}

/* Is the line an a=crypto? @p suite as crypto_read() gives it. */
static bool is_crypto(const struct line *line, uint32_t *suite)
{
	struct span value;
	if (!attribute(line, "crypto", &value))
		return false;
	*suite = is_exact(line, "crypto") ? crypto_read(value) : 0;
	return true;
}

/* --- a=fingerprint --- */

static bool is_hex_or_colon(char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f') || c == ':';
}

static bool fingerprint_read(struct span text)
{
	static const struct {
		const char *name;
		size_t bytes;
	} hashes[] = {{"sha-1", 20}, {"sha-224", 28}, {"sha-256", 32}, {"sha-384", 48}, {"sha-512", 64}};
	struct span name = cut(&text, ' ');
	for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++)
		if (same(name, hashes[i].name))
			return text.len == hashes[i].bytes * 3 - 1 && length_of(text, is_hex_or_colon) == text.len;
	return false;
}

/* May DTLS begin? rtpengine uses no fingerprint without such a role, though RFC 4145 has a default. */
static bool setup_read(struct span role)
{
	return span_equal(role, SPAN_LIT("active")) || span_equal(role, SPAN_LIT("passive")) ||
	       span_equal(role, SPAN_LIT("actpass"));
}

/* --- policy --- */

static uint32_t suites_allowed(const struct srtp_policy *policy)
{
	return policy->mode == SRTP_FORBIDDEN ? 0 : policy->suites;
}

static bool dtls_allowed(const struct srtp_policy *policy)
{
	return policy->mode != SRTP_FORBIDDEN && policy->profiles;
}

/* May the line stay? RFC 4568 has a=crypto in sections only. */
static bool is_excluded(const struct line *line, bool in_section, const struct srtp_policy *policy)
{
	struct span value;
	uint32_t suite;
	if (is_crypto(line, &suite))
		return !in_section || !(suite & suites_allowed(policy));
	return !dtls_allowed(policy) && attribute(line, "fingerprint", &value);
}

/* @p index: of the section, from 0. */
static bool is_required(const struct srtp_policy *policy, unsigned index)
{
	return policy->mode == SRTP_REQUIRED || (policy->mode == SRTP_OPTIONAL && policy->kept >> index & 1);
}

static enum sdp_reason judge_plain(const struct sdp_section *section, bool required)
{
	if (section->secured_by || !required)
		return SDP_ACCEPTABLE;
	return section->suites || section->unusable_keys ? SDP_NO_ALLOWED_SUITE : SDP_PLAIN;
}

static enum sdp_reason judge_savp(const struct sdp_section *section)
{
	if (section->secured_by)
		return SDP_ACCEPTABLE;
	if (section->suites || section->unusable_keys)
		return SDP_NO_ALLOWED_SUITE;
	return section->fingerprint ? SDP_NO_ALLOWED_PROFILE : SDP_NO_KEY;
}

static enum sdp_reason judge_tls(const struct sdp_section *section)
{
	if (section->secured_by & SDP_DTLS)
		return SDP_ACCEPTABLE;
	return section->fingerprint ? SDP_NO_ALLOWED_PROFILE : SDP_NO_FINGERPRINT;
}

static enum sdp_reason judge(struct sdp_section *section, unsigned index, const struct srtp_policy *policy)
{
	bool is_rtp = section->kind != SDP_OTHER;
	section->secured_by = (is_rtp && section->suites & suites_allowed(policy) ? SDP_SDES : 0) |
			      (is_rtp && section->fingerprint && dtls_allowed(policy) ? SDP_DTLS : 0);
	if (section->rejected)
		return SDP_ACCEPTABLE;
	if (section->kind == SDP_AVP || section->kind == SDP_OTHER)
		return judge_plain(section, is_required(policy, index));
	if (policy->mode == SRTP_FORBIDDEN)
		return SDP_SECURED;
	return section->kind == SDP_TLS ? judge_tls(section) : judge_savp(section);
}

/* --- reading --- */

static enum sdp_kind kind_of(struct span profile)
{
	bool secure = ends_with(profile, "/SAVP") || ends_with(profile, "/SAVPF");
	if (!secure)
		return ends_with(profile, "/AVP") || ends_with(profile, "/AVPF") ? SDP_AVP : SDP_OTHER;
	struct span rest = profile;
	while (rest.len)
		if (same(cut(&rest, '/'), "TLS"))
			return SDP_TLS;
	return SDP_SAVP;
}

/* "audio 49170[/2] RTP/AVP 0 8" */
static bool media_read(struct span text, struct sdp_section *section)
{
	uint64_t port, count;
	section->media = cut(&text, ' ');
	struct span ports = cut(&text, ' ');
	section->profile = cut(&text, ' ');
	struct span first = cut(&ports, '/');
	if (!number_read(first, UINT16_MAX, &port))
		return false;
	if (ports.ptr != first.ptr + first.len && !number_read(ports, UINT16_MAX, &count))
		return false;
	section->port = (uint16_t)port;
	section->kind = kind_of(section->profile);
	return section->media.len && length_of(section->media, is_profile_character) == section->media.len &&
	       section->profile.len && length_of(section->profile, is_profile_character) == section->profile.len;
}

/* "IN IP4 192.0.2.1[/ttl]": the address. */
static struct span connection_address(struct span text)
{
	cut(&text, ' ');
	cut(&text, ' ');
	struct span address = cut(&text, ' ');
	return cut(&address, '/');
}

struct reader {
	struct span rest;
	const struct srtp_policy *policy;
	struct sdp_verdict *verdict;
	struct sdp_section session;  /* connection and fingerprint that sections inherit */
	struct sdp_section *current; /* NULL: session level */
	bool connection_seen;        /* at this level */
	bool setup_seen;             /* at this level */
	bool bundle_only;
};

static void fault(struct sdp_verdict *verdict, enum sdp_reason reason, unsigned section)
{
	if (verdict->reason != SDP_ACCEPTABLE || reason == SDP_ACCEPTABLE)
		return;
	verdict->reason = reason;
	verdict->section = section;
}

static void section_end(struct reader *reader)
{
	if (!reader->current)
		return;
	reader->current->fingerprint = reader->current->fingerprint && reader->current->setup;
	reader->current->rejected = reader->current->port == 0 && !reader->bundle_only;
	unsigned number = reader->verdict->count;
	fault(reader->verdict, judge(reader->current, number - 1, reader->policy), number);
	reader->bundle_only = false;
}

static enum sdp_reason section_begin(struct reader *reader, struct span value)
{
	section_end(reader);
	if (reader->verdict->count == SDP_SECTIONS_MAX)
		return SDP_TOO_MANY_SECTIONS;
	reader->current = &reader->verdict->sections[reader->verdict->count++];
	*reader->current = reader->session;
	reader->connection_seen = false;
	reader->setup_seen = false;
	return media_read(value, reader->current) ? SDP_ACCEPTABLE : SDP_UNREADABLE;
}

static enum sdp_reason connection_begin(struct reader *reader, struct span value)
{
	if (reader->connection_seen)
		return SDP_UNREADABLE; /* rtpengine takes one */
	reader->connection_seen = true;
	(reader->current ? reader->current : &reader->session)->connection = connection_address(value);
	if (reader->current)
		reader->current->own_connection = true;
	return SDP_ACCEPTABLE;
}

static void attribute_add(struct reader *reader, const struct line *line)
{
	struct sdp_section *section = reader->current ? reader->current : &reader->session;
	struct span value;
	uint32_t suite;
	if (is_crypto(line, &suite) && reader->current) {
		section->suites |= suite;
		section->unusable_keys |= !suite;
	} else if (attribute(line, "fingerprint", &value)) {
		section->fingerprint |= is_exact(line, "fingerprint") && fingerprint_read(value);
	} else if (attribute(line, "setup", &value)) {
		bool usable = is_exact(line, "setup") && setup_read(value);
		section->setup = usable && (section->setup || !reader->setup_seen);
		reader->setup_seen = true;
	} else if (attribute(line, "bundle-only", &value)) {
		reader->bundle_only = reader->current != NULL;
	}
	reader->verdict->removable += is_excluded(line, reader->current != NULL, reader->policy);
}

static enum sdp_reason line_add(struct reader *reader, const struct line *line)
{
	switch (line->type) {
	case 'v':
		return SDP_UNREADABLE; /* a second session */
	case 'm':
		return section_begin(reader, line->value);
	case 'c':
		return connection_begin(reader, line->value);
	case 'a':
		attribute_add(reader, line);
	}
	return SDP_ACCEPTABLE;
}

/* Reads all lines after v=0. */
static enum sdp_reason lines_add(struct reader *reader)
{
	struct line line;
	int found = next_line(&reader->rest, &line);
	if (found != 1 || line.type != 'v' || !span_equal(line.value, SPAN_LIT("0")))
		return SDP_UNREADABLE;
	while ((found = next_line(&reader->rest, &line)) == 1) {
		enum sdp_reason reason = line_add(reader, &line);
		if (reason != SDP_ACCEPTABLE)
			return reason;
	}
	section_end(reader);
	return found == 0 ? SDP_ACCEPTABLE : SDP_UNREADABLE;
}

enum sdp_reason sdp_check(struct span sdp, const struct srtp_policy *policy, struct sdp_verdict *verdict)
{
	*verdict = (struct sdp_verdict){0};
	struct reader reader = {.rest = sdp, .policy = policy, .verdict = verdict};
	enum sdp_reason reason = lines_add(&reader);
	if (reason != SDP_ACCEPTABLE) {
		verdict->reason = reason; /* whatever was found before: nothing in it can be trusted */
		verdict->section = 0;
	}
	return verdict->reason;
}

bool sdp_never_acceptable(struct sdp_verdict *verdict, const struct srtp_policy *receiver)
{
	for (unsigned i = 0; i < verdict->count; i++) {
		if (!is_required(receiver, i) || verdict->sections[i].rejected ||
		    verdict->sections[i].kind != SDP_OTHER)
			continue;
		verdict->reason = SDP_PLAIN;
		verdict->section = i + 1;
		return true;
	}
	return false;
}

uint32_t sdp_live(const struct sdp_verdict *verdict)
{
	uint32_t live = 0;
	for (unsigned i = 0; i < verdict->count; i++)
		if (!verdict->sections[i].rejected)
			live |= 1u << i;
	return live;
}

uint32_t sdp_secured(const struct sdp_verdict *verdict)
{
	uint32_t secured = 0;
	for (unsigned i = 0; i < verdict->count; i++)
		if (verdict->sections[i].secured_by && !verdict->sections[i].rejected)
			secured |= 1u << i;
	return secured && secured == sdp_live(verdict) ? UINT32_MAX : secured;
}

long sdp_remove_suites(struct span sdp, const struct srtp_policy *policy, char *out, size_t size)
{
	struct line line;
	size_t length = 0;
	bool in_section = false;
	int found;
	while ((found = next_line(&sdp, &line)) == 1) {
		in_section |= line.type == 'm';
		if (is_excluded(&line, in_section, policy))
			continue;
		if (line.whole.len > size - length)
			return -ENOSPC;
		memmove(out + length, line.whole.ptr, line.whole.len);
		length += line.whole.len;
	}
	return found ? found : (long)length;
}

/* --- words --- */

static const struct {
	const char *name, *text;
	int warning;
} reasons[SDP_REASONS] = {
	[SDP_ACCEPTABLE] = {"acceptable", "acceptable", 399},
	[SDP_UNREADABLE] = {"unreadable", "SDP that cannot be read without doubt", 399},
	[SDP_TOO_MANY_SECTIONS] = {"too-many-sections", "too many media sections", 399},
	[SDP_PLAIN] = {"plain", "not SRTP, which is required", 304},
	[SDP_SECURED] = {"secured", "SRTP, which is not used here", 304},
	[SDP_NO_KEY] = {"no-key", "an SRTP profile without a key", 304},
	[SDP_NO_ALLOWED_SUITE] = {"no-allowed-suite", "no allowed SRTP suite", 304},
	[SDP_NO_FINGERPRINT] = {"no-fingerprint", "a DTLS-SRTP profile without a usable fingerprint", 304},
	[SDP_NO_ALLOWED_PROFILE] = {"no-allowed-profile", "DTLS-SRTP, which is not allowed", 304},
};

const char *sdp_reason_name(enum sdp_reason reason)
{
	return reason < SDP_REASONS ? reasons[reason].name : "unknown";
}

int sdp_warning_code(enum sdp_reason reason)
{
	return reason < SDP_REASONS ? reasons[reason].warning : 399;
}

size_t sdp_verdict_text(const struct sdp_verdict *verdict, char *text, size_t size)
{
	char where[32] = "", names[SRTP_NAMES_MAX] = "";
	const struct sdp_section *section = verdict->section ? &verdict->sections[verdict->section - 1] : NULL;
	if (section)
		snprintf(where, sizeof(where), "media section %u: ", verdict->section);
	if (section && verdict->reason == SDP_NO_ALLOWED_SUITE)
		srtp_suites_print(section->suites, ", ", names, sizeof(names));
	bool unusable = section && section->unusable_keys && verdict->reason == SDP_NO_ALLOWED_SUITE;
	int length = snprintf(text, size, "%s%s%s%s%s", where, reasons[verdict->reason].text, *names ? "; has " : "",
			      names, unusable ? (*names ? " and unusable keys" : "; has unusable keys") : "");
	return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size ? size - 1 : 0;
}

/* --- addresses --- */

static bool address_text(const struct line *line, struct sdp_address *address)
{
	struct span value, part;
	if (line->type == 'c') {
		address->origin = SDP_CONNECTION;
		address->text = connection_address(line->value);
		return true;
	}
	if (attribute(line, "rtcp", &value)) {
		cut(&value, ' ');
		address->origin = SDP_RTCP;
		address->text = connection_address(value);
		return value.len > 0; /* a port alone names no address */
	}
	if (!attribute(line, "candidate", &value))
		return false;
	for (int i = 0; i < 4; i++)
		part = cut(&value, ' ');
	part = cut(&value, ' ');
	address->origin = SDP_CANDIDATE;
	address->text = part;
	return true;
}

static bool address_bytes(struct span text, uint8_t bytes[16])
{
	char name[INET6_ADDRSTRLEN];
	if (text.len == 0 || text.len >= sizeof(name))
		return false;
	memcpy(name, text.ptr, text.len);
	name[text.len] = '\0';
	memcpy(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	return inet_pton(AF_INET, name, bytes + 12) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

bool sdp_address_next(struct span *rest, unsigned *section, struct sdp_address *address)
{
	struct line line;
	while (next_line(rest, &line) == 1) {
		struct sdp_address found = {0};
		*section += line.type == 'm';
		if (!address_text(&line, &found))
			continue;
		found.section = *section;
		found.numeric = address_bytes(found.text, found.bytes);
		*address = found;
		return true;
	}
	return false;
}
