# SPDX-License-Identifier: GPL-2.0-or-later
"""trunkgate-routes.cfg in the kamailio.cfg that Debian installs, as kamailio-cfg/README.md says."""

import pathlib
import re
import unittest

from harness import Case, Endpoint, ROOT
from harness.gateway import HEADER, Gateway

STOCK = pathlib.Path("/etc/kamailio/kamailio.cfg")
NUMBER, OUTSIDE = "+15551230001", "+15557770000"


def stock_with_routes(gateway):
    """Debian's file with our three lines; sockets and RPC paths are this test's."""
    text = STOCK.read_text()
    routes = ROOT / "kamailio-cfg" / "trunkgate-routes.cfg"
    last = [found.end() for found in re.finditer(r"^modparam\(.*?\)$\n(?:#!endif\n)?", text, re.M | re.S)][-1]
    text = f'{text[:last]}\ninclude_file "{routes}"\n{text[last:]}'
    text, count = re.subn(r"^request_route \{\n", "request_route {\n\troute(TRUNKGATE);\n", text, flags=re.M)
    assert count == 1
    if re.search(r"^reply_route \{", text, re.M):
        text = re.sub(r"^reply_route \{\n", "reply_route {\n\troute(TRUNKGATE_REPLY);\n", text, flags=re.M)
    else:
        text += "\nreply_route {\n\troute(TRUNKGATE_REPLY);\n}\n"
    text = re.sub(r'^modparam\("jsonrpcs", "transport", \d+\)', 'modparam("jsonrpcs", "transport", 1)', text, flags=re.M)
    text = re.sub(r"^children=\d+", "children=2", text, flags=re.M)
    text = text.replace('loadmodule "ctl.so"\n', 'loadmodule "ctl.so"\nmodparam("ctl", "binrpc", TRUNKGATE_CTL)\n', 1)
    text = text.replace("log_facility=LOG_LOCAL0\n", "log_facility=LOG_LOCAL0\nlisten=TRUNKGATE_PLAIN_UDP\n", 1)
    return gateway.folder.write("stock.cfg", text)


class TestStockConfig(Case):
    @classmethod
    def setUpClass(cls):
        if not STOCK.exists():
            raise unittest.SkipTest(f"{STOCK} is not there")
        super().setUpClass()

    @classmethod
    def prepare(cls):
        cls.gateway = Gateway(cls.folder, cfg=stock_with_routes)

    def test_config_is_accepted_and_a_call_goes_through(self):
        status, output = self.gateway.kamailio.check()
        self.assertEqual(status, 0, output)
        gateway = self.start(self.gateway)
        west, teams = gateway.peer["west"], gateway.peer["teams-1"]
        call = west.invite(gateway.proxy, NUMBER, OUTSIDE)
        served = teams.served(call_id=call.call_id)
        served.reply(180)
        served.reply(200)
        answer = call.final()
        self.assertEqual((answer.status, answer.all(HEADER)), (200, ["gold"]))
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()

        # Others are served by the rules that were there before.
        stranger = self.start(Endpoint("127.0.9.9"))
        stranger.invite(gateway.proxy, "alice", "bob")
        self.assertGreaterEqual(stranger.response((400, 699), "INVITE").status, 400)


if __name__ == "__main__":
    unittest.main()
