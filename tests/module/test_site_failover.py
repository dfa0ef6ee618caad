# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module site_failover: who sends, which peer gets a call and which after it, late answers, probes, RPC."""

import json
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.case import Case
from harness.kamailio import Kamailio
from harness.ports import free_port
from harness.sip import Call, Endpoint, Message, token
from harness.wait import wait_until

CONFIG = """
debug=2
log_stderror=yes
auto_aliases=no
listen=udp:127.0.0.1:@PORT@
listen=tcp:127.0.0.1:@PORT@
listen=udp:127.0.0.1:@OTHER@
children=2
tcp_children=2
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "counters.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "ctl.so"
loadmodule "provisioning.so"
loadmodule "site_failover.so"
modparam("ctl", "binrpc", "unix:@CTL@")
modparam("provisioning", "store", "@STORE@")
modparam("provisioning", "socket", "@SOCKET@")
modparam("provisioning", "worker", "@WORKER@")
modparam("tm", "remap_503_500", 0)
modparam("tm", "wt_timer", @KEPT@)
modparam("tm", "failure_reply_mode", @MODE@)

request_route {
	if (is_present_hf("X-Fork")) {
		t_check_trans();
		$ru = $hdr(X-Fork);
		append_branch("$hdr(X-Fork-Too)");
		t_relay();
		exit;
	}
	$var(from) = site_identify();
	if ($var(from) < 0) {
		if (is_method("ACK")) exit;
		if ($var(from) == -1) sl_send_reply("403", "Unknown Source");
		if ($var(from) == -2) sl_send_reply("403", "Wrong Transport");
		if ($var(from) == -3) sl_send_reply("503", "Nothing Published");
		exit;
	}
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	if (has_totag()) {
		if (!loose_route()) {
			if (is_method("ACK") && t_check_trans()) t_relay();
			exit;
		}
		if (!site_dialog() && !(is_method("BYE") && site_known_hop())) {
			if (!is_method("ACK")) sl_send_reply("481", "No Such Dialog");
			exit;
		}
		t_relay();
		exit;
	}
	if (is_method("MESSAGE")) {
		append_to_reply("X-Site: $site(side) $site(group) $site(peer) $site(site) $site(direction) $site(media) $site(signalling) $site(default_service) $site(ingress_service)\\r\\n");
		sl_send_reply("200", "OK");
		exit;
	}
	if ($hdr(X-Attributes) != $null) $xavp(tg[0]=>attr) = $(hdr(X-Attributes){s.int});
	t_check_trans();
	if (!site_service("teamsOperatorConnect")) {
		sl_send_reply("404", "No Group");
		exit;
	}
	$var(selected) = site_select("$(hdr(X-Group){s.escape.common})");
	if ($hdr(X-Group) == $null) $var(selected) = site_select("$site(out_group)");
	if ($var(selected) < 0) {
		if ($var(selected) == -1) sl_send_reply("404", "No Such Group");
		if ($var(selected) == -2) sl_send_reply("503", "No Peer In Service");
		exit;
	}
	t_on_failure("OTHER");
	route(NEXT);
	send_reply("503", "No Peer Left");
}
route[NEXT] {
	while (site_next()) {
		t_on_branch("BRANCH");
		if (t_relay_to("0x02")) exit;
	}
}
branch_route[BRANCH] {
	site_record_route();
	append_hf("X-Out: $site(out_group) $site(out_peer) $site(out_site) $site(out_media) $site(out_signalling)\\r\\n");
}
failure_route[OTHER] {
	if (!site_retry()) exit;
	t_on_failure("OTHER");
	route(NEXT);
	t_reply("503", "No Peer Left");
}
reply_route {
	if (site_late_answer()) drop;
	if (!t_check_trans() && !site_answer_dialog()) drop;
	if ($rs == 200 && $hdr(X-Refuse) != $null) {
		site_refuse_answer("488", "Not Like This");
		drop;
	}
}
"""

SILENCE, PROGRESS = 0.6, 1.5
SETTINGS = {"customSipHeader": "X-Operator-Content", "probeIntervalMs": 60000, "probeTimeoutMs": 400,
            "keepaliveIntervalMs": 3600000, "silenceLimitMs": int(SILENCE * 1000),
            "progressLimitMs": int(PROGRESS * 1000), "downAfter": 100, "upAfter": 1, "maxTries": 4, "slowStartMs": 0}


class Gateway(Case):
    """Two operator sites and one service peer; each test changes what it needs."""

    settings = {}
    addresses = {"west": "127.0.3.1", "east": "127.0.3.2"}
    hosts = {}
    transports = {}
    closed = ()
    worker = None
    kept = 5000
    reply_mode = 3

    @classmethod
    def prepare(cls):
        cls.port, cls.other = free_port(), free_port()
        cls.proxy = ("127.0.0.1", cls.port)
        udp = {name: cls.transports.get(name, "UDP").lower() for name in ("operator", "teams")}
        cls.west = cls.start_for_all(Endpoint(cls.addresses["west"], user="west", transport=udp["operator"]))
        cls.east = cls.start_for_all(Endpoint(cls.addresses["east"], user="east", transport=udp["operator"]))
        cls.teams = cls.start_for_all(Endpoint("127.0.4.1", user="teams", transport=udp["teams"]))
        cls.kamailio = cls.start_for_all(Kamailio(cls.folder, cls.config()))
        if cls.worker:
            return
        wait_until(cls.kamailio.worker_serves, 10, "the worker serves")
        cls.load_topology()

    @classmethod
    def config(cls):
        text = CONFIG
        for word, value in {"@PORT@": cls.port, "@OTHER@": cls.other, "@KEPT@": cls.kept, "@MODE@": cls.reply_mode}.items():
            text = text.replace(word, str(value))
        return text.replace("@WORKER@", cls.worker) if cls.worker else text

    @classmethod
    def peer(cls, name, endpoint, site, priority, **more):
        port = free_port(endpoint.host) if name in cls.closed else endpoint.port
        return {"name": name, "site": site, "host": cls.hosts.get(name, endpoint.host), "port": port,
                "priority": priority, **more}

    @classmethod
    def document(cls):
        return {
            "mode": "lab", "settings": {**SETTINGS, **cls.settings},
            "services": [{"name": "teamsOperatorConnect", "peerGroup": "teams", "operatorPeerGroup": "operator"}],
            "peerGroups": [
                {"name": "operator", "side": "operator", "signalling": cls.transports.get("operator", "UDP"),
                 "media": "RTP", "defaultService": "teamsOperatorConnect",
                 "peers": [cls.peer("west", cls.west, "west", 0,
                                    allowedSignalingSourceAddressPrefixes=["127.0.3.0/24"]),
                           cls.peer("east", cls.east, "east", 1,
                                    allowedSignalingSourceAddressPrefixes=["127.0.3.0/24"])]},
                {"name": "teams", "side": "service", "signalling": cls.transports.get("teams", "UDP"),
                 "media": "SRTP", "peers": [cls.peer("teams-1", cls.teams, "cloud", 0)]}]}

    @classmethod
    def load_topology(cls, document=None):
        path = cls.folder.write("topology.json", json.dumps(document or cls.document()))
        path.chmod(0o644)
        cls.kamailio.call("provisioning.topology_load", path)

    def call(self, **more):
        """From the service to the operator."""
        return self.teams.invite(self.proxy, "+15551230001", **more)

    def listed(self, peer):
        """The row of a peer in site_failover.list."""
        for text in self.kamailio.call("site_failover.list").split("}"):
            row = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
            if row.get("name") == peer:
                return row
        return {}

    def counter(self, name):
        text = self.kamailio.call("cnt.get", "site_failover", name)
        return int(text.split()[-1])

    @staticmethod
    def forge(request):
        """Another character in the token of the Route."""
        route = request.get("Route")
        place = route.index(";tg=") + 6
        request.set("Route", route[:place] + ("B" if route[place] != "B" else "C") + route[place + 1:])

    def silent(self, endpoint, seconds=0.4):
        """Nothing but what came until now arrives for a while: the one claim that needs a time."""
        before = len(endpoint.messages)
        time.sleep(seconds)
        return len(endpoint.messages) == before

    def talk(self, call, served):
        """The call is answered, acknowledged and ended by the caller."""
        self.answered(call, served)
        call.dialog_request("BYE")
        served.ended()
        self.assertEqual(call.endpoint.response((200, 699), "BYE", call_id=call.call_id).status, 200)

    def answered(self, call, served, contact=None):
        """The call is answered and acknowledged."""
        endpoint = served.endpoint
        endpoint.reply(served.invite, 200, served.tag, [("Contact", contact or endpoint.contact)])
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()

    def ended_by_us(self, served, cause):
        """ACK and one BYE with the reason, in the caller's place."""
        acknowledged, ended = served.acked(), served.ended()
        self.assertEqual(acknowledged.cseq, served.invite.cseq)
        self.assertEqual(ended.cseq, served.invite.cseq + 1)
        self.assertIn(f"SIP;cause={cause}", ended.get("Reason"))
        self.assertEqual(ended.tag("To"), served.tag)
        self.assertEqual(ended.tag("From"), served.invite.tag("From"))
        return acknowledged, ended

    def finals_of(self, call):
        return [answer.status for answer in call.finals()]

    def abandoned(self):
        """A call whose first site was silent and whose second one rings: (call, first, second)."""
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        second = self.east.served(SILENCE + 2, call.call_id)
        second.reply(180)
        call.provisional(180)
        return call, first, second


class TestEmpty(Gateway):
    worker = "/bin/false"

    def test_nothing_published_is_told_apart(self):
        self.assertIn("Nothing Published", self.call().final().first)
        status, text = self.kamailio.rpc("site_failover.list")
        self.assertNotEqual(status, 0)
        self.assertIn("503", text)


class TestIdentify(Gateway):
    def site_of(self, endpoint, proxy=None):
        call = Call(endpoint, proxy or self.proxy, "+15551230001", "+15550009999")
        endpoint.send(call.message("MESSAGE", call.uri, 1), call.proxy)
        return endpoint.response((200, 699), "MESSAGE", call_id=call.call_id)

    def test_sender_is_named_by_address_within_a_shared_prefix(self):
        self.assertEqual(self.site_of(self.west).get("X-Site"),
                         "operator operator west west to-service RTP UDP teamsOperatorConnect <null>")
        self.assertEqual(self.site_of(self.east).get("X-Site").split()[2], "east")

    def test_service_side_knows_its_service(self):
        self.assertEqual(self.site_of(self.teams).get("X-Site"),
                         "service teams teams-1 cloud to-operator SRTP UDP <null> teamsOperatorConnect")

    def test_sender_that_shares_a_prefix_and_is_no_peer_is_of_the_group_only(self):
        neighbour = self.start(Endpoint("127.0.3.9"))
        self.assertEqual(self.site_of(neighbour).get("X-Site").split()[:4], ["operator", "operator", "<null>", "<null>"])

    def test_unknown_source_is_told_apart(self):
        self.assertIn("Unknown Source", self.site_of(self.start(Endpoint("127.0.9.9"))).first)

    def test_wrong_transport_is_told_apart(self):
        self.assertIn("Wrong Transport", self.site_of(self.start(Endpoint("127.0.3.1", transport="tcp"))).first)


class TestChoice(Gateway):
    def test_first_priority_gets_the_call_and_both_sides_reach_each_other(self):
        call = self.call()
        served = self.west.served()
        self.assertEqual(served.invite.get("X-Out"), "operator west west RTP UDP")
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        served.dialog_request("INFO", self.proxy)
        self.teams.reply(self.teams.request("INFO"), 200)
        self.west.response(200, "INFO")
        call.dialog_request("BYE")
        served.ended()
        self.teams.response(200, "BYE", call_id=call.call_id)

    def test_token_is_short_and_in_the_one_record_route(self):
        call = self.call()
        served = self.west.served()
        routes = served.invite.routes()
        self.assertEqual(len(routes), 1)
        text = routes[0].split(";tg=")[1].split(";")[0].rstrip(">")
        self.assertLessEqual(len(text), 40)
        served.reply(486)
        call.final()

    def test_forged_token_is_no_dialog_and_bye_passes(self):
        call = self.call()
        served = self.west.served()
        self.answered(call, served)
        call.dialog_request("INFO", changes=self.forge)
        self.assertEqual(self.teams.response((200, 699), "INFO").status, 481)
        call.dialog_request("BYE", changes=self.forge)
        served.ended()

    def test_contact_with_a_name_is_not_looked_up(self):
        call = self.call()
        served = self.west.served()
        self.west.reply(served.invite, 200, served.tag, [("Contact", "<sip:west@no-such-host.invalid>")])
        self.assertEqual(call.final().status, 200)
        call.ack()
        self.assertEqual(served.acked(1.5).uri, "sip:west@no-such-host.invalid")
        call.dialog_request("BYE")
        served.ended(1.5)

    def test_later_request_to_a_caller_who_is_no_peer_goes_to_one_of_his_group(self):
        caller = self.start(Endpoint("127.0.3.9"))
        call = caller.invite(self.proxy, "+15551230001",
                             changes=lambda message: message.set("Contact", "<sip:front@no-such-host.invalid>"))
        served = self.teams.served(call_id=call.call_id)
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        served.dialog_request("BYE", self.proxy)
        ended = self.west.request("BYE", 1.5, call.call_id)
        self.assertEqual(ended.uri, "sip:front@no-such-host.invalid")
        self.west.reply(ended, 200)
        self.teams.response(200, "BYE", call_id=call.call_id)

    def test_caller_of_a_group_that_is_out_of_service_has_a_peer_all_the_same(self):
        caller = self.start(Endpoint("127.0.3.9"))
        for peer, state in (("west", "disabled"), ("east", "drain")):
            self.kamailio.call("site_failover.set", peer, state)
            self.addCleanup(self.kamailio.call, "site_failover.set", peer, "auto")
        call = caller.invite(self.proxy, "+15551230001",
                             changes=lambda message: message.set("Contact", "<sip:front@no-such-host.invalid>"))
        served = self.teams.served(call_id=call.call_id)
        self.answered(call, served)
        served.dialog_request("INFO", self.proxy)
        self.east.reply(self.east.request("INFO", 1.5, call.call_id), 200)
        self.teams.response(200, "INFO", call_id=call.call_id)

    def test_group_that_does_not_exist_is_told_apart(self):
        self.assertIn("No Such Group", self.call(headers=[("X-Group", "nobody")]).final().first)


class TestWithinGroups(Gateway):
    """A token opens its dialog to the two groups in it, and leads to their addresses only."""

    @classmethod
    def prepare(cls):
        cls.foreign = cls.start_for_all(Endpoint("127.0.8.1", user="foreign"))
        cls.stranger = cls.start_for_all(Endpoint("127.0.9.9", user="stranger"))
        super().prepare()

    @classmethod
    def document(cls):
        document = super().document()
        document["peerGroups"].append({
            "name": "foreign", "side": "service", "signalling": "UDP", "media": "RTP",
            "peers": [cls.peer("foreign-1", cls.foreign, "cloud", 0)]})
        return document

    def talking(self, contact=None):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.answered(call, served, contact)
        return call, served

    def test_peer_of_another_group_is_no_party_of_the_dialog(self):
        call, served = self.talking()
        call.endpoint = served.endpoint = self.foreign
        call.dialog_request("INFO")
        served.dialog_request("INFO", self.proxy)
        for _ in range(2):
            self.assertEqual(self.foreign.response((200, 699), "INFO", call_id=call.call_id).status, 481)
        for endpoint in (self.west, self.teams):
            self.assertEqual(endpoint.requests("INFO", call.call_id), [])

    def test_every_peer_of_the_callers_group_is_a_party(self):
        self.kamailio.call("site_failover.set", "west", "drain")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        call = self.call()
        served = self.east.served(call_id=call.call_id)
        self.answered(call, served)
        served.endpoint = self.west
        served.dialog_request("INFO", self.proxy)
        self.teams.reply(self.teams.request("INFO", call_id=call.call_id), 200)
        self.west.response(200, "INFO", call_id=call.call_id)

    def test_target_outside_the_group_becomes_the_peer(self):
        for target in (f"sip:evil@{self.stranger.address}", f"sip:evil@{self.foreign.address}",
                       f"sip:evil@{self.west.address};maddr=127.0.9.9", "sip:evil@no-such-host.invalid",
                       "tel:+15550001111"):
            with self.subTest(target):
                call, served = self.talking(f"<{target}>")
                call.dialog_request("INFO")
                got = self.west.request("INFO", 1.5, call.call_id)
                self.assertEqual(got.uri, target)
                self.west.reply(got, 200)
                self.teams.response(200, "INFO", call_id=call.call_id)
                self.assertEqual([m for m in self.stranger.messages + self.foreign.messages
                                  if m.is_request and m.call_id == call.call_id], [])

    def test_other_address_and_port_within_the_group_is_kept(self):
        neighbour = self.start(Endpoint("127.0.3.77"))
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.west.reply(served.invite, 200, served.tag, [("Contact", neighbour.contact)])
        call.final()
        for method in ("ACK", "INFO"):
            call.dialog_request(method)
            neighbour.request(method, 1.5, call.call_id)

    def test_route_outside_the_group_is_not_followed(self):
        call, served = self.talking()
        route = f"<sip:{self.stranger.address};lr>"
        call.dialog_request("INFO", changes=lambda request: request.headers.insert(3, ["Route", route]))
        self.assertEqual(self.west.request("INFO", 1.5, call.call_id).routes("Route"), [route])
        self.assertEqual(self.stranger.requests("INFO", call.call_id), [])

    def bye_without_token(self, uri):
        call, served = self.talking()

        def change(request):
            self.forge(request)
            request.first = f"BYE {uri} SIP/2.0"

        call.dialog_request("BYE", changes=change)
        return call

    def test_bye_without_token_goes_to_addresses_of_groups(self):
        for uri in (f"sip:x@{self.west.address}", f"sip:x@{self.west.address};transport=tcp",
                    f"sip:x@no-such-host.invalid:{self.west.port};maddr=127.0.3.1"):
            with self.subTest(uri):
                call = self.bye_without_token(uri)
                self.west.reply(self.west.request("BYE", 1.5, call.call_id), 200)
                self.teams.response(200, "BYE", call_id=call.call_id)

    def test_bye_without_token_goes_nowhere_else(self):
        for uri in (f"sip:x@{self.stranger.address}", "sip:x@no-such-host.invalid", "tel:+15550001111",
                    f"sip:x@{self.west.address};maddr=127.0.9.9"):
            with self.subTest(uri):
                call = self.bye_without_token(uri)
                self.assertEqual(self.teams.response((200, 699), "BYE", 1.5, call.call_id).status, 481)
                self.assertEqual(self.stranger.requests("BYE", call.call_id), [])


class TestTransportOfTheGroup(Gateway):
    """Contact and Route name no transport or another one: the group's is taken, or keys would leave TLS."""

    transports = {"operator": "TCP"}

    def contacts(self):
        return [f"<{uri}>" for uri in (f"sip:west@{self.west.address}", f"sip:west@{self.west.address};transport=udp",
                                       f"sips:west@{self.west.address}", "sip:west@no-such-host.invalid",
                                       "sip:west@127.0.9.9;transport=udp")]

    def test_requests_to_the_callee_stay_on_it(self):
        datagrams = self.start(Endpoint(self.west.host, self.west.port))
        for contact in self.contacts():
            with self.subTest(contact):
                call = self.call()
                served = self.west.served(call_id=call.call_id)
                self.answered(call, served, contact)
                call.dialog_request("INFO")
                self.west.reply(self.west.request("INFO", 1.5, call.call_id), 200)
                self.teams.response(200, "INFO", call_id=call.call_id)
                call.dialog_request("BYE", changes=self.forge if self.west.address in contact else None)
                served.ended(1.5)
        self.assertEqual(datagrams.messages, [])

    def test_requests_to_the_caller_stay_on_it(self):
        datagrams = self.start(Endpoint(self.west.host, self.west.port))
        for contact in self.contacts():
            with self.subTest(contact):
                call = self.west.invite(self.proxy, "+15551230001",
                                        changes=lambda message: message.set("Contact", contact))
                served = self.teams.served(call_id=call.call_id)
                self.answered(call, served)
                served.dialog_request("BYE", self.proxy)
                self.west.reply(self.west.request("BYE", 1.5, call.call_id), 200)
                self.teams.response(200, "BYE", call_id=call.call_id)
        self.assertEqual(datagrams.messages, [])


class TestRetry(Gateway):
    def test_408_503_504_go_to_the_next_peer(self):
        for status in (408, 503, 504):
            with self.subTest(status):
                before = self.counter("calls_failed_over")
                call = self.call()
                self.west.served(call_id=call.call_id).reply(status)
                self.talk(call, self.east.served(call_id=call.call_id))
                self.assertEqual(self.finals_of(call), [200])
                self.assertEqual(self.counter("calls_failed_over"), before + 1)

    def test_every_other_answer_is_the_callers(self):
        for status in (300, 400, 403, 404, 480, 486, 487, 488, 491, 500, 501, 502, 505, 580, 600, 603, 606):
            with self.subTest(status):
                call = self.call()
                self.west.served(call_id=call.call_id).reply(status)
                self.assertEqual(call.final().status, status)
                self.assertEqual(self.east.requests("INVITE", call.call_id), [])

    def test_answer_after_a_failover_is_that_of_the_last_peer(self):
        for first, last in ((503, 486), (408, 603), (503, 404)):
            with self.subTest(first=first, last=last):
                call = self.call()
                self.west.served(call_id=call.call_id).reply(first)
                self.east.served(call_id=call.call_id).reply(last)
                self.assertEqual(call.final().status, last)

    def test_answer_after_silence_is_that_of_the_last_peer(self):
        call = self.call()
        self.west.served(call_id=call.call_id)
        self.east.served(SILENCE + 2, call.call_id).reply(486)
        self.assertEqual(call.final().status, 486)

    def test_no_peer_left_is_the_scripts_answer(self):
        call = self.call()
        self.west.served(call_id=call.call_id).reply(503)
        self.east.served(call_id=call.call_id).reply(503)
        self.assertIn("No Peer Left", call.final().first)

    def test_503_after_180_is_the_callers(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        served.reply(503)
        self.assertEqual(call.final().status, 503)
        self.assertEqual(self.east.requests("INVITE", call.call_id), [])

    def test_final_answer_waits_for_its_ack_as_long_as_ever(self):
        call = self.call()
        self.west.served(call_id=call.call_id).reply(404)
        wait_until(lambda: self.teams.statuses(call_id=call.call_id).count(404) >= 4, SILENCE + 5,
                   "404 is sent again after the silence limit")
        call.final()


class TestRepliesKept(Gateway):
    """tm is told to keep the answers of earlier branches, and would pick the lowest."""

    reply_mode = 0

    def test_answer_after_a_failover_is_that_of_the_last_peer(self):
        for first, last in ((408, 486), (503, 580), (504, 600)):
            with self.subTest(first=first, last=last):
                call = self.call()
                self.west.served(call_id=call.call_id).reply(first)
                self.east.served(call_id=call.call_id).reply(last)
                self.assertEqual(call.final().status, last)


class TestLimits(Gateway):
    def moved_after(self, *provisional):
        call = self.call()
        begin = time.monotonic()
        first = self.west.served(call_id=call.call_id)
        for status in provisional:
            first.reply(status)
        second = self.east.served(PROGRESS + 2, call.call_id)
        passed = time.monotonic() - begin
        second.reply(486)
        call.final()
        return passed

    def test_silence_moves_on_after_the_silence_limit(self):
        self.assertAlmostEqual(self.moved_after(), SILENCE, delta=0.4)

    def test_100_moves_on_after_the_progress_limit(self):
        self.assertAlmostEqual(self.moved_after(100), PROGRESS, delta=0.4)

    def test_ringing_is_waited_for(self):
        for provisional in ((180,), (183,), (100, 180), (100, 155), (100, 183, 180)):
            with self.subTest(provisional):
                call = self.call()
                served = self.west.served(call_id=call.call_id)
                for status in provisional:
                    served.reply(status)
                call.provisional(provisional[-1])
                self.assertTrue(self.silent(self.east, PROGRESS + 0.5))
                self.talk(call, served)

    def test_late_180_of_an_abandoned_peer_does_not_lift_the_limits_of_the_next(self):
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        second = self.east.served(SILENCE + 2, call.call_id)
        begin = time.monotonic()
        first.reply(180)
        first.cancelled(2)
        self.assertEqual(call.final(PROGRESS + 2).status, 503)
        self.assertLess(time.monotonic() - begin, PROGRESS)
        self.assertEqual(self.teams.statuses(call_id=call.call_id).count(180), 0)
        del second


class TestRefusedByUdp(Gateway):
    closed = ("west",)

    def test_silent_port_is_silence(self):
        call = self.call()
        self.talk(call, self.east.served(SILENCE + 2, call.call_id))


class TestRefusedByTcp(Gateway):
    transports = {"operator": "TCP"}
    closed = ("west",)

    def test_error_at_sending_goes_on_at_once_and_counts_against_the_peer(self):
        begin = time.monotonic()
        call = self.call()
        served = self.east.served(SILENCE + 2, call.call_id)
        self.assertLess(time.monotonic() - begin, SILENCE - 0.2)
        self.talk(call, served)
        self.assertEqual(self.finals_of(call), [200])
        row = self.listed("west")
        self.assertEqual((row["observed"], row["reason"]), ("down", "error at sending"))


class TestTcp(Gateway):
    transports = {"operator": "TCP", "teams": "TCP"}

    def test_late_answer_is_ended_on_its_own_connection(self):
        call, first, second = self.abandoned()
        first.reply(200)
        acknowledged, ended = self.ended_by_us(first, 408)
        self.assertIs(acknowledged.connection, first.invite.connection)
        self.assertIs(ended.connection, first.invite.connection)
        self.talk(call, second)
        self.assertEqual(self.finals_of(call), [200])


class TestLateAnswer(Gateway):
    """An answer of a branch that was given up: nobody but the gateway can end it."""

    def test_while_the_other_site_rings(self):
        before = self.counter("late_answers")
        call, first, second = self.abandoned()
        first.reply(200)
        self.ended_by_us(first, 408)
        self.talk(call, second)
        self.assertEqual(self.finals_of(call), [200])
        self.assertEqual(self.counter("late_answers"), before + 1)

    def test_after_the_other_site_answered(self):
        call, first, second = self.abandoned()
        self.talk(call, second)
        first.reply(200)
        self.ended_by_us(first, 200)
        self.assertEqual(self.finals_of(call), [200])

    def test_after_a_final_answer_of_its_own_branch(self):
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        first.reply(503)
        second = self.east.served(call_id=call.call_id)
        second.reply(180)
        call.provisional(180)
        first.reply(200)
        first.acked()
        first.ended()
        self.talk(call, second)
        self.assertEqual(len(self.west.requests("BYE", call.call_id)), 1)

    def test_each_retransmission_is_acknowledged_and_one_bye_is_sent(self):
        call, first, second = self.abandoned()
        for _ in range(4):
            first.reply(200)
            first.acked()
        first.ended()
        self.assertTrue(self.silent(self.west))
        self.assertEqual(len(self.west.requests("BYE", call.call_id)), 1)
        self.talk(call, second)

    def test_each_to_tag_gets_its_own_bye(self):
        call, first, second = self.abandoned()
        tags = [token("to"), token("to")]
        for tag in tags:
            first.reply(200, tag=tag)
            first.acked()
        ended = [first.ended(), first.ended()]
        self.assertEqual(sorted(bye.tag("To") for bye in ended), sorted(tags))
        self.talk(call, second)

    def test_routes_beyond_us_are_followed_and_ours_is_left_out(self):
        call, first, second = self.abandoned()
        ours = first.invite.routes()
        near, far = f"<sip:{self.west.address};lr;n=1>", "<sip:192.0.2.77;lr;n=2>"
        response = first.invite
        saved = [list(header) for header in response.headers]
        response.headers = [header for header in response.headers if header[0] != "Record-Route"]
        response.headers += [["Record-Route", f"{far}, {near}"]] + [["Record-Route", route] for route in ours]
        first.reply(200)
        response.headers = saved
        acknowledged, ended = self.ended_by_us(first, 408)
        self.assertEqual(acknowledged.routes("Route"), [near, far])
        self.assertEqual(ended.routes("Route"), [near, far])
        self.talk(call, second)

    def test_name_in_contact_is_not_looked_up(self):
        call, first, second = self.abandoned()
        self.west.reply(first.invite, 200, first.tag, [("Contact", "<sip:west@no-such-host.invalid>")])
        acknowledged = first.acked(1)
        self.assertEqual(acknowledged.uri, "sip:west@no-such-host.invalid")
        first.ended(1)
        self.talk(call, second)

    def test_answer_that_cannot_be_ended_is_tried_again_and_not_called_ended(self):
        call, first, second = self.abandoned()
        far = [["Record-Route", f"<sip:192.0.2.{i};lr;pad={'x' * 400}>"] for i in range(1, 13)]
        saved = list(first.invite.headers)
        first.invite.headers[:0] = far
        before = self.counter("late_byes")
        first.reply(200)
        wait_until(lambda: f"late answer of call {call.call_id}: sending failed" in self.kamailio.log(), 3, "the log")
        self.assertNotIn(f"{call.call_id} from", self.kamailio.log())
        self.assertEqual(self.counter("late_byes"), before)
        first.invite.headers = saved
        first.reply(200)
        self.ended_by_us(first, 408)
        self.assertEqual(self.counter("late_byes"), before + 1)
        self.talk(call, second)

    def test_answer_without_contact_harms_nothing(self):
        call, first, second = self.abandoned()
        self.west.reply(first.invite, 200, first.tag)
        self.talk(call, second)
        self.assertEqual(self.finals_of(call), [200])

    def test_custom_header_goes_to_the_operator(self):
        self.kamailio.call("provisioning.account_set", "acme")
        self.kamailio.call("provisioning.number_set", "s:+15551230001", "acme", "teamsOperatorConnect", "gold")
        call = self.call(headers=[("X-Attributes", "1")])
        first = self.west.served(call_id=call.call_id)
        second = self.east.served(SILENCE + 2, call.call_id)
        first.reply(200)
        acknowledged, ended = self.ended_by_us(first, 408)
        self.assertEqual(acknowledged.get("X-Operator-Content"), "gold")
        self.assertEqual(ended.get("X-Operator-Content"), "gold")
        self.talk(call, second)


class TestCancel(Gateway):
    def test_late_200_after_the_caller_gave_up_on_a_silent_site(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        call.cancel()
        self.assertEqual(call.final(SILENCE + 2).status, 487)
        served.reply(200)
        self.ended_by_us(served, 487)
        self.assertEqual(self.finals_of(call), [487])
        self.assertEqual(self.east.requests("INVITE", call.call_id), [])

    def test_200_that_crosses_cancel_in_an_open_transaction_is_the_callers(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.endpoint.reply(served.endpoint.request("CANCEL", call_id=call.call_id), 481)
        self.talk(call, served)
        self.assertEqual(self.finals_of(call), [200])

    def test_200_after_its_own_487_is_ended(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.cancelled()
        self.assertEqual(call.final().status, 487)
        served.reply(200)
        wait_until(lambda: len(self.west.requests("BYE", call.call_id)) == 1, 3, "BYE")
        self.assertEqual(self.finals_of(call), [487])

    def test_cancel_of_the_second_site_and_late_200_of_both(self):
        call, first, second = self.abandoned()
        call.cancel()
        second.cancelled()
        self.assertEqual(call.final().status, 487)
        first.reply(200)
        self.ended_by_us(first, 487)
        self.assertEqual(self.finals_of(call), [487])


class TestOthersCalls(Gateway):
    """Calls that the rest of the configuration places: forking is its own affair."""

    def test_both_answers_of_a_forked_call_are_the_callers(self):
        caller, left, right = (self.start(Endpoint(f"127.0.9.{i}")) for i in (1, 2, 3))
        call = caller.invite(self.proxy, "alice", headers=[("X-Fork", f"sip:alice@{left.address}"),
                                                           ("X-Fork-Too", f"sip:alice@{right.address}")])
        first, second = left.served(call_id=call.call_id), right.served(call_id=call.call_id)
        for served in (first, second):
            served.reply(200)
            self.assertEqual(caller.response(200, "INVITE", 2, call.call_id).tag("To"), served.tag)
        self.assertEqual(left.requests("BYE", call.call_id) + right.requests("BYE", call.call_id), [])

    def test_their_answers_are_not_refused(self):
        caller, left, right = (self.start(Endpoint(f"127.0.9.{i}")) for i in (1, 2, 3))
        call = caller.invite(self.proxy, "alice", headers=[("X-Fork", f"sip:alice@{left.address}"),
                                                           ("X-Fork-Too", f"sip:alice@{right.address}")])
        served = left.served(call_id=call.call_id)
        right.served(call_id=call.call_id)
        served.reply(200, headers=[("X-Refuse", "1")])
        self.assertTrue(self.silent(left))
        self.assertEqual(caller.statuses(call_id=call.call_id).count(488), 0)


class TestWithinDialog(Gateway):
    def test_late_200_of_a_new_offer_is_the_callers_and_ends_nothing(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(200)
        call.final()
        call.ack()
        served.acked()
        offer = call.dialog_request("INVITE", headers=[("Contact", self.teams.contact)])
        again = self.west.wait(lambda m: m.is_request and m.method == "INVITE" and m.tag("To"))
        for status in (486, 200):
            self.west.reply(again, status, headers=[("Contact", self.west.contact)])
            self.teams.wait(lambda m: m.status == status and m.cseq == offer.cseq and m.method == "INVITE")
        self.assertEqual(self.west.requests("BYE", call.call_id), [])
        call.dialog_request("BYE")
        served.ended()


class TestTransactionGone(Gateway):
    """tm keeps a finished transaction for one second here; the branch is known longer."""

    kept = 1000

    def gone(self):
        call, first, second = self.abandoned()
        self.talk(call, second)
        self.no_transaction()
        return call, first

    def test_late_200_is_ended_once_and_acknowledged_each_time(self):
        call, first = self.gone()
        for _ in range(3):
            first.reply(200)
            first.acked()
        bye = first.ended()
        self.assertIn("SIP;cause=200", bye.get("Reason"))
        self.assertTrue(self.silent(self.west))
        self.assertEqual(len(self.west.requests("BYE", call.call_id)), 1)
        self.assertEqual(self.finals_of(call), [200])

    def test_late_180_is_cancelled_and_its_487_acknowledged(self):
        call, first = self.gone()
        first.reply(180)
        cancel = self.west.request("CANCEL", call_id=call.call_id)
        self.assertEqual(cancel.branch, first.invite.branch)
        self.assertEqual(cancel.uri, first.invite.uri)
        self.assertEqual(cancel.cseq, first.invite.cseq)
        self.west.reply(cancel, 200, first.tag)
        first.reply(487)
        acknowledged = first.acked()
        self.assertEqual(acknowledged.branch, first.invite.branch)
        self.assertTrue(self.silent(self.teams))
        self.assertEqual(self.finals_of(call), [200])

    def ended_long_ago(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.talk(call, served)
        self.no_transaction()
        return call, served

    def no_transaction(self):
        wait_until(lambda: "current: 0" in self.kamailio.call("tm.stats").replace("\t", " "), 5,
                   "no transaction is left", 0.2)

    def test_other_branches_are_not_ours(self):
        call, served = self.ended_long_ago()
        before = len(self.west.requests("ACK", call.call_id))
        served.reply(200)
        self.teams.wait(lambda m: m.status == 200 and m.method == "INVITE" and m.call_id == call.call_id, 3)
        self.assertEqual(len(self.west.requests("ACK", call.call_id)), before)

    def test_branch_that_answered_is_forgotten_with_its_transaction(self):
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        first.reply(503)
        self.talk(call, self.east.served(call_id=call.call_id))
        self.no_transaction()
        first.reply(180)
        self.assertTrue(self.silent(self.west, 0.6))
        self.assertEqual(self.west.requests("CANCEL", call.call_id), [])

    def test_branch_that_never_answered_the_cancel_is_remembered(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        call.cancel()
        self.assertEqual(call.final(SILENCE + 2).status, 487)
        self.no_transaction()
        served.reply(200)
        self.ended_by_us(served, 487)

    def test_stray_answer_of_the_callee_with_a_token_is_his_dialogs(self):
        call, served = self.ended_long_ago()
        foreign = ["Record-Route", "<sip:192.0.2.9;lr;tg=AAAAAAAAAAAAAAAAAAAAAAAAAAAA>"]
        served.invite.headers.insert(0, foreign)
        before = self.arrived(call)
        served.reply(200)
        wait_until(lambda: self.arrived(call) > before, 2, "the answer")

    def arrived(self, call):
        return len(self.teams.seen(lambda m: not m.is_request and m.method == "INVITE" and m.call_id == call.call_id))

    def test_stray_answer_of_anybody_else_is_not(self):
        call, served = self.ended_long_ago()
        stranger = self.start(Endpoint("127.0.9.9"))
        without, changed = served.invite, Message.parse(bytes(served.invite))
        bare = Message.parse(bytes(without))
        bare.remove("Record-Route")
        changed.set("Call-ID", token("call"))
        for endpoint, request in ((stranger, without), (self.west, bare), (self.west, changed)):
            with self.subTest(endpoint=endpoint.host, request=request):
                request.source = request.source or without.source
                before = len(self.teams.messages)
                endpoint.reply(request, 200, served.tag, [("Contact", endpoint.contact)])
                self.assertTrue(self.silent(self.teams))
                self.assertEqual(len(self.teams.messages), before)


class TestRefuse(Gateway):
    def test_refused_answer_is_488_for_the_caller_and_bye_for_the_callee(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        for _ in range(2):
            served.reply(200, headers=[("X-Refuse", "1")])
            served.acked()
        self.assertEqual(call.final().status, 488)
        self.assertIn("SIP;cause=488", served.ended().get("Reason"))
        self.assertEqual(self.finals_of(call), [488])
        self.assertEqual(self.west.requests("CANCEL", call.call_id), [])
        self.assertEqual(self.east.requests("INVITE", call.call_id), [])

    def established(self):
        self.kamailio.call("provisioning.account_set", "acme")
        self.kamailio.call("provisioning.number_set", "s:+15551230001", "acme", "teamsOperatorConnect", "gold")
        call = self.call(headers=[("X-Attributes", "1")])
        served = self.west.served(call_id=call.call_id)
        served.reply(200)
        call.final(status=200)
        call.ack()
        served.acked()
        return call, served

    def answered(self, sender, receiver, request):
        """The request as it came, after an answer that is refused: twice, as over UDP."""
        arrived = receiver.wait(lambda m: m.is_request and m.method == request.method and m.cseq == request.cseq
                                and m.call_id == request.call_id, what="request")
        for _ in range(2):
            receiver.reply(arrived, 200, headers=[("Contact", receiver.contact), ("X-Refuse", "1")])
            if request.method == "INVITE":
                self.assertEqual(receiver.request("ACK", call_id=request.call_id).cseq, request.cseq)
        answer = sender.response((200, 699), request.method, call_id=request.call_id)
        self.assertEqual(answer.status, 488)
        return answer

    def ended_with_488(self, endpoint, call_id):
        bye = endpoint.request("BYE", call_id=call_id)
        endpoint.reply(bye, 200)
        self.assertIn("SIP;cause=488", bye.get("Reason"))
        return bye

    def test_refused_answer_to_a_new_offer_ends_the_call_on_both_sides(self):
        for number in ("caller", "callee"):
            with self.subTest(number):
                call, served = self.established()
                if number == "caller":
                    sender, receiver, request = self.teams, self.west, call.dialog_request("INVITE", body="v=0\r\n")
                else:
                    sender, receiver = self.west, self.teams
                    request = served.dialog_request("INVITE", self.proxy, body="v=0\r\n")
                self.answered(sender, receiver, request)
                for endpoint in (sender, receiver):
                    bye = self.ended_with_488(endpoint, call.call_id)
                    self.assertEqual(bye.all("X-Operator-Content"), ["gold"] if endpoint is self.west else [])
                    self.assertEqual(len(endpoint.requests("BYE", call.call_id)), 1)

    def test_refused_answer_to_update_ends_nothing(self):
        call, served = self.established()
        self.answered(self.teams, self.west, call.dialog_request("UPDATE"))
        call.dialog_request("BYE")
        self.assertIsNone(served.ended().get("Reason"))
        self.assertEqual(self.teams.requests("BYE", call.call_id), [])


class TestProbes(Gateway):
    settings = {"probeIntervalMs": 1000, "downAfter": 2, "upAfter": 2}

    def observed(self, peer, state):
        wait_until(lambda: self.listed(peer).get("observed") == state, 8, f"{peer} is {state}", 0.1)
        return self.listed(peer)

    def test_silent_peer_goes_down_is_passed_over_and_comes_back(self):
        self.west.answer_options = None
        self.addCleanup(setattr, self.west, "answer_options", 200)
        self.assertEqual(self.observed("west", "down")["reason"], "no answer to OPTIONS")
        call = self.call()
        self.talk(call, self.east.served(0.4, call.call_id))
        self.assertEqual(self.west.requests("INVITE", call.call_id), [])
        self.west.answer_options = 200
        self.observed("west", "up")
        call = self.call()
        self.talk(call, self.west.served(call_id=call.call_id))

    def test_all_down_are_tried_all_the_same(self):
        for endpoint in (self.west, self.east):
            endpoint.answer_options = 503
            self.addCleanup(setattr, endpoint, "answer_options", 200)
        self.assertEqual(self.observed("west", "down")["reason"], "503 to OPTIONS")
        self.observed("east", "down")
        call = self.call()
        self.talk(call, self.west.served(call_id=call.call_id))

    def test_any_final_answer_but_three_is_well(self):
        self.east.answer_options = 404
        self.addCleanup(setattr, self.east, "answer_options", 200)
        seen = len(self.east.options)
        wait_until(lambda: len(self.east.options) > seen + 3, 8)
        self.assertIn(self.listed("east")["observed"], ("up", "probing"))

    def test_answer_after_the_deadline_does_not_count(self):
        late = []
        self.east.answer_options = lambda request: late.append(request)
        self.addCleanup(setattr, self.east, "answer_options", 200)
        self.observed("east", "down")
        failures = int(self.listed("east")["failures"])
        for request in list(late):
            self.east.reply(request, 200)
        wait_until(lambda: int(self.listed("east")["failures"]) > failures, 5, "the next probe fails too", 0.1)
        self.assertEqual(self.listed("east")["observed"], "down")

    def test_state_survives_a_new_topology(self):
        self.east.answer_options = None
        self.addCleanup(setattr, self.east, "answer_options", 200)
        since = self.observed("east", "down")["since"]
        changed = self.document()
        changed["settings"]["maxTries"] = 3
        self.load_topology(changed)
        row = self.listed("east")
        self.assertEqual((row["observed"], row["since"]), ("down", since))

    def test_disabled_peer_is_not_probed_and_not_chosen(self):
        self.kamailio.call("site_failover.set", "west", "disabled")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        self.assertEqual(self.listed("west")["administrative"], "disabled")
        wait_until(lambda: len(self.east.options) > 0, 5)
        time.sleep(0.5)
        before, east = len(self.west.options), len(self.east.options)
        wait_until(lambda: len(self.east.options) >= east + 2, 5)
        self.assertEqual(len(self.west.options), before)
        call = self.call()
        self.talk(call, self.east.served(call_id=call.call_id))

    def test_draining_peer_is_probed_and_not_chosen(self):
        self.kamailio.call("site_failover.set", "west", "drain")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        before = len(self.west.options)
        wait_until(lambda: len(self.west.options) > before, 5)
        call = self.call()
        self.talk(call, self.east.served(call_id=call.call_id))

    def test_no_peer_in_service_is_told_apart(self):
        for peer in ("west", "east"):
            self.kamailio.call("site_failover.set", peer, "drain")
            self.addCleanup(self.kamailio.call, "site_failover.set", peer, "auto")
        self.assertIn("No Peer In Service", self.call().final().first)

    def test_probe_names_the_gateway_and_the_peer(self):
        wait_until(lambda: self.teams.options, 5)
        probe = self.teams.options[0]
        self.assertEqual(probe.uri, f"sip:{self.teams.address};transport=udp")
        ours = "%s:%d" % probe.source
        self.assertIn(ours, probe.get("Contact"))
        self.assertIn(ours, probe.get("From"))


class TestKeepalive(Gateway):
    settings = {"probeIntervalMs": 60000, "keepaliveIntervalMs": 1000}

    def test_keepalive_has_an_interval_of_its_own(self):
        before = self.counter("probes_sent")
        wait_until(lambda: len(self.west.options) >= 4, 8)
        self.assertLessEqual(self.counter("probes_sent") - before, 3)
        self.assertGreaterEqual(self.counter("keepalives_sent"), 3)


class TestNameWithoutAddress(Gateway):
    hosts = {"west": "no-such-host.invalid"}
    settings = {"probeIntervalMs": 1000, "downAfter": 1}

    def test_peer_is_left_out_and_shown_as_such(self):
        wait_until(lambda: self.listed("west").get("dns"), 10)
        row = self.listed("west")
        self.assertEqual((row["observed"], row["address"]), ("unknown", "no-such-host.invalid"))
        call = self.call()
        self.talk(call, self.east.served(0.5, call.call_id))


class TestLocalSocket(Gateway):
    @classmethod
    def document(cls):
        document = super().document()
        document["peerGroups"][0]["localSocket"] = f"udp:127.0.0.1:{cls.other}"
        return document

    def test_calls_leave_by_the_groups_socket_and_its_peers_are_known_there_only(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.assertEqual(served.invite.source, ("127.0.0.1", self.other))
        self.talk(call, served)
        other = self.west.invite(self.proxy, "+15551230001")
        self.assertIn("Unknown Source", other.final().first)
        back = self.west.invite(("127.0.0.1", self.other), "+15551230001")
        answered = self.teams.served(call_id=back.call_id)
        self.talk(back, answered)

    def test_late_answer_is_ended_by_the_groups_socket(self):
        call, first, second = self.abandoned()
        first.reply(200)
        acknowledged, ended = self.ended_by_us(first, 408)
        self.assertEqual(acknowledged.source, ("127.0.0.1", self.other))
        self.assertEqual(ended.source, ("127.0.0.1", self.other))
        self.assertEqual(acknowledged.routes("Route"), [])
        self.talk(call, second)


class TestIpv6(Gateway):
    """The sites are reached over IPv6, the service over IPv4: two Record-Routes of ours."""

    addresses = {"west": "::1", "east": "::1"}

    @classmethod
    def config(cls):
        return super().config().replace("children=2", f"listen=udp:[::1]:{cls.port}\nchildren=2", 1)

    @classmethod
    def document(cls):
        document = super().document()
        for peer in document["peerGroups"][0]["peers"]:
            peer["allowedSignalingSourceAddressPrefixes"] = ["::1"]
        return document

    def test_call_crosses_and_later_requests_find_their_way(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.assertEqual(len(served.invite.routes()), 2)
        served.reply(200)
        call.final()
        call.ack()
        served.acked()
        served.dialog_request("INFO", ("::1", self.port))
        self.teams.reply(self.teams.request("INFO"), 200)
        self.west.response(200, "INFO")
        call.dialog_request("BYE")
        served.ended()

    def test_late_answer_is_ended_without_our_own_routes(self):
        call, first, second = self.abandoned()
        first.reply(200)
        acknowledged, ended = self.ended_by_us(first, 408)
        self.assertEqual(acknowledged.routes("Route") + ended.routes("Route"), [])
        self.talk(call, second)

    def test_probe_is_well_formed(self):
        wait_until(lambda: self.west.options, 5)
        self.assertEqual(self.west.options[0].uri, f"sip:[::1]:{self.west.port};transport=udp")
        self.assertIn(f"<sip:[::1]:{self.port}", self.west.options[0].get("Contact"))


class TestRpc(Gateway):
    def test_list_is_paged_by_peer(self):
        first = self.kamailio.call("site_failover.list", "operator", "s:1")
        self.assertEqual(self.kamailio.call("site_failover.list", "operator", "1"), first)
        self.assertIn("name: west", first)
        self.assertNotIn("name: east", first)
        self.assertIn("next: west", first)
        second = self.kamailio.call("site_failover.list", "operator", "s:1", "west")
        self.assertIn("name: east", second)
        self.assertNotIn("next:", second)

    def test_list_of_a_group_shows_only_it(self):
        text = self.kamailio.call("site_failover.list", "teams")
        self.assertIn("name: teams-1", text)
        self.assertNotIn("name: west", text)

    def test_wrong_arguments_are_refused(self):
        for words, wanted in ((("nobody",), "404"), (("operator", "s:0"), "400"), (("operator", "s:101"), "400"),
                              (("operator", "s:x"), "400"), (("operator", "s:1", "nobody"), "404"), (("12",), "400"),
                              (("operator", "0"), "400"), (("operator", "101"), "400"), (("operator", "s:-1"), "400"),
                              (("-", "s:1", "west", "s:x"), "400")):
            with self.subTest(words):
                status, text = self.kamailio.rpc("site_failover.list", *words)
                self.assertNotEqual(status, 0)
                self.assertIn(wanted, text)

    def test_set_refuses_what_is_no_state_or_no_peer(self):
        for words in (("west", "off"), ("nobody", "drain"), ("west",), ("west", "drain", "now")):
            with self.subTest(words):
                self.assertNotEqual(self.kamailio.rpc("site_failover.set", *words)[0], 0)
        self.assertEqual(self.listed("west")["administrative"], "auto")


if __name__ == "__main__":
    unittest.main()
