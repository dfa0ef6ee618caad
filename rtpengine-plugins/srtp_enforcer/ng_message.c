/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Reading and writing a datagram of the ng protocol. */
#include "ng_codec.h"

#include <errno.h>

static const struct ng_codec *const codecs[] = {[NG_BENCODE] = &ng_bencode, [NG_JSON] = &ng_json};

/* --- reading --- */

static char spelled(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c | 0x20);
	return c == ' ' || c == '_' ? '-' : c;
}

static bool same_key(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (spelled(a.ptr[i]) != spelled(b.ptr[i]))
			return false;
	return true;
}

bool ng_key_is(struct span key, const char *name)
{
	return same_key(key, span_of(name));
}

const struct ng_value *ng_find(const struct ng_message *message, const char *name)
{
	for (unsigned i = 0; i < message->count; i++)
		if (ng_key_is(message->entries[i].key, name))
			return &message->entries[i].value;
	return NULL;
}

/* Keys that decide what is let through. Others may come twice: Kamailio 5.6 sends "delete delay" and "delete-delay". */
static bool is_decisive(struct span key)
{
	static const char *const names[] = {
		"command",    "call-id",   "sdp",         "flags",         "transport-protocol", "DTLS",
		"rtpp-flags", "from-tags", "record-call", "dtls-profiles", "fingerprints"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (ng_key_is(key, names[i]))
			return true;
	return false;
}

static bool is_twice(const struct ng_message *message, struct span key)
{
	if (!is_decisive(key))
		return false;
	for (unsigned i = 0; i < message->count; i++)
		if (same_key(message->entries[i].key, key))
			return true;
	return false;
}

/* One key and its value; @p used counts the bytes of keys that were decoded. */
static bool entry_read(struct ng_message *message, struct span *rest, size_t *used)
{
	const struct ng_codec *codec = codecs[message->format];
	struct ng_value name;
	struct span key;
	if (message->count == NG_ENTRIES_MAX || !codec->value_read(rest, &name, 1) || name.type != NG_STRING)
		return false;
	if (codec->text(name.raw, message->keys + *used, sizeof(message->keys) - *used, &key))
		return false;
	if (key.ptr == message->keys + *used)
		*used += key.len;
	if (is_twice(message, key) || !codec->colon_read(rest))
		return false;
	struct ng_entry *entry = &message->entries[message->count];
	entry->key = key;
	if (!codec->value_read(rest, &entry->value, NG_DEPTH_MAX))
		return false;
	message->count++;
	return true;
}

int ng_read(struct span datagram, struct ng_message *message)
{
	const char *space = datagram.len ? memchr(datagram.ptr, ' ', datagram.len) : NULL;
	size_t used = 0;
	message->count = 0;
	message->format = NG_BENCODE;
	message->cookie = (struct span){datagram.ptr, space ? (size_t)(space - datagram.ptr) : 0};
	if (message->cookie.len == 0)
		return -EINVAL;
	struct span rest = span_skip(datagram, message->cookie.len + 1);
	if (rest.len && *rest.ptr == ng_json.open)
		message->format = NG_JSON;
	const struct ng_codec *codec = codecs[message->format];
	if (rest.len == 0 || *rest.ptr != codec->open)
		return -EINVAL;
	rest = span_skip(rest, 1);
	for (bool first = true;; first = false) {
		if (!codec->separator_read(&rest, codec->close, first))
			return -EINVAL;
		if (rest.len == 0 || *rest.ptr == codec->close)
			break;
		if (!entry_read(message, &rest, &used))
			return -EINVAL;
	}
	if (rest.len == 0)
		return -EINVAL;
	rest = span_skip(rest, 1);
	return codec->separator_read(&rest, '\0', true) && rest.len == 0 ? 0 : -EINVAL;
}

int ng_text(enum ng_format format, const struct ng_value *value, char *room, size_t size, struct span *text)
{
	if (!value || value->type != NG_STRING)
		return -EINVAL;
	return codecs[format]->text(value->raw, room, size, text);
}

struct span ng_items(const struct ng_value *list)
{
	return (struct span){list->raw.ptr + 1, list->raw.len - 2};
}

bool ng_item_next(enum ng_format format, struct span *rest, struct ng_value *item)
{
	const struct ng_codec *codec = codecs[format];
	codec->separator_read(rest, '\0', true);
	if (codec->separator.len && rest->len && *rest->ptr == *codec->separator.ptr)
		codec->separator_read(rest, '\0', false);
	return rest->len && codec->value_read(rest, item, NG_DEPTH_MAX);
}

/* --- writing --- */

void ng_put(struct ng_writer *writer, struct span text)
{
	if (text.len > writer->size - writer->length) {
		writer->full = true;
		return;
	}
	if (text.len)
		memcpy(writer->out + writer->length, text.ptr, text.len);
	writer->length += text.len;
}

static void put_separator(struct ng_writer *writer)
{
	if (!writer->first)
		ng_put(writer, codecs[writer->format]->separator);
	writer->first = false;
}

static void put_key(struct ng_writer *writer, struct span key)
{
	put_separator(writer);
	codecs[writer->format]->text_write(writer, key);
	ng_put(writer, codecs[writer->format]->colon);
}

void ng_write_begin(struct ng_writer *writer, enum ng_format format, struct span cookie, char *out, size_t size)
{
	*writer = (struct ng_writer){.format = format, .out = out, .size = size, .first = true};
	ng_put(writer, cookie);
	ng_put(writer, SPAN_LIT(" "));
	ng_put(writer, (struct span){&codecs[format]->open, 1});
}

void ng_write_raw(struct ng_writer *writer, struct span key, struct span raw)
{
	put_key(writer, key);
	ng_put(writer, raw);
}

void ng_write_text(struct ng_writer *writer, struct span key, struct span text)
{
	put_key(writer, key);
	codecs[writer->format]->text_write(writer, text);
}

void ng_write_number(struct ng_writer *writer, struct span key, uint64_t number)
{
	put_key(writer, key);
	codecs[writer->format]->number_write(writer, number);
}

void ng_write_list_begin(struct ng_writer *writer, struct span key, const struct ng_value *list)
{
	struct ng_value item;
	put_key(writer, key);
	ng_put(writer, codecs[writer->format]->list_open);
	writer->first = true;
	if (!list)
		return;
	for (struct span rest = ng_items(list); ng_item_next(writer->format, &rest, &item);) {
		put_separator(writer);
		ng_put(writer, item.raw);
	}
}

void ng_write_list_text(struct ng_writer *writer, struct span text)
{
	put_separator(writer);
	codecs[writer->format]->text_write(writer, text);
}

void ng_write_list_end(struct ng_writer *writer)
{
	ng_put(writer, codecs[writer->format]->list_close);
	writer->first = false;
}

long ng_write_end(struct ng_writer *writer)
{
	ng_put(writer, (struct span){&codecs[writer->format]->close, 1});
	return writer->full ? -ENOSPC : (long)writer->length;
}
