/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The topology document: JSON text of an operator -> whole, checked document with all defaults written out.
 *
 * Everything behind (difference, tables, publishing, topology_get) works on the whole document only.
 */
#ifndef TRUNKGATE_TOPOLOGY_DOCUMENT_H
#define TRUNKGATE_TOPOLOGY_DOCUMENT_H

#include <json-c/json.h>
#include <stdint.h>

#include "fault.h"
#include "topology.h"

enum {
	DOCUMENT_GROUPS_MAX = 1000,
	DOCUMENT_PEERS_MAX = 64,      /**< of a group: site_failover looks at so many */
	DOCUMENT_PREFIXES_MAX = 4096, /**< of a peer and kind */
	DOCUMENT_NAMES_MAX = 7,       /**< of a group and kind: their text fits TOPOLOGY_LIST_MAX */
	DOCUMENT_SUITES_MAX = 32,
};

enum document_kind {
	DOCUMENT_TEXT,
	DOCUMENT_BOOL,
	DOCUMENT_INTEGER,
	DOCUMENT_OBJECT,
	DOCUMENT_OBJECTS,
	DOCUMENT_TEXTS, /**< a list without doubles, each by the rule */
	DOCUMENT_PRIORITY
};

/** One key of the document. */
struct document_field {
	const char *name;
	enum document_kind kind;
	bool required;
	bool omitted; /**< stays away from the whole document if it was not given */
	int64_t min, max, initial;
	const char *initial_text;
	const char *(*fault)(struct span text);
	const struct document_field *fields; /**< of an object; ended by a row without a name */
};

/** Keys of "settings", for those who keep them. */
extern const struct document_field document_settings[];

/**
 * Reads a document. Returns 0 with a new object, or -errno with @p fault, whose field is a path such as
 * peerGroups[0].peers[2].port ("document" for the text as a whole).
 */
int topology_document_read(const char *text, size_t length, struct json_object **document, struct fault *fault);

/** The whole document of a store into which nothing was loaded yet. */
struct json_object *topology_document_empty(void);

/**
 * What changes from @p before to @p after, both whole: an array of {"path", "change", "from", "to"}, change being
 * "added", "removed" or "changed". Things are told apart by name: peerGroups[west].peers[west-1].port.
 */
struct json_object *topology_document_difference(struct json_object *before, struct json_object *after);

/** Strict reader for all JSON that strangers send: @p reason is set if NULL is returned. */
struct json_object *document_parse(const char *text, size_t length, char *reason, size_t size);

/** Text of a member, NULL if there is none. */
const char *document_text(struct json_object *object, const char *name);
/** Names of a list with a space between two; a whole document has no more than fit. Returns @p text. */
const char *document_list(struct json_object *object, const char *name, char text[TOPOLOGY_LIST_MAX + 1]);
int64_t document_integer(struct json_object *object, const char *name);

#endif
