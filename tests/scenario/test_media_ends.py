# SPDX-License-Identifier: GPL-2.0-or-later
"""When a call's media end in rtpengine, and what was agreed is forgotten: at its own end, and at nobody else's."""

import unittest

from harness import wait_until
from harness.media import FOUND, OUTSIDE
from harness.rtpengine import ask
from test_media_new_offers import OffersCase


class EndsCase(OffersCase):
    KINDS = {"west": "plain", "teams": "SRTP"}

    def relayed(self, call_id=None):
        return bool(ask(self.gateway.rtpengine.port, command="query", call_id=call_id or self.call_id).get("created"))

    def media_end(self):
        wait_until(lambda: not self.relayed(), 3, "the call is deleted")

    def media_go_on(self):
        """Ended calls are deleted in their order: one that fails after it is gone, this one is not."""
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        served = self.teams.served(call_id=call.call_id)
        self.assertTrue(self.relayed(call.call_id))
        served.reply(486)
        call.final(status=486)
        wait_until(lambda: not self.relayed(call.call_id), 3, "the other call is deleted")
        self.assertTrue(self.relayed())


class TestByeOfAnotherDialog(EndsCase):
    def test_of_two_answers_each_has_its_own_end(self):
        """RFC 3261 13.2.2.4: the caller ends the one that he does not want."""
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        served = self.teams.served(call_id=call.call_id)
        self.call_id = call.call_id
        answers = {}
        for tag in ("one", "two"):
            served.reply(200, body=self.body("teams", "SRTP"), tag=tag)
            answers[tag] = self.west.wait(lambda m: m.status == 200 and m.tag("To") == tag and
                                          m.call_id == call.call_id, what=tag)
        for tag in ("two", "one"):
            call.answer, call.remote = answers[tag], answers[tag].get("To")
            call.ack()
            served.acked()
            call.dialog_request("BYE")
            served.ended()
            self.west.response(200, "BYE", call_id=call.call_id)
            if tag == "two":
                self.media_go_on()
        self.media_end()
        self.assertEqual(self.live_calls(), 0)


class TestByeOfNobody(EndsCase):
    MEDIA = {"teams-oc": "SRTP-optional"}

    def test_forged_tag_ends_nothing_and_who_was_secured_stays_so(self):
        for status in (481, 200):
            self.established_as("west", {"west": "plain", "teams": "OSRTP"})
            served = self.dialogs["teams"]
            tag, served.tag = served.tag, "forged"
            self.send("teams", "BYE")
            served.tag = tag
            self.west.reply(self.arrives("west", "BYE"), status)
            self.teams.response(status, "BYE", call_id=self.call_id)
            self.media_go_on()
            self.both_hear()
            request = self.send("teams", "UPDATE", self.body("teams", "plain"))
            self.assertEqual(self.answer_to("teams", request).status, 488)
            self.over()
            self.assertEqual(self.live_calls(), 0)

    def test_call_of_before_a_restart_ends_by_the_answer_to_its_bye(self):
        self.established_as("west", {"west": "plain", "teams": "OSRTP"})
        self.gateway.kamailio.stop()
        self.gateway.restart_kamailio()
        served = self.dialogs["teams"]
        tag, served.tag = served.tag, "forged"
        self.send("teams", "BYE")
        served.tag = tag
        self.west.reply(self.arrives("west", "BYE"), 481)
        self.teams.response(481, "BYE", call_id=self.call_id)
        self.media_go_on()
        self.over()


class TestByeWithoutAPeer(EndsCase):
    def test_call_of_before_a_restart_whose_peer_has_another_name(self):
        self.established_as("west", self.KINDS)
        document = self.gateway.document()
        for group in document["peerGroups"]:
            for peer in group["peers"]:
                peer["name"] = peer["name"].replace("teams-1", "teams-one")
        self.gateway.load(document)
        self.addCleanup(self.gateway.load)
        self.gateway.kamailio.stop()
        self.gateway.restart_kamailio()
        self.over()


class TestEarlyOffers(EndsCase):
    def ringing(self):
        """Neither INVITE nor 183 has an offer."""
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body="")
        served = self.teams.served(call_id=call.call_id)
        served.reply(183, body="")
        call.provisional(183)
        self.call_id, self.dialogs = call.call_id, {"west": call, "teams": served}
        return call, served

    def failed(self, call, served):
        served.reply(486)
        call.final(status=486)

    def test_early_dialog_is_no_live_call(self):
        call, served = self.ringing()
        self.accepted("teams", "UPDATE", self.body("teams", "SRTP"), self.body("west", "plain"))
        self.assertEqual(self.live_calls(), 0)
        self.failed(call, served)
        self.assertEqual(self.live_calls(), 0)

    def test_it_is_one_when_it_is_answered(self):
        call, served = self.ringing()
        self.accepted("teams", "UPDATE", self.body("teams", "SRTP"), self.body("west", "plain"))
        served.reply(200, body="")
        call.final(status=200)
        call.ack()
        served.acked()
        wait_until(lambda: self.live_calls() == 1, 3, "it counts")
        self.assertTrue(self.relayed())
        self.over()
        self.assertEqual(self.live_calls(), 0)

    def test_refused_answer_leaves_the_early_dialog_and_other_forks_as_they_were(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        served = self.teams.served(call_id=call.call_id)
        served.reply(183, body=self.body("teams", "SRTP"), tag="early")
        early = call.provisional(183)
        call.answer, call.remote = early, early.get("To")
        self.call_id, self.dialogs = call.call_id, {"west": call, "teams": served}
        request = self.send("west", "UPDATE", self.body("west", "plain", self.second["west"]))
        self.teams.reply(self.arrives("teams", "UPDATE"), 200, body=self.body("teams", "plain"),
                         headers=[("Contact", self.teams.contact)])
        self.assertEqual(self.answer_to("west", request).status, 488)
        served.reply(200, body=self.body("teams", "SRTP"), tag="of-another")
        answer = call.final(status=200)
        call.answer, call.remote = answer, answer.get("To")
        call.ack()
        served.acked()
        self.connect_as("west", "plain", answer.body)
        self.connect_as("teams", "SRTP", served.invite.body)
        self.both_hear()
        self.assertEqual(self.teams.requests("BYE", call.call_id) + self.west.requests("BYE", call.call_id), [])
        call.dialog_request("BYE")
        self.teams.reply(self.arrives("teams", "BYE"), 200)
        self.media_end()

    def test_media_of_an_early_update_end_with_the_invite(self):
        call, served = self.ringing()
        self.accepted("teams", "UPDATE", self.body("teams", "SRTP"), self.body("west", "plain"))
        self.assertTrue(self.relayed())
        self.failed(call, served)
        self.media_end()

    def test_media_of_an_early_update_that_nobody_answers_end_too(self):
        call, served = self.ringing()
        self.send("teams", "UPDATE", self.body("teams", "SRTP"))
        self.arrives("west", "UPDATE")
        self.assertTrue(self.relayed())
        self.failed(call, served)
        self.media_end()


if __name__ == "__main__":
    unittest.main()
