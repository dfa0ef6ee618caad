/* SPDX-License-Identifier: GPL-2.0-or-later */
/** $xavp(tg=>...) as typed fields. */
#include <errno.h>

#include "call_state.h"
#include "glue.h"
#include "kamailio_compat.h"

static str root = STR_STATIC_INIT("tg");

int call_state_int(const char *field, int missing)
{
	str name = str_of(field);
	sr_xavp_t *value = xavp_get_child_with_ival(&root, &name);
	return value ? (int)kamailio_xavp_int_value(value) : missing;
}

bool call_state_has(const char *field)
{
	str name = str_of(field);
	return xavp_get_child_with_ival(&root, &name) != NULL;
}

str call_state_str(const char *field)
{
	str name = str_of(field);
	sr_xavp_t *value = xavp_get_child_with_sval(&root, &name);
	return value ? value->val.v.s : (str){.s = "", .len = 0};
}

int call_state_set_int(const char *field, int value)
{
	str name = str_of(field);
	return xavp_set_child_ival(&root, &name, value) < 0 ? -ENOMEM : 0;
}

int call_state_set_str(const char *field, str value)
{
	str name = str_of(field);
	return xavp_set_child_sval(&root, &name, &value) < 0 ? -ENOMEM : 0;
}

void call_state_clear(const char *field)
{
	str name = str_of(field);
	xavp_rm_child_by_index(&root, &name, 0);
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
