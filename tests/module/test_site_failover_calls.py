# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module site_failover: which calls count where, until when, and what goes on without their peer."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.site_failover import SILENCE, Gateway
from harness.sip import Endpoint
from harness.wait import wait_until


class CallsCase(Gateway):
    limits = {}
    prefixes = {}

    @classmethod
    def peer(cls, name, endpoint, site, priority, **more):
        row = super().peer(name, endpoint, site, priority, **more, **cls.limits.get(name, {}))
        if name in cls.prefixes:
            row["allowedSignalingSourceAddressPrefixes"] = [cls.prefixes[name]]
        return row

    def settled(self, peer="west", live=0, trying=0):
        wait_until(lambda: self.load_of(peer) == (live, trying), 8, f"{peer} has {live} live calls and {trying} more")

    def live_call(self, contact=None):
        call = self.call()
        served = self.west.served(SILENCE + 2, call.call_id)
        self.answered(call, served, contact)
        return call, served

    def over(self, call, served):
        call.dialog_request("BYE")
        served.ended()
        call.endpoint.response(200, "BYE", call_id=call.call_id)

    def nobody_counts(self):
        for peer in ("west", "east", "teams-1"):
            self.assertEqual(self.load_of(peer), (0, 0), peer)
        self.assertEqual(self.counter("calls_live"), 0)

    def in_dialog(self, endpoint, call):
        return [request for request in endpoint.options if request.call_id == call.call_id]


class TestAfterTheEnd(CallsCase):
    """What comes after the BYE begins no call."""

    def test_repeated_answer(self):
        call, served = self.live_call()
        self.settled("west", 1)
        self.over(call, served)
        self.west.reply(served.invite, 200, served.tag, [("Contact", self.west.contact)])
        self.teams.response(200, "INVITE", call_id=call.call_id)
        self.nobody_counts()

    def test_answer_that_the_callees_bye_overtook(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        served.dialog_request("BYE", self.proxy)
        self.teams.reply(self.teams.request("BYE", call_id=call.call_id), 200)
        served.reply(200)
        call.final()
        self.nobody_counts()

    def test_update_that_crosses_bye(self):
        for status in (481, 200):
            call, served = self.live_call()
            self.over(call, served)
            served.dialog_request("UPDATE", self.proxy)
            self.teams.reply(self.teams.request("UPDATE", call_id=call.call_id), status)
            self.west.response(status, "UPDATE", call_id=call.call_id)
            self.nobody_counts()


class TestLearning(CallsCase):
    """After a restart a call is counted by the answer to its next offer, not by the offer."""

    def test_refused_refresh_counts_nothing(self):
        call, served = self.live_call()
        self.kamailio.stop()
        self.kamailio.start()
        wait_until(lambda: self.kamailio.rpc("site_failover.list")[0] == 0, 10)
        served.dialog_request("UPDATE", self.proxy)
        self.teams.reply(self.teams.request("UPDATE", call_id=call.call_id), 481)
        self.west.response(481, "UPDATE", call_id=call.call_id)
        self.nobody_counts()
        call.dialog_request("UPDATE")
        self.west.reply(self.west.request("UPDATE", call_id=call.call_id), 200)
        self.teams.response(200, "UPDATE", call_id=call.call_id)
        self.settled("west", 1)
        self.over(call, served)
        self.nobody_counts()


class TestLostBye(CallsCase):
    """Nobody is asked for a call if no peer has a capacity."""

    parameters = 'modparam("site_failover", "unasked_limit", 2)'

    def test_call_of_which_nothing_is_heard_any_more_is_counted_no_more(self):
        self.live_call()
        call, served = self.live_call()
        self.settled("west", 2)

        def refreshed():
            call.dialog_request("UPDATE")
            self.west.reply(self.west.request("UPDATE", call_id=call.call_id), 200)
            self.teams.response(200, "UPDATE", call_id=call.call_id)
            return self.counter("calls_lost") == 1

        wait_until(refreshed, 8, "the call without a BYE is over", 0.3)
        self.assertEqual(self.load_of("west"), (1, 0))
        self.over(call, served)
        self.nobody_counts()


class TestPeerRemoved(CallsCase):
    """The topology loses a peer that has calls: they go on, are acknowledged, and end."""

    prefixes = {"west": "127.0.3.1/32", "east": "127.0.3.2/32"}

    def setUp(self):
        self.addCleanup(self.load_topology)

    def remove_west(self):
        document = self.document()
        peers = document["peerGroups"][0]["peers"]
        peers[:] = [peer for peer in peers if peer["name"] != "west"]
        self.load_topology(document)

    def test_call_that_rings_is_acknowledged_when_it_is_answered(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        self.remove_west()
        served.reply(200)
        call.final()
        call.ack()
        served.acked()
        self.over(call, served)
        self.assertEqual(self.load_of("teams-1"), (0, 0))
        self.assertEqual(self.counter("calls_live"), 0)

    def test_live_call_goes_on_and_ends(self):
        call, served = self.live_call()
        self.remove_west()
        call.dialog_request("UPDATE")
        self.west.reply(self.west.request("UPDATE", call_id=call.call_id), 200)
        self.teams.response(200, "UPDATE", call_id=call.call_id)
        self.over(call, served)
        self.assertEqual(self.load_of("teams-1"), (0, 0))
        self.assertEqual(self.counter("calls_live"), 0)


class TestRemovedPeerIsSilent(CallsCase):
    limits = {"west": {"capacity": 10}}
    prefixes = TestPeerRemoved.prefixes
    parameters = 'modparam("site_failover", "audit_interval", 1)\nmodparam("tm", "fr_timer", 500)'

    def test_its_calls_end_when_nobody_answers_for_them(self):
        self.live_call()
        self.settled("teams-1", 1)
        self.west.answer_options = None
        TestPeerRemoved.remove_west(self)
        self.settled("teams-1", 0)


class TestWhoIsAsked(CallsCase):
    """Both ends, each where its dialog is."""

    limits = {"west": {"capacity": 10}}
    parameters = 'modparam("site_failover", "audit_interval", 1)'

    def setUp(self):
        for endpoint in (self.west, self.east, self.teams):
            endpoint.options.clear()
            endpoint.answer_options = lambda request, endpoint=endpoint: endpoint.reply(request, 200)

    def test_dialog_at_another_address_of_the_group(self):
        self.west.answer_options = lambda request: self.west.reply(request, 481 if request.tag("To") else 200)
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.west.reply(served.invite, 200, served.tag, [("Contact", self.east.contact)])
        call.final()
        call.ack()
        self.east.request("ACK", call_id=call.call_id)
        wait_until(lambda: len(self.in_dialog(self.east, call)) > 1, 15)
        self.assertEqual(self.in_dialog(self.west, call), [])
        self.settled("west", 1)
        call.dialog_request("BYE")
        self.east.reply(self.east.request("BYE", call_id=call.call_id), 200)
        self.settled("west")

    def test_caller_that_forgot_its_call(self):
        call = self.west.invite(self.proxy, "+15551230001")
        served = self.teams.served(call_id=call.call_id)
        self.answered(call, served)
        self.settled("west", 1)
        wait_until(lambda: self.in_dialog(self.west, call) and self.in_dialog(self.teams, call), 15)
        question = self.in_dialog(self.west, call)[0]
        self.assertEqual((question.tag("From"), question.tag("To")), (served.tag, served.invite.tag("From")))
        self.assertEqual((question.uri, question.cseq), (self.west.contact.strip("<>"), 0))
        self.west.answer_options = lambda request: self.west.reply(request, 481 if request.tag("To") else 200)
        self.settled("west")


class TestSharedPrefix(CallsCase):
    """A caller that is one of several peers: his calls fill none of them."""

    limits = {"west": {"capacity": 1}}

    def test_call_counts_at_its_callee_only(self):
        other = Endpoint("127.0.3.77", user="other")
        other.start()
        self.addCleanup(other.stop)
        call = other.invite(self.proxy, "+15551230001")
        served = self.teams.served(call_id=call.call_id)
        self.answered(call, served)
        self.settled("teams-1", 1)
        self.assertEqual((self.load_of("west"), self.load_of("east")), ((0, 0), (0, 0)))
        mine = self.live_call()
        self.over(*mine)
        self.over(call, served)
        self.nobody_counts()


class TestBothAnswer(CallsCase):
    """late_answer=take: both sites answer while the first answer waits for the media relay."""

    parameters = 'modparam("site_failover", "late_answer", "take")\nloadmodule "cfgutils.so"'

    @classmethod
    def config(cls):
        return super().config().replace("\nchildren=2\n", "\nchildren=4\n").replace(
            "if (site_late_answer()) drop;", """if (site_late_answer()) drop;
            if ($hdr(X-Wait) != $null) {
                xlog("L_ERR", "waits: $ci\\n");
                usleep("400000");
            }""")

    def check(self, order):
        call = self.call()
        west = self.west.served(call_id=call.call_id)
        east = self.east.served(SILENCE + 2, call.call_id)
        first, second = (west, east) if order == "given up first" else (east, west)
        first.reply(200, [("X-Wait", "1")])
        wait_until(lambda: "waits: " + call.call_id in self.kamailio.log(), 5)
        second.reply(200)
        self.ended_by_us(second, 408 if second is west else 200)
        self.assertEqual(call.final().tag("To"), first.tag)
        call.ack()
        first.acked()
        self.settled(first.endpoint.user, 1)
        self.over(call, first)
        self.assertEqual(self.finals_of(call), [200])
        self.nobody_counts()

    def test_the_one_that_was_given_up_is_first(self):
        self.check("given up first")

    def test_the_one_that_is_tried_is_first(self):
        self.check("tried first")


class DrainedCase(CallsCase):
    settings = {"drainGraceMs": 0}
    routes = """event_route[site_failover:drained] { xlog("L_ERR", "empty: '$site(out_peer)'\\n"); }"""

    def told(self, peer):
        return f"empty: '{peer}'" in self.kamailio.log()

    def turn_over(self):
        """The prober has looked at everything once more: it tells the node before its peers."""
        self.kamailio.call("site_failover.set", "east", "drain")
        self.addCleanup(self.kamailio.call, "site_failover.set", "east", "auto")
        wait_until(lambda: self.told("east"), 5)

    def drain_node(self):
        self.kamailio.call("site_failover.drain", "on")
        self.addCleanup(self.kamailio.call, "site_failover.drain", "off")

    def ringing(self, call, served):
        served.reply(180)
        call.provisional(180)


class TestNodeWithRingingCall(DrainedCase):
    def test_is_not_empty(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.ringing(call, served)
        self.drain_node()
        self.turn_over()
        self.assertFalse(self.told("<null>"))
        self.assertRegex(self.kamailio.call("site_failover.list"), r"live: 0\s+trying: 1\s")
        served.reply(486)
        call.final()
        wait_until(lambda: self.told("<null>"), 3)


class TestNodeInItsGraceTime(DrainedCase):
    settings = {"drainGraceMs": 60000}

    def test_is_not_empty(self):
        self.drain_node()
        self.turn_over()
        self.assertFalse(self.told("<null>"))


class TestPeerWithRingingCaller(DrainedCase):
    def test_is_not_empty(self):
        call = self.west.invite(self.proxy, "+15551230001")
        served = self.teams.served(call_id=call.call_id)
        self.ringing(call, served)
        self.kamailio.call("site_failover.set", "west", "drain")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        self.turn_over()
        self.assertFalse(self.told("west"))
        served.reply(486)
        call.final()
        wait_until(lambda: self.told("west"), 3)


if __name__ == "__main__":
    unittest.main()
