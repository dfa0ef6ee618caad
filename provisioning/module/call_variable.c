/* SPDX-License-Identifier: GPL-2.0-or-later */
/** $tg(field): the state of the call in scripts. */
#include "call_variable.h"

#include <core/dprint.h>
#include <core/mem/mem.h>

#include "call_state.h"
#include "glue.h"

/* The name is kept as a C string, which is what fields are named by. */
static int parse(pv_spec_t *spec, str *name)
{
	char *field = name && name->len > 0 && name->len <= CALL_FIELD_MAX ? pkg_malloc((size_t)name->len + 1) : NULL;

	if (!field) {
		LM_ERR("$tg(...) takes the name of a field, at most %d characters\n", CALL_FIELD_MAX);
		return -1;
	}
	memcpy(field, name->s, (size_t)name->len);
	field[name->len] = '\0';
	spec->pvp.pvn.type = PV_NAME_PVAR;
	spec->pvp.pvn.u.dname = field;
	return 0;
}

static int get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	const char *field = param->pvn.u.dname;
	str text = call_state_str(field);

	if (call_state_has(field))
		return pv_get_sintval(msg, param, value, call_state_int(field, 0));
	return text.len ? pv_get_strval(msg, param, value, &text) : pv_get_null(msg, param, value);
}

static int set(struct sip_msg *msg, pv_param_t *param, int operation, pv_value_t *value)
{
	const char *field = param->pvn.u.dname;

	if (!value || (value->flags & PV_VAL_NULL)) {
		call_state_clear(field);
		return 0;
	}
	return (value->flags & PV_VAL_INT ? call_state_set_int(field, (int)value->ri)
					  : call_state_set_str(field, value->rs))
		       ? -1
		       : 0;
}

pv_export_t call_variables[] = {
	{.name = STR_STATIC_INIT("tg"), .type = PVT_OTHER, .getf = get, .setf = set, .parse_name = parse},
	{},
};
