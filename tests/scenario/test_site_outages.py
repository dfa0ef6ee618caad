# SPDX-License-Identifier: GPL-2.0-or-later
"""Sites that come and go under a steady load: no call is lost that another site could take."""

import time
import unittest

from harness import Case, Network, TwoSites, wait_until

SILENCE, PROBE = 1.0, 0.5
SLACK = 0.5
SETTINGS = {"silenceLimitMs": int(SILENCE * 1000), "progressLimitMs": 1500, "downAfter": 2, "upAfter": 1,
            "probeIntervalMs": int(PROBE * 1000), "probeTimeoutMs": 300}
RATE, RING, HOLD = 20, 50, 300


class OutageCase(Case):
    peers = 2
    transports = ("udp", "tcp", "tls")
    settings = SETTINGS
    ring = RING

    @classmethod
    def prepare(cls):
        cls.network = cls.start_for_all(Network())
        cls.sites = cls.start_for_all(TwoSites(cls.folder, cls.network, cls.transports, cls.peers, cls.settings, cls.ring,
                                               children=4))
        cls.near, cls.far = cls.sites.sites["near"], cls.sites.sites["far"]
        cls.kamailio = cls.sites.gateway.kamailio
        cls.sites.wait_for("up")

    def load(self, **options):
        """Calls over each transport until finished() is called."""
        callers = {name: self.start(self.sites.calls(name, RATE, 60, hold=HOLD, patience=2000, **options))
                   for name in self.transports}
        for caller in callers.values():
            wait_until(lambda: caller.counts()[1] > 0, 5, "a call is answered")
        return callers

    def finished(self, callers, unanswered=False):
        for caller in callers.values():
            caller.tell("stop")
        found = {name: caller.wait() for name, caller in callers.items()}
        for name, outcomes in found.items():
            with self.subTest(name):
                self.assertLessEqual({call.finals for call in outcomes}, {1} if not unanswered else {0, 1},
                                     "one final answer to each call")
        return found

    def lost(self, outcomes, cut=()):
        """Calls that were not answered, but for those that rang in the near site when it was cut ([begin, end] ns)."""
        return [(call.number, call.status, call.site) for call in outcomes
                if call.status != 200 and not (call.site == "near" and self.within(call.ringing, cut))]

    def within(self, moment, spans):
        return any(begin - (RING + 100) * 1e6 <= moment <= end for begin, end in spans)

    def pass_time(self, seconds):
        time.sleep(seconds)

    def first_rings_at(self, callers, site, after, timeout):
        """Until a call over each transport that began after that moment rang there."""
        def rang():
            return all(any(call.begun > after and call.site == site for call in caller.outcomes())
                       for caller in callers.values())
        wait_until(rang, timeout, f"calls ring in the {site} site")


class TestOutages(OutageCase):
    def test_half_of_the_peers_dead(self):
        hosts = [hosts[0] for (site, _), hosts in self.sites.hosts.items() if site == "near"]
        callers = self.load()
        self.near.fault("cut", hosts)
        cut = time.monotonic_ns()
        self.sites.wait_for("down", *(f"near-{name}-1" for name in self.transports))
        found = time.monotonic_ns()
        self.pass_time(2 * PROBE)
        self.near.mend()
        mended = time.monotonic_ns()
        self.sites.wait_for("up")
        for name, outcomes in self.finished(callers).items():
            with self.subTest(name):
                self.assertEqual(self.lost(outcomes, [(cut, mended)]), [])
                self.assertEqual({call.site for call in outcomes}, {"near"}, "the other peer of the site takes them")
                self.assertLessEqual(max(call.delay for call in outcomes), (SILENCE + SLACK) * 1000)
                late = [call.delay for call in outcomes if found <= call.begun < mended and call.delay > 400]
                self.assertEqual(late, [], "none is delayed after the detection")

    def test_flapping_every_two_seconds(self):
        callers, cuts = self.load(), []
        for _ in range(2):
            begin = time.monotonic_ns()
            self.near.cut()
            self.pass_time(2)
            self.near.mend()
            cuts.append((begin, time.monotonic_ns()))
            self.pass_time(2)
        for name, outcomes in self.finished(callers).items():
            with self.subTest(name):
                self.assertEqual(self.lost(outcomes, cuts), [])
                self.assertLessEqual(max(call.delay for call in outcomes if call.delay),
                                     (2 * SILENCE + SLACK) * 1000)
        self.sites.wait_for("up")

    def test_both_sites_dead_then_one_back(self):
        callers = self.load()
        for site in (self.near, self.far):
            site.cut()
        dead = time.monotonic_ns()
        self.pass_time(4 * SILENCE + 1)
        self.far.mend()
        back = time.monotonic_ns()
        self.first_rings_at(callers, "far", back, 2 * PROBE + 4 * SILENCE + SLACK + 2)
        for name, outcomes in self.finished(callers).items():
            with self.subTest(name):
                failed = [call for call in outcomes if call.status != 200 and call.begun > dead]
                self.assertTrue(failed, "both were dead")
                self.assertLessEqual({call.status for call in failed}, {408, 503})
                served = min(call.begun for call in outcomes if call.begun > back and call.status == 200)
                self.assertLessEqual((served - back) / 1e9, 2 * PROBE + SLACK)
                late = [call for call in outcomes if call.status != 200 and call.begun > served + 1e9]
                self.assertEqual(late, [], "none is lost after the first that was served")
        self.near.mend()
        self.sites.wait_for("up")

    def test_drain_under_load(self):
        callers = self.load()
        names = [f"near-{name}-{number}" for name in self.transports for number in range(1, self.peers + 1)]
        for name in names:
            self.sites.gateway.cli("peer_set", name, "drain")
        drained = time.monotonic_ns()
        self.first_rings_at(callers, "far", drained, 5)
        back = time.monotonic_ns()
        for name in names:
            self.sites.gateway.cli("peer_set", name, "auto")
        self.first_rings_at(callers, "near", back, 5)
        for name, outcomes in self.finished(callers).items():
            with self.subTest(name):
                self.assertEqual({(call.status, call.end) for call in outcomes}, {(200, 200)})
                self.assertEqual([call.site for call in outcomes if drained < call.begun < back and call.site == "near"],
                                 [])

    def test_restart_of_kamailio_under_load(self):
        """Callers repeat their INVITE and BYE: lost is what rang, and nobody is refused before the store is read."""
        callers = self.load()
        begun = time.monotonic_ns()
        self.kamailio.stop()
        self.sites.gateway.restart_kamailio()
        served = time.monotonic_ns()
        self.first_rings_at(callers, "near", served, 5)
        for name, outcomes in self.finished(callers, unanswered=True).items():
            with self.subTest(name):
                lost = [call for call in outcomes if call.status != 200]
                self.assertEqual([(call.number, call.status) for call in lost if call.status], [])
                self.assertEqual([call.number for call in lost if call.ringing > begun], [])
                self.assertEqual({call.end for call in outcomes if call.status == 200} - {200}, set())
                after = [call for call in outcomes if call.begun > served]
                self.assertEqual({call.status for call in after} - {200}, set())


class TestMediaRelayGone(OutageCase):
    """Calls that wait for a silent site while rtpengine answers nothing."""

    peers = 1
    ring = 4000
    settings = {**SETTINGS, "downAfter": 100, "probeIntervalMs": 60000, "silenceLimitMs": 1000}

    def test_fifty_silent_calls_at_once(self):
        rtpengine = self.sites.gateway.rtpengine
        for load in self.sites.near.values():
            load.behave("silent")
        callers = {name: self.start(self.sites.calls(name, 100000, 1, calls=calls, hold=100, patience=10000,
                                                     sdp="10.9.0.10"))
                   for name, calls in zip(self.transports, (17, 17, 16))}
        for name, caller in callers.items():
            wait_until(lambda: len(self.sites.near[name].happened()) >= caller.counts()[0] > 0, 5, "INVITEs at the site",
                       0.005)
        rtpengine.freeze()
        try:
            for name, caller in callers.items():
                far = self.sites.far[name]
                wait_until(lambda: len(self.invites(far)) == caller.counts()[0], 5, "INVITEs at the other site")
        finally:
            rtpengine.thaw()
        for name, outcomes in self.finished(callers).items():
            with self.subTest(name):
                self.assertEqual({(call.status, call.end, call.site) for call in outcomes}, {(200, 200, "far")})
                self.assertLessEqual(max(call.delay for call in outcomes), 1000 + 500)

    def invites(self, load):
        return [call for _, what, call, _ in load.happened() if what == "invite"]


if __name__ == "__main__":
    unittest.main()
