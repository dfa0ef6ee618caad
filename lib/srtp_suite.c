/* SPDX-License-Identifier: GPL-2.0-or-later */
/** SRTP suites and DTLS-SRTP profiles: RFC 4568, 6188, 7714, 5764, and the names that rtpengine made up. */
#include "srtp_suite.h"

#include <errno.h>
#include <strings.h>

const struct srtp_suite srtp_suites[] = {
	{.name = "AES_CM_128_HMAC_SHA1_80", .key_length = 30, .encrypts = true},
	{.name = "AES_CM_128_HMAC_SHA1_32", .key_length = 30, .encrypts = true},
	{.name = "AES_192_CM_HMAC_SHA1_80", .key_length = 38, .encrypts = true},
	{.name = "AES_192_CM_HMAC_SHA1_32", .key_length = 38, .encrypts = true},
	{.name = "AES_256_CM_HMAC_SHA1_80", .key_length = 46, .encrypts = true},
	{.name = "AES_256_CM_HMAC_SHA1_32", .key_length = 46, .encrypts = true},
	{.name = "AEAD_AES_128_GCM", .key_length = 28, .encrypts = true},
	{.name = "AEAD_AES_256_GCM", .key_length = 44, .encrypts = true},
	{.name = "F8_128_HMAC_SHA1_80", .key_length = 30, .encrypts = true},
	{.name = "F8_128_HMAC_SHA1_32", .key_length = 30, .encrypts = true},
	{.name = "NULL_HMAC_SHA1_80", .key_length = 30},
	{.name = "NULL_HMAC_SHA1_32", .key_length = 30},
	{0},
};

const struct srtp_profile srtp_profiles[] = {
	{.name = "SRTP_AES128_CM_HMAC_SHA1_80", .openssl = "SRTP_AES128_CM_SHA1_80"},
	{.name = "SRTP_AES128_CM_HMAC_SHA1_32", .openssl = "SRTP_AES128_CM_SHA1_32"},
	{.name = "SRTP_AEAD_AES_128_GCM", .openssl = "SRTP_AEAD_AES_128_GCM"},
	{.name = "SRTP_AEAD_AES_256_GCM", .openssl = "SRTP_AEAD_AES_256_GCM"},
	{0},
};

/* The name in row @p index of a table, NULL past its end. */
typedef const char *name_at(unsigned index);

static const char *suite_name(unsigned index)
{
	return srtp_suites[index].name;
}

static const char *profile_name(unsigned index)
{
	return srtp_profiles[index].name;
}

static const char *profile_openssl(unsigned index)
{
	return srtp_profiles[index].openssl;
}

static int find(name_at *name, struct span text)
{
	for (unsigned i = 0; name(i); i++)
		if (strlen(name(i)) == text.len && !strncasecmp(name(i), text.ptr, text.len))
			return (int)i;
	return -1;
}

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == ';';
}

/* Cuts the next name off; false at the end. */
static bool next_name(struct span *rest, struct span *name)
{
	while (rest->len && is_separator(*rest->ptr))
		*rest = (struct span){rest->ptr + 1, rest->len - 1};
	*name = (struct span){rest->ptr, 0};
	while (rest->len && !is_separator(*rest->ptr)) {
		*rest = (struct span){rest->ptr + 1, rest->len - 1};
		name->len++;
	}
	return name->len > 0;
}

static size_t print(name_at *name, uint32_t set, const char *separator, char *text, size_t size)
{
	size_t length = 0;
	for (unsigned i = 0; name(i); i++) {
		if (!(set & 1u << i))
			continue;
		const char *const parts[] = {length ? separator : "", name(i)};
		for (unsigned part = 0; part < 2; part++)
			for (const char *c = parts[part]; *c && length + 1 < size; c++)
				text[length++] = *c;
	}
	if (size)
		text[length] = '\0';
	return length;
}

uint32_t srtp_suites_default(void)
{
	return 1u << find(suite_name, SPAN_LIT("AES_CM_128_HMAC_SHA1_80"));
}

uint32_t srtp_profiles_default(void)
{
	return 1u << find(profile_name, SPAN_LIT("SRTP_AES128_CM_HMAC_SHA1_80"));
}

int srtp_suite_find(struct span name)
{
	return find(suite_name, name);
}

static int refuse(struct span name, struct span *bad, int error)
{
	if (bad)
		*bad = name;
	return error;
}

int srtp_suites_parse(struct span names, uint32_t *suites, struct span *bad)
{
	uint32_t set = 0;
	for (struct span name; next_name(&names, &name);) {
		int index = find(suite_name, name);
		if (index < 0)
			return refuse(name, bad, -EINVAL);
		if (!srtp_suites[index].encrypts)
			return refuse(name, bad, -EPERM);
		set |= 1u << index;
	}
	*suites = set ? set : srtp_suites_default();
	return 0;
}

int srtp_profiles_parse(struct span names, uint32_t *profiles, struct span *bad)
{
	uint32_t set = 0;
	unsigned count = 0;
	bool none = false;
	for (struct span name; next_name(&names, &name); count++) {
		int index = find(profile_name, name);
		none = none || span_equal(name, SPAN_LIT("none"));
		if (none ? count > 0 : index < 0)
			return refuse(name, bad, -EINVAL);
		if (!none)
			set |= 1u << index;
	}
	*profiles = count ? set : srtp_profiles_default();
	return 0;
}

size_t srtp_suites_print(uint32_t suites, const char *separator, char *text, size_t size)
{
	return print(suite_name, suites, separator, text, size);
}

size_t srtp_profiles_print(uint32_t profiles, const char *separator, char *text, size_t size)
{
	return print(profile_name, profiles, separator, text, size);
}

size_t srtp_profiles_openssl(uint32_t profiles, char *text, size_t size)
{
	return print(profile_openssl, profiles, ":", text, size);
}
