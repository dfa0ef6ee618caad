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

/* Both must be secured, by SDES, and no suite is allowed on both sides: each call would be refused. */
static int service_check(struct json_object *service, size_t index, struct json_object *groups, struct fault *fault)
{
	const char *names[] = {document_text(service, "peerGroup"), document_text(service, "operatorPeerGroup")};
	struct media_leg legs[] = {leg_of(group_of(groups, names[0])), leg_of(group_of(groups, names[1]))};
	char field[PATH_SIZE];

	if (legs[0].policy.mode != SRTP_REQUIRED || legs[1].policy.mode != SRTP_REQUIRED ||
	    media_legs_meet(&legs[0], &legs[1]))
		return 0;
	snprintf(field, sizeof(field), "services[%zu].peerGroup", index);
	return fault_set(fault, FAULT_BAD_VALUE, field, "%s and %s have no SRTP suite in common", names[0], names[1]);
}

static uint32_t profiles_of(struct json_object *group)
{
	struct media_leg leg = leg_of(group);

	return leg.policy.mode == SRTP_FORBIDDEN ? 0 : leg.policy.profiles;
}

/* @p first: the first group with DTLS-SRTP, NULL until there is one. */
static int profiles_check(struct json_object *group, size_t index, struct json_object **first, struct fault *fault)
{
	uint32_t profiles = profiles_of(group);
	char field[PATH_SIZE];

	if (profiles == 0 || (*first && profiles_of(*first) == profiles))
		return 0;
	if (!*first) {
		*first = group;
		return 0;
	}
	snprintf(field, sizeof(field), "peerGroups[%zu].dtlsProfiles", index);
	return fault_set(fault, FAULT_BAD_VALUE, field,
			 "differs from that of %s, and rtpengine has one list for all: a group with srtpSuites alone, "
			 "or [\"none\"], goes without",
			 document_text(*first, "name"));
}

int topology_media_check(struct json_object *document, struct fault *fault)
{
	struct json_object *groups = member(document, "peerGroups"), *services = member(document, "services");
	struct json_object *first = NULL;
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(groups) && rc == 0; i++)
		rc = profiles_check(json_object_array_get_idx(groups, i), i, &first, fault);
	for (size_t i = 0; i < json_object_array_length(services) && rc == 0; i++)
		rc = service_check(json_object_array_get_idx(services, i), i, groups, fault);
	return rc;
}
