# SPDX-License-Identifier: GPL-2.0-or-later
"""Each way in which a site can fail, over UDP, TCP and TLS: which calls move to the other site, and how late."""

import unittest

from harness import Case, Network, TwoSites, wait_until

RETRIED = (408, 503, 504)
PASSED = (403, 404, 480, 486, 488, 500, 600, 603)
SILENCE, PROGRESS = 0.5, 1.5
# Not the product's: two processors, six daemons and, while all suites run, other tests.
SLACK = 0.5
# Probes say nothing here: a test alone decides, and only errors at sending make a peer down.
SETTINGS = {"silenceLimitMs": int(SILENCE * 1000), "progressLimitMs": int(PROGRESS * 1000), "downAfter": 100,
            "upAfter": 1, "probeIntervalMs": 1000, "probeTimeoutMs": 800}
UDP, STREAMS = ("udp",), ("tcp", "tls")
CALLS = 4


class FaultCase(Case):
    @classmethod
    def prepare(cls):
        cls.network = cls.start_for_all(Network())
        cls.sites = cls.start_for_all(TwoSites(cls.folder, cls.network, settings=SETTINGS, ring=50))
        cls.near = cls.sites.sites["near"]
        cls.sites.wait_for("up")

    def calls(self, transports):
        """A few calls over each transport, side by side: {transport: outcomes}."""
        callers = {transport: self.start(self.sites.calls(transport, 100, 1, calls=CALLS, hold=50, patience=2000))
                   for transport in transports}
        found = {transport: caller.wait() for transport, caller in callers.items()}
        for transport, outcomes in found.items():
            with self.subTest(transport):
                self.assertEqual(len(outcomes), CALLS)
                self.assertEqual({call.finals for call in outcomes}, {1}, "one final answer to each call")
        return found

    def served_by(self, site, transports, least=0.0, most=0.0):
        """Calls are answered by that site, and rang after least to most seconds."""
        for transport, outcomes in self.calls(transports).items():
            with self.subTest(transport, site=site):
                self.assertEqual({(call.status, call.end, call.site) for call in outcomes}, {(200, 200, site)})
                delays = [call.delay / 1000 for call in outcomes]
                self.assertGreaterEqual(min(delays), least * 0.8)
                self.assertLessEqual(max(delays), most + SLACK)
        self.assertEqual([call for load in self.sites.far.values() for call in load.unacknowledged()], [])

    def fault(self, begin, end, limits):
        """limits: {transport: (least, most)} seconds until a call rings at the other site."""
        begin()
        try:
            for limit in set(limits.values()):
                self.served_by("far", [name for name in limits if limits[name] == limit], *limit)
        finally:
            end()
        self.sites.wait_for("up")
        # TCP's own repetitions on a connection that was cut come at growing intervals.
        wait_until(lambda: all(call.site == "near" for outcomes in self.calls(limits).values() for call in outcomes), 8,
                   "calls go to the near site again")

    def behaviour(self, words, limits):
        loads = [self.sites.near[transport] for transport in limits]
        self.fault(lambda: [load.behave(words) for load in loads], lambda: [load.behave("normal") for load in loads],
                   limits)


class TestSiteFaults(FaultCase):
    def test_killed_process(self):
        loads = self.sites.near.values()
        self.fault(lambda: [load.kill() for load in loads], lambda: [load.start() for load in loads],
                   {"udp": (SILENCE, SILENCE), "tcp": (0, SILENCE), "tls": (0, SILENCE)})

    def test_cut_link(self):
        self.fault(self.near.cut, self.near.mend, dict.fromkeys(self.sites.transports, (SILENCE, SILENCE)))
        # INVITEs that TCP delivers late, on a connection that may be closed already at our end, are answered too.
        wait_until(lambda: not self.sites.unacknowledged(), 8, "every answered call is acknowledged and ended")

    def test_link_of_the_gateway_itself_down(self):
        self.fault(self.near.link_down, self.near.mend, {"udp": (0, 0), "tcp": (0, SILENCE), "tls": (0, SILENCE)})

    def test_refused_at_once(self):
        self.fault(lambda: self.near.fault("refuse"), self.near.mend,
                   {"udp": (SILENCE, SILENCE), "tcp": (0, SILENCE), "tls": (0, SILENCE)})

    def test_refused_after_a_lost_syn(self):
        """The kernel repeats the SYN a second later: for the call it is silence, not an error."""
        loads = [self.sites.near[transport] for transport in STREAMS]

        def begin():
            for load in loads:
                load.kill()
            self.near.fault("refuse_late")

        def end():
            self.near.mend()
            for load in loads:
                load.start()

        self.fault(begin, end, dict.fromkeys(STREAMS, (0, SILENCE)))

    def test_reset_after_the_invite(self):
        self.behaviour("reset", dict.fromkeys(STREAMS, (0, SILENCE)))

    def test_tls_handshake_fails(self):
        self.behaviour("tls-fails", {"tls": (0, SILENCE)})

    def test_answers_503(self):
        self.behaviour("503", dict.fromkeys(self.sites.transports, (0, 0)))

    def test_100_and_then_nothing(self):
        self.behaviour("stuck", dict.fromkeys(self.sites.transports, (PROGRESS, PROGRESS)))

    def test_slow_answer_stays(self):
        delay = 0.8 * PROGRESS
        for transport in self.sites.transports:
            self.sites.near[transport].behave(f"slow {int(delay * 1000)}")
            self.addCleanup(self.sites.near[transport].behave, "normal")
        self.served_by("near", self.sites.transports, delay, delay)


class TestAnswers(FaultCase):
    """Which answers send a call on, seen at the endpoints themselves."""

    def status(self, status):
        for load in self.sites.near.values():
            load.behave(f"status {status}")
        seen = {name: self.count(loads) for name, loads in (("near", self.sites.near), ("far", self.sites.far))}
        outcomes = self.calls(self.sites.transports)
        tried = {name: {transport: count - seen[name][transport] for transport, count in self.count(loads).items()}
                 for name, loads in (("near", self.sites.near), ("far", self.sites.far))}
        return outcomes, tried

    def count(self, loads):
        return {transport: int(load.tell("counts").split()[0]) for transport, load in loads.items()}

    def test_retried(self):
        for status in RETRIED:
            outcomes, tried = self.status(status)
            for transport in self.sites.transports:
                with self.subTest(transport, status=status):
                    self.assertEqual({(call.status, call.site) for call in outcomes[transport]}, {(200, "far")})
                    self.assertEqual((tried["near"][transport], tried["far"][transport]), (CALLS, CALLS))

    def test_passed_and_not_retried(self):
        for status in PASSED:
            outcomes, tried = self.status(status)
            for transport in self.sites.transports:
                with self.subTest(transport, status=status):
                    self.assertEqual({call.status for call in outcomes[transport]}, {status})
                    self.assertEqual((tried["near"][transport], tried["far"][transport]), (CALLS, 0))


if __name__ == "__main__":
    unittest.main()
