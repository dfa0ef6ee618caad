/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The custom header as configured and provisioned: its name, and the whole line for an attribute set. */
#ifndef TRUNKGATE_HEADER_LINE_H
#define TRUNKGATE_HEADER_LINE_H

#include "field.h"
#include "region.h"
#include "topology.h"

enum { HEADER_LINE_MAX = FIELD_HEADER_NAME_MAX + 2 + FIELD_NAME_MAX + 2 };

/** Copies what custom_header needs of the settings; nothing published or no name: the name is "". */
struct header_settings {
	char name[FIELD_HEADER_NAME_MAX + 1];
	uint8_t dialog_key[DIALOG_KEY_SIZE];
};
void header_settings_read(const struct region *region, struct header_settings *settings);

/** Writes "Name: value\r\n" for an attribute set. Returns its length; 0: no header for this call. */
size_t header_line(const struct region *region, const struct header_settings *settings, uint32_t attribute_set,
		   char line[HEADER_LINE_MAX + 1]);

#endif
