# SPDX-License-Identifier: GPL-2.0-or-later
"""Real media: baresip with SDES, then with DTLS-SRTP, to plain RTP and back; the far end is recognised by its tone.

rtpengine has its plugin: the suite of DTLS-SRTP is in no SDP, so Kamailio alone could not choose it.
"""

import time
import unittest

from harness import Case, sdp
from harness.baresip import Baresip, samples_of_wav
from harness.gateway import Gateway
from harness.paths import binary
from harness.rtp import FRAME, Capture, RtpEndpoint, media_of, samples_of, share_of, tone
from harness.rtpengine import ask

FOUND, OUTSIDE = "+15551230001", "+15557770000"
TONE = 440
SUITE, TAG = "AES_CM_128_HMAC_SHA1_80", 10


class BaresipCalls:
    """West is plain RTP, played by the test; baresip is the service, with SRTP."""

    ENCRYPTION = GROUP = PROFILE = None

    @classmethod
    def prepare(cls):
        cls.gateway = Gateway(cls.folder)
        document = cls.gateway.document
        cls.gateway.document = lambda: cls.changed(document())
        cls.gateway.rtpengine.env = {"LD_PRELOAD": binary("srtp_enforcer.so")}
        cls.gateway.rtpengine.command.append("--log-level-control=3")
        cls.start_for_all(cls.gateway)
        teams = cls.gateway.peer["teams-1"]
        teams.stop()  # baresip takes its place
        cls.baresip = cls.start_for_all(Baresip(cls.folder, teams.host, teams.port, cls.gateway.proxy, cls.ENCRYPTION, FOUND))
        cls.west = cls.gateway.peer["west"]

    @classmethod
    def changed(cls, document):
        for group in document["peerGroups"]:
            if group["name"] == "teams-oc":
                group.update(cls.GROUP)
        return document

    def setUp(self):
        self.capture = self.start(Capture())
        self.media = self.start(RtpEndpoint(self.west.host))

    def talk_and_hear(self, call_id, earlier):
        """West's tone arrives at baresip and, sent back by it, at west again."""
        began = time.monotonic()
        for number, frame in enumerate(tone(TONE, 750)):
            self.media.send(frame)
            time.sleep(max(0, began + number * 0.02 - time.monotonic()))
            # Gaps are no fault: baresip hears and speaks by clocks of its own.
            if number % 25 == 24 and self.media.hears(TONE, frames=25, share=0.6) and len(self.recorded(earlier)) > 8000:
                break
        else:
            self.fail("west does not hear what baresip sent back")
        last = self.recorded(earlier)[-4000:]
        self.assertGreater(share_of(TONE, last), 0.6, "baresip's recording is the tone")
        self.assertLess(share_of(TONE * 2, last), 0.1)
        self.assert_secured(call_id)

    def recorded(self, earlier):
        """What baresip heard in this call."""
        for path in self.baresip.recordings():
            if path not in earlier:
                return samples_of_wav(path)
        return []

    def assert_secured(self, call_id):
        """By rtpengine's own account, and by what was on the wire."""
        streams = {}
        for tag in ask(self.gateway.rtpengine.port, command="query", call_id=call_id)["tags"].values():
            for media in tag["medias"]:
                streams[media["protocol"].removesuffix("F")] = media["streams"][0]
        self.assertEqual(set(streams), {"RTP/AVP", self.PROFILE})
        suite = streams[self.PROFILE]["crypto suite"]
        self.assertEqual(suite, SUITE)
        self.assertNotIn("crypto suite", streams["RTP/AVP"])
        self.assertTrue(all(stream["stats"]["packets"] > 25 for stream in streams.values()), streams)
        print(f"    {self.ENCRYPTION}: {suite}", flush=True)
        port = streams[self.PROFILE]["local port"]
        secured = self.capture.rtp(source_port=port)
        self.assertGreater(len(secured), 25)
        self.assertEqual({len(payload) for payload in secured}, {FRAME + TAG})
        # baresip of Debian 13 sends plain silence until its handshake is done, a second later if its first message is lost.
        secured = self.capture.rtp(port=port)
        self.assertEqual({len(payload) for payload in secured[-50:]}, {FRAME + TAG})
        plain = [payload for payload in secured if share_of(TONE, samples_of([payload[:FRAME]])) > 0.3]
        self.assertEqual(plain, [])

    def test_call_to_the_secured_side(self):
        earlier = self.baresip.recordings()
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=sdp(self.media.host, self.media.port))
        answer = call.final(status=200)
        call.ack()
        self.media.remote = media_of(answer.body)
        self.assertNotIn("crypto", answer.body)
        self.talk_and_hear(call.call_id, earlier)
        self.assertEqual(call.bye().status, 200)
        self.baresip.event("CALL_CLOSED")

    def test_call_from_the_secured_side(self):
        earlier = self.baresip.recordings()
        self.baresip.dial(f"sip:{OUTSIDE}@{self.gateway.host}:{self.gateway.port}")
        served = self.west.served(8)
        self.assertNotIn("crypto", served.invite.body)
        self.assertIn(" RTP/AVP ", served.invite.body)
        served.reply(200, body=sdp(self.media.host, self.media.port))
        served.acked()
        self.media.remote = media_of(served.invite.body)
        self.talk_and_hear(served.call_id, earlier)
        self.baresip.hang_up()
        served.ended()
        self.baresip.event("CALL_CLOSED")


class TestSdes(BaresipCalls, Case):
    ENCRYPTION, GROUP, PROFILE = "srtp-mand", {"media": "SRTP"}, "RTP/SAVP"


class TestDtlsSrtp(BaresipCalls, Case):
    ENCRYPTION = "dtls_srtp"
    GROUP = {"media": "SRTP", "dtlsProfiles": ["SRTP_AES128_CM_HMAC_SHA1_80"]}
    PROFILE = "UDP/TLS/RTP/SAVP"


if __name__ == "__main__":
    unittest.main()
