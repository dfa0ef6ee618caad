# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS as the reference says (sslscan, with the shipped tls.cfg and openssl.cnf); handshakes that fail harm nobody else."""

import shutil
import socket
import ssl
import struct
import subprocess
import time
import unittest
import warnings
import xml.etree.ElementTree

from harness import Case, Kamailio, free_port, wait_until
from harness.daemon import run
from harness.gateway import Gateway
from harness.paths import ROOT
from harness.sip import Message, token

CONFIG = ROOT / "kamailio-cfg"
TLS_1_3 = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"}
TLS_1_2 = {f"ECDHE-{key}-{rest}" for key in ("ECDSA", "RSA") for rest in (
    "AES256-GCM-SHA384", "AES128-GCM-SHA256", "AES256-SHA384", "AES128-SHA256")}

CFG = """
enable_tls=yes
loadmodule "ctl.so"
loadmodule "sl.so"
loadmodule "tls.so"
modparam("ctl", "binrpc", "unix:@CTL@")
modparam("tls", "config", "@FOLDER@/tls.cfg")
tcp_children=2
listen=tls:127.0.0.1:PORT
request_route { sl_send_reply("200", "OK"); }
"""


def certificate(folder, kind):
    key = ["rsa:2048"] if kind == "RSA" else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", folder / "gateway.key", "-out", folder / "gateway.crt"], check=True, capture_output=True)
    shutil.copy(folder / "gateway.crt", folder / "peers-ca.pem")


@unittest.skipUnless(shutil.which("sslscan"), "sslscan is not installed")
class TestTls(Case):
    def serve(self, kind):
        folder = self.folder
        certificate(folder.path, kind)
        # sslscan has no certificate of its own: only for it, the server does not ask for one
        text = (CONFIG / "tls.cfg").read_text().replace("/etc/trunkgate", str(folder))
        self.assertIn("require_certificate = yes", text)
        folder.write("tls.cfg", text.replace("require_certificate = yes", "require_certificate = no").replace(
            "verify_certificate = yes", "verify_certificate = no"))
        self.port = free_port()
        self.start(Kamailio(folder, CFG.replace("PORT", str(self.port)), name=f"kamailio-{kind}",
                            env={"OPENSSL_CONF": str(CONFIG / "openssl.cnf")}))
        wait_until(self.accepts, 5, "Kamailio accepts connections")

    def accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def scan(self):
        """({version: enabled}, {version: {suite}}) as sslscan sees them."""
        status, out, err = run(["sslscan", "--no-colour", "--xml=-", f"127.0.0.1:{self.port}"], timeout=120)
        self.assertEqual(status, 0, err)
        test = xml.etree.ElementTree.fromstring(out).find("ssltest")
        versions = {f"{one.get('type')} {one.get('version')}": one.get("enabled") == "1" for one in test.iter("protocol")}
        suites = {}
        for one in test.iter("cipher"):
            suites.setdefault(one.get("sslversion"), set()).add(one.get("cipher"))
        return versions, suites

    def test_versions_and_suites_with_each_kind_of_key(self):
        for kind in ("ECDSA", "RSA"):
            with self.subTest(kind):
                self.serve(kind)
                versions, suites = self.scan()
                self.assertEqual({name for name, on in versions.items() if on}, {"tls 1.2", "tls 1.3"})
                self.assertEqual(suites["TLSv1.3"], TLS_1_3)
                self.assertEqual(suites["TLSv1.2"], {suite for suite in TLS_1_2 if f"-{kind}-" in suite})
                self.assertEqual(set(suites), {"TLSv1.2", "TLSv1.3"})

    def test_both_ends_must_show_a_certificate(self):
        text = (CONFIG / "tls.cfg").read_text()
        for section in text.split("[")[1:]:
            self.assertIn("\nrequire_certificate = yes\n", section)
            self.assertIn("\nverify_certificate = yes\n", section)


class TestBrokenHandshakes(Case):
    """Strangers whose handshakes fail in each way, and a peer whose connection is well in the same process."""

    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder, signalling={"teams-oc": "TLS"}, children=1))
        cls.teams = cls.gateway.peer["teams-1"]

    def options(self):
        """Over the peer's own connection to us."""
        call_id = token("options")
        proxy = (self.gateway.host, self.gateway.tls_port)
        self.teams.send(Message(f"OPTIONS sip:{proxy[0]} SIP/2.0", [
            ("Via", self.teams.via()), ("Max-Forwards", 70), ("From", f"<sip:{self.teams.host}>;tag=1"),
            ("To", f"<sip:{proxy[0]}>"), ("Call-ID", call_id), ("CSeq", "1 OPTIONS")]), proxy)
        self.assertEqual(self.teams.response((200, 699), "OPTIONS", call_id=call_id).status, 200)

    def hello(self):
        """The first message of a client that knows nothing newer than TLS 1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        out = ssl.MemoryBIO()
        with self.assertRaises(ssl.SSLWantReadError):
            context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
        return out.read()

    def break_handshakes(self, count):
        hello, address = self.hello(), (self.gateway.host, self.gateway.tls_port)
        for number in range(count):
            with socket.create_connection(address, 2) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.send(hello)
                # RST, before or after the alert: a different moment each time
                until = time.perf_counter() + number % 50 * 10e-6
                while time.perf_counter() < until:
                    pass

    def test_end_no_other_connection(self):
        self.options()
        connection = self.teams._connections[self.gateway.host, self.gateway.tls_port]
        for _ in range(40):
            self.break_handshakes(50)
            self.options()
            self.assertIs(self.teams._connections.get((self.gateway.host, self.gateway.tls_port)), connection)
        self.assertNotIn("src addr: 127.0.2.10", self.gateway.kamailio.log())
