/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The state of a call as fields in one block, which travels with its transaction as the XAVP "tg". As XAVPs of their
 * own the fields cost 35 allocations in shared memory a call, a quarter of all instructions that the call took.
 */
#include "call_state.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <core/mem/shm_mem.h>

#include "glue.h"

enum { FIELDS_MAX = 32, TEXT_ROOM = 2048 };

enum kind { EMPTY, NUMBER, TEXT };

struct field {
	char name[CALL_FIELD_MAX + 1];
	enum kind kind;
	int number;
	uint16_t at, length, room; /* of the text */
};

struct block {
	unsigned fields, text_used;
	struct field field[FIELDS_MAX];
	char text[TEXT_ROOM];
};

static str root = STR_STATIC_INIT("tg");

static struct block *block_now(void)
{
	sr_xavp_t *xavp = xavp_get(&root, NULL);
	return xavp && xavp->val.type == SR_XTYPE_SPTR ? xavp->val.v.vptr : NULL;
}

/* Freed with the list of XAVPs that it is in. */
static struct block *block_new(void)
{
	struct block *block = shm_malloc(sizeof(*block));
	if (!block)
		return NULL;
	block->fields = block->text_used = 0;
	sr_xval_t value = {.type = SR_XTYPE_SPTR, .v.vptr = block};
	if (xavp_add_value(&root, &value, NULL))
		return block;
	shm_free(block);
	return NULL;
}

static struct field *field_find(struct block *block, const char *name)
{
	for (unsigned i = 0; block && i < block->fields; i++)
		if (block->field[i].name[0] == name[0] && strcmp(block->field[i].name, name) == 0)
			return &block->field[i];
	return NULL;
}

static struct field *field_of(const char *name, enum kind kind)
{
	struct field *field = field_find(block_now(), name);
	return field && field->kind == kind ? field : NULL;
}

static struct field *field_make(struct block *block, const char *name)
{
	struct field *field = field_find(block, name);
	if (field || block->fields == FIELDS_MAX || strlen(name) > CALL_FIELD_MAX)
		return field;
	field = &block->field[block->fields++];
	*field = (struct field){.kind = EMPTY};
	strcpy(field->name, name);
	return field;
}

int call_state_int(const char *field, int missing)
{
	const struct field *found = field_of(field, NUMBER);
	return found ? found->number : missing;
}

bool call_state_has(const char *field)
{
	return field_of(field, NUMBER) != NULL;
}

str call_state_str(const char *field)
{
	struct block *block = block_now();
	const struct field *found = field_of(field, TEXT);
	return found ? (str){.s = block->text + found->at, .len = found->length} : (str){.s = "", .len = 0};
}

int call_state_set_int(const char *field, int value)
{
	struct block *block = block_now();
	if (!block)
		block = block_new();
	struct field *found = block ? field_make(block, field) : NULL;
	if (!found)
		return -ENOMEM;
	found->kind = NUMBER;
	found->number = value;
	return 0;
}

/* A longer text than before gets a new place: few fields ever have one. */
static int text_place(struct block *block, struct field *field, size_t length)
{
	if (length <= field->room)
		return 0;
	if (length > TEXT_ROOM - block->text_used)
		return -ENOMEM;
	field->at = (uint16_t)block->text_used;
	field->room = (uint16_t)length;
	block->text_used += (unsigned)length;
	return 0;
}

int call_state_set_str(const char *field, str value)
{
	struct block *block = block_now();
	size_t length = value.s && value.len > 0 ? (size_t)value.len : 0;
	if (!block)
		block = block_new();
	struct field *found = block ? field_make(block, field) : NULL;
	if (!found || text_place(block, found, length))
		return -ENOMEM;
	memmove(block->text + found->at, value.s, length); /* it may be a part of the text that it replaces */
	found->kind = TEXT;
	found->length = (uint16_t)length;
	return 0;
}

void call_state_clear(const char *field)
{
	struct field *found = field_find(block_now(), field);
	if (found)
		found->kind = EMPTY;
}

struct call_state_scope call_state_enter(struct cell *cell)
{
	struct call_state_scope scope = {};

	/* tm takes this lock in onreply_route and failure_route; taken twice in one process it would never be free */
	if (atomic_get(&cell->reply_locker_pid) != my_pid()) {
		lock_get(&cell->reply_mutex);
		scope.locked = cell;
	}
	scope.saved = xavp_set_list(&cell->xavps_list);
	return scope;
}

void call_state_leave(struct call_state_scope scope)
{
	xavp_set_list(scope.saved);
	if (scope.locked)
		lock_release(&scope.locked->reply_mutex);
}
