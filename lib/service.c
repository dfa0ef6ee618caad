/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The cloud calling services as data (reference sections 5, 6 and 8). */
#include "service.h"

const struct service services[] = {
	{.id = 1, .name = "teamsOperatorConnect", .custom_header = true},
	{.id = 2, .name = "teamsPhoneMobile"},
	{.id = 3, .name = "teamsDirectRouting", .custom_header = true, .must_be_provisioned = true},
	{.id = 4, .name = "zoomPhoneCloudPeering", .custom_header = true, .must_be_provisioned = true},
	{0},
};

const struct service *service_by_name(struct span name)
{
	for (const struct service *s = services; s->name; s++)
		if (span_equal(span_of(s->name), name))
			return s;
	return NULL;
}

const struct service *service_by_id(uint16_t id)
{
	for (const struct service *s = services; s->name; s++)
		if (s->id == id)
			return s;
	return NULL;
}
