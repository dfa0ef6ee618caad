# SPDX-License-Identifier: GPL-2.0-or-later
"""What the values at the top of trunkgate.cfg do: sockets, the local file, the header on CANCEL and ACK."""

import shutil
import unittest

from harness import Case, Kamailio
from harness.gateway import HEADER, Gateway
from harness.paths import ROOT

CONFIG = ROOT / "kamailio-cfg"
NUMBER, OUTSIDE = "+15551230001", "+15557770000"


def with_header_name(gateway):
    """trunkgate.cfg as on a machine whose local file names the custom header."""
    for name in ("trunkgate.cfg", "trunkgate-routes.cfg", "trunkgate-reply.cfg"):
        shutil.copy(CONFIG / name, gateway.folder.path)
    gateway.folder.write("trunkgate-local.cfg", f'#!trydef TRUNKGATE_CUSTOM_HEADER "{HEADER}"\n')
    return gateway.folder / "trunkgate.cfg"


class TestSockets(Case):
    def sockets(self, **values):
        """The sockets on which a Kamailio with these values would listen."""
        defines = {"TRUNKGATE_TLS_CONFIG": f'"{self.folder}/tls.cfg"', **values}
        status, text = Kamailio(self.folder, cfg_file=self.cfg_file, defines=defines).check()
        self.assertEqual(status, 0, text)
        listed = text.split("Listening on")[1].split("Aliases:")[0]
        return {"".join(line.split()) for line in listed.splitlines() if line.strip()}

    def setUp(self):
        self.folder.write("tls.cfg", "[server:default]\nmethod = TLSv1.2+\n")
        self.cfg_file = CONFIG / "trunkgate.cfg"

    def test_without_a_plain_group_there_is_only_tls(self):
        self.assertEqual(self.sockets(), {"tls:127.0.0.1[127.0.0.1]:5061"})

    def test_plain_sockets_are_opened_by_their_values(self):
        self.assertEqual(self.sockets(TRUNKGATE_PLAIN_UDP="udp:127.0.0.1:5060", TRUNKGATE_PLAIN_TCP="tcp:127.0.0.1:5060"),
                         {"tls:127.0.0.1[127.0.0.1]:5061", "udp:127.0.0.1[127.0.0.1]:5060",
                          "tcp:127.0.0.1[127.0.0.1]:5060"})

    def test_command_line_wins_over_the_local_file_and_this_over_the_default(self):
        for name in ("trunkgate.cfg", "trunkgate-routes.cfg", "trunkgate-reply.cfg"):
            shutil.copy(CONFIG / name, self.folder.path)
        self.folder.write("trunkgate-local.cfg", "#!trydef TRUNKGATE_TLS tls:127.0.0.1:5071\n")
        self.cfg_file = self.folder / "trunkgate.cfg"
        self.assertEqual(self.sockets(), {"tls:127.0.0.1[127.0.0.1]:5071"})
        self.assertEqual(self.sockets(TRUNKGATE_TLS="tls:127.0.0.1:5081"), {"tls:127.0.0.1[127.0.0.1]:5081"})


class TestHeaderOnCancelAndAck(Case):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder, cfg=with_header_name))

    def call(self):
        west, teams = self.gateway.peer["west"], self.gateway.peer["teams-1"]
        call = teams.invite(self.gateway.proxy, OUTSIDE, NUMBER)
        return call, west.served(call_id=call.call_id)

    def test_cancel_carries_it(self):
        call, served = self.call()
        served.reply(180)
        call.provisional(180)
        call.cancel()
        self.assertEqual(served.cancelled().all(HEADER), ["gold"])
        self.assertEqual(call.final().all(HEADER), [])
        self.assertEqual(served.acked().all(HEADER), ["gold"])

    def test_ack_of_a_negative_answer_carries_it(self):
        call, served = self.call()
        served.reply(486)
        self.assertEqual(call.final().status, 486)
        self.assertEqual(served.acked().all(HEADER), ["gold"])


if __name__ == "__main__":
    unittest.main()
