/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The cloud calling services as data: one row a service, no branches elsewhere. */
#ifndef TRUNKGATE_SERVICE_H
#define TRUNKGATE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "span.h"

struct service {
	uint16_t id;              /**< stable: kept in the store and in the shared region; 0 = none */
	const char *name;         /**< API field name, e.g. "teamsOperatorConnect" */
	bool custom_header;       /**< may carry the operator's custom header */
	bool must_be_provisioned; /**< calls of unknown numbers are refused, both ways */
};

/** NULL if there is no such service. */
const struct service *service_by_name(struct span name);
const struct service *service_by_id(uint16_t id);

/** All services, ended by a row whose name is NULL. */
extern const struct service services[];

#endif
