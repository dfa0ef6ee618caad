# SPDX-License-Identifier: GPL-2.0-or-later
"""Files for the host beside Kamailio's own: rtpengine.conf and the slim CA file."""

import re
import subprocess

from harness import Case
from harness.paths import ROOT
from harness.ports import free_port
from harness.rtpengine import Rtpengine

CONFIG = ROOT / "kamailio-cfg"
OFFER = ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
         "m=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n")


class ShippedRtpengine(Rtpengine):
    """With the shipped file; only the addresses are this test's."""

    def __init__(self, folder):
        super().__init__(folder)
        self.port = free_port()
        text = (CONFIG / "rtpengine.conf").read_text()
        for old, new in (("192.0.2.1", "127.0.0.1"), ("127.0.0.1:2223", f"127.0.0.1:{self.port}")):
            assert old in text
            text = text.replace(old, new)
        self.command = ["rtpengine", "--foreground", "--log-stderr", f"--pidfile={folder / 'rtpengine.pid'}",
                        f"--config-file={folder.write('rtpengine.conf', text)}"]


class TestHostFiles(Case):
    def test_rtpengine_takes_the_file_and_its_media_ports_are_those_of_the_reference(self):
        rtpengine = self.start(ShippedRtpengine(self.folder))
        reply = rtpengine.command_reply(
            f"d7:call-id4:abcd7:command5:offer8:from-tag1:a3:sdp{len(OFFER)}:{OFFER}e".encode())
        self.assertIn(b"m=audio", reply)
        port = int(re.search(rb"m=audio (\d+) ", reply).group(1))
        self.assertTrue(16384 <= port <= 23983, port)

    def make(self, *files):
        return subprocess.run([CONFIG / "make-peers-ca", *files], capture_output=True, text=True)

    def test_slim_ca_file_holds_few_roots_and_one_of_the_operators(self):
        own = self.folder.path / "own.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=own-root",
                        "-keyout", self.folder.path / "own.key", "-out", own], check=True, capture_output=True)
        done = self.make(own)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("DigiCert Global Root G2", done.stdout)
        self.assertIn("own-root", done.stdout)
        self.assertEqual(done.stdout.count("BEGIN CERTIFICATE"), 2)

    def test_slim_ca_file_refuses_a_file_that_is_not_there(self):
        done = self.make("/nowhere/root.pem")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere/root.pem: no such file", done.stderr)
