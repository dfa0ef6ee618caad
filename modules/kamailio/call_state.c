/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The state of a call as fields in one block, which travels with its transaction as the XAVP "tg". As XAVPs of their
 * own the fields cost 35 allocations in shared memory a call, a quarter of all instructions that the call took.
 */
#include "call_state.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <core/mem/shm_mem.h>

#include "glue.h"

enum { NAMED_MAX = 11, FIELDS_MAX = CALL_FIELDS + 1 + NAMED_MAX, TEXT_ROOM = 4096 };

enum kind { EMPTY, NUMBER, TEXT };

struct field {
	enum kind kind;
	int number;
	uint16_t at, length, room; /* of the text */
};

/* After those of enum call_field one that is always empty, then those that scripts named. */
struct block {
	unsigned named, text_used;
	struct field field[FIELDS_MAX];
	char name[NAMED_MAX][CALL_FIELD_MAX + 1];
	char text[TEXT_ROOM];
};

static const char *const names[CALL_FIELDS] = {
	[CALL_SIDE] = "side",       [CALL_GROUP] = "group",         [CALL_IN] = "in",
	[CALL_DIRECTION] = "dir",   [CALL_ATTRIBUTES] = "attr",     [CALL_ACCOUNT] = "account",
	[CALL_SERVICE] = "service", [CALL_OUT_GROUP] = "out_group", [CALL_OUT] = "out",
	[CALL_SECURED] = "secured", [CALL_RELAYED] = "relayed",     [CALL_CALLED] = "called",
	[CALL_CALLING] = "calling", [CALL_USER] = "user",           [CALL_USER_END] = "user_end",
	[CALL_CANDIDATES] = "try",  [CALL_SENT] = "sent",           [CALL_TRIED] = "tried",
	[CALL_END] = "end",         [CALL_HELD] = "held",           [CALL_OPENED] = "open",
	[CALL_CLAIMED] = "claim",   [CALL_EMERGENCY] = "sos",       [CALL_TARGET] = "target",
	[CALL_REASON] = "reason",   [CALL_OVER] = "over",           [CALL_MARK] = "mark",
	[CALL_INVITE] = "invite",
};

static str root = STR_STATIC_INIT("tg");

/* xavp_get() without its hash of the name: this is asked some hundred times a call. */
static struct block *block_now(void)
{
	for (sr_xavp_t *xavp = *xavp_get_crt_list(); xavp; xavp = xavp->next)
		if (STR_EQ(xavp->name, root))
			return xavp->val.type == SR_XTYPE_SPTR ? xavp->val.v.vptr : NULL;
	return NULL;
}

/* Freed with the list of XAVPs that it is in. */
static struct block *block_new(void)
{
	struct block *block = shm_malloc(sizeof(*block));
	if (!block)
		return NULL;
	memset(block, 0, offsetof(struct block, name));
	sr_xval_t value = {.type = SR_XTYPE_SPTR, .v.vptr = block};
	if (xavp_add_value(&root, &value, NULL))
		return block;
	shm_free(block);
	return NULL;
}

static struct block *block_made(void)
{
	struct block *block = block_now();
	return block ? block : block_new();
}

static const struct field *field_of(const struct block *block, unsigned field, enum kind kind)
{
	return block && field < FIELDS_MAX && block->field[field].kind == kind ? &block->field[field] : NULL;
}

static struct field *field_to_set(struct block *block, unsigned field)
{
	return block && field < FIELDS_MAX && field != CALL_FIELDS ? &block->field[field] : NULL;
}

unsigned call_field_known(const char *name)
{
	unsigned field = 0;
	while (field < CALL_FIELDS && strcmp(names[field], name) != 0)
		field++;
	return field;
}

unsigned call_field_named(const char *name, bool make)
{
	struct block *block = make ? block_made() : block_now();
	if (!block)
		return CALL_FIELDS;
	for (unsigned i = 0; i < block->named; i++)
		if (strcmp(block->name[i], name) == 0)
			return CALL_FIELDS + 1 + i;
	if (!make || block->named == NAMED_MAX || strlen(name) > CALL_FIELD_MAX)
		return CALL_FIELDS;
	strcpy(block->name[block->named], name);
	return CALL_FIELDS + 1 + block->named++;
}

int call_state_int(unsigned field, int missing)
{
	const struct field *found = field_of(block_now(), field, NUMBER);
	return found ? found->number : missing;
}

bool call_state_has(unsigned field)
{
	return field_of(block_now(), field, NUMBER);
}

str call_state_str(unsigned field)
{
	struct block *block = block_now();
	const struct field *found = field_of(block, field, TEXT);
	return found ? (str){.s = block->text + found->at, .len = found->length} : (str){.s = "", .len = 0};
}

int call_state_set_int(unsigned field, int value)
{
	struct field *found = field_to_set(block_made(), field);
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

int call_state_set_str(unsigned field, str value)
{
	struct block *block = block_made();
	size_t length = value.s && value.len > 0 ? (size_t)value.len : 0;
	struct field *found = field_to_set(block, field);
	if (!found || text_place(block, found, length))
		return -ENOMEM;
	memmove(block->text + found->at, value.s, length); /* it may be a part of the text that it replaces */
	found->kind = TEXT;
	found->length = (uint16_t)length;
	return 0;
}

void call_state_clear(unsigned field)
{
	struct field *found = field_to_set(block_now(), field);
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
