# SPDX-License-Identifier: GPL-2.0-or-later
"""Capacity, a node that drains and calls for help, under a steady load over each transport and while a site fails."""

import re
import time
import unittest

from harness import Calls, Case, Network, TwoSites, free_port, wait_until
from harness.sites import CALLER, SERVICES

RATE, RING, HOLD = 20, 50, 300
GRACE = 1.5
SETTINGS = {"silenceLimitMs": 1000, "progressLimitMs": 1500, "downAfter": 2, "upAfter": 1, "probeIntervalMs": 500,
            "probeTimeoutMs": 300, "drainGraceMs": int(GRACE * 1000)}
HELP = "+1555911000"


class LimitsCase(Case):
    capacity = {}

    @classmethod
    def prepare(cls):
        network = cls.start_for_all(Network())
        cls.sites = cls.start_for_all(TwoSites(cls.folder, network, peers=2, settings=SETTINGS, ring=RING, children=4,
                                               values={"TRUNKGATE_EMERGENCY": f'"^[+]{HELP[1:]}"'}))
        cls.kamailio = cls.sites.gateway.kamailio
        for number, service in enumerate(SERVICES.values()):
            cls.sites.gateway.cli("number_set", f"{HELP}{number}", "acme", service)
        document = cls.sites.gateway.document()
        for group in document["peerGroups"]:
            for peer in group["peers"]:
                if peer["name"].split("-")[0] in cls.capacity:
                    peer["capacity"] = cls.capacity[peer["name"].split("-")[0]]
        cls.sites.gateway.load(document)
        cls.sites.wait_for("up")

    def load(self, rate=RATE, to=None, name="calls"):
        """Calls over each transport until finished() is called."""
        callers = {}
        for number, transport in enumerate(self.sites.transports):
            called = f"{to}{number}" if to else self.sites.numbers[transport]
            callers[transport] = self.start(Calls(
                self.folder, f"udp:{CALLER}:{free_port(CALLER)}", self.sites.gateway.proxy, called, rate, 60,
                name=f"{name}-{transport}", hold=HOLD, patience=2000))
        for caller in callers.values():
            wait_until(lambda: caller.counts()[1] > 0, 5, "a call is answered")
        return callers

    def finished(self, callers):
        for caller in callers.values():
            caller.tell("stop")
        found = {name: caller.wait() for name, caller in callers.items()}
        for name, outcomes in found.items():
            self.assertEqual({call.finals for call in outcomes}, {1}, f"{name}: one final answer to each call")
        return found

    def all_answered(self, callers):
        for name, outcomes in self.finished(callers).items():
            self.assertEqual({(call.status, call.end) for call in outcomes}, {(200, 200)}, name)

    def begun(self, callers, count):
        """Until so many more calls have begun over each transport."""
        seen = {name: caller.counts()[0] for name, caller in callers.items()}
        wait_until(lambda: all(caller.counts()[0] >= seen[name] + count for name, caller in callers.items()), 20,
                   f"{count} more calls")

    def most_at_once(self, load, cut, mended):
        """Of the calls that an endpoint had, from INVITE to BYE, before the cut or after it: {port: most}"""
        begun, spans = {}, []
        for when, what, call, port in load.happened():
            if what == "invite":
                begun[call, port] = when
            elif what in ("ended", "cancelled") and (call, port) in begun:
                # The BYE gives the place free before it arrives, and may be overtaken.
                spans.append((begun.pop((call, port)), when - 50e6, port))
        spans = [(begin, end, port) for begin, end, port in spans if end < cut or begin > mended]
        most = {}
        for begin, _, port in spans:
            at_once = sum(other <= begin < end for other, end, where in spans if where == port)
            most[port] = max(most.get(port, 0), at_once)
        return most

    def nothing_counts(self):
        def rows():
            text = self.kamailio.call("site_failover.list", "-", "100")
            return set(re.findall(r"\b(?:live|trying): (\d+)", text)) == {"0"}
        wait_until(rows, 10, "no call is counted any more")


class TestCapacity(LimitsCase):
    capacity = {"near": 2}

    def test_full_peers_are_passed_over_and_the_count_is_exact_after_a_failure(self):
        callers = self.load()
        self.begun(callers, 2 * RATE)
        self.sites.sites["near"].cut()
        cut = time.monotonic_ns()
        self.sites.wait_for("down", *(f"near-{name}-{number}" for name in self.sites.transports for number in (1, 2)))
        self.sites.sites["near"].mend()
        mended = time.monotonic_ns()
        self.sites.wait_for("up")
        self.begun(callers, 2 * RATE)
        for name, outcomes in self.finished(callers).items():
            with self.subTest(name):
                lost = [(call.number, call.status) for call in outcomes if call.status != 200
                        and not (call.site == "near" and cut - (RING + 100) * 1e6 <= call.ringing <= mended)]
                self.assertEqual(lost, [])
                self.assertEqual({call.site for call in outcomes if call.site != "-"}, {"near", "far"})
                self.assertEqual(self.most_at_once(self.sites.near[name], cut, mended), {0: 2, 1: 2})
        self.nothing_counts()


class TestEmergency(LimitsCase):
    capacity = {"near": 1, "far": 1}

    def test_no_capacity_refuses_a_call_for_help(self):
        callers = self.load()
        wait_until(lambda: all(caller.counts()[2] > 0 for caller in callers.values()), 5, "somebody is refused")
        help_calls = self.load(5, HELP, "help")
        self.begun(help_calls, 10)
        self.all_answered(help_calls)
        for name, outcomes in self.finished(callers).items():
            self.assertEqual({call.status for call in outcomes}, {200, 503}, name)
        self.nothing_counts()


class TestNode(LimitsCase):
    def test_node_drains_without_a_lost_call_and_calls_for_help_pass(self):
        callers, help_calls = self.load(), self.load(5, HELP, "help")
        self.kamailio.call("site_failover.drain", "on")
        self.addCleanup(self.kamailio.call, "site_failover.drain", "off")
        drained = time.monotonic_ns()
        wait_until(lambda: all(caller.counts()[2] > 0 for caller in callers.values()), GRACE + 5, "it takes no more calls")
        self.begun(callers, RATE)
        self.begun(help_calls, 5)
        back = time.monotonic_ns()
        self.kamailio.call("site_failover.drain", "off")
        again = time.monotonic_ns()
        self.begun(callers, RATE)
        self.all_answered(help_calls)
        for name, outcomes in self.finished(callers).items():
            with self.subTest(name):
                self.assertEqual({call.status for call in outcomes}, {200, 503})
                self.assertEqual({call.end for call in outcomes if call.status == 200}, {200})
                refused = [call.begun for call in outcomes if call.status == 503]
                self.assertGreaterEqual(min(refused), drained + (GRACE - 0.1) * 1e9, "the grace time")
                self.assertLessEqual(max(refused), again)
                self.assertEqual([call.number for call in outcomes if call.status == 200
                                  and drained + (GRACE + 0.5) * 1e9 < call.begun < back], [])
        self.nothing_counts()


if __name__ == "__main__":
    unittest.main()
