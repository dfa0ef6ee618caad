/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The custom header out of the shared region. */
#include "header_line.h"

#include <stdio.h>
#include <string.h>

#include "number_table.h"
#include "service.h"

void header_settings_read(const struct region *region, struct header_settings *settings)
{
	struct topology_settings published;
	struct topology_view view;

	do {
		*settings = (struct header_settings){};
		if (topology_open(region, &view) != 0 || topology_settings(&view, &published) != 0)
			return;
		size_t length = published.custom_header.len;
		if (length >= sizeof(settings->name))
			length = 0; /* a picture that was replaced while we read; the loop comes again */
		memcpy(settings->name, published.custom_header.ptr, length);
		memcpy(settings->dialog_key, published.dialog_key, sizeof(settings->dialog_key));
	} while (!topology_current(&view));
}

size_t header_line(const struct region *region, const struct header_settings *settings, uint32_t attribute_set,
		   char line[HEADER_LINE_MAX + 1])
{
	struct attribute_set set;

	if (!settings->name[0] || attribute_set == 0 || number_table_set(region, attribute_set, &set) != 0)
		return 0;
	const struct service *service = service_by_id(set.service);
	if (!service || !service->custom_header || !*attribute_set_header(&set))
		return 0;
	char *end = stpcpy(stpcpy(stpcpy(stpcpy(line, settings->name), ": "), attribute_set_header(&set)), "\r\n");
	return (size_t)(end - line);
}
