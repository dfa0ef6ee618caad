/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Imports of the running program, from its ELF dynamic section in memory. */
#include "imports.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>

/* Rows of the table below that are asked for by name. */
enum { BIND, USE_SRTP, PCRE_EXEC };

/* Calls by which a datagram or a profile could pass; each version imports exactly those of its bit. */
static const struct {
	const char *name;
	unsigned versions;
} watched[] = {
	[BIND] = {"bind", NG_10_5 | NG_12_5},
	[USE_SRTP] = {"SSL_CTX_set_tlsext_use_srtp", NG_10_5 | NG_12_5},
	[PCRE_EXEC] = {"pcre_exec", NG_10_5},
	{"recvmsg", NG_10_5 | NG_12_5},
	{"sendmsg", NG_10_5 | NG_12_5},
	{"sendto", NG_10_5 | NG_12_5},               /* media, legacy control */
	{"send", NG_10_5},                           /* graphite, homer */
	{"io_uring_submit_and_get_events", NG_12_5}, /* media only */
	{"recv", 0},
	{"recvfrom", 0},
	{"recvmmsg", 0},
	{"__recv_chk", 0},
	{"__recvfrom_chk", 0},
	{"readv", 0},
	{"preadv", 0},
	{"sendmmsg", 0},
	{"syscall", 0},
	{"SSL_set_tlsext_use_srtp", 0},
	{"gnutls_srtp_set_profile", 0},
};

enum { WATCHED = sizeof(watched) / sizeof(*watched) };

static const struct {
	enum ng_version version;
	const char *name;
} versions[] = {{NG_10_5, "10.5"}, {NG_12_5, "12.5"}};

enum { VERSIONS = sizeof(versions) / sizeof(*versions) };

/* Names a difference of what was found to one version; false if there is none. */
static bool differs(const bool *found, enum ng_version version, const char *name, char *text)
{
	for (size_t i = 0; i < WATCHED; i++) {
		bool wanted = watched[i].versions & version;
		if (found[i] == wanted)
			continue;
		snprintf(text, IMPORTS_TEXT_MAX, "%s %s, unlike rtpengine %s",
			 found[i] ? "the program imports" : "the program does not import", watched[i].name, name);
		return true;
	}
	return false;
}

static void find(imports_next *next, void *program, bool found[WATCHED])
{
	size_t position = 0;
	for (const char *name; (name = next(program, &position));)
		for (size_t i = 0; i < WATCHED; i++)
			found[i] = found[i] || strcmp(name, watched[i].name) == 0;
}

bool imports_are_relay(imports_next *next, void *program)
{
	bool found[WATCHED] = {false};
	find(next, program, found);
	return found[USE_SRTP] && found[BIND];
}

int imports_check(imports_next *next, void *program, enum ng_version *version, char text[IMPORTS_TEXT_MAX])
{
	bool found[WATCHED] = {false};
	size_t row = 0;
	find(next, program, found);
	/* the version with its own mark, for the text; else the last */
	while (row + 1 < VERSIONS && !(found[PCRE_EXEC] && versions[row].version == NG_10_5))
		row++;
	if (differs(found, versions[row].version, versions[row].name, text))
		return -ENOTSUP;
	*version = versions[row].version;
	return 0;
}

struct elf {
	const ElfW(Sym) * symbols;
	const char *strings;
	size_t count; /* of symbols; undefined ones come first where there is only a GNU hash table */
};

static void elf_read(const ElfW(Dyn) * entry, struct elf *elf)
{
	for (; entry->d_tag != DT_NULL; entry++) {
		const uint32_t *table = (const uint32_t *)entry->d_un.d_ptr;
		switch (entry->d_tag) {
		case DT_SYMTAB:
			elf->symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
			break;
		case DT_STRTAB:
			elf->strings = (const char *)entry->d_un.d_ptr;
			break;
		case DT_HASH:
			elf->count = table[1];
			break;
		case DT_GNU_HASH:
			elf->count = elf->count ? elf->count : table[1];
			break;
		}
	}
}

/* The first object is the program itself. */
static int program_read(struct dl_phdr_info *info, size_t size, void *elf)
{
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			elf_read((const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), elf);
	return 1;
}

static const char *elf_next(void *program, size_t *position)
{
	const struct elf *elf = program;
	while (*position < elf->count) {
		const ElfW(Sym) *symbol = &elf->symbols[(*position)++];
		if (symbol->st_shndx == SHN_UNDEF && symbol->st_name)
			return elf->strings + symbol->st_name;
	}
	return NULL;
}

/* False if it has none. */
static bool self_read(struct elf *elf)
{
	*elf = (struct elf){0};
	dl_iterate_phdr(program_read, elf);
	return elf->symbols && elf->strings && elf->count;
}

bool imports_are_relay_self(void)
{
	struct elf elf;
	return self_read(&elf) && imports_are_relay(elf_next, &elf);
}

int imports_check_self(enum ng_version *version, char text[IMPORTS_TEXT_MAX])
{
	struct elf elf;
	if (!self_read(&elf)) {
		snprintf(text, IMPORTS_TEXT_MAX, "the program has no table of imports");
		return -ENOTSUP;
	}
	return imports_check(elf_next, &elf, version, text);
}
