# SPDX-License-Identifier: GPL-2.0-or-later
"""Peers by name, in calls: their addresses come from the worker, and a name server that is silent holds up no call."""

import json
import os
import subprocess
import time
import unittest

from harness import Case, Network, free_port, wait_until
from harness.gateway import Gateway
from harness.name_server import NameServer, silent_server
from harness.paths import ROOT

NUMBER, OUTSIDE = "+15551230001", "+15557770000"
CONFIG = ROOT / "kamailio-cfg"
SLOW = 0.5


def with_own_routing(gateway):
    """trunkgate.cfg, and before it a rule of the operator's own that sends a call to a name that we do not know."""
    text = (CONFIG / "trunkgate.cfg").read_text()
    text = text.replace("request_route {\n", 'request_route {\n\tif ($rU =~ "^name") {\n\t\t$rd = $rU + ".example.net";\n'
                        "\t\t$rp = 5060;\n\t\tt_relay();\n\t\texit;\n\t}\n")
    text = text.replace('include_file "trunkgate', f'include_file "{CONFIG}/trunkgate')
    return gateway.folder.write("own.cfg", text)


class NamesCase(Case):
    def answered(self, call, callee, headers=()):
        """Answers, and ends; returns the seconds until the endpoint had the INVITE, and the longest of the rest."""
        begin = time.monotonic()
        served = callee.served(8, call.call_id)
        waits = [time.monotonic() - begin]
        callee.reply(served.invite, 200, served.tag, headers or [("Contact", callee.contact)])
        self.assertEqual(call.final().status, 200)
        for act, wait in ((call.ack, served.acked), (lambda: call.dialog_request("BYE"), served.ended)):
            begin = time.monotonic()
            act()
            wait()
            waits.append(time.monotonic() - begin)
        return waits


class TestNames(NamesCase):
    """A peer of SRV records, and a change of them."""

    def test_call_goes_where_the_records_say(self):
        server = NameServer(str(self.folder.path), free_port())
        gateway = Gateway(self.folder, values={"TRUNKGATE_NAMESERVERS": f'"127.0.0.1:{server.port}"'})
        first, second = gateway.peer["teams-1"], gateway.peer["teams-2"]
        records = "one 1 A {first.host}\ntwo 1 A {second.host}\n_sip._udp 1 SRV {p[0]} 1 {first.port} one\n" \
                  "_sip._udp 1 SRV {p[1]} 1 {second.port} two\n"
        self.start(gateway)
        server.write(records.format(first=first, second=second, p=(1, 2)))
        server.start()
        self.addCleanup(server.stop)
        document = gateway.document()
        document["peerGroups"][1]["peers"] = [{"name": "teams", "host": "_sip._udp.example",
                                               "allowedSignalingSourceAddressPrefixes": ["127.0.2.0/24"]}]
        gateway.load(document)
        wait_until(lambda: self.ports(gateway) == [first.port, second.port], 10, "both targets")
        self.assertRegex(gateway.cli("target_list"),
                         rf"teams +_sip._udp.example +{first.host} +{first.port} +one.example +1 +1 ")
        self.answered(gateway.peer["west"].invite(gateway.proxy, NUMBER, OUTSIDE), first)
        call = gateway.peer["west"].invite(gateway.proxy, NUMBER, OUTSIDE)
        served = first.served(call_id=call.call_id)
        served.reply(503)
        served.acked()
        self.answered(call, second)
        server.change(records.format(first=first, second=second, p=(2, 1)))
        wait_until(lambda: self.ports(gateway) == [second.port, first.port], 20, "the other order")
        self.answered(gateway.peer["west"].invite(gateway.proxy, NUMBER, OUTSIDE), second)

    def ports(self, gateway):
        items = json.loads(gateway.cli("--json", "target_list"))["result"]["items"]
        return next(([target["port"] for target in item["targets"]] for item in items if item["peer"] == "teams"), None)


@unittest.skipUnless(os.geteuid() == 0, "only root may make namespaces")
class TestSilentNameServer(NamesCase):
    """In a network namespace, because resolv.conf names no port."""

    @classmethod
    def prepare(cls):
        cls.start_for_all(Network())
        server = silent_server(53)
        cls.addClassCleanup(server.close)
        conf = cls.folder.write("resolv.conf", "nameserver 127.0.0.1\n")
        gateway = Gateway(cls.folder, cfg=with_own_routing)
        gateway.kamailio.command = ["unshare", "--mount", "sh", "-c",
                                    f'mount --bind {conf} /etc/resolv.conf && exec "$@"', "sh",
                                    *gateway.kamailio.command]
        cls.gateway = cls.start_for_all(gateway)

    def test_calls_and_requests_within_them_wait_for_no_name(self):
        document = self.gateway.document()
        begin = time.monotonic()
        document["peerGroups"][1]["peers"].append({"name": "nowhere", "host": "nowhere.example.net", "priority": 0})
        self.gateway.load(document)
        self.assertLess(time.monotonic() - begin, 2)
        west, teams = self.gateway.peer["west"], self.gateway.peer["teams-1"]
        for at in range(5):
            contact = [("Contact", f"<sip:teams@contact{at}.example.net>")]
            waits = self.answered(west.invite(self.gateway.proxy, NUMBER, OUTSIDE), teams, contact)
            self.assertLess(max(waits), SLOW, waits)

    def test_name_that_we_do_not_know_costs_one_wait_and_then_none(self):
        """Kamailio asks for SRV, A and AAAA at most, 1 s each, and keeps in mind that nobody answered."""
        west = self.gateway.peer["west"]
        waits = []
        for _ in range(2):
            begin = time.monotonic()
            call = west.invite(self.gateway.proxy, "name1", OUTSIDE)
            self.assertGreaterEqual(call.final(20).status, 400)
            waits.append(time.monotonic() - begin)
        self.assertLess(waits[0], 3 + SLOW, waits)
        self.assertGreater(waits[0], 0.9, waits)
        self.assertLess(waits[1], SLOW, waits)


if __name__ == "__main__":
    unittest.main()
