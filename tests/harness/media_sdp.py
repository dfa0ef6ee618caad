# SPDX-License-Identifier: GPL-2.0-or-later
"""SDP that the tests write and read: one audio section, keys by name."""

import base64
import re

SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_192_CM_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_32",
          "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM",
          "F8_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_32", "NULL_HMAC_SHA1_80", "NULL_HMAC_SHA1_32")
DEFAULT = "AES_CM_128_HMAC_SHA1_80"
_BYTES = {"AES_192": 38, "AES_256": 46, "AEAD_AES_128": 28, "AEAD_AES_256": 44}


def key_of(suite):
    """A key of the suite's length, the same each time."""
    length = next((size for name, size in _BYTES.items() if suite.startswith(name)), 30)
    return base64.b64encode(bytes(range(1, length + 1))).decode()


def crypto(tag, suite, more=""):
    return f"a=crypto:{tag} {suite} inline:{key_of(suite)}{more}\r\n"


def section(profile="RTP/AVP", suites=(), port=40000, lines="", first_tag=1):
    keys = "".join(crypto(tag, suite) for tag, suite in enumerate(suites, first_tag))
    return f"m=audio {port} {profile} 8\r\na=rtpmap:8 PCMA/8000\r\n{keys}{lines}"


def body(*sections, lines="", address="127.0.0.1"):
    return (f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{lines}"
            + "".join(sections or (section(),)))


def sections(text):
    """What SDP holds: [(profile, port, [lines of keys], has a fingerprint)]."""
    parts = re.split(r"^(?=m=)", text, flags=re.M)
    found = []
    for part in parts[1:]:
        words = part.splitlines()[0].split()
        keys = re.findall(r"^a=crypto:(.*?)\r?$", part, re.M)
        found.append((words[2], int(words[1]), keys, "a=fingerprint:" in part or "a=fingerprint:" in parts[0]))
    return found


def suites_of(text):
    return [key.split()[1] for _, _, keys, _ in sections(text) for key in keys]
