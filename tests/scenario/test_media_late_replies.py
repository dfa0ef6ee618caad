# SPDX-License-Identifier: GPL-2.0-or-later
"""A provisional response that comes too late takes nobody's media: of a site that was given up, or behind the answer."""

import shutil
import unittest

from harness import wait_until
from harness.media import FOUND, OUTSIDE
from harness.paths import ROOT
from harness.rtp import RtpEndpoint, media_of, new_key
from harness.sip import Message
from test_media_new_offers import OffersCase


def taking_late_answers(gateway):
    for name in ("trunkgate.cfg", "trunkgate-routes.cfg", "trunkgate-reply.cfg"):
        shutil.copy(ROOT / "kamailio-cfg" / name, gateway.folder.path)
    with open(gateway.folder / "trunkgate.cfg", "a", encoding="utf-8") as file:
        file.write('modparam("site_failover", "late_answer", "take")\n')
    return gateway.folder / "trunkgate.cfg"


class LateCase(OffersCase):
    def ringing(self):
        """A call of west, as it is at the site that gets it first."""
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        self.call_id = call.call_id
        return call, self.teams.served(call_id=call.call_id)

    def answered(self, call, served):
        served.reply(200, body=self.body("teams", "SRTP"))
        self.connected(call, served)

    def connected(self, call, served):
        answer = call.final(status=200)
        call.ack()
        served.acked()
        self.connect_as("west", "plain", answer.body)
        self.connect_as("teams", "SRTP", served.invite.body)
        self.both_hear()

    def responses(self):
        return self.gateway.kamailio.counter("core", "rcv_replies")

    def rings_late(self, served):
        """With SDP of another port, where nothing of the call may arrive."""
        other = self.second["teams"]
        before = self.responses()
        served.reply(183, body=self.body("teams", "SRTP", other, new_key()), tag="late")
        wait_until(lambda: self.responses() > before, 3, "it arrives")
        self.both_hear()
        self.assertEqual(other.received, [])


class TestGivenUpSite(LateCase):
    """The other site has the call."""

    def test_it_takes_neither_early_media_nor_those_of_the_call(self):
        call, given_up = self.ringing()
        second_site = self.gateway.peer["teams-2"]
        served = second_site.served(4, call.call_id)
        self.media["teams"] = self.start(RtpEndpoint(second_site.host))
        served.reply(183, body=self.body("teams", "SRTP"), headers=[("RSeq", 1), ("Require", "100rel")])
        early = call.provisional(183)
        self.connect_as("west", "plain", early.body)
        self.connect_as("teams", "SRTP", served.invite.body)
        self.both_hear()
        self.rings_late(given_up)
        served.reply(200, body="")
        call.final(status=200)
        call.ack()
        served.acked()
        self.rings_late(given_up)
        self.assertEqual(self.west.statuses(call_id=call.call_id).count(183), 1)


class TestLateAnswerTaken(LateCase):
    """late_answer=take: the site that was given up gets the call all the same, by its 200 alone."""

    CFG = staticmethod(taking_late_answers)

    def test_its_sdp_passes_and_that_of_the_other_site_does_not(self):
        call, given_up = self.ringing()
        other = self.gateway.peer["teams-2"].served(4, call.call_id)
        given_up.reply(183, body=self.body("teams", "SRTP", self.second["teams"], new_key()))
        self.answered(call, given_up)
        self.assertEqual(self.west.statuses(call_id=call.call_id).count(183), 0)
        self.rings_late(other)
        self.rings_late(given_up)


class TestBehindTheAnswer(LateCase):
    def test_a_provisional_that_the_answer_overtook(self):
        call, served = self.ringing()
        self.answered(call, served)
        self.rings_late(served)

    def test_the_other_branch_of_a_fork_before_us(self):
        """One INVITE that a proxy of the caller sends twice, one Call-ID, From tag and CSeq: each has its own media."""
        call, one = self.ringing()
        again = Message.parse(bytes(call.sent))
        again.headers[0][1] = self.west.via()
        self.west.send(again, self.gateway.proxy)
        two = self.teams.served(call_id=call.call_id)
        self.answered(call, one)
        self.rings_late(two)
        self.assertNotIn(media_of(call.provisional(183).body), (None, self.media["west"].remote))

    def test_an_offer_that_the_answer_overtook(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body="")
        served = self.teams.served(call_id=call.call_id)
        served.reply(200, body=self.body("teams", "SRTP"))
        answer = call.final(status=200)
        call.dialog_request("ACK", body=self.body("west", "plain"))
        self.connect_as("west", "plain", answer.body)
        self.connect_as("teams", "SRTP", served.acked().body)
        self.both_hear()
        self.rings_late(served)


class TestBehindTheAnswerAtTheRelay(LateCase):
    """rtpengine takes its time: the provisional comes while the answer waits for it."""

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.gateway.kamailio.call("cfg.set_now_int", "rtpengine", "rtpengine_tout_ms", 2000)

    def test_the_answer_holds(self):
        call, served = self.ringing()
        before = self.responses()
        self.gateway.rtpengine.freeze()
        try:
            served.reply(200, body=self.body("teams", "SRTP"))
            wait_until(lambda: self.responses() == before + 1, 3, "the answer arrives")
            served.reply(183, body=self.body("teams", "SRTP", self.second["teams"], new_key()), tag="late")
            wait_until(lambda: self.responses() == before + 2, 3, "the provisional arrives")
        finally:
            self.gateway.rtpengine.thaw()
        self.connected(call, served)
        self.assertEqual(self.second["teams"].received, [])


if __name__ == "__main__":
    unittest.main()
