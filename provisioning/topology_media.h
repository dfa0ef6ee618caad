/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What peer groups say of media, held against each other. */
#ifndef TRUNKGATE_TOPOLOGY_MEDIA_H
#define TRUNKGATE_TOPOLOGY_MEDIA_H

#include <json-c/json.h>

#include "fault.h"

/**
 * Of a document whose single values are good: a service whose two groups could never have a call, or whose DTLS-SRTP
 * profiles have nothing in common. Returns 0 or -errno with @p fault.
 */
int topology_media_check(struct json_object *document, struct fault *fault);

#endif
