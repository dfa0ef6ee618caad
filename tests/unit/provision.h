/* SPDX-License-Identifier: GPL-2.0-or-later */
/** A store of its own in a temporary folder, and requests to it, for the tests of provisioning/. */
#ifndef TRUNKGATE_PROVISION_H
#define TRUNKGATE_PROVISION_H

#include "unit.h"

#include <json-c/json.h>
#include <unistd.h>

#include "client.h"
#include "digest.h"
#include "job.h"

struct provision {
	char folder[64], path[80];
	struct provisioner provisioner;
	struct publisher publisher;
	void *memory;
};

static inline void provision_open(struct provision *provision)
{
	char error[STORE_ERROR_SIZE];

	if (store_open(provision->path, true, &provision->provisioner.store, error))
		fail_msg("%s", error);
}

static inline int provision_init(void **state)
{
	struct provision *provision = calloc(1, sizeof(*provision));

	strcpy(provision->folder, "/tmp/provision.XXXXXX");
	assert_non_null(mkdtemp(provision->folder));
	snprintf(provision->path, sizeof(provision->path), "%s/t.db", provision->folder);
	provision->provisioner.region_name = "west";
	provision_open(provision);
	*state = provision;
	return 0;
}

/** Adds a region to what provision_init() made. */
static inline int provision_region_init(void **state)
{
	provision_init(state);
	struct provision *provision = *state;

	provision->memory = unit_region_memory(region_size_min);
	assert_int_equal(region_format(provision->memory, region_size_min, &provision->publisher.region), 0);
	provision->publisher.region_name = "west";
	provision->provisioner.publisher = &provision->publisher;
	return publisher_rebuild(&provision->publisher, provision->provisioner.store);
}

static inline int provision_finish(void **state)
{
	static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
	struct provision *provision = *state;
	char name[128];

	jobs_free(provision->provisioner.jobs);
	publisher_finish(&provision->publisher);
	store_free(provision->provisioner.store);
	if (provision->memory)
		munmap(provision->memory, region_size_min);
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		snprintf(name, sizeof(name), "%s%s", provision->path, endings[i]);
		unlink(name);
	}
	assert_int_equal(rmdir(provision->folder), 0);
	free(provision);
	return 0;
}

/** Sends a request line as it is. */
static inline struct json_object *provision_line(struct provision *provision, const char *line)
{
	char *answer = request_answer(&provision->provisioner, line, strlen(line), "tester", -1);

	assert_non_null(answer);
	assert_null(strchr(answer, '\n'));
	struct json_object *object = json_tokener_parse(answer);
	assert_non_null(object);
	free(answer);
	return object;
}

static inline struct json_object *provision_ask(struct provision *provision, const char *document,
						const char *const *words)
{
	size_t count = 0;

	while (words[count])
		count++;
	char *line = client_request(words[0], words + 1, count - 1, document, "test");
	struct json_object *answer = provision_line(provision, line);
	free(line);
	return answer;
}

/** The answer to an operation and its arguments. */
#define ASK(provision, ...) provision_ask(provision, NULL, (const char *const[]){__VA_ARGS__, NULL})
#define LOAD(provision, document, ...)                                                                                 \
	provision_ask(provision, document, (const char *const[]){"topology_load", __VA_ARGS__, NULL})

static inline struct json_object *provision_get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static inline int provision_code(struct json_object *answer)
{
	int code = json_object_get_int(provision_get(answer, "code"));

	json_object_put(answer);
	return code;
}

/** Checks code, field and part of the reason, and frees the answer. */
static inline void provision_refused(struct json_object *answer, int code, const char *field, const char *reason)
{
	struct json_object *error = provision_get(answer, "error");
	const char *text = json_object_to_json_string(answer);

	if (json_object_get_int(provision_get(answer, "code")) != code ||
	    strcmp(json_object_get_string(provision_get(error, "field")), field) != 0 ||
	    !strstr(json_object_get_string(provision_get(error, "reason")), reason))
		fail_msg("expected %d %s '%s', got %s", code, field, reason, text);
	json_object_put(answer);
}

#define DONE(...) assert_int_equal(provision_code(__VA_ARGS__), 200)

/** A topology with two sites and one service. */
static const char provision_topology[] =
	"{\"mode\":\"lab\",\"settings\":{\"maxTries\":3},"
	"\"services\":[{\"name\":\"teamsOperatorConnect\",\"peerGroup\":\"teams\",\"operatorPeerGroup\":\"core\"}],"
	"\"peerGroups\":[{\"name\":\"core\",\"side\":\"operator\",\"signalling\":\"UDP\",\"media\":\"RTP\","
	"\"defaultService\":\"teamsOperatorConnect\",\"localSocket\":\"udp:192.0.2.1:5060\",\"peers\":["
	"{\"name\":\"west-1\",\"site\":\"west\",\"host\":\"192.0.2.10\",\"port\":5062,\"priority\":{\"west\":0,"
	"\"east\":1}},"
	"{\"name\":\"east-1\",\"site\":\"east\",\"host\":\"192.0.2.20\",\"priority\":{\"west\":1,\"default\":7},"
	"\"weight\":5,"
	"\"allowedSignalingSourceAddressPrefixes\":[\"198.51.100.0/24\",\"2001:db8::/32\"]}]},"
	"{\"name\":\"teams\",\"side\":\"service\",\"signalling\":\"TLS\",\"media\":\"SRTP\",\"peers\":["
	"{\"name\":\"teams-1\",\"host\":\"sip.example.com\"}]}]}";

#endif
