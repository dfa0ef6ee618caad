# SPDX-License-Identifier: GPL-2.0-or-later
"""A site by its SRV name under load: a dead target, and a name server that falls silent."""

import json
import os
import signal
import time
import unittest

from harness import Case, Network, TwoSites, free_port, wait_until
from harness.name_server import NameServer
from harness.sites import PORT

SILENCE, SLACK = 1.0, 0.5
SETTINGS = {"silenceLimitMs": int(SILENCE * 1000), "progressLimitMs": 1500, "downAfter": 2, "upAfter": 1,
            "probeIntervalMs": 500, "probeTimeoutMs": 300}
SERVICES = {"udp": "_sip._udp.near", "tcp": "_sip._tcp.near", "tls": "_sips._tcp.near"}
TRANSPORTS = tuple(SERVICES)
RATE = 20


class TestSiteNames(Case):
    @classmethod
    def prepare(cls):
        cls.network = cls.start_for_all(Network())
        port = free_port()
        cls.server = NameServer(str(cls.folder), port)
        cls.sites = TwoSites(cls.folder, cls.network, TRANSPORTS, 2, SETTINGS, 50,
                             values={"TRUNKGATE_NAMESERVERS": f'"127.0.0.1:{port}"'})
        cls.server.write(cls.records())
        cls.start_for_all(cls.server)
        cls.start_for_all(cls.sites)
        cls.sites.gateway.load(cls.document())
        wait_until(lambda: all(len(cls.targets(f"near-{name}-1")) == 2 for name in TRANSPORTS), 10, "both targets", 0.1)
        cls.sites.wait_for("up")

    @classmethod
    def hosts(cls, transport):
        return cls.sites.hosts["near", transport]

    @classmethod
    def records(cls):
        """Two targets each, the first preferred; both live one second."""
        lines = []
        for transport in TRANSPORTS:
            for number, host in enumerate(cls.hosts(transport), 1):
                name = f"sbc{number}-{transport}.near"
                lines += [f"{SERVICES[transport]} 1 SRV {number} 10 {PORT[transport]} {name}", f"{name} 1 A {host}"]
        return "\n".join(lines)

    @classmethod
    def document(cls):
        document = cls.sites.gateway.document()
        for group in document["peerGroups"]:
            transport = group["name"][3:]
            if transport not in TRANSPORTS:
                continue
            first = group["peers"][0]
            first["host"] = f"{SERVICES[transport]}.example"
            del first["port"]
            first["allowedSignalingSourceAddressPrefixes"] = [f"{host}/32" for host in cls.hosts(transport)]
            del group["peers"][1]
        return document

    @classmethod
    def targets(cls, peer):
        """{address: row} of a peer."""
        answer = json.loads(cls.sites.gateway.cli("sites", "--json"))
        return {row["address"]: row for row in answer["result"]["items"] if row["name"] == peer and row["address"]}

    def load(self):
        callers = {name: self.start(self.sites.calls(name, RATE, 60, hold=200, patience=2000)) for name in TRANSPORTS}
        for caller in callers.values():
            wait_until(lambda: caller.counts()[1] > 0, 5, "a call is answered")
        return callers

    def finished(self, callers):
        for caller in callers.values():
            caller.tell("stop")
        return {name: caller.wait() for name, caller in callers.items()}

    def ports_of(self, calls):
        """Which of the site's two addresses rang: it is in the tag."""
        return {call.tag.split(".")[1] for call in calls}

    def test_one_dead_target(self):
        near = self.sites.sites["near"]
        callers = self.load()
        near.fault("cut", [self.hosts(name)[0] for name in TRANSPORTS])
        cut = time.monotonic_ns()
        wait_until(lambda: all("down" in self.states(name) for name in TRANSPORTS), 10, "the first targets are down", 0.1)
        found = time.monotonic_ns()
        wait_until(lambda: all(caller.counts()[1] > RATE for caller in callers.values()), 10, "more calls")
        near.mend()
        mended = time.monotonic_ns()
        wait_until(lambda: all(self.states(name) == ["up", "up"] for name in TRANSPORTS), 10, "all are up", 0.1)
        for name, outcomes in self.finished(callers).items():
            with self.subTest(name):
                lost = [call for call in outcomes if call.status != 200 and not call.begun < cut]
                self.assertEqual([(call.status, call.site) for call in lost], [])
                self.assertEqual({call.site for call in outcomes}, {"near"}, "the other target takes them")
                self.assertLessEqual(max(call.delay for call in outcomes), (SILENCE + SLACK) * 1000)
                during = [call for call in outcomes if found < call.begun < mended]
                self.assertEqual(self.ports_of(during), {"1"})
                self.assertLess(max(call.delay for call in during), 400, "none is late after the detection")
                self.assertEqual(self.ports_of(call for call in outcomes if call.begun < cut - 50e6), {"0"})

    def states(self, transport):
        return [row["observed"] for row in self.targets(f"near-{transport}-1").values()]

    def test_silent_name_server_delays_no_call(self):
        os.kill(self.server.process.pid, signal.SIGSTOP)
        try:
            callers = self.load()
            # the records live a second, a server that is silent is asked for 4.5 s
            wait_until(lambda: all(caller.counts()[1] > 6 * RATE for caller in callers.values()), 15, "calls for 6 s")
            outcomes = self.finished(callers)
        finally:
            os.kill(self.server.process.pid, signal.SIGCONT)
        for name, calls in outcomes.items():
            with self.subTest(name):
                self.assertEqual({(call.status, call.end, call.site, call.finals) for call in calls},
                                 {(200, 200, "near", 1)})
                self.assertLess(max(call.delay for call in calls), 400)


if __name__ == "__main__":
    unittest.main()
