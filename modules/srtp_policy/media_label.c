/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The labels of a dialog's two ends: written into words for rtpengine, read from its answer to a query. */
#include "media_label.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

enum { DEPTH_MAX = 16 };

void media_label_add(struct media_label *label, const struct media_label *from)
{
	for (enum media_end end = 0; end < MEDIA_ENDS; end++) {
		label->firm[end] |= from->firm[end];
		label->loose[end] |= from->loose[end];
	}
}

void media_label_write(const struct media_label *label, char text[MEDIA_LABEL_LENGTH + 1])
{
	snprintf(text, MEDIA_LABEL_LENGTH + 1, "trunkgate-%08x-%08x-%08x-%08x", label->firm[MEDIA_CALLEE],
		 label->firm[MEDIA_CALLER], label->loose[MEDIA_CALLEE], label->loose[MEDIA_CALLER]);
}

/* Nothing but what is written so. */
static bool read_label(const char *text, size_t length, struct media_label *label)
{
	char again[MEDIA_LABEL_LENGTH + 1];

	if (length != MEDIA_LABEL_LENGTH ||
	    sscanf(text, "trunkgate-%8x-%8x-%8x-%8x", &label->firm[MEDIA_CALLEE], &label->firm[MEDIA_CALLER],
		   &label->loose[MEDIA_CALLEE], &label->loose[MEDIA_CALLER]) != 4)
		return false;
	media_label_write(label, again);
	return memcmp(text, again, length) == 0;
}

/* True if rtpengine knows this end. */
static bool add_end(const struct json_object *tags, const char *tag, struct media_label *label)
{
	struct json_object *end = NULL, *value = NULL;

	if (!json_object_object_get_ex(tags, tag, &end) || !json_object_is_type(end, json_type_object))
		return false;
	if (!json_object_object_get_ex(end, "label", &value) || !json_object_is_type(value, json_type_string))
		return true;
	struct media_label read;
	if (read_label(json_object_get_string(value), (size_t)json_object_get_string_len(value), &read))
		media_label_add(label, &read);
	return true;
}

static int read_tags(const struct json_object *query, const char *caller, const char *callee, struct media_label *label)
{
	struct media_label found = {0};
	struct json_object *tags = NULL;

	if (!json_object_object_get_ex(query, "tags", &tags) || !json_object_is_type(tags, json_type_object))
		return -EINVAL;
	bool known = add_end(tags, caller, &found);
	known |= add_end(tags, callee, &found);
	if (!known)
		return -ENOENT;
	*label = found;
	return 0;
}

int media_label_read(struct span query, const char *caller, const char *callee, struct media_label *label)
{
	if (query.len == 0 || query.len > MEDIA_QUERY_MAX)
		return -EINVAL;
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	struct json_object *object = json_tokener_parse_ex(tokener, query.ptr, (int)query.len);
	bool whole = json_tokener_get_error(tokener) == json_tokener_success &&
		     json_tokener_get_parse_end(tokener) == query.len;
	int result = whole ? read_tags(object, caller, callee, label) : -EINVAL;
	json_object_put(object);
	json_tokener_free(tokener);
	return result;
}
