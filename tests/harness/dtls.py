# SPDX-License-Identifier: GPL-2.0-or-later
"""The other end of DTLS-SRTP (openssl s_client, s_server): which profile is negotiated with rtpengine?"""

import re
import select
import subprocess

PROFILES = ("SRTP_AES128_CM_SHA1_80", "SRTP_AES128_CM_SHA1_32", "SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM")


class DtlsIdentity:
    def __init__(self, folder):
        self.key, self.certificate = folder / "dtls-key.pem", folder / "dtls.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.key, "-out", self.certificate, "-days", "2", "-subj", "/CN=client"],
                       check=True, capture_output=True)
        said = subprocess.run(["openssl", "x509", "-in", self.certificate, "-noout", "-fingerprint", "-sha256"],
                              check=True, capture_output=True, text=True).stdout
        self.fingerprint = said.split("=", 1)[1].strip()

    def line(self, setup="active"):
        return f"a=fingerprint:sha-256 {self.fingerprint}\r\na=setup:{setup}\r\n"

    def negotiate(self, own, other, profiles):
        """The profile, or None if there is none in common. own, other: (address, port), own as in our SDP."""
        command = ["openssl", "s_client", "-dtls1_2", "-bind", "%s:%d" % own, "-connect", "%s:%d" % other,
                   "-use_srtp", ":".join(profiles), "-cert", self.certificate, "-key", self.key]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
        found = re.search(r"SRTP Extension negotiated, profile=(\S+)", done.stdout)
        assert found or "Cipher is" in done.stdout, f"no handshake: {done.stdout[-500:]}{done.stderr[-500:]}"
        return found.group(1) if found else None

    def serve(self, own, profiles):
        """A server at own (address, port) for one handshake: call negotiated() and stop()."""
        return DtlsServer(["openssl", "s_server", "-dtls1_2", "-accept", "%s:%d" % own, "-use_srtp", ":".join(profiles),
                           "-cert", self.certificate, "-key", self.key])


class DtlsServer:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = b""
        self._until(b"ACCEPT")

    def _until(self, word, timeout=10):
        while word not in self.said:
            ready, _, _ = select.select([self.process.stdout], [], [], timeout)
            more = self.process.stdout.read1() if ready else b""
            assert more, f"no {word} from openssl: {self.said.decode()[-500:]}"
            self.said += more

    def negotiated(self):
        """The profile, or None if there is none in common."""
        self._until(b"Secure Renegotiation")
        found = re.search(rb"SRTP Extension negotiated, profile=(\S+)", self.said)
        return found.group(1).decode() if found else None

    def stop(self):
        self.process.kill()
        self.process.communicate()
