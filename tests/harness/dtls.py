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
        client = self._openssl("s_client", profiles, b"SSL-Session:", "-bind", "%s:%d" % own, "-connect", "%s:%d" % other)
        try:
            return client.negotiated()
        finally:
            client.stop()  # its own end takes half a second

    def serve(self, own, profiles):
        """A server at own (address, port) for one handshake: call negotiated() and stop()."""
        server = self._openssl("s_server", profiles, b"Secure Renegotiation", "-accept", "%s:%d" % own)
        server.until(b"ACCEPT")
        return server

    def _openssl(self, command, profiles, last_word, *words):
        return DtlsEnd(["openssl", command, "-dtls1_2", *words, "-use_srtp", ":".join(profiles), "-cert", self.certificate,
                        "-key", self.key], last_word)


class DtlsEnd:
    """last_word: what openssl says once the handshake is done."""

    def __init__(self, command, last_word):
        self.last_word = last_word
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = b""

    def until(self, word, timeout=10):
        while word not in self.said:
            ready, _, _ = select.select([self.process.stdout], [], [], timeout)
            more = self.process.stdout.read1() if ready else b""
            assert more, f"no {word} from openssl: {self.said.decode()[-500:]}"
            self.said += more

    def negotiated(self):
        """The profile, or None if there is none in common."""
        self.until(self.last_word)
        assert b"(NONE)" not in self.said, f"no handshake: {self.said.decode()[-500:]}"
        found = re.search(rb"SRTP Extension negotiated, profile=(\S+)", self.said)
        return found.group(1).decode() if found else None

    def stop(self):
        with self.process:
            self.process.kill()


def secured_by(rtpengine, call, protocol):
    """{"SDES", "DTLS-SRTP"}, as far as rtpengine would use them, of the leg with this protocol."""
    for tag in rtpengine.ng("query", call_id=call)["tags"].values():
        for media in tag["medias"]:
            if media["protocol"] == protocol:
                return {"SDES", "DTLS-SRTP"} & set(media["flags"])
    raise AssertionError(f"no leg with {protocol}")
