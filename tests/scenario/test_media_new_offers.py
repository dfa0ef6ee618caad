# SPDX-License-Identifier: GPL-2.0-or-later
"""New offers within a call: one that comes to nothing changes nothing, and who was secured stays so."""

import re
import unittest

from harness import sdp, wait_until
from harness.media import FOUND, INTRUDER, OUTSIDE, MediaCase
from harness.rtp import RtpEndpoint, crypto_line, key_of, media_of, new_key
from harness.rtpengine import ask
from harness.sip import Endpoint


PLAIN_VIDEO = ("m=video 40100 RTP/AVP 96", "a=rtpmap:96 VP8/90000")


class OffersCase(MediaCase):
    """Each side's SDP and keys as the case wants them, from the first or the second port of the endpoint."""

    beside = ()  # lines of another media section

    def setUp(self):
        super().setUp()
        self.endpoint = {"west": self.west, "teams": self.teams}
        self.keys = {"west": new_key(), "teams": new_key()}
        self.second = {who: self.start(RtpEndpoint(endpoint.host)) for who, endpoint in self.endpoint.items()}

    def body(self, who, kind, media=None, key=None, lines=()):
        media, lines = media or self.media[who], [*lines, *self.beside]
        if kind == "plain":
            return sdp(media.host, media.port, lines=lines)
        return sdp(media.host, media.port, {"SRTP": "RTP/SAVP", "OSRTP": "RTP/AVP"}[kind],
                   [crypto_line(key or self.keys[who]), *lines])

    def connect_as(self, who, kind, got):
        """From now on this side's media go where that SDP leads, with its keys."""
        media = self.media[who]
        media.protect = media.unprotect = None
        if kind != "plain" and key_of(got):
            media.secured(self.keys[who], key_of(got))
        media.remote = media_of(got)

    def established_as(self, caller, kinds):
        """A call that this side began; kinds: {side: kind of its SDP}."""
        callee, numbers = other(caller), (FOUND, OUTSIDE) if caller == "west" else (OUTSIDE, FOUND)
        call = self.endpoint[caller].invite(self.gateway.proxy, *numbers, body=self.body(caller, kinds[caller]))
        served = self.endpoint[callee].served(call_id=call.call_id)
        served.reply(200, body=self.body(callee, kinds[callee]))
        answer = call.final(status=200)
        call.ack()
        served.acked()
        self.call_id = call.call_id
        self.dialogs = {caller: call, callee: served}
        self.connect_as(caller, kinds[caller], answer.body)
        self.connect_as(callee, kinds[callee], served.invite.body)
        self.both_hear()

    def send(self, who, method, body=""):
        dialog = self.dialogs[who]
        if hasattr(dialog, "proxy"):
            return dialog.dialog_request(method, body=body)
        return dialog.dialog_request(method, self.gateway.proxy, body=body)

    def arrives(self, who, method):
        return self.endpoint[who].request(method, call_id=self.call_id)

    def answer_to(self, who, request):
        return self.endpoint[who].wait(lambda m: m.status and m.status >= 200 and m.cseq == request.cseq and
                                       m.method == request.method and m.call_id == self.call_id, what="answer")

    def refused(self, who, method, body, status):
        """An offer that the other side answers so."""
        request = self.send(who, method, body)
        arrived = self.arrives(other(who), method)
        self.endpoint[other(who)].reply(arrived, status)
        self.assertEqual(self.answer_to(who, request).status, status)

    def ended_at_both(self):
        for endpoint in self.endpoint.values():
            bye = endpoint.request("BYE", call_id=self.call_id)
            self.assertIn("SIP;cause=488", bye.get("Reason"))
            endpoint.reply(bye, 200)

    def accepted(self, who, method, body, answer):
        """An offer and its answer. Returns what each side got."""
        request = self.send(who, method, body)
        arrived = self.arrives(other(who), method)
        self.endpoint[other(who)].reply(arrived, 200, headers=[("Contact", self.endpoint[other(who)].contact)],
                                        body=answer)
        answered = self.answer_to(who, request)
        self.assertEqual(answered.status, 200)
        if method == "INVITE":
            self.acknowledge(who)
        return {who: answered.body, other(who): arrived.body}

    def acknowledge(self, who):
        dialog = self.dialogs[who]
        dialog.cseq -= not hasattr(dialog, "proxy")
        self.send(who, "ACK")
        self.arrives(other(who), "ACK")

    def over(self):
        self.send("west", "BYE")
        self.endpoint["teams"].reply(self.arrives("teams", "BYE"), 200)
        wait_until(lambda: not ask(self.gateway.rtpengine.port, command="query", call_id=self.call_id).get("created"),
                   3, "the call is deleted")


def other(who):
    return "west" if who == "teams" else "teams"


class TestRefusedOffer(OffersCase):
    """RFC 3264 8: the session is as it was. Nobody's media is learned: it must come from the address in the SDP."""

    LIMITED = ("west", "teams-1")
    KINDS = {"west": "plain", "teams": "SRTP"}

    def offers(self, who):
        """(what, SDP)"""
        kind = self.KINDS[who]
        yield "other port and key", self.body(who, kind, self.second[who], new_key())
        yield "hold", self.body(who, kind, lines=["a=inactive"])
        yield "other session", self.body(who, kind, self.second[who]) + "m=video 5 RTP/AVP 96\r\n" * (kind == "plain")

    def test_both_hear_as_before(self):
        lost = self.counter("not_restored")
        for caller in self.endpoint:
            self.established_as(caller, self.KINDS)
            for who in self.endpoint:
                for method, status in (("INVITE", 488), ("UPDATE", 491)):
                    for what, body in self.offers(who):
                        with self.subTest(f"{caller} called, {method} of {who}: {what}, {status}"):
                            self.refused(who, method, body, status)
                            self.both_hear()
            self.over()
        for media in self.second.values():
            self.assertEqual(media.received, [])
        self.assertEqual(self.plain_on_the_secured_leg(), [])
        self.assertEqual(self.counter("not_restored"), lost)
        self.assertNotIn("unknown address family", self.gateway.kamailio.log())

    def test_what_holds_is_the_last_that_was_agreed(self):
        self.established_as("west", self.KINDS)
        for who in self.endpoint:
            self.media[who], self.second[who] = self.second[who], self.media[who]
            self.keys[who] = new_key()
            got = self.accepted(who, "UPDATE", self.body(who, self.KINDS[who]), self.body(other(who), self.KINDS[other(who)]))
            for side in self.endpoint:
                self.connect_as(side, self.KINDS[side], got[side])
            self.both_hear()
            for refuser in self.endpoint:
                self.refused(refuser, "INVITE", next(self.offers(refuser))[1], 488)
                self.both_hear()
        self.over()

    def test_offers_that_cross_change_nothing(self):
        self.established_as("west", self.KINDS)
        sent = {who: self.send(who, "INVITE", next(self.offers(who))[1]) for who in self.endpoint}
        arrived = {who: self.arrives(who, "INVITE") for who in self.endpoint}
        for who, request in arrived.items():
            self.endpoint[who].reply(request, 491, reason="Request Pending")
        for who, request in sent.items():
            self.assertEqual(self.answer_to(who, request).status, 491)
        self.both_hear()
        self.over()

    def test_an_offer_that_follows_a_refusal_at_once_is_in_force(self):
        self.established_as("west", self.KINDS)
        for _ in range(20):
            refused = self.send("west", "UPDATE", next(self.offers("west"))[1])
            arrived = self.arrives("teams", "UPDATE")
            self.media["teams"], self.second["teams"] = self.second["teams"], self.media["teams"]
            self.keys["teams"] = new_key()
            self.teams.reply(arrived, 488)
            got = self.accepted("teams", "UPDATE", self.body("teams", "SRTP"), self.body("west", "plain"))
            self.assertEqual(self.answer_to("west", refused).status, 488)
            for side in self.endpoint:
                self.connect_as(side, self.KINDS[side], got[side])
            self.both_hear()
        self.over()

    def test_a_restart_of_kamailio_forgets_what_was_agreed(self):
        self.established_as("west", self.KINDS)
        self.gateway.kamailio.stop()
        self.gateway.restart_kamailio()
        before = self.counter("not_restored")
        self.refused("west", "UPDATE", next(self.offers("west"))[1], 488)
        self.assertEqual(self.counter("not_restored"), before + 1)
        self.assertIn("rtpengine keeps an offer that was refused", self.gateway.kamailio.log())
        got = self.accepted("west", "UPDATE", self.body("west", "plain"), self.body("teams", "SRTP"))
        for _ in range(2):
            for side in self.endpoint:
                self.connect_as(side, self.KINDS[side], got[side])
            self.both_hear()
            self.refused("west", "UPDATE", next(self.offers("west"))[1], 488)
        self.over()

    def test_an_answer_that_we_refuse_ends_the_call_for_both(self):
        # whoever gave it has changed already, and nobody can take that back
        for caller, asks in (("west", "west"), ("west", "teams"), ("teams", "west")):
            with self.subTest(f"{caller} called, {asks} offers"):
                self.established_as(caller, self.KINDS)
                answers = other(asks)
                request = self.send(asks, "UPDATE", self.body(asks, self.KINDS[asks], self.second[asks]))
                wrong = {"teams": self.body("teams", "plain"), "west": self.body("west", "SRTP")}[answers]
                self.endpoint[answers].reply(self.arrives(answers, "UPDATE"), 200, body=wrong,
                                             headers=[("Contact", self.endpoint[answers].contact)])
                self.assertEqual(self.answer_to(asks, request).status, 488)
                self.ended_at_both()
                wait_until(lambda: self.live_calls() == 0, 3, "the call counts no more")
                self.assertEqual(self.plain_on_the_secured_leg(), [])

    def test_bye_of_a_refused_answer_goes_the_way_of_its_request(self):
        proxy = f"<sip:{self.teams.host}:{self.teams.port};lr;proxy=teams>"
        stranger = self.start(Endpoint(INTRUDER))
        contact = [("Contact", stranger.contact)]
        for method in ("INVITE", "UPDATE"):
            with self.subTest(method):
                call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
                served = self.teams.served(call_id=call.call_id)
                served.invite.headers.insert(0, ["Record-Route", proxy])
                self.teams.reply(served.invite, 200, served.tag, contact, self.body("teams", "SRTP"))
                call.final(status=200)
                call.ack()
                self.call_id, self.dialogs = call.call_id, {"west": call, "teams": served}
                request = call.dialog_request(method, body=self.body("west", "plain"),
                                              changes=lambda message: message.set("Contact", stranger.contact))
                arrived = self.arrives("teams", method)
                self.assertEqual(arrived.all("Route"), [proxy])
                self.teams.reply(arrived, 200, headers=contact, body=self.body("teams", "plain"))
                self.assertEqual(self.answer_to("west", request).status, 488)
                self.ended_at_both()
                for received in self.teams.requests("BYE", self.call_id) + self.teams.requests("ACK", self.call_id):
                    self.assertEqual((received.all("Route"), f"<{received.uri}>"), ([proxy], stranger.contact))
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        served = self.teams.served(call_id=call.call_id)
        self.teams.reply(served.invite, 200, served.tag, contact, self.body("teams", "plain"))
        call.final(status=488)
        served.acked()
        self.ended_by_us(self.teams, call)
        self.assertEqual(stranger.seen(lambda message: True), [], "nobody is led to a stranger")

    def test_the_first_call_has_nothing_to_go_back_to(self):
        before = self.counter("restored"), self.counter("not_restored")
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        self.teams.served(call_id=call.call_id).reply(486)
        self.assertEqual(call.final().status, 486)
        self.assertEqual((self.counter("restored"), self.counter("not_restored")), before)


class TestRepeatedResponse(OffersCase):
    """What an earlier transaction says once more is of no newer offer."""

    LIMITED = ("west", "teams-1")
    KINDS = {"west": "plain", "teams": "SRTP"}

    def answers(self, request, status):
        body = self.body("teams", "SRTP") if status == 200 else ""
        self.teams.reply(request, status, headers=[("Contact", self.teams.contact)], body=body)

    def swap(self, who):
        self.media[who], self.second[who] = self.second[who], self.media[who]

    def offered(self, method):
        """An offer of west from its other port, as it arrives."""
        self.swap("west")
        request = self.send("west", method, self.body("west", "plain"))
        return request, self.teams.wait(lambda m: m.method == method and m.is_request and m.cseq == request.cseq)

    def took(self, offer, arrived):
        answer = self.answer_to("west", offer)
        self.assertEqual(answer.status, 200)
        if offer.method == "INVITE":
            self.acknowledge("west")
        self.connect_as("west", "plain", answer.body)
        self.connect_as("teams", "SRTP", arrived.body)
        self.both_hear()

    def test_a_refusal_again_leaves_the_newer_offer(self):
        self.established_as("west", self.KINDS)
        for method in ("INVITE", "UPDATE"):
            with self.subTest(method):
                restored = self.counter("restored")
                first, arrived = self.offered(method)
                self.answers(arrived, 488)
                self.assertEqual(self.answer_to("west", first).status, 488)
                wait_until(lambda: self.counter("restored") == restored + 1, 3, "it is undone")
                self.swap("west")
                second, again = self.offered(method)
                self.repeat(arrived, 488)
                self.answers(again, 200)
                self.took(second, again)
                self.assertEqual(self.counter("restored"), restored + 1)
                self.refused("teams", "UPDATE", self.body("teams", "SRTP", self.second["teams"], new_key()), 488)
                self.both_hear()
        self.over()

    def test_an_answer_again_is_none_to_the_newer_offer(self):
        self.established_as("west", self.KINDS)
        for method in ("UPDATE", "INVITE"):
            with self.subTest(method):
                counts = self.counter("restored"), self.counter("not_restored")
                first, arrived = self.offered(method)
                self.answers(arrived, 200)
                self.took(first, arrived)
                second, again = self.offered("UPDATE")
                self.swap("west")
                self.repeat(arrived, 200)
                self.answers(again, 488)
                self.assertEqual(self.answer_to("west", second).status, 488)
                self.both_hear()
                self.assertEqual((self.counter("restored"), self.counter("not_restored")), (counts[0] + 1, counts[1]))
        self.over()

    def test_an_answer_again_changes_nothing_after_a_newer_one(self):
        self.established_as("west", self.KINDS)
        old = self.body("teams", "SRTP")
        first, arrived = self.offered("UPDATE")
        self.answers(arrived, 200)
        self.took(first, arrived)
        self.swap("teams")
        second, again = self.offered("UPDATE")
        self.answers(again, 200)
        self.took(second, again)
        self.repeat(arrived, 200, old)
        self.both_hear()
        self.over()

    def repeat(self, request, status, body=None):
        """Once more, and it has arrived."""
        before = self.responses()
        self.teams.reply(request, status, headers=[("Contact", self.teams.contact)],
                         body=body or (self.body("teams", "SRTP") if status == 200 else ""))
        wait_until(lambda: self.responses() > before, 3, "it arrives")

    def responses(self):
        return self.gateway.kamailio.counter("core", "rcv_replies")


class TestDeadRelay(OffersCase):
    KINDS = {"west": "plain", "teams": "SRTP"}

    def test_call_goes_on_and_has_its_relay_again(self):
        self.established_as("west", self.KINDS)
        self.gateway.rtpengine.freeze()
        try:
            request = self.send("west", "UPDATE", self.body("west", "plain"))
            self.assertEqual(self.answer_to("west", request).status, 503)
        finally:
            self.gateway.rtpengine.thaw()
        self.both_hear()
        self.gateway.kamailio.call("rtpengine.enable", "all", "1")
        got = self.accepted("west", "UPDATE", self.body("west", "plain"), self.body("teams", "SRTP"))
        for who, kind in self.KINDS.items():
            self.connect_as(who, kind, got[who])
        self.both_hear()
        self.over()


class TestLateOfferSaidTwice(OffersCase):
    """It was answered, and does not wait again: what a refusal brings back is offer and answer."""

    LIMITED = ("west", "teams-1")
    KINDS = {"west": "plain", "teams": "SRTP"}

    def invited(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body="")
        served = self.teams.served(call_id=call.call_id)
        self.call_id, self.dialogs = call.call_id, {"west": call, "teams": served}
        return call, served

    def connect(self, offer, answer):
        self.connect_as("west", "plain", offer.body)
        self.connect_as("teams", "SRTP", answer.body)
        self.both_hear()

    def both_hear_after_refusals(self):
        for who in self.endpoint:
            self.refused(who, "UPDATE", self.body(who, self.KINDS[who], self.second[who], new_key()), 488)
            self.both_hear()
        self.over()

    def test_in_a_200_that_comes_again_after_the_ack(self):
        call, served = self.invited()
        served.reply(200, body=self.body("teams", "SRTP"))
        offer = call.final(status=200)
        call.dialog_request("ACK", body=self.body("west", "plain"))
        self.connect(offer, served.acked())
        served.reply(200, body=self.body("teams", "SRTP"))
        wait_until(lambda: self.west.statuses(call_id=self.call_id).count(200) == 2, 3, "it is passed on")
        self.both_hear_after_refusals()

    def test_in_the_200_after_a_prack(self):
        call, served = self.invited()
        served.reply(183, body=self.body("teams", "SRTP"), headers=[("RSeq", 1), ("Require", "100rel")])
        call.answer = offer = call.provisional(183)
        call.dialog_request("PRACK", body=self.body("west", "plain"), headers=[("RAck", "1 1 INVITE")])
        prack = self.teams.request("PRACK", call_id=self.call_id)
        self.teams.reply(prack, 200)
        served.reply(200, body=self.body("teams", "SRTP"))
        call.final(status=200)
        self.acknowledge("west")
        self.connect(offer, prack)
        self.both_hear_after_refusals()


class TestUnansweredOffer(OffersCase):
    """Nobody refused it: tm did, or it could not be sent."""

    LIMITED = ("west", "teams-1")
    KINDS = {"west": "plain", "teams": "SRTP"}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.gateway.kamailio.call("cfg.set_now_int", "tm", "fr_timer", 700)
        cls.gateway.kamailio.call("cfg.set_now_int", "tm", "fr_inv_timer", 700)

    def test_both_hear_as_before(self):
        self.established_as("west", self.KINDS)
        for who in self.endpoint:
            for method in ("UPDATE", "INVITE"):
                with self.subTest(f"{method} of {who}"):
                    before = self.counter("restored"), self.counter("not_restored")
                    sent = self.send(who, method, self.body(who, self.KINDS[who], self.second[who], new_key()))
                    self.assertEqual(self.answer_to(who, sent).status, 408)
                    wait_until(lambda: self.counter("restored") == before[0] + 1, 3, "it is undone")
                    self.both_hear()
                    self.assertEqual(self.counter("not_restored"), before[1])
        self.over()


class TestUnsentOffer(OffersCase):
    LIMITED = ("west", "teams-1")
    KINDS = {"west": "plain", "teams": "SRTP"}
    SIGNALLING = {"teams-oc": "TCP"}

    def test_both_hear_as_before(self):
        self.established_as("west", self.KINDS)
        self.teams.stop()
        before = self.counter("restored"), self.counter("not_restored")
        sent = self.send("west", "UPDATE", self.body("west", "plain", self.second["west"]))
        self.assertEqual(self.answer_to("west", sent).status, 503)
        wait_until(lambda: self.counter("restored") == before[0] + 1, 3, "it is undone")
        self.both_hear()
        self.assertEqual(self.counter("not_restored"), before[1])


class TestRefusedFax(OffersCase):
    """T.38 that the other side does not speak: the call goes on as speech, without a new offer."""

    MEDIA, LIMITED = {}, ("west", "teams-1")

    def test_both_hear_as_before(self):
        self.established_as("west", {"west": "plain", "teams": "plain"})
        for who in self.endpoint:
            fax = self.body(who, "plain").split("m=")[0] + "m=image 45000 udptl t38\r\na=T38FaxVersion:0\r\n"
            self.refused(who, "INVITE", fax, 488)
            self.both_hear()
        self.over()


class TestOptionalStaysSecured(OffersCase):
    MEDIA = {"teams-oc": "SRTP-optional"}

    def downgrades(self, caller, upgraded):
        """Every way in which teams, who has been secured, may try to become plain."""
        for way in ("INVITE", "UPDATE answer") if upgraded else ("UPDATE", "INVITE", "UPDATE answer", "INVITE answer"):
            with self.subTest(f"{caller} called, {upgraded}, {way}"):
                self.established_as(caller, {"west": "plain", "teams": "plain" if upgraded else "OSRTP"})
                if upgraded:
                    got = self.accepted("teams", "UPDATE", self.body("teams", "OSRTP"), self.body("west", "plain"))
                    for who in self.endpoint:
                        self.connect_as(who, {"teams": "OSRTP", "west": "plain"}[who], got[who])
                    self.both_hear()
                self.downgrade(way)

    def downgrade(self, way):
        method, _, answers = way.partition(" ")
        request = self.send("west" if answers else "teams", method, self.body("west" if answers else "teams", "plain"))
        if not answers:
            self.assertEqual(self.answer_to("teams", request).status, 488)
        else:
            self.teams.reply(self.arrives("teams", method), 200, headers=[("Contact", self.teams.contact)],
                             body=self.body("teams", "plain"))
            self.assertEqual(self.answer_to("west", request).status, 488)
            self.ended_at_both()
            return
        self.both_hear()
        got = self.accepted("west", "UPDATE", self.body("west", "plain"), self.body("teams", "OSRTP"))
        self.assertIsNotNone(key_of(got["teams"]))
        self.both_hear()
        self.over()

    def test_who_called_and_who_was_called(self):
        for caller in self.endpoint:
            self.downgrades(caller, upgraded="")

    def test_who_became_secured_later(self):
        for caller in self.endpoint:
            self.downgrades(caller, upgraded="secured later")

    def test_an_announcement_with_keys_binds_nobody_else(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        served = self.teams.served(call_id=call.call_id)
        served.reply(183, body=self.body("teams", "OSRTP"), tag="announcement")
        call.provisional(183)
        served.reply(200, body=self.body("teams", "plain"))
        self.connect_as("west", "plain", call.final(status=200).body)
        self.connect_as("teams", "plain", served.invite.body)
        call.ack()
        served.acked()
        self.both_hear()

    def test_another_answer_to_the_same_offer_is_no_way_back(self):
        self.established_as("west", {"west": "plain", "teams": "OSRTP"})
        refused = self.counter("refused_plain")
        self.dialogs["teams"].reply(200, body=self.body("teams", "plain"))
        wait_until(lambda: self.counter("refused_plain") == refused + 1, 3, "it is refused")
        self.both_hear()
        self.assertEqual(len(self.dialogs["west"].finals()), 1)
        self.over()

    def test_a_200_without_sdp_makes_the_answer_before_it_the_last(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        served = self.teams.served(call_id=call.call_id)
        self.call_id, self.dialogs = call.call_id, {"west": call, "teams": served}
        served.reply(183, body=self.body("teams", "OSRTP"), headers=[("RSeq", 1), ("Require", "100rel")])
        self.connect_as("west", "plain", call.provisional(183).body)
        self.connect_as("teams", "OSRTP", served.invite.body)
        served.reply(200, body="")
        call.final(status=200)
        call.ack()
        served.acked()
        refused = self.counter("refused_plain")
        served.reply(200, body=self.body("teams", "plain"))
        wait_until(lambda: self.counter("refused_plain") == refused + 1, 3, "it is refused")
        self.both_hear()
        self.over()


class TestMemory(OffersCase):
    def used(self):
        return int(re.search(r"real_used: (\d+)", self.gateway.kamailio.call("core.shmmem")).group(1))

    def test_ended_calls_leave_nothing(self):
        def calls(count):
            for _ in range(count):
                self.established_as("west", {"west": "plain", "teams": "SRTP"})
                self.refused("west", "UPDATE", self.body("west", "plain", self.second["west"]), 488)
                self.send("west", "UPDATE", self.body("west", "plain") + "a=x:" + "x" * 3000 + "\r\n")
                self.endpoint["teams"].reply(self.arrives("teams", "UPDATE"), 200, body=self.body("teams", "SRTP"))
                self.over()
        calls(1)
        wait_until(lambda: self.gateway.kamailio.transactions() == 0, 20, "transactions end")
        before = self.used()
        calls(20)
        wait_until(lambda: self.gateway.kamailio.transactions() == 0, 20, "transactions end")
        self.assertLess(self.used() - before, 20 * 1500)


class TestBestEffort(OffersCase):
    """Of a secured and a plain section for the same media, the callee takes one."""

    MEDIA = {"teams-oc": "SRTP-optional"}

    def test_a_section_that_was_rejected_binds_nobody(self):
        media, west = self.media["teams"], self.media["west"]
        plain = f"m=audio {media.port} RTP/AVP 8\r\n"
        call = self.teams.invite(self.gateway.proxy, OUTSIDE, FOUND, body=self.body("teams", "SRTP") + plain)
        served = self.west.served(call_id=call.call_id)
        served.reply(200, body=sdp(west.host, 0) + f"m=audio {west.port} RTP/AVP 8\r\n")
        call.final(status=200)
        call.ack()
        served.acked()
        self.call_id, self.dialogs = call.call_id, {"teams": call, "west": served}
        rejected = "m=audio 0 RTP/AVP 8\r\n"
        got = self.accepted("teams", "UPDATE", self.body("teams", "plain") + rejected,
                            self.body("west", "plain") + rejected)
        for who in self.endpoint:
            self.connect_as(who, "plain", got[who])
        self.both_hear()
        self.over()


class TestOneOfTwoStreamsStaysSecured(TestOptionalStaysSecured):
    """Each call has a plain second stream."""

    beside = PLAIN_VIDEO

    def test_the_other_stream_may_stay_plain(self):
        for caller in self.endpoint:
            self.established_as(caller, {"west": "plain", "teams": "OSRTP"})
            for method in ("INVITE", "UPDATE"):
                got = self.accepted("teams", method, self.body("teams", "OSRTP"), self.body("west", "plain"))
                self.assertEqual(got["west"].count("m="), 2)
                self.connect_as("west", "plain", got["west"])
                self.connect_as("teams", "OSRTP", got["teams"])
                self.both_hear()
            self.over()


if __name__ == "__main__":
    unittest.main()
