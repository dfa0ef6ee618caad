# SPDX-License-Identifier: GPL-2.0-or-later
"""Half an hour of SRTP in a few seconds: the sequence number rolls over, new offers follow, refused or not, and both still hear."""

import time
import unittest

from harness import Case, sdp, wait_until
from harness.gateway import Gateway
from harness.rtp import RtpEndpoint, crypto_line, key_of, media_of, new_key, tone

FOUND, OUTSIDE = "+15551230001", "+15557770000"
MINUTES = 31
FRAMES = MINUTES * 60 * 50
BURST = 20  # rtpengine drops what comes in when it reads more than 50 packets without a pause
LOST_AFTER, LOST_MAX = 0.3, 500  # s, packets
TONES = {"teams": 450, "west": 700}  # whole periods in a frame: no step where one overtakes another


def with_srtp(document):
    for group in document["peerGroups"]:
        if group["side"] == "service":
            group["media"] = "SRTP"
    return document


class TestRollover(Case):
    @classmethod
    def prepare(cls):
        cls.gateway = Gateway(cls.folder)
        document = cls.gateway.document
        cls.gateway.document = lambda: with_srtp(document())
        cls.start_for_all(cls.gateway)

    def setUp(self):
        self.west, self.teams = self.gateway.peer["west"], self.gateway.peer["teams-1"]
        self.media = {"west": self.start(RtpEndpoint(self.west.host)),
                      "teams": self.start(RtpEndpoint(self.teams.host))}
        self.key = new_key()

    def offer(self, who):
        endpoint = self.media[who]
        if who == "west":
            return sdp(endpoint.host, endpoint.port)
        return sdp(endpoint.host, endpoint.port, "RTP/SAVP", [crypto_line(self.key)])

    def connect(self, to_teams, to_west):
        """Sends go to where the SDP that each side got leads."""
        self.media["teams"].remote, self.media["west"].remote = media_of(to_teams), media_of(to_west)

    def established(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.offer("west"))
        served = self.teams.served(call_id=call.call_id)
        served.reply(200, body=self.offer("teams"))
        answer = call.final(status=200)
        call.ack()
        served.acked()
        self.media["teams"].secured(self.key, key_of(served.invite.body))
        self.connect(served.invite.body, answer.body)
        return call, served

    def both_hear(self):
        """A second of two tones arrives as it was sent."""
        frames = {who: tone(frequency, 50) for who, frequency in TONES.items()}
        since = {who: len(media.received) for who, media in self.media.items()}
        for index in range(50):
            for who, media in self.media.items():
                media.send(frames[who][index])
            time.sleep(0.002)
        for who, other in (("teams", "west"), ("west", "teams")):
            wait_until(lambda: self.media[who].hears(TONES[other], since[who], 40), 3,
                       f"{who} hears {other}: {len(self.media[who].received) - since[who]} of 50 frames, "
                       f"{self.media[who].foreign} that are not authentic")

    def talk(self, frames):
        """That many packets in both directions; the next go when the last have come, or have not come for a while: a
        busy machine may drop a few."""
        silence = bytes([0xD5]) * 160
        for media in self.media.values():
            media.keep, media.count = False, 0
        sent = lost = 0
        while sent < frames:
            for _ in range(BURST):
                for media in self.media.values():
                    media.send(silence)
            sent += BURST
            end = time.monotonic() + LOST_AFTER
            wait_until(lambda: time.monotonic() > end or
                       all(media.count >= sent - lost for media in self.media.values()), 5, "packets arrive", 0)
            lost = max(sent - media.count for media in self.media.values())
            self.assertLess(lost, LOST_MAX)
        for who, media in self.media.items():
            self.assertEqual(media.foreign, 0, who)
            media.keep = True

    def re_invite(self, call, served, by_teams):
        """The same SDP again, as services send it to refresh a session."""
        if by_teams:
            request = served.dialog_request("INVITE", self.gateway.proxy, body=self.offer("teams"))
            sender, receiver, answer_body = self.teams, self.west, self.offer("west")
        else:
            request = call.dialog_request("INVITE", body=self.offer("west"))
            sender, receiver, answer_body = self.west, self.teams, self.offer("teams")
        arrived = receiver.wait(lambda m: m.is_request and m.method == "INVITE" and m.cseq == request.cseq
                                and m.call_id == call.call_id, what="new offer")
        receiver.reply(arrived, 200, headers=[("Contact", receiver.contact)], body=answer_body)
        answer = sender.wait(lambda m: m.status == 200 and m.cseq == request.cseq and m.method == "INVITE"
                             and m.call_id == call.call_id, what="answer")
        if by_teams:
            served.cseq -= 1
            served.dialog_request("ACK", self.gateway.proxy)
            to_teams, to_west = answer.body, arrived.body
        else:
            call.ack()
            to_teams, to_west = arrived.body, answer.body
        receiver.request("ACK", call_id=call.call_id)
        return to_teams, to_west

    def refused(self, served):
        """The service offers another key, and the other side does not want it."""
        body = self.offer("teams").replace(crypto_line(self.key), crypto_line(new_key()))
        request = served.dialog_request("INVITE", self.gateway.proxy, body=body)
        self.west.reply(self.west.wait(lambda m: m.is_request and m.method == "INVITE" and m.cseq == request.cseq
                                       and m.call_id == served.call_id, what="new offer"), 488)
        self.teams.wait(lambda m: m.status == 488 and m.cseq == request.cseq and m.call_id == served.call_id,
                        what="refusal")

    def test_audio_survives_new_offers_after_half_an_hour(self):
        call, served = self.established()
        self.both_hear()
        began = time.monotonic()
        self.talk(FRAMES)
        print(f"    {MINUTES} minutes of media both ways took {time.monotonic() - began:.1f} s", flush=True)
        self.assertGreater(self.media["teams"].sequence, 65536)
        self.both_hear()
        self.refused(served)
        self.both_hear()
        key = key_of(served.invite.body)
        for by_teams in (True, False):
            to_teams, to_west = self.re_invite(call, served, by_teams)
            self.connect(to_teams, to_west)
            if key_of(to_teams) != key:
                key = key_of(to_teams)
                self.media["teams"].secured(self.key, key)
            self.both_hear()
        call.dialog_request("BYE")
        served.ended()


if __name__ == "__main__":
    unittest.main()
