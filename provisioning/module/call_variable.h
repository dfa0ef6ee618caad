/* SPDX-License-Identifier: GPL-2.0-or-later */
/** $tg(field): the state of the call (call_state.h) in scripts. */
#ifndef TRUNKGATE_CALL_VARIABLE_H
#define TRUNKGATE_CALL_VARIABLE_H

#include <core/pvar.h>

extern pv_export_t call_variables[];

#endif
