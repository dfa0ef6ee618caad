/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The media policies of peer groups: which do not go together. */
#include "topology_media.h"

#include <stdio.h>
#include <string.h>

#include "media_leg.h"
#include "topology_document.h"

enum { PATH_SIZE = 64 };

static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, name, &value);
	return value;
}

static struct media_leg leg_of(struct json_object *group)
{
	char suites[TOPOLOGY_LIST_MAX + 1], profiles[TOPOLOGY_LIST_MAX + 1];
	struct media_leg leg;
	enum media media = MEDIA_SRTP;

	document_list(group, "srtpSuites", suites);
	document_list(group, "dtlsProfiles", profiles);
	media_parse(span_of(document_text(group, "media")), &media);
	media_leg_read(media, span_of(suites), span_of(profiles), &leg);
	return leg;
}

static struct json_object *group_of(struct json_object *groups, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(groups); i++)
		if (strcmp(document_text(json_object_array_get_idx(groups, i), "name"), name) == 0)
			return json_object_array_get_idx(groups, i);
	return NULL;
}

/* Both must be secured, by SDES, and no suite is allowed on both sides: each call would be refused. Profiles must meet
 * as soon as both sides allow DTLS-SRTP: rtpengine gets one list for the two, and a side would never have its own.
 */
static int service_check(struct json_object *service, size_t index, struct json_object *groups, struct fault *fault)
{
	const char *names[] = {document_text(service, "peerGroup"), document_text(service, "operatorPeerGroup")};
	struct media_leg legs[] = {leg_of(group_of(groups, names[0])), leg_of(group_of(groups, names[1]))};
	bool required = legs[0].policy.mode == SRTP_REQUIRED && legs[1].policy.mode == SRTP_REQUIRED;
	unsigned apart = media_legs_meet(&legs[0], &legs[1]);
	char field[PATH_SIZE];

	snprintf(field, sizeof(field), "services[%zu].peerGroup", index);
	if (apart & LEGS_NO_SUITE && required)
		return fault_set(fault, FAULT_BAD_VALUE, field, "%s and %s have no SRTP suite in common", names[0],
				 names[1]);
	if (apart & LEGS_NO_PROFILE)
		return fault_set(fault, FAULT_BAD_VALUE, field,
				 "%s and %s have no DTLS-SRTP profile in common: a group with srtpSuites alone, or "
				 "dtlsProfiles [\"none\"], goes without",
				 names[0], names[1]);
	return 0;
}

int topology_media_check(struct json_object *document, struct fault *fault)
{
	struct json_object *groups = member(document, "peerGroups"), *services = member(document, "services");
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(services) && rc == 0; i++)
		rc = service_check(json_object_array_get_idx(services, i), i, groups, fault);
	return rc;
}
