# SPDX-License-Identifier: GPL-2.0-or-later
"""What a TLS peer can negotiate with our openssl.cnf and tls.cfg (sslscan)."""

import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree

from harness import Case, ROOT
from harness.gateway import Gateway

ALLOWED = {
    "TLSv1.3": {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"},
    "TLSv1.2": {f"ECDHE-{key}-{rest}" for key in ("ECDSA", "RSA") for rest in (
        "AES256-GCM-SHA384", "AES128-GCM-SHA256", "AES256-SHA384", "AES128-SHA256")},
}


class TestTls(Case):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("sslscan"):
            raise unittest.SkipTest("sslscan is not installed")
        super().setUpClass()

    def shipped(self, gateway):
        """The shipped tls.cfg with this test's certificate; a scanner shows none."""
        text = (ROOT / "kamailio-cfg" / "tls.cfg").read_text()
        text = text.replace("/etc/trunkgate/gateway.crt", str(gateway.certificate))
        text = text.replace("/etc/trunkgate/gateway.key", str(gateway.key))
        text = text.replace("/etc/trunkgate/peers-ca.pem", str(gateway.certificate))
        text = re.sub(r"^(verify_certificate|require_certificate) = yes", r"\1 = no", text, flags=re.M)
        self.folder.write("tls.cfg", text)

    def test_only_the_versions_and_suites_of_the_policy(self):
        gateway = Gateway(self.folder, env={"OPENSSL_CONF": str(ROOT / "kamailio-cfg" / "openssl.cnf")})
        self.shipped(gateway)
        self.start(gateway)
        report = self.folder / "sslscan.xml"
        subprocess.run(["sslscan", "--no-colour", f"--xml={report}", f"{gateway.host}:{gateway.tls_port}"], check=True,
                       capture_output=True, timeout=120)
        test = xml.etree.ElementTree.parse(report).find(".//ssltest")
        versions = {f"{row.get('type').upper()}v{row.get('version')}" for row in test.findall("protocol")
                    if row.get("enabled") == "1"}
        self.assertEqual(versions, {"TLSv1.2", "TLSv1.3"})
        offered = {}
        for row in test.findall("cipher"):
            offered.setdefault(row.get("sslversion"), set()).add(row.get("cipher"))
        self.assertEqual(set(offered), set(ALLOWED))
        self.assertEqual(offered["TLSv1.3"], ALLOWED["TLSv1.3"])
        self.assertTrue(offered["TLSv1.2"])
        self.assertLessEqual(offered["TLSv1.2"], ALLOWED["TLSv1.2"])


if __name__ == "__main__":
    unittest.main()
