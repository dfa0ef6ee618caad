# SPDX-License-Identifier: GPL-2.0-or-later
"""Which answers of a peer send a call to the other site, and which are passed to the caller."""

import re
import unittest

from harness import Case, free_port, wait_until
from harness.gateway import PEERS, SETTINGS, Gateway

NUMBER, OUTSIDE = "+15551230001", "+15557770000"
RETRIED = (408, 503, 504)
PASSED = (403, 404, 480, 486, 488, 500, 600, 603)
SILENCE = SETTINGS["silenceLimitMs"] / 1000
PROGRESS = SETTINGS["progressLimitMs"] / 1000


class TestFailover(Case):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder))
        cls.peer = cls.gateway.peer

    def to_operator(self):
        return self.peer["teams-1"].invite(self.gateway.proxy, OUTSIDE, NUMBER)

    def to_service(self):
        return self.peer["west"].invite(self.gateway.proxy, NUMBER, OUTSIDE)

    def answered_by(self, call, endpoint, timeout=5):
        served = endpoint.served(timeout, call.call_id)
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()
        call.endpoint.response(200, "BYE", call_id=call.call_id)
        self.assertEqual(len(call.finals()), 1)

    def test_retried_answers_go_to_the_other_site(self):
        for start, first, second in ((self.to_operator, "west", "east"), (self.to_service, "teams-1", "teams-2")):
            for status in RETRIED:
                with self.subTest(to=first, status=status):
                    call = start()
                    served = self.peer[first].served(call_id=call.call_id)
                    served.reply(status)
                    served.acked()
                    self.answered_by(call, self.peer[second])

    def test_other_answers_are_passed_and_no_other_site_is_tried(self):
        for start, first, second in ((self.to_operator, "west", "east"), (self.to_service, "teams-1", "teams-2")):
            for status in PASSED:
                with self.subTest(to=first, status=status):
                    call = start()
                    served = self.peer[first].served(call_id=call.call_id)
                    served.reply(status)
                    served.acked()
                    self.assertEqual(call.final().status, status)
                    self.assertEqual(self.peer[second].requests("INVITE", call.call_id), [])

    def test_silence_goes_to_the_other_site(self):
        call = self.to_operator()
        first = self.peer["west"].served(call_id=call.call_id)
        second = self.peer["east"].served(SILENCE + 2, call.call_id)
        waited = second.invite.time - first.invite.time
        self.assertGreater(waited, SILENCE * 0.8)
        self.assertLess(waited, SILENCE + 1)
        second.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        second.acked()
        call.dialog_request("BYE")
        second.ended()

    def test_nothing_above_100_goes_to_the_other_site_at_the_progress_limit(self):
        call = self.to_operator()
        first = self.peer["west"].served(call_id=call.call_id)
        first.reply(100)
        second = self.peer["east"].served(PROGRESS + 2, call.call_id)
        waited = second.invite.time - first.invite.time
        self.assertGreater(waited, PROGRESS * 0.8)
        self.assertLess(waited, PROGRESS + 1)
        first.cancelled()
        first.acked()
        second.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        second.acked()
        call.dialog_request("BYE")
        second.ended()
        self.assertEqual(len(call.finals()), 1)

    def test_ringing_lifts_the_limits(self):
        call = self.to_operator()
        first = self.peer["west"].served(call_id=call.call_id)
        first.reply(180)
        call.provisional(180)
        with self.assertRaises(AssertionError):
            self.peer["east"].served(PROGRESS + 1, call.call_id)
        first.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        first.acked()
        call.dialog_request("BYE")
        first.ended()

    def test_after_ringing_a_503_is_not_retried(self):
        call = self.to_operator()
        first = self.peer["west"].served(call_id=call.call_id)
        first.reply(180)
        call.provisional(180)
        first.reply(503)
        first.acked()
        self.assertEqual(call.final().status, 503)
        self.assertEqual(self.peer["east"].requests("INVITE", call.call_id), [])

    def test_all_silent_is_408(self):
        call = self.to_operator()
        self.assertEqual(call.final(2 * SILENCE + 4).status, 408)
        self.assertEqual(len(self.peer["west"].requests("INVITE", call.call_id)), 1)
        self.assertEqual(len(self.peer["east"].requests("INVITE", call.call_id)), 1)

    def test_no_candidate_left_is_503_with_retry_after(self):
        call = self.to_operator()
        for name in ("west", "east"):
            served = self.peer[name].served(call_id=call.call_id)
            served.reply(503)
            served.acked()
        answer = call.final()
        self.assertEqual(answer.status, 503)
        self.assertTrue(answer.get("Retry-After"), answer.headers)

    def test_drained_peer_gets_no_new_call(self):
        self.gateway.cli("peer_set", "west", "drain")
        self.addCleanup(self.gateway.cli, "peer_set", "west", "auto")
        call = self.to_operator()
        self.answered_by(call, self.peer["east"])
        self.assertEqual(self.peer["west"].requests("INVITE", call.call_id), [])

    def test_all_disabled_is_503(self):
        for name in ("west", "east"):
            self.gateway.cli("peer_set", name, "disabled")
            self.addCleanup(self.gateway.cli, "peer_set", name, "auto")
        answer = self.to_operator().final()
        self.assertEqual(answer.status, 503)
        self.assertTrue(answer.get("Retry-After"), answer.headers)


class TestRefused(Case):
    """A site whose port is closed."""

    def refused(self, signalling):
        gateway = self.start(Gateway(self.folder, elsewhere=("west",), ports={"west": free_port("127.0.1.10")},
                                     signalling={"operator": signalling}))
        call = gateway.peer["teams-1"].invite(gateway.proxy, OUTSIDE, NUMBER)
        served = gateway.peer["east"].served(SILENCE + 3, call.call_id)
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()
        self.assertEqual(len(call.finals()), 1)

    def test_closed_udp_port_goes_to_the_other_site(self):
        self.refused("UDP")

    def test_closed_tcp_port_goes_to_the_other_site(self):
        self.refused("TCP")


class TestProbes(Case):
    """Health found out by OPTIONS."""

    @classmethod
    def prepare(cls):
        settings = {"probeIntervalMs": 1000, "probeTimeoutMs": 500, "downAfter": 2, "upAfter": 2}
        cls.gateway = cls.start_for_all(Gateway(cls.folder, settings=settings))

    def health(self, peer):
        """As site_failover.list shows it, found after the peer's name."""
        text = self.gateway.kamailio.call("site_failover.list")
        after = text[text.index(peer):]
        return re.search(r"\b(up|probing|down)\b", after).group(1)

    def first_of_a_call(self):
        west, east, teams = (self.gateway.peer[name] for name in ("west", "east", "teams-1"))
        call = teams.invite(self.gateway.proxy, OUTSIDE, NUMBER)
        wait_until(lambda: west.requests("INVITE", call.call_id) or east.requests("INVITE", call.call_id), 3)
        endpoint = west if west.requests("INVITE", call.call_id) else east
        endpoint.served(call_id=call.call_id).reply(486)
        call.final()
        return endpoint.user

    def test_silent_peer_is_passed_over_and_comes_back(self):
        west = self.gateway.peer["west"]
        west.answer_options = None
        wait_until(lambda: self.health("west") == "down", 10, "west is down")
        self.assertEqual(self.first_of_a_call(), "east")
        west.answer_options = 200
        wait_until(lambda: self.health("west") == "up", 10, "west is up again")
        self.assertEqual(self.first_of_a_call(), "west")

    def test_every_peer_is_probed(self):
        for name, endpoint in self.gateway.peer.items():
            wait_until(lambda: endpoint.options, 5, f"{name} gets OPTIONS")
            self.assertEqual(endpoint.options[0].get("Max-Forwards") is not None, True)


class TestPeersElsewhere(Case):
    def test_source_that_is_no_peer_is_403(self):
        from harness import Endpoint
        gateway = self.start(Gateway(self.folder, peers={name: PEERS[name] for name in ("west", "teams-1")}))
        stranger = self.start(Endpoint("127.0.9.9"))
        call = stranger.invite(gateway.proxy, NUMBER, OUTSIDE)
        self.assertEqual(call.final().status, 403)


if __name__ == "__main__":
    unittest.main()
