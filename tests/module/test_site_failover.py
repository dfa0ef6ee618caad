# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module site_failover: who sends, which peer gets a call, requests within a dialog, sockets, RPC."""

import pathlib
import re
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.paths import binary
from harness.sip import Call, Endpoint, token
from harness.site_failover import Gateway
from harness.wait import wait_until


class TestEmpty(Gateway):
    worker = "/bin/false"

    def test_nothing_published_is_told_apart(self):
        self.assertIn("Nothing Published", self.call().final().first)
        status, text = self.kamailio.rpc("site_failover.list")
        self.assertNotEqual(status, 0)
        self.assertIn("503", text)


class TestStart(Gateway):
    transports = {"operator": "TCP"}

    def use_slow_worker(self):
        slow = self.folder.write("slow-worker", f'#!/bin/sh\nsleep 0.7\nexec {binary("trunkgate-worker")} "$@"\n')
        slow.chmod(0o755)
        path = pathlib.Path(self.kamailio.cfg_file)
        path.write_text(path.read_text().replace(str(binary("trunkgate-worker")), str(slow)))

    def call_at_once(self, calls):
        """As soon as Kamailio listens."""
        def connected():
            try:
                return self.west._connect(self.proxy)
            except OSError:
                return None

        wait_until(connected, 5, "Kamailio listens", 0.001)
        calls.append(self.west.invite(self.proxy, "+15551230001"))

    def test_what_comes_over_tcp_before_the_store_is_read_is_served_and_not_refused(self):
        self.use_slow_worker()
        self.kamailio.stop()
        calls = []
        caller = threading.Thread(target=self.call_at_once, args=(calls,))
        caller.start()
        self.kamailio.start()
        caller.join()
        self.teams.served(call_id=calls[0].call_id).reply(486)
        self.assertEqual(calls[0].final().status, 486)


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

    def test_token_holds_for_the_tag_of_the_caller_in_his_place(self):
        call = self.call()
        served = self.west.served()
        self.answered(call, served)

        def tags(start, end):
            def change(message):
                for name, text in (("From", start), ("To", end)):
                    message.set(name, message.get(name).split(";tag=")[0] + f";tag={text}")
            return change
        caller, callee = (call.answer.get(name).split(";tag=")[1] for name in ("From", "To"))
        for start, end in (("made-up", callee), (callee, caller), ("made-up", "made-up")):
            call.dialog_request("INFO", changes=tags(start, end))
            self.assertEqual(self.teams.response((200, 699), "INFO").status, 481, (start, end))
        for start, end in ((callee, "made-up"), (caller, callee)):
            served.dialog_request("INFO", self.proxy, changes=tags(start, end))
            self.assertEqual(self.west.response((200, 699), "INFO").status, 481, (start, end))
        call.dialog_request("INFO", changes=tags(caller, "another-fork"))
        self.west.reply(self.west.request("INFO"), 481)
        self.teams.response(481, "INFO")
        served.dialog_request("INFO", self.proxy)
        self.teams.reply(self.teams.request("INFO"), 200)
        self.west.response(200, "INFO")
        call.dialog_request("BYE")
        served.ended()

    def test_callee_that_repeats_the_tag_of_the_caller_is_understood(self):
        call = self.call()
        served = self.west.served()
        served.tag = served.invite.get("From").split(";tag=")[1]
        self.answered(call, served)
        served.dialog_request("INFO", self.proxy)
        self.teams.reply(self.teams.request("INFO"), 200)
        self.west.response(200, "INFO")
        call.dialog_request("BYE")
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
        again = self.kamailio.call("site_failover.list", "operator", "1")
        self.assertEqual(*(re.sub(r"next_probe: \d+", "", text) for text in (again, first)))
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
