/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Tests of the topology document: defaults, rules, differences, and the way to the tables and the region and back. */
#include "provision.h"

#include "topology_document.h"
#include "topology_store.h"

static struct json_object *read_ok(const char *text)
{
	struct json_object *document = NULL;
	struct fault fault = {0};

	if (topology_document_read(text, strlen(text), &document, &fault))
		fail_msg("%s: %s", fault.field, fault.reason);
	return document;
}

#define HEAD                     "{\"mode\":\"lab\","
#define OPERATOR                 "\"side\":\"operator\",\"signalling\":\"UDP\",\"media\":\"RTP\""
#define TEAMS                    "\"side\":\"service\",\"signalling\":\"TLS\",\"media\":\"SRTP\""
#define PEER(name, host, more)   "{\"name\":\"" name "\",\"host\":\"" host "\"" more "}"
#define GROUP(name, kind, peers) "{\"name\":\"" name "\"," kind ",\"peers\":[" peers "]}"
#define GROUPS(groups)           "\"peerGroups\":[" groups "]}"
#define ONE(peer)                HEAD GROUPS(GROUP("a", OPERATOR, peer))
#define SETTING_HEAD             HEAD "\"settings\":{"
#define MEDIA(list)              ",\"allowedMediaSourceAddressPrefixes\":[" list "]"
#define SETTING(text)            HEAD "\"settings\":{" text "},\"peerGroups\":[]}"
#define SERVICE(name, group, operator_group)                                                                           \
	"{\"name\":\"" name "\",\"peerGroup\":\"" group "\",\"operatorPeerGroup\":\"" operator_group "\"}"
#define SECURED       "\"side\":\"operator\",\"signalling\":\"UDP\",\"media\":\"SRTP\""
#define DTLS(name)    ",\"dtlsProfiles\":[\"" name "\"]"
#define SUITES(name)  ",\"srtpSuites\":[\"" name "\"]"
#define SOURCES(list) ",\"allowedSignalingSourceAddressPrefixes\":[" list "]"

#define FOUR(peer) peer "," peer "," peer "," peer
static const struct {
	const char *text;
	int code;
	const char *field, *reason;
} bad_documents[] = {
	{"", 400, "document", "is empty"},
	{"{", 400, "document", "is not whole JSON"},
	{"{\"mode\":\"lab\"", 400, "document", "is not whole JSON"},
	{"[]", 400, "document", "must be an object"},
	{"\"text\"", 400, "document", "must be an object"},
	{"{'mode':'lab'}", 400, "document", "line 1, column"},
	{"{\"mode\":\"lab\",}", 400, "document", "is not JSON"},
	{"{\"mode\":\"lab\"}\n{}", 400, "document", ""},
	{"{\n\n \"mode\": lab }", 400, "document", "line 3"},
	{"{}", 400, "mode", "is missing"},
	{"{\"mode\":\"lab\"}", 400, "peerGroups", "is missing"},
	{"{\"mode\":\"test\",\"peerGroups\":[]}", 400, "mode", "must be production or lab"},
	{"{\"mode\":null,\"peerGroups\":[]}", 400, "mode", "is null"},
	{"{\"mode\":1,\"peerGroups\":[]}", 400, "mode", "must be text"},
	{"{\"mode\":\"lab\\u0000\",\"peerGroups\":[]}", 400, "mode", "NUL"},
	{HEAD "\"peerGroups\":{}}", 400, "peerGroups", "must be a list"},
	{HEAD "\"peerGroups\":[1]}", 400, "peerGroups[0]", "must be an object"},
	{HEAD "\"peerGroup\":[]}", 400, "peerGroup", "is no key"},
	{SETTING("\"maxTrys\":1"), 400, "settings.maxTrys", "is no key"},
	{SETTING("\"maxTries\":0"), 400, "settings.maxTries", "from 1 to 16"},
	{SETTING("\"maxTries\":\"3\""), 400, "settings.maxTries", "whole number"},
	{SETTING("\"maxTries\":3.0"), 400, "settings.maxTries", "whole number"},
	{SETTING("\"maxTries\":999999999999"), 400, "settings.maxTries", "whole number"},
	{SETTING("\"maskNumbers\":1"), 400, "settings.maskNumbers", "true or false"},
	{SETTING("\"customSipHeader\":\"Via\""), 400, "settings.customSipHeader", "SIP itself"},
	{SETTING("\"customSipHeader\":\"X Y\""), 400, "settings.customSipHeader", "may hold only"},
	{SETTING("\"keepaliveIntervalMs\":1"), 400, "settings.keepaliveIntervalMs", "from 100"},
	{HEAD GROUPS("{" OPERATOR ",\"peers\":[]}"), 400, "peerGroups[0].name", "is missing"},
	{HEAD GROUPS(GROUP("a b", OPERATOR, "")), 400, "peerGroups[0].name", "'a b'"},
	{HEAD GROUPS(GROUP("a", "\"side\":\"left\",\"signalling\":\"UDP\",\"media\":\"RTP\"", "")), 400,
	 "peerGroups[0].side", "operator or service"},
	{HEAD GROUPS(GROUP("a", "\"side\":\"operator\",\"signalling\":\"udp\",\"media\":\"RTP\"", "")), 400,
	 "peerGroups[0].signalling", "UDP, TCP or TLS"},
	{HEAD GROUPS(GROUP("a", "\"side\":\"operator\",\"signalling\":\"UDP\",\"media\":\"ZRTP\"", "")), 400,
	 "peerGroups[0].media", "RTP, SRTP or SRTP-optional"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"srtpSuites\":\"AES\"", "")), 400, "peerGroups[0].srtpSuites",
	 "must be a list"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"srtpSuites\":[\"AES 128\"]", "")), 400, "peerGroups[0].srtpSuites[0]",
	 "is not a name"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"srtpSuites\":[\"\"]", "")), 400, "peerGroups[0].srtpSuites[0]",
	 "is not a name"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"srtpSuites\":[\"AES_CM_512\"]", "")), 400, "peerGroups[0].srtpSuites[0]",
	 "is not a name"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"srtpSuites\":[\"NULL_HMAC_SHA1_80\"]", "")), 400,
	 "peerGroups[0].srtpSuites[0]", "does not encrypt"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"dtlsProfiles\":[\"AEAD_AES_256_GCM\"]", "")), 400,
	 "peerGroups[0].dtlsProfiles[0]", "is not a name"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"dtlsProfiles\":[\"SRTP_AEAD_AES_128_GCM\",\"none\"]", "")), 400,
	 "peerGroups[0].dtlsProfiles", "none beside others"},
	{HEAD "\"services\":[" SERVICE("zoomPhoneCloudPeering", "a", "b") "]," GROUPS(
		 GROUP("a", TEAMS DTLS("SRTP_AEAD_AES_256_GCM"), "") "," GROUP("b", SECURED, "")),
	 400, "services[0].peerGroup",
	 "a and b have no DTLS-SRTP profile in common: a group with srtpSuites alone, or dtlsProfiles [\"none\"], goes "
	 "without"},
	{HEAD "\"services\":[" SERVICE("zoomPhoneCloudPeering", "a", "b") "]," GROUPS(
		 GROUP("a",
		       "\"side\":\"service\",\"signalling\":\"TLS\",\"media\":\"SRTP-optional\"" DTLS(
			       "SRTP_AEAD_AES_256_GCM"),
		       "") "," GROUP("b", SECURED, "")),
	 400, "services[0].peerGroup", "a and b have no DTLS-SRTP profile in common"},
	{HEAD "\"services\":[" SERVICE("zoomPhoneCloudPeering", "a", "b") "]," GROUPS(
		 GROUP("a", TEAMS SUITES("AEAD_AES_256_GCM"), "") "," GROUP("b", SECURED, "")),
	 400, "services[0].peerGroup", "a and b have no SRTP suite in common"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"dtlsProfiles\":[7]", "")), 400, "peerGroups[0].dtlsProfiles[0]",
	 "must be text"},
	{HEAD GROUPS(
		 GROUP("a", OPERATOR ",\"dtlsProfiles\":[\"SRTP_AEAD_AES_128_GCM\",\"SRTP_AEAD_AES_128_GCM\"]", "")),
	 409, "peerGroups[0].dtlsProfiles", "twice"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"keepaliveNames\":[\"192.0.2.1\"]", "")), 400,
	 "peerGroups[0].keepaliveNames[0]", "must be a host name"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"keepaliveNames\":[\"-a.example\"]", "")), 400,
	 "peerGroups[0].keepaliveNames[0]", "host name"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"keepaliveNames\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]", "")),
	 400, "peerGroups[0].keepaliveNames", "has 8 entries, more than 7"},
	{ONE(PEER("p", "a.example", ",\"capacity\":-1")), 400, "peerGroups[0].peers[0].capacity", "from 0 to 1000000"},
	{ONE(PEER("p", "a.example", ",\"capacity\":1000001")), 400, "peerGroups[0].peers[0].capacity",
	 "from 0 to 1000000"},
	{ONE(PEER("p", "a.example", ",\"callsPerSecond\":0.5")), 400, "peerGroups[0].peers[0].callsPerSecond",
	 "whole number"},
	{ONE(PEER("p", "_sip._udp.a.example", ",\"port\":5060")), 400, "peerGroups[0].peers[0].port", "SRV records"},
	{SETTING("\"maxCallMs\":99"), 400, "settings.maxCallMs", "from 100"},
	{SETTING("\"slowStartMs\":-1"), 400, "settings.slowStartMs", "from 0"},
	{SETTING("\"drainGraceMs\":3600001"), 400, "settings.drainGraceMs", "to 3600000"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"localSocket\":\"192.0.2.1\"", "")), 400, "peerGroups[0].localSocket",
	 "udp:192.0.2.1:5060"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"localSocket\":\"tls:192.0.2.1:5061\"", "")), 400,
	 "peerGroups[0].localSocket", "does not fit signalling UDP"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"localSocket\":\"udp:192.0.2.1:70000\"", "")), 400,
	 "peerGroups[0].localSocket", "must be udp"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"defaultService\":\"fax\"", "")), 400, "peerGroups[0].defaultService",
	 "not a service"},
	{HEAD GROUPS(GROUP("a", OPERATOR ",\"defaultService\":\"teamsOperatorConnect\"", "")), 400,
	 "peerGroups[0].defaultService", "is not in services"},
	{HEAD GROUPS(GROUP("a", OPERATOR, "") "," GROUP("a", OPERATOR, "")), 409, "peerGroups[1].name",
	 "another peer group"},
	{ONE("{\"name\":\"p\"}"), 400, "peerGroups[0].peers[0].host", "is missing"},
	{ONE(PEER("p", "", "")), 400, "peerGroups[0].peers[0].host", "is empty"},
	{ONE(PEER("p", "192.0.2.300", "")), 400, "peerGroups[0].peers[0].host", "must be an IPv4"},
	{ONE(PEER("p", "host name", "")), 400, "peerGroups[0].peers[0].host", "host name"},
	{ONE(PEER("p", "-x.example.com", "")), 400, "peerGroups[0].peers[0].host", "host name"},
	{ONE(PEER("p", "192.0.2.0/24", "")), 400, "peerGroups[0].peers[0].host", "must be"},
	{ONE(PEER("p", "0.0.0.0", "")), 400, "peerGroups[0].peers[0].host", "unspecified"},
	{ONE(PEER("p", "::", "")), 400, "peerGroups[0].peers[0].host", "unspecified"},
	{ONE(PEER("p", "255.255.255.255", "")), 400, "peerGroups[0].peers[0].host", "broadcast"},
	{ONE(PEER("p", "224.0.0.1", "")), 400, "peerGroups[0].peers[0].host", "multicast"},
	{ONE(PEER("p", "239.255.255.255", "")), 400, "peerGroups[0].peers[0].host", "multicast"},
	{ONE(PEER("p", "ff02::1", "")), 400, "peerGroups[0].peers[0].host", "multicast"},
	{ONE(PEER("p", "::ffff:192.0.2.1", "")), 400, "peerGroups[0].peers[0].host", "IPv4 address in IPv6"},
	{ONE(PEER("p", "::FFFF:c000:201", "")), 400, "peerGroups[0].peers[0].host", "IPv4 address in IPv6"},
	{ONE(FOUR(FOUR(FOUR(PEER("p", "a.example", "")))) "," PEER("q", "a.example", "")), 400, "peerGroups[0].peers",
	 "has 65 entries, more than 64"},
	{ONE(FOUR(FOUR(FOUR(PEER("p", "a.example", ""))))), 409, "peerGroups[0].peers[1].name", "another peer"},
	{"{\"mode\":\"lab\",\"mode\":\"lab\",\"peerGroups\":[]}", 400, "document", "a key stands twice in one object"},
	{HEAD "\"mo\\u0064e\":\"lab\",\"peerGroups\":[]}", 400, "document", "twice"},
	{ONE(PEER("p", "a.example", ",\"port\":5060,\"port\":5061")), 400, "document", "twice"},
	{ONE(PEER("p", "a.example", ",\"priority\":{\"west\":1,\"west\":null}")), 400, "document", "twice"},
	{ONE(PEER("p", "a.example", ",\"port\":0")), 400, "peerGroups[0].peers[0].port", "from 1 to 65535"},
	{ONE(PEER("p", "a.example", ",\"port\":65536")), 400, "peerGroups[0].peers[0].port", "from 1 to 65535"},
	{ONE(PEER("p", "a.example", ",\"prot\":5060")), 400, "peerGroups[0].peers[0].prot", "is no key"},
	{ONE(PEER("p", "a.example", ",\"priority\":-1")), 400, "peerGroups[0].peers[0].priority", "from 0 to 255"},
	{ONE(PEER("p", "a.example", ",\"priority\":{}")), 400, "peerGroups[0].peers[0].priority", "names no region"},
	{ONE(PEER("p", "a.example", ",\"priority\":{\"west\":256}")), 400, "peerGroups[0].peers[0].priority.west",
	 "from 0 to 255"},
	{ONE(PEER("p", "a.example", ",\"priority\":{\"we st\":1}")), 400, "peerGroups[0].peers[0].priority.we st",
	 "as a region"},
	{ONE(PEER("p", "a.example", ",\"weight\":65536")), 400, "peerGroups[0].peers[0].weight", "from 0 to 65535"},
	{ONE(PEER("p", "a.example", SOURCES("\"192.0.2.1/24\""))), 400,
	 "peerGroups[0].peers[0].allowedSignalingSourceAddressPrefixes[0]", "host bits"},
	{ONE(PEER("p", "a.example", SOURCES("\"192.0.2.0/33\""))), 400,
	 "peerGroups[0].peers[0].allowedSignalingSourceAddressPrefixes[0]", "prefix"},
	{ONE(PEER("p", "a.example", SOURCES("7"))), 400,
	 "peerGroups[0].peers[0].allowedSignalingSourceAddressPrefixes[0]", "must be text"},
	{ONE(PEER("p", "a.example", SOURCES("\"192.0.2.0/24\",\"192.0.2.0/24\""))), 409,
	 "peerGroups[0].peers[0].allowedSignalingSourceAddressPrefixes", "192.0.2.0/24 twice"},
	{HEAD GROUPS(
		 GROUP("a", OPERATOR, PEER("p", "a.example", "")) "," GROUP("b", OPERATOR, PEER("p", "b.example", ""))),
	 409, "peerGroups[1].peers[0].name", "another peer"},
	{HEAD GROUPS(
		 GROUP("a", OPERATOR, PEER("p", "192.0.2.1", "")) "," GROUP("b", OPERATOR, PEER("q", "192.0.2.1", ""))),
	 409, "peerGroups[1].peers[0].host", "source of group a"},
	{HEAD GROUPS(GROUP("a", OPERATOR, PEER("p", "a.example", SOURCES("\"192.0.2.0/24\""))) "," GROUP(
		 "b", OPERATOR ",\"localSocket\":\"udp:192.0.2.1:5060\"",
		 PEER("q", "b.example", SOURCES("\"::1\",\"192.0.2.0/24\"")))),
	 409, "peerGroups[1].peers[0].allowedSignalingSourceAddressPrefixes[1]", "source of group a"},
	{HEAD "\"services\":[" SERVICE("fax", "t", "a") "],\"peerGroups\":[]}", 400, "services[0].name",
	 "not a service"},
	{HEAD "\"services\":[" SERVICE("teamsOperatorConnect", "t", "a") "],\"peerGroups\":[]}", 400,
	 "services[0].peerGroup", "t is not in peerGroups"},
	{HEAD "\"services\":[" SERVICE("teamsOperatorConnect", "a", "a") "]," GROUPS(GROUP("a", OPERATOR, "")), 400,
	 "services[0].peerGroup", "not a group of the service side"},
	{HEAD "\"services\":[" SERVICE("teamsOperatorConnect", "t", "t") "]," GROUPS(GROUP("t", TEAMS, "")), 400,
	 "services[0].operatorPeerGroup", "not a group of the operator side"},
	{HEAD "\"services\":[" SERVICE("teamsOperatorConnect", "t", "a") "," SERVICE(
		 "teamsOperatorConnect", "t", "a") "]," GROUPS(GROUP("t", TEAMS, "") "," GROUP("a", OPERATOR, "")),
	 409, "services[1].name", "another service"},
	{HEAD "\"services\":[" SERVICE("teamsOperatorConnect", "t", "a") "," SERVICE(
		 "teamsPhoneMobile", "t", "a") "]," GROUPS(GROUP("t", TEAMS, "") "," GROUP("a", OPERATOR, "")),
	 409, "services[1].peerGroup", "serves teamsOperatorConnect already"},
	{HEAD GROUPS(GROUP("t", TEAMS ",\"defaultService\":\"teamsOperatorConnect\"", "")), 400,
	 "peerGroups[0].defaultService", "operator side only"},
};

static void test_document_refuses_each_bad_input_by_path(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_documents) / sizeof(*bad_documents); i++) {
		struct json_object *document = NULL;
		struct fault fault = {0};
		int rc =
			topology_document_read(bad_documents[i].text, strlen(bad_documents[i].text), &document, &fault);
		if (rc >= 0 || document || fault.code != bad_documents[i].code ||
		    strcmp(fault.field, bad_documents[i].field) != 0 || !strstr(fault.reason, bad_documents[i].reason))
			fail_msg("%s: got %d, %d %s: %s", bad_documents[i].text, rc, fault.code, fault.field,
				 fault.reason);
	}
}

static void test_document_takes_what_only_looks_wrong(void **state)
{
	static const char *const texts[] = {
		" \n{\"mode\":\"lab\",\"peerGroups\":[]} \r\n\t",
		SETTING("\"customSipHeader\":\"\""),
		ONE(PEER("p", "2001:db8::1", "")),
		ONE(PEER("p", "127.0.0.1", "")),
		ONE(PEER("p", "::1", "")),
		ONE(PEER("p", "223.255.255.255", "") "," PEER("q", "240.0.0.1", "") "," PEER("r", "fe80::1", "")),
		ONE(PEER("p", "sip_1.example.com", "")),
		ONE(PEER("p", "_sip._tcp.example.com", "")),
		HEAD GROUPS(GROUP(
			"a", OPERATOR ",\"dtlsProfiles\":[\"none\"],\"srtpSuites\":[\"AES_256_CM_HMAC_SHA1_80\"]", "")),
		HEAD GROUPS(GROUP("a", TEAMS, "") "," GROUP("b", TEAMS SUITES("AEAD_AES_256_GCM"), "") "," GROUP(
			"c", TEAMS DTLS("none"), "") "," GROUP("d", OPERATOR DTLS("SRTP_AEAD_AES_256_GCM"),
							       "") "," GROUP("e", SECURED DTLS("SRTP_AEAD_AES_256_GCM"),
									     "")),
		HEAD "\"services\":[" SERVICE("zoomPhoneCloudPeering", "a", "b") "]," GROUPS(
			GROUP("a", TEAMS DTLS("SRTP_AEAD_AES_256_GCM"), "") "," GROUP("b", OPERATOR, "")),
		HEAD "\"services\":[" SERVICE("zoomPhoneCloudPeering", "a", "b") "]," GROUPS(
			GROUP("a", TEAMS DTLS("SRTP_AEAD_AES_256_GCM"), "") "," GROUP("b", SECURED DTLS("none"), "")),
		HEAD "\"services\":[" SERVICE("zoomPhoneCloudPeering", "a", "b") "]," GROUPS(
			GROUP("a", TEAMS SUITES("AEAD_AES_256_GCM"), "") "," GROUP("b", OPERATOR, "")),
		HEAD "\"services\":[" SERVICE("zoomPhoneCloudPeering", "a", "b") "]," GROUPS(
			GROUP("a", TEAMS SUITES("AEAD_AES_256_GCM"),
			      "") "," GROUP("b", SECURED DTLS("SRTP_AES128_CM_HMAC_SHA1_80"), "")),
		ONE(PEER("p", "a.example", ",\"capacity\":1000000,\"callsPerSecond\":100000")),
		HEAD GROUPS(GROUP("a", "\"side\":\"service\",\"signalling\":\"TLS\",\"media\":\"SRTP-optional\"", "")),
		SETTING("\"slowStartMs\":0,\"drainGraceMs\":0,\"maxCallMs\":300000"),
		ONE(PEER("p", "192.0.2.1", "") "," PEER("q", "192.0.2.1", ",\"port\":5070")),
		HEAD GROUPS(GROUP("a", OPERATOR ",\"localSocket\":\"udp:[2001:db8::1]:5060\"", "")),
		HEAD GROUPS(GROUP("a", OPERATOR, PEER("p", "192.0.2.1", "")) "," GROUP("b", TEAMS,
										       PEER("q", "192.0.2.1", ""))),
		HEAD GROUPS(GROUP(
			"a", OPERATOR ",\"localSocket\":\"udp:192.0.2.1:5060\"",
			PEER("p", "192.0.2.9", "")) "," GROUP("b", OPERATOR ",\"localSocket\":\"udp:192.0.2.2:5060\"",
							      PEER("q", "192.0.2.9", ""))),
		HEAD GROUPS(GROUP("a", OPERATOR, PEER("p", "a.example", SOURCES("\"192.0.2.0/24\""))) "," GROUP(
			"b", OPERATOR, PEER("q", "b.example", SOURCES("\"192.0.2.0/25\""))))};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		json_object_put(read_ok(texts[i]));
}

static void test_document_writes_the_defaults_out(void **state)
{
	struct json_object *document = read_ok("{\"peerGroups\":[],\"mode\":\"lab\"}");

	(void)state;
	assert_string_equal(
		json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN),
		"{\"mode\":\"lab\",\"settings\":{\"customSipHeader\":\"X-MS-Operator-Content\",\"maskNumbers\":true,"
		"\"probeIntervalMs\":5000,\"probeTimeoutMs\":2000,\"keepaliveIntervalMs\":60000,\"silenceLimitMs\":"
		"2000,"
		"\"progressLimitMs\":10000,\"downAfter\":2,\"upAfter\":2,\"maxTries\":4,\"maxCallMs\":30000,"
		"\"slowStartMs\":10000,\"drainGraceMs\":130000},\"services\":[],"
		"\"peerGroups\":[]}");
	json_object_put(document);
}

static void test_whole_document_reads_as_itself(void **state)
{
	struct json_object *once = read_ok(provision_topology);
	struct json_object *twice = read_ok(json_object_to_json_string(once));

	(void)state;
	assert_true(json_object_equal(once, twice));
	json_object_put(once);
	json_object_put(twice);
}

static void difference_is(const char *before, const char *after, const char *expected)
{
	struct json_object *old = read_ok(before), *new = read_ok(after);
	struct json_object *difference = topology_document_difference(old, new);

	assert_string_equal(json_object_to_json_string_ext(difference, JSON_C_TO_STRING_PLAIN), expected);
	json_object_put(old);
	json_object_put(new);
	json_object_put(difference);
}

static void test_difference_names_what_changes(void **state)
{
	(void)state;
	difference_is(provision_topology, provision_topology, "[]");
	difference_is(ONE(PEER("p", "a.example", "")), ONE(PEER("p", "b.example", ",\"port\":5070")),
		      "[{\"path\":\"peerGroups[a].peers[p].host\",\"change\":\"changed\",\"from\":\"a.example\",\"to\":"
		      "\"b.example\"},{\"path\":\"peerGroups[a].peers[p].port\",\"change\":\"added\"}]");
	difference_is(ONE(PEER("p", "a.example", "")), ONE(PEER("q", "a.example", "")),
		      "[{\"path\":\"peerGroups[a].peers[p]\",\"change\":\"removed\"},"
		      "{\"path\":\"peerGroups[a].peers[q]\",\"change\":\"added\"}]");
	difference_is(ONE(PEER("p", "a.example", "") "," PEER("q", "a.example", "")),
		      ONE(PEER("q", "a.example", "") "," PEER("p", "a.example", "")),
		      "[{\"path\":\"peerGroups[a].peers\",\"change\":\"changed\"}]");
	difference_is(
		ONE(PEER("p", "a.example", "")), ONE(PEER("p", "a.example", SOURCES("\"::1\""))),
		"[{\"path\":\"peerGroups[a].peers[p].allowedSignalingSourceAddressPrefixes\",\"change\":\"changed\","
		"\"from\":[],\"to\":[\"::1\"]}]");
	difference_is(SETTING("\"maxTries\":2"), SETTING("\"maxTries\":3"),
		      "[{\"path\":\"settings.maxTries\",\"change\":\"changed\",\"from\":2,\"to\":3}]");
}

static void test_what_is_got_can_be_loaded(void **state)
{
	struct provision *provision = *state;

	DONE(LOAD(provision, provision_topology, "t.json"));
	struct json_object *answer = ASK(provision, "topology_get");
	const char *text = json_object_to_json_string_ext(provision_get(answer, "result"), JSON_C_TO_STRING_PRETTY);
	struct json_object *given = read_ok(provision_topology);
	assert_true(json_object_equal(given, provision_get(answer, "result")));
	struct json_object *again = LOAD(provision, text, "t.json");
	assert_int_equal(json_object_get_int(provision_get(provision_get(again, "result"), "changeCount")), 0);
	assert_int_equal(provision->provisioner.store->revision, 1);
	json_object_put(again);
	json_object_put(given);
	json_object_put(answer);
}

static void peer_is(const struct topology_view *view, const char *name, uint32_t id, uint16_t port, uint8_t priority)
{
	struct peer_view peer;

	assert_int_equal(topology_peer_by_name(view, span_of(name), &peer), 0);
	assert_int_equal(peer.id, id);
	assert_int_equal(peer.port, port);
	assert_int_equal(peer.priority, priority);
}

static void test_loaded_is_in_force(void **state)
{
	struct provision *provision = *state;
	struct topology_settings settings;
	struct topology_view view;
	struct span group, operator_group;

	DONE(LOAD(provision, provision_topology, "t.json"));
	assert_int_equal(topology_open(provision->publisher.region, &view), 0);
	peer_is(&view, "west-1", 1, 5062, 0);
	peer_is(&view, "east-1", 2, 0, 1);
	assert_int_equal(topology_settings(&view, &settings), 0);
	assert_true(settings.lab);
	assert_int_equal(settings.max_tries, 3);
	assert_memory_equal(settings.dialog_key, provision->provisioner.store->dialog_key, DIALOG_KEY_SIZE);
	assert_int_equal(topology_service(&view, 1, &group, &operator_group), 0);
	assert_true(span_equal(group, SPAN_LIT("teams")) && span_equal(operator_group, SPAN_LIT("core")));
}

static void test_limits_and_media_rules_are_in_force(void **state)
{
	static const char text[] = SETTING_HEAD "\"maxCallMs\":7000,\"slowStartMs\":0,\"drainGraceMs\":5000}," GROUPS(
		GROUP("a",
		      TEAMS ",\"srtpSuites\":[\"AEAD_AES_256_GCM\",\"AES_CM_128_HMAC_SHA1_80\"],"
			    "\"dtlsProfiles\":[\"SRTP_AEAD_AES_128_GCM\"],"
			    "\"keepaliveNames\":[\"sbc.example.com\",\"b.example.com\"]",
		      PEER("p", "192.0.2.1", ",\"capacity\":3,\"callsPerSecond\":2" MEDIA("\"192.0.2.0/24\"")) "," PEER(
			      "q", "a.example", MEDIA("\"198.51.100.0/24\""))));
	struct provision *provision = *state;
	struct topology_settings settings;
	struct topology_view view;
	struct group_view group;
	struct peer_view peer;
	struct prefix address;

	DONE(LOAD(provision, text, "t.json"));
	assert_int_equal(topology_open(provision->publisher.region, &view), 0);
	assert_int_equal(topology_settings(&view, &settings), 0);
	assert_int_equal(settings.max_call_ms, 7000);
	assert_int_equal(settings.slow_start_ms, 0);
	assert_int_equal(settings.drain_grace_ms, 5000);
	assert_false(settings.draining);
	assert_int_equal(topology_group(&view, 0, &group), 0);
	assert_true(span_equal(group.srtp_suites, SPAN_LIT("AEAD_AES_256_GCM AES_CM_128_HMAC_SHA1_80")));
	assert_true(span_equal(group.dtls_profiles, SPAN_LIT("SRTP_AEAD_AES_128_GCM")));
	assert_true(span_equal(group.keepalive_names, SPAN_LIT("sbc.example.com b.example.com")));
	assert_int_equal(topology_peer(&view, 0, &peer), 0);
	assert_int_equal(peer.capacity, 3);
	assert_int_equal(peer.calls_per_second, 2);
	assert_int_equal(peer.target_count, 1);
	assert_int_equal(prefix_parse(SPAN_LIT("198.51.100.7"), &address), 0);
	assert_false(topology_media_allowed(&view, 1, 0, address.address));
	assert_true(topology_media_allowed(&view, 2, 0, address.address));
	struct json_object *answer = ASK(provision, "topology_get"), *again;
	again = LOAD(provision, json_object_to_json_string(provision_get(answer, "result")), "t.json");
	assert_int_equal(json_object_get_int(provision_get(provision_get(again, "result"), "changeCount")), 0);
	json_object_put(again);
	json_object_put(answer);
}

/* A dialog token names peers by id. */
static void test_peers_keep_their_ids(void **state)
{
	struct provision *provision = *state;
	struct topology_view view;

	DONE(LOAD(provision, ONE(PEER("p", "a.example", "") "," PEER("q", "b.example", "")), "t.json"));
	DONE(LOAD(provision, ONE(PEER("q", "b.example", "") "," PEER("p", "c.example", ",\"port\":5070")), "t.json"));
	DONE(LOAD(provision,
		  HEAD GROUPS(GROUP("b", OPERATOR, PEER("q", "b.example", "") "," PEER("r", "d.example", ""))),
		  "t.json"));
	DONE(LOAD(provision, ONE(PEER("p", "a.example", "") "," PEER("q", "b.example", "")), "t.json"));
	assert_int_equal(topology_open(provision->publisher.region, &view), 0);
	peer_is(&view, "q", 2, 0, 0);
	peer_is(&view, "p", 4, 0, 0); /* it was away: a new one of that name */
}

static void test_region_picks_the_priority(void **state)
{
	static const struct {
		const char *region;
		uint8_t west, east;
	} rows[] = {{"west", 0, 1}, {"east", 1, 7}, {"north", 255, 7}, {"", 255, 7}};
	struct provision *provision = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct topology_view view;
		struct peer_view peer;
		provision->publisher.region_name = rows[i].region;
		DONE(LOAD(provision, provision_topology, "t.json"));
		assert_int_equal(publisher_rebuild(&provision->publisher, provision->provisioner.store), 0);
		assert_int_equal(topology_open(provision->publisher.region, &view), 0);
		assert_int_equal(topology_peer_by_name(&view, SPAN_LIT("west-1"), &peer), 0);
		assert_int_equal(peer.priority, rows[i].west);
		assert_int_equal(topology_peer_by_name(&view, SPAN_LIT("east-1"), &peer), 0);
		assert_int_equal(peer.priority, rows[i].east);
	}
}

#define REGION_TEST(name) cmocka_unit_test_setup_teardown(name, provision_region_init, provision_finish)

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_document_refuses_each_bad_input_by_path),
					   cmocka_unit_test(test_document_takes_what_only_looks_wrong),
					   cmocka_unit_test(test_document_writes_the_defaults_out),
					   cmocka_unit_test(test_whole_document_reads_as_itself),
					   cmocka_unit_test(test_difference_names_what_changes),
					   REGION_TEST(test_what_is_got_can_be_loaded),
					   REGION_TEST(test_loaded_is_in_force),
					   REGION_TEST(test_limits_and_media_rules_are_in_force),
					   REGION_TEST(test_peers_keep_their_ids),
					   REGION_TEST(test_region_picks_the_priority)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
