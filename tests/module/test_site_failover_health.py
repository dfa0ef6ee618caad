# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module site_failover: probes, keepalives, connections and the state of targets."""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.site_failover import Gateway
from harness.wait import wait_until


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


if __name__ == "__main__":
    unittest.main()
