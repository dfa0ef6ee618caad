# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls through the whole gateway whose two ends hear each other, or must not."""

import time

from .case import Case
from .gateway import Gateway
from .rtp import Capture, RtpEndpoint, crypto_line, key_of, media_of, new_key, samples_of, share_of, tone
from .sip import sdp
from .wait import wait_until

FOUND, OUTSIDE = "+15551230001", "+15557770000"
TONES = {"teams": 450, "west": 700}  # whole periods in a frame: no step where one overtakes another
INTRUDER, INTRUDERS_TONE = "127.0.9.9", 1200


class MediaCase(Case):
    MEDIA = {"teams-oc": "SRTP"}
    LIMITED = ()
    CHILDREN = 2
    SIGNALLING = {}
    ROOT = None  # a function that gives the folder of another Debian's rtpengine
    CFG = None  # a function of the gateway that gives another trunkgate.cfg

    @classmethod
    def prepare(cls):
        cls.gateway = Gateway(cls.folder, children=cls.CHILDREN, signalling=cls.SIGNALLING, cfg=cls.CFG,
                              rtpengine_root=cls.ROOT and cls.ROOT())
        document = cls.gateway.document
        cls.gateway.document = lambda: cls.changed(document())
        cls.start_for_all(cls.gateway)
        cls.west, cls.teams = cls.gateway.peer["west"], cls.gateway.peer["teams-1"]

    @classmethod
    def changed(cls, document):
        for group in document["peerGroups"]:
            group["media"] = cls.MEDIA.get(group["name"], "RTP")
            for peer in group["peers"]:
                if peer["name"] in cls.LIMITED:
                    peer["allowedMediaSourceAddressPrefixes"] = [f"{peer['host']}/32"]
        return document

    def setUp(self):
        self.capture = self.start(Capture())
        self.media = {"west": self.start(RtpEndpoint(self.west.host)),
                      "teams": self.start(RtpEndpoint(self.teams.host))}
        self.key = new_key()

    def plain(self, who):
        return sdp(self.media[who].host, self.media[who].port)

    def secure(self, who, suite="AES_CM_128_HMAC_SHA1_80"):
        return sdp(self.media[who].host, self.media[who].port, "RTP/SAVP", [crypto_line(self.key, suite=suite)])

    def call(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.plain("west"))
        return call, self.teams.served(call_id=call.call_id)

    def established(self):
        call, served = self.call()
        served.reply(200, body=self.secure("teams"))
        answer = call.final(status=200)
        call.ack()
        served.acked()
        self.connect(served, answer)
        return call, served

    def connect(self, served, answer):
        """Media goes where the SDP that each side got leads, with its key."""
        self.media["teams"].secured(self.key, key_of(served.invite.body))
        self.media["teams"].remote, self.media["west"].remote = media_of(served.invite.body), media_of(answer.body)

    def talk(self, seconds=0.4):
        for frames in zip(*(tone(TONES[who], int(seconds * 50)) for who in ("teams", "west"))):
            for who, frame in zip(("teams", "west"), frames):
                self.media[who].send(frame)
            time.sleep(0.004)

    def both_hear(self):
        since = {who: len(media.received) for who, media in self.media.items()}
        self.talk()
        for who, other in (("teams", "west"), ("west", "teams")):
            wait_until(lambda: self.media[who].hears(TONES[other], since[who]), 3, f"{who} hears {other}")

    def plain_on_the_secured_leg(self):
        """Frames from or to the service that are a tone without having been decrypted."""
        ports = {*self.gateway.rtpengine.ports, self.media["teams"].port}  # other tests run beside this one
        payloads = self.capture.rtp(self.teams.host, ports=ports)
        self.assertGreater(len(payloads), 20, "the capture sees the secured leg")
        return [payload for payload in payloads
                if any(share_of(frequency, samples_of([payload[:160]])) > 0.5
                       for frequency in (*TONES.values(), INTRUDERS_TONE))]

    def ended_by_us(self, endpoint, call, code=488):
        bye = endpoint.request("BYE", call_id=call.call_id)
        endpoint.reply(bye, 200)
        self.assertIn(f"SIP;cause={code}", bye.get("Reason"))

    def live_calls(self):
        return self.gateway.kamailio.counter("site_failover", "calls_live")

    def counter(self, name):
        return self.gateway.kamailio.counter("srtp_policy", name)
