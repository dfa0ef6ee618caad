# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module site_failover: live calls, capacity, calls per second, emergency calls, drained peers."""

import pathlib
import random
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import free_port
from harness.name_server import NameServer
from harness.site_failover import SILENCE, Gateway
from harness.wait import wait_until


class LoadCase(Gateway):
    limits = {}

    @classmethod
    def peer(cls, name, endpoint, site, priority, **more):
        return super().peer(name, endpoint, site, priority, **more, **cls.limits.get(name, {}))

    def settled(self, peer="west", live=0, trying=0):
        wait_until(lambda: self.load_of(peer) == (live, trying), 8, f"{peer} has {live} live calls and {trying} more")

    def live_call(self, endpoint=None, **more):
        endpoint = endpoint or self.west
        call = self.call(**more)
        served = endpoint.served(SILENCE + 2, call.call_id)
        self.answered(call, served)
        return call, served

    def over(self, call, served):
        call.dialog_request("BYE")
        served.ended()
        call.endpoint.response(200, "BYE", call_id=call.call_id)


class TestCapacity(LoadCase):
    limits = {"west": {"capacity": 1}, "east": {"capacity": 1}}

    def setUp(self):
        self.settled("west")
        self.settled("east")

    def test_full_peer_is_skipped_and_not_failed(self):
        first = self.live_call()
        self.settled("west", 1)
        self.assertEqual(self.listed("teams-1")["live"], "1")
        skipped = self.counter("calls_full")
        second = self.live_call(self.east)
        self.assertEqual(self.counter("calls_full"), skipped + 1)
        self.assertEqual((self.listed("west")["observed"], self.listed("west")["failures"]), ("up", "0"))
        self.over(*first)
        third = self.live_call()
        self.over(*second)
        self.over(*third)

    def test_a_call_that_is_not_answered_yet_has_its_place(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        second = self.live_call(self.east)
        served.reply(486)
        call.final()
        self.settled("west")
        self.over(*second)

    def test_all_full_is_503(self):
        calls = [self.live_call(), self.live_call(self.east)]
        answer = self.call().final()
        self.assertEqual(answer.status, 503)
        for call in calls:
            self.over(*call)

    def test_emergency_call_is_never_refused_by_capacity(self):
        calls = [self.live_call(), self.live_call(self.east)]
        calls.append(self.live_call(headers=[("X-Emergency", "1")]))
        self.settled("west", 2)
        for call in calls:
            self.over(*call)

    def test_bye_of_the_callee_ends_the_call(self):
        call, served = self.live_call()
        served.dialog_request("BYE", self.proxy)
        self.teams.reply(self.teams.request("BYE", call_id=call.call_id), 200)
        self.settled("west")

    def test_a_call_from_a_peer_counts_too(self):
        call = self.west.invite(self.proxy, "+15551230001")
        served = self.teams.served(call_id=call.call_id)
        self.answered(call, served)
        self.settled("west", 1)
        self.over(call, served)

    def test_silent_cancelled_and_refused_calls_give_their_place_back(self):
        call = self.call()
        self.west.served(call_id=call.call_id)
        second = self.east.served(SILENCE + 2, call.call_id)
        second.reply(486)
        call.final()
        self.settled("west")
        self.settled("east")
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.cancelled()
        self.assertEqual(call.final().status, 487)
        self.settled("west")


class TestFullPeerIsNoTry(LoadCase):
    limits = {"west": {"capacity": 1}}
    settings = {"maxTries": 1}

    def test_a_full_peer_uses_up_no_try(self):
        first = self.live_call()
        self.settled("west", 1)
        second = self.live_call(self.east)
        self.over(*second)
        self.over(*first)

    def test_max_tries_is_the_limit_of_those_that_got_the_call(self):
        call = self.call()
        self.west.served(call_id=call.call_id).reply(503)
        self.assertEqual(call.final().status, 503)
        self.assertEqual(self.east.requests("INVITE", call.call_id), [])


class TestFullPeerOfManyTargets(LoadCase):
    limits = {"west": {"capacity": 1}}
    settings = {"maxTries": 2, "probeIntervalMs": 0}

    @classmethod
    def prepare(cls):
        cls.names = NameServer(str(cls.folder.path), free_port())
        cls.hosts = {"west": "west.example"}
        cls.parameters = f'modparam("provisioning", "nameservers", "127.0.0.1:{cls.names.port}")'
        cls.names.write("west 1 A 127.0.3.1\n" + "".join(f"west 1 A 127.0.3.{i}\n" for i in range(11, 17)))
        cls.names.start()
        cls.addClassCleanup(cls.names.stop)
        super().prepare()

    def test_its_targets_are_passed_over_at_once(self):
        wait_until(lambda: self.kamailio.call("site_failover.list").count("name: west") == 7, 10)
        filling = self.west.invite(self.proxy, "+15551230001")
        self.answered(filling, self.teams.served(call_id=filling.call_id))
        self.settled("west", 1)
        skipped = self.counter("calls_full")
        self.over(*self.live_call(self.east))
        self.assertEqual(self.counter("calls_full"), skipped + 1)


class TestCountIsExact(LoadCase):
    limits = {"west": {"capacity": 1000}}

    def one_call(self, end):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        if end == "refused":
            served.reply(486)
            call.final()
            return None
        if end == "retried":
            served.reply(503)
            served = self.east.served(call_id=call.call_id)
        if end == "cancelled":
            served.reply(180)
            call.provisional(180)
            call.cancel()
            served.cancelled()
            call.final()
            return None
        self.answered(call, served)
        if end == "repeated":
            served.reply(200)
        return call, served

    def test_after_calls_of_every_kind_nothing_is_left(self):
        chance = random.Random(4)
        live = {"west": 0, "east": 0}
        calls = []
        for _ in range(60):
            end = chance.choice(("answered", "refused", "retried", "cancelled", "repeated"))
            call = self.one_call(end)
            if call:
                calls.append(call)
                live["east" if end == "retried" else "west"] += 1
        for peer in live:
            self.settled(peer, live[peer])
        self.assertEqual(self.listed("teams-1")["live"], str(sum(live.values())))
        for call, served in calls:
            self.over(call, served)
            served.endpoint.messages.clear()
        for peer in ("west", "east", "teams-1"):
            self.settled(peer)


class TestAudit(LoadCase):
    """Calls whose BYE never came are found by asking within their dialog."""

    limits = {"west": {"capacity": 10}}
    parameters = 'modparam("site_failover", "audit_interval", 1)'

    def asked(self, call_id):
        return [request for request in self.west.options if request.call_id == call_id]

    def answers(self, unknown):
        def answer(request):
            known = not request.tag("To") or request.call_id not in unknown
            self.west.reply(request, 200 if known else 481)
        self.west.answer_options = answer

    def test_call_that_its_peer_forgot_is_counted_no_more_and_others_are(self):
        forgotten, kept = self.live_call(), self.live_call()
        self.settled("west", 2)
        self.answers({forgotten[0].call_id})
        self.settled("west", 1)
        wait_until(lambda: len(self.asked(kept[0].call_id)) > 1, 15)
        self.settled("west", 1)
        question, invite = self.asked(kept[0].call_id)[0], kept[1].invite
        self.assertEqual((question.tag("To"), question.tag("From")), (kept[1].tag, invite.tag("From")))
        self.assertEqual((question.uri, question.cseq), (self.west.contact.strip("<>"), invite.cseq))
        self.over(*kept)
        self.settled("west")


class TestRestartOfAPeer(LoadCase):
    """Its calls are asked for when it comes back: it knows them no more."""

    limits = {"west": {"capacity": 10}}
    settings = {"probeIntervalMs": 200, "probeTimeoutMs": 200, "downAfter": 2}

    def test_calls_of_a_peer_that_was_restarted_are_counted_no_more(self):
        self.live_call()
        self.live_call()
        self.settled("west", 2)
        self.west.answer_options = None
        wait_until(lambda: self.listed("west")["observed"] == "down", 5)
        self.settled("west", 2)
        self.west.answer_options = lambda request: self.west.reply(request, 481 if request.tag("To") else 200)
        self.settled("west", 0)
        self.assertEqual(self.counter("calls_lost"), 2)
        self.assertEqual(self.listed("teams-1")["live"], "0")


class TestRestartOfTheNode(LoadCase):
    def test_live_call_is_counted_again_at_its_next_offer(self):
        call, served = self.live_call()
        self.kamailio.stop()
        self.kamailio.start()
        wait_until(lambda: self.kamailio.rpc("site_failover.list")[0] == 0, 10)
        self.settled("west", 0)
        call.dialog_request("UPDATE")
        self.west.reply(self.west.request("UPDATE", call_id=call.call_id), 200)
        self.settled("west", 1)
        self.over(call, served)
        self.settled("west", 0)


class TestCallsPerSecond(LoadCase):
    limits = {"west": {"callsPerSecond": 2}}

    def test_no_more_than_the_limit_go_there_in_a_second(self):
        first = {"west": 0, "east": 0}
        for _ in range(8):
            call = self.call()
            wait_until(lambda: self.west.requests("INVITE", call.call_id) or self.east.requests("INVITE", call.call_id))
            endpoint = self.west if self.west.requests("INVITE", call.call_id) else self.east
            first[endpoint.user] += 1
            endpoint.served(call_id=call.call_id).reply(486)
            call.final()
        self.assertIn(first["west"], (2, 3))
        self.assertEqual(self.listed("west")["observed"], "up")


class TestCallsPerSecondInEachSecond(LoadCase):
    limits = {"west": {"callsPerSecond": 10}}

    def test_no_second_has_more_than_the_limit(self):
        times, end = [], time.monotonic() + 2
        while time.monotonic() < end:
            call = self.call()
            wait_until(lambda: self.west.requests("INVITE", call.call_id) or self.east.requests("INVITE", call.call_id))
            endpoint = self.west if self.west.requests("INVITE", call.call_id) else self.east
            if endpoint is self.west:
                times.append(self.west.requests("INVITE", call.call_id)[0].time)
            endpoint.served(call_id=call.call_id).reply(486)
            call.final()
        self.assertGreater(len(times), 10)
        for first, eleventh in zip(times, times[10:]):
            self.assertGreater(eleventh - first, 0.95, times)


class TestEmergency(LoadCase):
    def test_drained_peer_gets_an_emergency_call_after_the_others(self):
        self.kamailio.call("site_failover.set", "west", "drain")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        call = self.call(headers=[("X-Emergency", "1")])
        self.east.served(call_id=call.call_id).reply(503)
        served = self.west.served(call_id=call.call_id)
        self.talk(call, served)
        ordinary = self.call()
        self.east.served(call_id=ordinary.call_id).reply(503)
        self.assertEqual(ordinary.final().status, 503)
        self.assertEqual(self.west.requests("INVITE", ordinary.call_id), [])


if __name__ == "__main__":
    unittest.main()
