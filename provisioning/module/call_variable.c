/* SPDX-License-Identifier: GPL-2.0-or-later */
/** $tg(field): the state of the call in scripts. */
#include "call_variable.h"

#include <core/dprint.h>
#include <core/mem/mem.h>

#include "call_state.h"
#include "glue.h"

/* Fields of our modules have a number; one that a script made up has its name. */
struct name {
	unsigned known;
	char text[CALL_FIELD_MAX + 1];
};

static int parse(pv_spec_t *spec, str *name)
{
	struct name *field = name && name->len > 0 && name->len <= CALL_FIELD_MAX ? pkg_malloc(sizeof(*field)) : NULL;

	if (!field) {
		LM_ERR("$tg(...) takes the name of a field, at most %d characters\n", CALL_FIELD_MAX);
		return -1;
	}
	memcpy(field->text, name->s, (size_t)name->len);
	field->text[name->len] = '\0';
	field->known = call_field_known(field->text);
	spec->pvp.pvn.type = PV_NAME_PVAR;
	spec->pvp.pvn.u.dname = field;
	return 0;
}

static unsigned field_of(const pv_param_t *param, bool make)
{
	const struct name *name = param->pvn.u.dname;

	return name->known < CALL_FIELDS ? name->known : call_field_named(name->text, make);
}

static int get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	unsigned field = field_of(param, false);
	str text = call_state_str(field);

	if (call_state_has(field))
		return pv_get_sintval(msg, param, value, call_state_int(field, 0));
	return text.len ? pv_get_strval(msg, param, value, &text) : pv_get_null(msg, param, value);
}

static int set(struct sip_msg *msg, pv_param_t *param, int operation, pv_value_t *value)
{
	if (!value || (value->flags & PV_VAL_NULL)) {
		call_state_clear(field_of(param, false));
		return 0;
	}
	unsigned field = field_of(param, true);
	return (value->flags & PV_VAL_INT ? call_state_set_int(field, (int)value->ri)
					  : call_state_set_str(field, value->rs))
		       ? -1
		       : 0;
}

pv_export_t call_variables[] = {
	{.name = STR_STATIC_INIT("tg"), .type = PVT_OTHER, .getf = get, .setf = set, .parse_name = parse},
	{},
};
