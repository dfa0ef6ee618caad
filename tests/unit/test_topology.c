/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <arpa/inet.h>

#include "topology.h"

static void *memory;
static struct region *region;

static int set_up(void **state)
{
	(void)state;
	memory = unit_region_memory(region_size_default);
	return region_format(memory, region_size_default, &region);
}

static int tear_down(void **state)
{
	(void)state;
	return munmap(memory, region_size_default);
}

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;
	assert_int_equal(prefix_parse(span_of(text), &prefix), 0);
	return prefix;
}

static int identify(const char *address, enum transport transport, const char *socket, struct sender *sender)
{
	struct prefix host = prefix_of(address);
	struct topology_view view;
	assert_int_equal(topology_open(region, &view), 0);
	return topology_identify(&view, host.address, transport, span_of(socket), sender);
}

/* Publishes two operator groups and one service group. */
static void publish_sample(void)
{
	const struct prefix west[] = {prefix_of("192.0.2.0/25"), prefix_of("2001:db8:1::/48")};
	const struct prefix shared[] = {prefix_of("198.51.100.0/24")};
	const struct prefix all[] = {prefix_of("0.0.0.0/0")};
	const struct prefix media[] = {prefix_of("192.0.2.64/26"), prefix_of("203.0.113.7"), prefix_of("192.0.2.0/24"),
				       prefix_of("2001:db8:7::/48")};
	const struct topology_peer operator_peers[] = {
		{.id = 11,
		 .name = SPAN_LIT("west-1"),
		 .site = SPAN_LIT("west"),
		 .host = SPAN_LIT("192.0.2.10"),
		 .port = 5060,
		 .weight = 100,
		 .capacity = 30,
		 .calls_per_second = 7,
		 .sources = west,
		 .source_count = 2,
		 .media = media,
		 .media_count = 4},
		{.id = 5,
		 .name = SPAN_LIT("east-1"),
		 .site = SPAN_LIT("east"),
		 .host = SPAN_LIT("192.0.2.130"),
		 .priority = 1,
		 .media = media,
		 .media_count = 1,
		 .admin = ADMIN_DRAIN},
		{.id = 7,
		 .name = SPAN_LIT("nat-1"),
		 .host = SPAN_LIT("host.example"),
		 .sources = shared,
		 .source_count = 1},
		{.id = 8,
		 .name = SPAN_LIT("nat-2"),
		 .host = SPAN_LIT("host.example"),
		 .sources = shared,
		 .source_count = 1},
	};
	const struct topology_peer second_peers[] = {
		{.id = 20, .name = SPAN_LIT("second"), .host = SPAN_LIT("192.0.2.10")},
	};
	const struct topology_peer service_peers[] = {
		{.id = 30,
		 .name = SPAN_LIT("teams-1"),
		 .host = SPAN_LIT("sip.example"),
		 .sources = all,
		 .source_count = 1},
	};
	const struct topology_group groups[] = {
		{.name = SPAN_LIT("operator"),
		 .side = SIDE_OPERATOR,
		 .transport = TRANSPORT_UDP,
		 .media = MEDIA_RTP,
		 .default_service = 1,
		 .peers = operator_peers,
		 .peer_count = 4},
		{.name = SPAN_LIT("second"),
		 .side = SIDE_OPERATOR,
		 .transport = TRANSPORT_UDP,
		 .media = MEDIA_RTP,
		 .local_socket = SPAN_LIT("udp:192.0.2.1:5070"),
		 .peers = second_peers,
		 .peer_count = 1},
		{.name = SPAN_LIT("teams"),
		 .side = SIDE_SERVICE,
		 .transport = TRANSPORT_TLS,
		 .media = MEDIA_SRTP,
		 .srtp_suites = SPAN_LIT("AEAD_AES_256_GCM AES_CM_128_HMAC_SHA1_80"),
		 .dtls_profiles = SPAN_LIT("SRTP_AEAD_AES_128_GCM"),
		 .keepalive_names = SPAN_LIT("sbc1.example.com sbc2.example.com"),
		 .peers = service_peers,
		 .peer_count = 1},
	};
	const struct topology_service services[] = {
		{.id = 1, .group = SPAN_LIT("teams"), .operator_group = SPAN_LIT("operator")},
	};
	const struct topology topology = {
		.settings = {.custom_header = SPAN_LIT("X-MS-Operator-Content"),
			     .max_tries = 4,
			     .draining = true,
			     .draining_since_ms = 1234567890123,
			     .dialog_key = {9}},
		.services = services,
		.service_count = 1,
		.groups = groups,
		.group_count = 3,
	};
	assert_int_equal(topology_publish(region, &topology), 0);
}

static void test_prefix_rules(void **state)
{
	static const struct {
		const char *text;
		int result;
	} rows[] = {
		{"192.0.2.0/24", 0},
		{"192.0.2.1", 0},
		{"0.0.0.0/0", 0},
		{"::/0", 0},
		{"2001:db8::/32", 0},
		{"2001:db8::1", 0},
		{"192.0.2.1/24", -EINVAL},
		{"192.0.2.0/33", -EINVAL},
		{"192.0.2.0/", -EINVAL},
		{"192.0.2.0/024", -EINVAL},
		{"192.0.2.0/-1", -EINVAL},
		{"192.0.2", -EINVAL},
		{"", -EINVAL},
		{"host.example", -EINVAL},
		{"192.0.2.0/24/8", -EINVAL},
		{"2001:db8::/129", -EINVAL},
		{"/24", -EINVAL},
		{"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee", -EINVAL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct prefix prefix;
		assert_int_equal(prefix_parse(span_of(rows[i].text), &prefix), rows[i].result);
	}
}

static void test_enum_names_are_read_as_they_are_written(void **state)
{
	enum side side;
	enum transport transport;
	enum admin_state admin;
	enum media media;
	(void)state;
	assert_int_equal(side_parse(span_of(side_name(SIDE_SERVICE)), &side), 0);
	assert_int_equal(side, SIDE_SERVICE);
	assert_int_equal(transport_parse(SPAN_LIT("TLS"), &transport), 0);
	assert_int_equal(transport, TRANSPORT_TLS);
	assert_int_equal(transport_parse(SPAN_LIT("tls"), &transport), -EINVAL);
	assert_int_equal(media_parse(SPAN_LIT(""), &media), -EINVAL);
	assert_int_equal(admin_state_parse(SPAN_LIT("drain"), &admin), 0);
	assert_int_equal(admin, ADMIN_DRAIN);
	assert_string_equal(side_name((enum side)77), "");
}

static void test_longest_prefix_names_group_and_peer(void **state)
{
	struct sender sender;
	(void)state;
	publish_sample();
	assert_int_equal(identify("192.0.2.99", TRANSPORT_UDP, "udp:192.0.2.1:5060", &sender), 0);
	assert_int_equal(sender.group, 0);
	assert_int_equal(sender.peer, 11);
	assert_int_equal(identify("192.0.2.130", TRANSPORT_UDP, "", &sender), 0);
	assert_int_equal(sender.peer, 5);
	assert_int_equal(identify("2001:db8:1:2::3", TRANSPORT_UDP, "", &sender), 0);
	assert_int_equal(sender.peer, 11);
	assert_int_equal(identify("203.0.113.1", TRANSPORT_TLS, "", &sender), 0);
	assert_int_equal(sender.group, 2);
	assert_int_equal(identify("2001:db8:2::1", TRANSPORT_UDP, "", &sender), -ENOENT);
}

static void test_prefix_of_several_peers_names_the_group_only(void **state)
{
	struct sender sender;
	(void)state;
	publish_sample();
	assert_int_equal(identify("198.51.100.4", TRANSPORT_UDP, "", &sender), 0);
	assert_int_equal(sender.group, 0);
	assert_int_equal(sender.peer, TOPOLOGY_NONE);
}

static void test_wrong_transport_is_told_apart_from_unknown(void **state)
{
	struct sender sender;
	(void)state;
	publish_sample();
	assert_int_equal(identify("192.0.2.99", TRANSPORT_TCP, "", &sender), -EPROTOTYPE);
	assert_int_equal(identify("203.0.113.1", TRANSPORT_UDP, "", &sender), -EPROTOTYPE);
	assert_int_equal(identify("2001:db8:2::1", TRANSPORT_TLS, "", &sender), -ENOENT);
}

static void test_local_socket_tells_operator_networks_apart(void **state)
{
	struct sender sender;
	(void)state;
	publish_sample();
	assert_int_equal(identify("192.0.2.10", TRANSPORT_UDP, "udp:192.0.2.1:5070", &sender), 0);
	assert_int_equal(sender.group, 1);
	assert_int_equal(identify("192.0.2.10", TRANSPORT_UDP, "udp:192.0.2.1:5060", &sender), 0);
	assert_int_equal(sender.group, 0);
}

static void test_everything_published_is_read_back(void **state)
{
	struct topology_view view;
	struct group_view group;
	struct peer_view peer;
	struct topology_settings settings;
	struct span name, operator_name;
	(void)state;
	publish_sample();
	assert_int_equal(topology_open(region, &view), 0);
	assert_int_equal(topology_group_count(&view), 3);
	assert_int_equal(topology_peer_count(&view), 6);
	assert_int_equal(topology_group_by_name(&view, SPAN_LIT("second"), &group), 0);
	assert_true(span_equal(group.local_socket, SPAN_LIT("udp:192.0.2.1:5070")));
	assert_int_equal(group.peer_count, 1);
	assert_int_equal(topology_peer(&view, group.first_peer, &peer), 0);
	assert_int_equal(peer.id, 20);
	assert_int_equal(topology_peer_by_id(&view, 5, &peer), 0);
	assert_true(span_equal(peer.name, SPAN_LIT("east-1")));
	assert_true(span_equal(peer.site, SPAN_LIT("east")));
	assert_int_equal(peer.admin, ADMIN_DRAIN);
	assert_int_equal(peer.priority, 1);
	assert_int_equal(topology_peer_by_id(&view, 6, &peer), -ENOENT);
	assert_int_equal(topology_peer_by_name(&view, SPAN_LIT("nat-2"), &peer), 0);
	assert_int_equal(peer.id, 8);
	assert_int_equal(topology_peer_by_name(&view, SPAN_LIT("nat-3"), &peer), -ENOENT);
	assert_int_equal(topology_service(&view, 1, &name, &operator_name), 0);
	assert_true(span_equal(name, SPAN_LIT("teams")) && span_equal(operator_name, SPAN_LIT("operator")));
	assert_int_equal(topology_service(&view, 2, &name, &operator_name), -ENOENT);
	assert_int_equal(topology_settings(&view, &settings), 0);
	assert_true(span_equal(settings.custom_header, SPAN_LIT("X-MS-Operator-Content")));
	assert_int_equal(settings.dialog_key[0], 9);
	assert_true(settings.draining && settings.draining_since_ms == 1234567890123);
	assert_int_equal(topology_peer_by_id(&view, 11, &peer), 0);
	assert_int_equal(peer.capacity, 30);
	assert_int_equal(peer.calls_per_second, 7);
	assert_int_equal(topology_group_by_name(&view, SPAN_LIT("teams"), &group), 0);
	assert_true(span_equal(group.srtp_suites, SPAN_LIT("AEAD_AES_256_GCM AES_CM_128_HMAC_SHA1_80")));
	assert_true(span_equal(group.dtls_profiles, SPAN_LIT("SRTP_AEAD_AES_128_GCM")));
	assert_true(span_equal(group.keepalive_names, SPAN_LIT("sbc1.example.com sbc2.example.com")));
}

static bool media_allowed(uint32_t peer, uint32_t group, const char *address)
{
	struct topology_view view;
	assert_int_equal(topology_open(region, &view), 0);
	return topology_media_allowed(&view, peer, group, prefix_of(address).address);
}

static void test_media_prefixes_hold_for_their_peer(void **state)
{
	static const struct {
		uint32_t peer, group;
		const char *address;
		bool allowed;
	} rows[] = {
		{11, 0, "192.0.2.1", true},
		{11, 0, "192.0.2.255", true},
		{11, 0, "203.0.113.7", true},
		{11, 0, "203.0.113.8", false},
		{11, 0, "192.0.1.255", false},
		{11, 0, "192.0.3.0", false},
		{11, 0, "2001:db8:7::9", true},
		{11, 0, "2001:db8:8::", false},
		{11, 0, "0.0.0.0", false},
		{5, 0, "192.0.2.64", true},
		{5, 0, "192.0.2.63", false},
		{5, 0, "192.0.2.128", false},
		{7, 0, "198.18.0.1", true}, /* names none */
		{TOPOLOGY_NONE, 0, "198.18.0.1", true},
		{99, 0, "192.0.2.1", false},
		{TOPOLOGY_NONE, 99, "192.0.2.1", false},
	};
	(void)state;
	publish_sample();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (media_allowed(rows[i].peer, rows[i].group, rows[i].address) != rows[i].allowed)
			fail_msg("peer %u, group %u, %s", rows[i].peer, rows[i].group, rows[i].address);
}

static void target_is(const struct topology_target *target, const char *address, uint16_t port)
{
	assert_memory_equal(target->address, prefix_of(address).address, 16);
	assert_int_equal(target->port, port);
}

static void test_address_is_its_own_target(void **state)
{
	struct topology_view view;
	struct peer_view peer;
	struct topology_target target;
	(void)state;
	publish_sample();
	assert_int_equal(topology_open(region, &view), 0);
	assert_int_equal(topology_peer_by_id(&view, 5, &peer), 0);
	assert_int_equal(peer.target_count, 1);
	assert_int_equal(peer.dns_reason.len, 0);
	assert_int_equal(topology_target(&view, peer.first_target, &target), 0);
	target_is(&target, "192.0.2.130", 5060);
	assert_int_equal(topology_peer_by_id(&view, 30, &peer), 0);
	assert_int_equal(peer.target_count, 0);
	assert_true(span_equal(peer.dns_reason, SPAN_LIT("not looked up")));
	assert_int_equal(transport_port(TRANSPORT_TLS), 5061);
}

/* Two targets for the one name, their number and texts in the hands of the test. */
static void find_sample(void *context, struct span host, uint16_t port, enum transport transport,
			struct target_list *found)
{
	static struct topology_target targets[2];
	static char name[] = "a.example", reason[] = "no answer";
	const size_t *count = context;
	assert_true(port == 0 && (transport == TRANSPORT_TLS || span_equal(host, SPAN_LIT("host.example"))));
	for (size_t i = 0; i < 2; i++) {
		targets[i] = (struct topology_target){
			.port = (uint16_t)(5071 + i), .srv_priority = 10, .srv_weight = 60, .name = span_of(name)};
		memcpy(targets[i].address, prefix_of("2001:db8::1").address, 16);
	}
	*found = (struct target_list){.targets = targets, .count = *count, .reason = span_of(*count ? "" : reason)};
}

static void test_targets_change_and_all_else_stays(void **state)
{
	size_t count = 2;
	const struct target_source source = {.find = find_sample, .context = &count};
	struct topology_view view;
	struct peer_view peer;
	struct topology_target target;
	struct sender sender;
	(void)state;
	publish_sample();
	assert_int_equal(topology_retarget(region, &source), 0);
	assert_int_equal(topology_open(region, &view), 0);
	assert_int_equal(topology_peer_by_id(&view, 30, &peer), 0);
	assert_int_equal(peer.target_count, 2);
	assert_int_equal(topology_target(&view, peer.first_target + 1, &target), 0);
	target_is(&target, "2001:db8::1", 5072);
	assert_int_equal(target.srv_priority, 10);
	assert_int_equal(target.srv_weight, 60);
	assert_true(span_equal(target.name, SPAN_LIT("a.example")));
	count = 0;
	assert_int_equal(topology_retarget(region, &source), 0);
	assert_int_equal(topology_open(region, &view), 0);
	assert_int_equal(topology_peer_by_id(&view, 30, &peer), 0);
	assert_int_equal(peer.target_count, 0);
	assert_true(span_equal(peer.dns_reason, SPAN_LIT("no answer")));
	assert_int_equal(topology_peer_by_id(&view, 11, &peer), 0);
	assert_int_equal(topology_target(&view, peer.first_target, &target), 0);
	target_is(&target, "192.0.2.10", 5060);
	assert_int_equal(identify("192.0.2.99", TRANSPORT_UDP, "", &sender), 0);
	assert_int_equal(sender.peer, 11);
	assert_true(media_allowed(11, 0, "192.0.2.1") && !media_allowed(11, 0, "192.0.3.0"));
}

static void test_nothing_published_has_no_targets_to_change(void **state)
{
	(void)state;
	assert_int_equal(topology_retarget(region, NULL), -EAGAIN);
}

static void test_view_is_current_until_its_slot_is_written_again(void **state)
{
	struct topology_view view;
	(void)state;
	publish_sample();
	assert_int_equal(topology_open(region, &view), 0);
	publish_sample();
	publish_sample();
	assert_true(topology_current(&view));
	publish_sample();
	assert_false(topology_current(&view));
}

static void test_several_thousand_prefixes_are_all_found(void **state)
{
	enum { PEERS = 250, PER_PEER = 20 };
	static struct prefix prefixes[PEERS][PER_PEER];
	static struct topology_peer peers[PEERS];
	static char names[PEERS][8];
	(void)state;
	for (uint32_t i = 0; i < PEERS; i++) {
		snprintf(names[i], sizeof(names[i]), "p%u", i);
		for (uint32_t k = 0; k < PER_PEER; k++) {
			char text[40];
			snprintf(text, sizeof(text), k % 2 ? "10.%u.%u.0/24" : "2001:db8:%x:%x::/64", i, k);
			prefixes[i][k] = prefix_of(text);
		}
		peers[i] = (struct topology_peer){.id = i + 1,
						  .name = span_of(names[i]),
						  .host = SPAN_LIT("h"),
						  .sources = prefixes[i],
						  .source_count = PER_PEER};
	}
	const struct topology_group group = {.name = SPAN_LIT("g"),
					     .side = SIDE_OPERATOR,
					     .transport = TRANSPORT_UDP,
					     .media = MEDIA_RTP,
					     .peers = peers,
					     .peer_count = PEERS};
	const struct topology topology = {.groups = &group, .group_count = 1};
	assert_int_equal(topology_publish(region, &topology), 0);
	for (uint32_t i = 0; i < PEERS; i++) {
		for (uint32_t k = 0; k < PER_PEER; k++) {
			char text[40];
			struct sender sender;
			snprintf(text, sizeof(text), k % 2 ? "10.%u.%u.7" : "2001:db8:%x:%x::7", i, k);
			assert_int_equal(identify(text, TRANSPORT_UDP, "", &sender), 0);
			assert_int_equal(sender.peer, i + 1);
		}
	}
}

static void test_picture_larger_than_its_slot_is_refused_and_the_old_one_stays(void **state)
{
	static char name[TOPOLOGY_HOST_MAX];
	size_t count = 10000;
	void *small = unit_region_memory(region_size_min);
	struct region *narrow;
	struct topology_view view;
	(void)state;
	assert_int_equal(region_format(small, region_size_min, &narrow), 0);
	assert_int_equal(topology_publish(narrow, &(struct topology){0}), 0);
	struct topology_peer *peers = calloc(count, sizeof(*peers));
	for (size_t i = 0; i < count; i++)
		peers[i] = (struct topology_peer){
			.id = (uint32_t)i + 1, .name = {name, sizeof(name)}, .host = SPAN_LIT("h")};
	const struct topology_group group = {.name = SPAN_LIT("g"), .peers = peers, .peer_count = count};
	assert_int_equal(topology_publish(narrow, &(struct topology){.groups = &group, .group_count = 1}), -ENOSPC);
	assert_int_equal(topology_open(narrow, &view), 0);
	assert_int_equal(topology_peer_count(&view), 0);
	free(peers);
	munmap(small, region_size_min);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_prefix_rules),
		TEST(test_enum_names_are_read_as_they_are_written),
		TEST(test_longest_prefix_names_group_and_peer),
		TEST(test_prefix_of_several_peers_names_the_group_only),
		TEST(test_wrong_transport_is_told_apart_from_unknown),
		TEST(test_local_socket_tells_operator_networks_apart),
		TEST(test_everything_published_is_read_back),
		TEST(test_media_prefixes_hold_for_their_peer),
		TEST(test_address_is_its_own_target),
		TEST(test_targets_change_and_all_else_stays),
		TEST(test_nothing_published_has_no_targets_to_change),
		TEST(test_view_is_current_until_its_slot_is_written_again),
		TEST(test_several_thousand_prefixes_are_all_found),
		TEST(test_picture_larger_than_its_slot_is_refused_and_the_old_one_stays),
	};
	return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
