# SPDX-License-Identifier: GPL-2.0-or-later
"""Trunkgate's rules in Debian's own kamailio.cfg, hooked in as trunkgate-routes.cfg says."""

import pathlib
import re
import unittest

from harness import Case, Endpoint
from harness.daemon import run
from harness.gateway import HEADER, Gateway
from harness.paths import ROOT
from harness.sip import Message, token

STOCK = pathlib.Path("/etc/kamailio/kamailio.cfg")
CONFIG = ROOT / "kamailio-cfg"


def stock():
    """Debian's file, or None if this machine's was changed."""
    status, out, err = run(["dpkg-query", "-W", "-f", "${Conffiles}\n", "kamailio"])
    noted = re.search(rf"{STOCK} (\w+)", out)
    status, out, err = run(["md5sum", STOCK])
    return STOCK.read_text() if noted and out.startswith(noted[1]) else None


def hooked(text, lines):
    """The three hooks of trunkgate-routes.cfg, and lines of this machine."""
    for place, line in (("####### Routing Logic ########\n", f'include_file "{CONFIG}/trunkgate-routes.cfg"'),
                        ("request_route {\n", "route(TRUNKGATE);"),
                        ("\nreply_route {\n", f'include_file "{CONFIG}/trunkgate-reply.cfg"')):
        assert text.count(place) == 1, place
        text = text.replace(place, f"{place}{line}\n")
    place = 'modparam("sanity", "autodrop", 0)\n'
    assert text.count(place) == 1
    return text.replace("children=8\n", "children=2\n").replace(place, place + lines)


def write_configuration(gateway):
    """Debian's file with the hooks, for this gateway."""
    lines = (f"listen=udp:{gateway.host}:{gateway.port}\n"
             f'modparam("ctl", "binrpc", "unix:{gateway.folder}/kamailio.ctl")\n')
    return gateway.folder.write("stock.cfg", hooked(stock(), lines))


class TestStockConfiguration(Case):
    @classmethod
    def prepare(cls):
        if not stock():
            raise unittest.SkipTest(f"{STOCK} is not as the package brought it")
        cls.gateway = Gateway(cls.folder, cfg=write_configuration)
        status, text = cls.gateway.kamailio.check()
        assert status == 0, text
        cls.start_for_all(cls.gateway)

    def test_a_call_goes_through(self):
        west, teams = self.gateway.peer["west"], self.gateway.peer["teams-1"]
        call = west.invite(self.gateway.proxy, "+15551230001")
        served = teams.served(call_id=call.call_id)
        self.assertNotIn(west.host, served.invite.body)
        served.reply(180)
        self.assertEqual(call.provisional(180).get(HEADER), "gold")
        served.reply(200)
        answer = call.final(status=200)
        self.assertEqual(answer.all(HEADER), ["gold"])
        self.assertNotIn(teams.host, answer.body)
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()

    def test_failover_works(self):
        west = self.gateway.peer["west"]
        call = west.invite(self.gateway.proxy, "+15551230001")
        self.gateway.peer["teams-1"].served(call_id=call.call_id).reply(503)
        self.gateway.peer["teams-2"].served(call_id=call.call_id).reply(486)
        self.assertEqual(call.final().status, 486)

    def test_others_are_served_by_the_stock_rules(self):
        stranger = self.start(Endpoint("127.0.9.9"))
        call_id = token("register")
        stranger.send(Message(f"REGISTER sip:{self.gateway.host}:{self.gateway.port} SIP/2.0", [
            ("Via", stranger.via()), ("Max-Forwards", 70), ("From", "<sip:alice@127.0.0.1>;tag=1"),
            ("To", "<sip:alice@127.0.0.1>"), ("Call-ID", call_id), ("CSeq", "1 REGISTER"),
            ("Contact", stranger.contact)]), self.gateway.proxy)
        self.assertEqual(stranger.response((200, 699), "REGISTER", call_id=call_id).status, 200)

    def test_responses_to_nothing_are_for_the_stock_rules_unless_they_are_ours(self):
        stranger, target = self.start(Endpoint("127.0.9.9")), self.start(Endpoint("127.0.9.8"))

        def stray(sender, headers=()):
            call_id = token("stray")
            sender.send(Message("SIP/2.0 200 OK", [
                ("Via", f"SIP/2.0/UDP {self.gateway.host}:{self.gateway.port};branch=z9hG4bKaaaa.1"),
                ("Via", f"SIP/2.0/UDP {target.address};branch=z9hG4bKbbb"), ("From", "<sip:a@b>;tag=1"),
                ("To", "<sip:a@b>;tag=2"), ("Call-ID", call_id), ("CSeq", "1 INVITE"), *headers]), self.gateway.proxy)
            return call_id

        dropped = [stray(self.gateway.peer["west"]),
                   stray(stranger, [("Record-Route", f"<sip:{self.gateway.host}:{self.gateway.port};lr;tg=x>")])]
        target.response(200, call_id=stray(stranger))
        for call_id in dropped:
            self.assertEqual(target.statuses(call_id=call_id), [])
