# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has been secured stays so when Kamailio is started again: rtpengine keeps it, and is asked once."""

import unittest

from harness import sdp, wait_until
from harness.media import FOUND, OUTSIDE
from harness.rtpengine import debian13
from test_media_new_offers import PLAIN_VIDEO, OffersCase, other

FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
# what was agreed at first, and what teams offered later: (kind of teams, caller, kind of the later offer)
SECURED = {
    "answered with keys": ("OSRTP", "west", None),
    "answered with SRTP": ("SRTP", "west", None),
    "keys later": ("plain", "west", "OSRTP"),
    "DTLS-SRTP later": ("plain", "west", "DTLS"),
    "the caller, keys later": ("plain", "teams", "OSRTP"),
}
WAYS = ("INVITE", "UPDATE", "UPDATE answer", "INVITE answer", "INVITE answer offers")


class Talk:
    """One of several calls at a time: the case's call_id and dialogs while it is in hand."""

    def __init__(self, case, kind, caller="west", later=None):
        self.case = case
        callee, numbers = other(caller), (FOUND, OUTSIDE) if caller == "west" else (OUTSIDE, FOUND)
        kinds = {"west": "plain", "teams": kind}
        call = case.endpoint[caller].invite(case.gateway.proxy, *numbers, body=case.body(caller, kinds[caller]))
        served = case.endpoint[callee].served(call_id=call.call_id)
        served.reply(200, body=case.body(callee, kinds[callee]))
        call.final(status=200)
        call.ack()
        served.acked()
        self.call_id, self.dialogs = call.call_id, {caller: call, callee: served}
        self.take()
        if later:
            case.accepted("teams", "UPDATE", case.body("teams", later), case.body("west", "plain"))

    def take(self):
        self.case.call_id, self.case.dialogs = self.call_id, self.dialogs


class RestartCase(OffersCase):
    MEDIA = {"teams-oc": "SRTP-optional"}

    def body(self, who, kind, *args, **words):
        if kind == "DTLS":
            media = self.media[who]
            return sdp(media.host, media.port, "UDP/TLS/RTP/SAVP", [FINGERPRINT, "a=setup:actpass"])
        return super().body(who, kind, *args, **words)

    def restart(self):
        self.gateway.kamailio.kill()
        self.gateway.restart_kamailio()

    def queries(self):
        """How often rtpengine was asked."""
        return self.gateway.rtpengine.ng("statistics")["statistics"]["controlstatistics"]["totalquerycount"]

    def offered(self, who, kind, method="UPDATE"):
        """The final answer to an offer that the other side, if it gets it, takes in the clear."""
        request = self.send(who, method, self.body(who, kind))
        return self.answer_to(who, request)

    def passes(self, who, kind, answer="plain", method="UPDATE"):
        return self.accepted(who, method, self.body(who, kind), self.body(other(who), answer))

    def downgrade(self, way):
        """Teams tries to become plain."""
        method, *answers = way.split()
        if not answers:
            self.assertEqual(self.offered("teams", "plain", method).status, 488)
            return
        offer = "" if "offers" in answers else self.body("west", "plain")
        request = self.send("west", method, offer)
        arrived = self.arrives("teams", method)
        if offer:
            self.assertRegex(arrived.body, "a=(crypto|fingerprint):")
        self.teams.reply(arrived, 200, headers=[("Contact", self.teams.contact)], body=self.body("teams", "plain"))
        self.assertEqual(self.answer_to("west", request).status, 488)


class TestRestart(RestartCase):
    def test_who_was_secured_stays_so(self):
        talks = {(name, way): Talk(self, *row) for name, row in SECURED.items() for way in WAYS}
        before = self.queries()
        self.restart()
        for (name, way), talk in talks.items():
            with self.subTest(f"{name}: {way}"):
                talk.take()
                self.downgrade(way)
                if "answer" not in way:  # that ends the call
                    self.downgrade("UPDATE")
                    self.passes("teams", "OSRTP")
        self.assertEqual(self.queries(), before + len(talks))
        self.assertEqual(self.counter("recalled"), len(talks))

    def test_so_does_one_of_two_streams(self):
        self.beside = PLAIN_VIDEO
        talks = {(name, way): Talk(self, *SECURED[name]) for name in ("answered with keys", "keys later") for way in WAYS}
        self.restart()
        for (name, way), talk in talks.items():
            with self.subTest(f"{name}: {way}"):
                talk.take()
                self.downgrade(way)
                if "answer" not in way:
                    self.passes("teams", "OSRTP")

    def test_both_hear_as_before(self):
        self.established_as("west", {"west": "plain", "teams": "OSRTP"})
        self.restart()
        self.assertEqual(self.offered("teams", "plain").status, 488)
        self.both_hear()
        self.assertEqual(self.plain_on_the_secured_leg(), [])
        self.over()

    def test_who_was_plain_may_stay_so(self):
        talks = [Talk(self, "plain", caller) for caller in self.endpoint]
        for talk in talks:
            talk.take()
            self.passes("teams", "plain", method="INVITE")
        self.restart()
        for talk in talks:
            talk.take()
            self.refused("teams", "UPDATE", self.body("teams", "OSRTP"), 488)
            for who in self.endpoint:
                self.passes(who, "plain")
                self.passes(who, "plain", method="INVITE")
            self.passes("teams", "OSRTP")
            self.downgrade("UPDATE")

    def test_an_early_answer_is_as_loose_as_before(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        served = self.teams.served(call_id=call.call_id)
        served.reply(183, body=self.body("teams", "OSRTP"), tag="announcement")
        call.provisional(183)
        self.restart()
        served.reply(200, body=self.body("teams", "plain"))
        call.final(status=200)
        call.ack()
        served.acked()
        self.call_id, self.dialogs = call.call_id, {"west": call, "teams": served}
        self.passes("teams", "plain")
        self.passes("west", "plain")

    def test_a_call_that_rtpengine_lost_begins_anew(self):
        talk = Talk(self, "OSRTP")
        self.gateway.rtpengine.ng("delete", call_id=talk.call_id, delete_delay=0)
        self.restart()
        self.passes("teams", "plain")
        self.passes("teams", "OSRTP")
        self.downgrade("UPDATE")

    def test_without_rtpengine_nothing_passes(self):
        Talk(self, "OSRTP")
        self.restart()
        self.gateway.rtpengine.freeze()
        try:
            self.assertEqual(self.offered("teams", "plain").status, 503)
        finally:
            self.gateway.rtpengine.thaw()
        wait_until(lambda: self.offered("teams", "plain").status != 503, 10, "rtpengine is asked again")
        self.downgrade("INVITE")

    def test_without_a_restart_nothing_is_asked(self):
        before = self.queries()
        for row in SECURED.values():
            Talk(self, *row)
            self.downgrade("UPDATE")
            self.downgrade("INVITE")
            self.passes("teams", "OSRTP", method="INVITE")
            self.passes("west", "plain", "OSRTP")
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body="")
        served = self.teams.served(call_id=call.call_id)
        served.reply(200, body=self.body("teams", "OSRTP"))
        call.final(status=200)
        call.dialog_request("ACK", body=self.body("west", "plain"))
        served.acked()
        self.assertEqual(self.queries(), before)


class TestRestartDebian13(TestRestart):
    ROOT = debian13


if __name__ == "__main__":
    unittest.main()
