# SPDX-License-Identifier: GPL-2.0-or-later
"""What is refused leaves no plain media on the wire, and nobody from elsewhere is heard."""

import json
import unittest

from harness import sdp, wait_until
from harness.media import FOUND, INTRUDER, INTRUDERS_TONE, OUTSIDE, TONES, MediaCase
from harness.rtp import RtpEndpoint, crypto_line, key_of, media_of, new_key, samples_of, share_of, tone
from harness.rtpengine import ask
from harness.sip import Message
from harness.stun import StunResponder


class TestRefusedAnswers(MediaCase):
    def test_caller_gets_one_final_answer_the_callee_ack_and_bye_and_no_plain_rtp_passes(self):
        for body, warning in ((self.plain("teams"), "SRTP"),
                              (self.secure("teams", "AES_CM_128_HMAC_SHA1_32"), "AES_CM_128_HMAC_SHA1_32"),
                              (sdp(self.teams.host, self.media["teams"].port, "RTP/SAVP"), "key")):
            with self.subTest(warning):
                call, served = self.call()
                to_teams = media_of(served.invite.body)
                for _ in range(2):  # and its retransmission
                    served.reply(200, body=body)
                    served.acked()
                answer = call.final()
                self.ended_by_us(self.teams, call)
                self.assertEqual(answer.status, 488)
                self.assertRegex(answer.get("Warning"), rf'^304 trunkgate ".*{warning}.*"$')
                self.assertNotIn("inline", answer.get("Warning"))
                # The callee, who believes in a call, talks in the clear.
                self.media["teams"].remote = to_teams
                for frame in tone(TONES["teams"], 20):
                    self.media["teams"].send(frame)
                wait_until(lambda: not ask(self.gateway.rtpengine.port, command="query",
                                           call_id=call.call_id).get("created"), 3, "the call is deleted")
                self.assertEqual([m.status for m in call.finals()], [488])
                self.assertEqual(self.media["west"].received, [])
                sent_by_us = [1 for source, destination, payload in list(self.capture.packets)
                              if source == to_teams and len(payload) >= 172]
                self.assertEqual(sent_by_us, [])

    def test_offer_within_the_call_that_would_be_plain_changes_nothing(self):
        call, served = self.established()
        self.both_hear()
        for method in ("UPDATE", "INVITE"):
            for name, body in (("plain", self.plain("teams")),
                               ("weaker", self.secure("teams", "AES_CM_128_HMAC_SHA1_32"))):
                with self.subTest(f"{method} {name}"):
                    request = served.dialog_request(method, self.gateway.proxy, body=body)
                    answer = self.teams.wait(lambda m: m.status and m.status >= 200 and m.cseq == request.cseq
                                             and m.method == method and m.call_id == call.call_id, what="answer")
                    self.assertEqual(answer.status, 488)
                    self.both_hear()
        self.assertEqual(self.plain_on_the_secured_leg(), [])
        call.dialog_request("BYE")
        served.ended()

    def test_plain_answer_to_a_new_offer_ends_the_call_and_no_plain_rtp_passes(self):
        call, served = self.established()
        self.both_hear()
        request = call.dialog_request("INVITE", body=self.plain("west"))
        arrived = self.teams.wait(lambda m: m.is_request and m.method == "INVITE" and m.cseq == request.cseq
                                  and m.call_id == call.call_id, what="new offer")
        self.teams.reply(arrived, 200, headers=[("Contact", self.teams.contact)], body=self.plain("teams"))
        self.assertEqual(self.west.wait(lambda m: m.status and m.status >= 200 and m.cseq == request.cseq
                                        and m.method == "INVITE" and m.call_id == call.call_id).status, 488)
        for endpoint in (self.teams, self.west):
            self.ended_by_us(endpoint, call)
        wait_until(lambda: not ask(self.gateway.rtpengine.port, command="query", call_id=call.call_id).get("created"),
                   3, "the call is deleted")
        heard = len(self.media["teams"].received)
        self.talk()
        self.assertEqual(len(self.media["teams"].received), heard)
        self.assertEqual(self.plain_on_the_secured_leg(), [])


class TestOneWorker(MediaCase):
    """What is left of a dropped reply is found by the next message of the same process."""

    CHILDREN = 1

    def test_next_message_after_a_refused_answer_goes_its_way(self):
        waiting, waiting_served = self.call()
        waiting_served.reply(200, body=self.secure("teams"))
        waiting.final(status=200)
        call, served = self.call()
        served.reply(200, body=self.plain("teams"))
        self.west.response(488, "INVITE", call_id=call.call_id)  # no ACK: the next message is the other call's
        waiting.ack()
        waiting_served.acked()
        request = waiting.dialog_request("UPDATE", body=self.plain("west"))
        arrived = self.teams.request("UPDATE", call_id=waiting.call_id)
        self.teams.reply(arrived, 200, body=self.plain("teams"))
        self.west.wait(lambda m: m.status == 488 and m.method == "UPDATE" and m.cseq == request.cseq)
        waiting.dialog_request("BYE")
        waiting_served.ended()


class TestNeverAcceptable(MediaCase):
    """What rtpengine could not make acceptable is refused before it hears of it, and the call goes on."""

    def offer(self, kind):
        host = self.media["west"].host
        if kind == "fax":
            return sdp(host).split("m=")[0] + "m=image 45000 udptl t38\r\na=T38FaxVersion:0\r\n"
        return self.plain("west") + "m=application 45002 TCP/BFCP *\r\n"

    def test_streams_that_are_not_rtp_change_nothing(self):
        call, served = self.established()
        for kind in ("fax", "control"):
            with self.subTest(kind):
                request = call.dialog_request("INVITE", body=self.offer(kind))
                answer = self.west.wait(lambda m: m.status and m.status >= 200 and m.cseq == request.cseq
                                        and m.method == "INVITE" and m.call_id == call.call_id, what="answer")
                self.assertEqual(answer.status, 488)
                self.both_hear()
        call.dialog_request("BYE")
        served.ended()

    def test_answer_by_a_kind_of_key_that_was_not_offered_is_refused(self):
        fingerprint = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
        call, served = self.call()
        served.reply(200, body=sdp(self.teams.host, profile="RTP/SAVP", lines=[fingerprint, "a=setup:active"]))
        served.acked()
        self.assertEqual(call.final().status, 488)
        self.ended_by_us(self.teams, call)


class TestOtherToTag(MediaCase):
    """A first answer (an announcement, ring tone), and the call is answered by somebody else."""
    LIMITED = ("west", "teams-1")

    def early(self, served):
        """Media of an announcement: keys and port are not those of the answer."""
        media = sdp(served.endpoint.host, 45990, "RTP/SAVP", [crypto_line(new_key())])
        served.reply(183, body=media, tag="announcement")

    def deleted(self, call):
        wait_until(lambda: not ask(self.gateway.rtpengine.port, command="query", call_id=call.call_id).get("created"),
                   3, "the call is deleted")

    def test_answer_under_another_tag_is_heard_and_so_are_new_offers(self):
        call, served = self.call()
        self.early(served)
        call.provisional(183)
        served.reply(200, body=self.secure("teams"))
        answer = call.final(status=200)
        call.ack()
        served.acked()
        self.connect(served, answer)
        self.both_hear()
        for by_teams in (True, False):
            body = self.secure("teams") if by_teams else self.plain("west")
            request = (served.dialog_request("UPDATE", self.gateway.proxy, body=body) if by_teams
                       else call.dialog_request("UPDATE", body=body))
            asked, answerer = (self.teams, self.west) if by_teams else (self.west, self.teams)
            arrived = answerer.request("UPDATE", call_id=call.call_id)
            answerer.reply(arrived, 200, body=self.plain("west") if by_teams else self.secure("teams"))
            answer = asked.wait(lambda m: m.status == 200 and m.method == "UPDATE" and m.cseq == request.cseq
                                and m.call_id == call.call_id, what="answer")
            at_teams, at_west = (answer, arrived) if by_teams else (arrived, answer)
            self.media["teams"].secured(self.key, key_of(at_teams.body))
            self.media["teams"].remote, self.media["west"].remote = media_of(at_teams.body), media_of(at_west.body)
            self.both_hear()
        served.dialog_request("BYE", self.gateway.proxy)
        self.west.request("BYE", call_id=call.call_id)
        self.deleted(call)

    def test_late_offer_is_heard(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body="")
        served = self.teams.served(call_id=call.call_id)
        served.reply(200, body=self.secure("teams"))
        offer = call.final(status=200)
        call.dialog_request("ACK", body=self.plain("west"))
        answer = served.acked()
        self.media["teams"].secured(self.key, key_of(answer.body))
        self.media["teams"].remote, self.media["west"].remote = media_of(answer.body), media_of(offer.body)
        self.both_hear()
        call.dialog_request("BYE")
        served.ended()
        self.deleted(call)

    def silent_call(self):
        """Answered, with no SDP in any message."""
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body="")
        served = self.teams.served(call_id=call.call_id)
        served.reply(200, body="")
        call.final(status=200)
        call.ack()
        served.acked()
        return call, served

    def test_first_offer_in_a_later_request_is_forgotten_at_the_end(self):
        call, served = self.silent_call()
        call.dialog_request("INVITE", body=self.plain("west"))
        offer = self.teams.request("INVITE", call_id=call.call_id)
        self.teams.reply(offer, 200, headers=[("Contact", self.teams.contact)], body=self.secure("teams"))
        self.west.wait(lambda m: m.status == 200 and m.call_id == call.call_id and m.cseq == 2, what="answer")
        call.ack()
        served.acked()
        self.assertEqual(self.gateway.rtpengine.ng("query", call_id=call.call_id)["result"], "ok")
        call.dialog_request("BYE")
        served.ended()
        self.deleted(call)

    def test_call_without_media_tells_rtpengine_nothing(self):
        silent, served = self.silent_call()
        silent.dialog_request("BYE")
        served.ended()
        # ended calls are told in their order
        call, served = self.call()
        served.reply(486)
        call.final()
        self.deleted(call)
        log = self.gateway.rtpengine.log()
        self.assertIn(call.call_id, log)
        self.assertNotIn(silent.call_id, log)


class TestHiddenSdp(MediaCase):
    """SDP that one reader sees and another does not; each on its own is a header that may be there."""

    HIDING = ([("Content-Type", "text/plain")], [("c", "text/plain")],
              [("Content-Type", "application/sdp"), ("c", "text/plain")])

    def test_answer_is_refused(self):
        for headers in self.HIDING:
            with self.subTest(headers):
                call, served = self.call()
                served.reply(200, headers=headers, body=sdp(INTRUDER))
                self.assertEqual(call.final().status, 488)
                served.acked()
                self.ended_by_us(self.teams, call)

    def test_offer_is_refused(self):
        for headers in self.HIDING:
            with self.subTest(headers):
                call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, headers=headers, body=sdp(INTRUDER))
                self.assertEqual(call.final().status, 488)
                self.assertEqual(self.teams.requests("INVITE", call.call_id), [])

    def test_part_with_white_space_in_its_type_is_refused(self):
        call, served = self.call()
        response = Message.parse(bytes(served.reply(100)))
        response.first = "SIP/2.0 200 OK"
        response.set("To", served.invite.get("To") + ";tag=callee")
        response.headers += [["Contact", self.teams.contact], ["Content-Type", "multipart/mixed;boundary=b"]]
        response.body = f"--b\r\nContent-Type: application/ sdp\r\n\r\n{sdp(INTRUDER)}\r\n--b--\r\n"
        self.teams.send(response, served.invite.source)
        self.assertEqual(call.final().status, 488)

    def test_second_content_length_passes_nobody(self):
        for line in ("l: 9", "Content-Length: 0"):
            with self.subTest(line):
                call, served = self.call()
                answer = bytes(served.reply(100)).replace(b"SIP/2.0 100 Trying", b"SIP/2.0 200 OK")
                body = sdp(INTRUDER).encode()
                self.teams.send(answer.replace(b"Content-Length: 0\r\n\r\n", b"".join((
                    b"Content-Type: application/sdp\r\n", line.encode(),
                    b"\r\nContent-Length: %d\r\n\r\n" % len(body), body))), served.invite.source)
                self.assertEqual(call.final().status, 488)


class TestAnswerInProvisional(MediaCase):
    RELIABLE = [("Require", "100rel"), ("RSeq", "1")]

    def test_call_whose_only_answer_was_refused_is_refused(self):
        call, served = self.call()
        served.reply(183, headers=self.RELIABLE, body=self.plain("teams"))
        self.assertEqual(call.provisional(183).body, "")
        served.reply(200, body="")
        self.assertEqual(call.final().status, 488)
        served.acked()
        self.ended_by_us(self.teams, call)

    def test_answer_that_passed_is_enough_and_one_in_the_2xx_heals(self):
        call, served = self.call()
        served.reply(183, headers=self.RELIABLE, body=self.secure("teams"))
        answer = call.provisional(183)
        served.reply(200, body="")
        call.final(status=200)
        call.ack()
        self.connect(served, answer)
        self.both_hear()
        call, served = self.call()
        served.reply(183, body=self.plain("teams"))
        call.provisional(183)
        served.reply(200, body=self.secure("teams"))
        self.connect(served, call.final(status=200))
        call.ack()
        self.both_hear()


class TestMediaAddresses(MediaCase):
    LIMITED = ("west", "teams-1")

    def intrude(self, intruder, at, frames=20):
        """A stranger sends a tone of his own to a port of rtpengine, plain and, if he had a key, as the peer would."""
        intruder.remote = at
        for frame in tone(INTRUDERS_TONE, frames):
            intruder.send(frame)

    def test_nobody_from_elsewhere_is_heard_before_or_after_the_first_packet(self):
        intruder, neighbour = self.start(RtpEndpoint(INTRUDER)), self.start(RtpEndpoint(self.west.host))
        call, served = self.established()
        at_west = self.media["west"].remote
        for stranger in (intruder, neighbour):
            self.intrude(stranger, at_west)
        self.both_hear()
        for stranger in (intruder, neighbour):
            self.intrude(stranger, at_west)
        # What was sent after it came through: so had the stranger's, if it were let in.
        self.both_hear()
        heard = self.media["teams"].payloads()
        self.assertLess(max(share_of(INTRUDERS_TONE, samples_of([payload])) for payload in heard), 0.5)
        self.assertEqual(len(heard), 40)
        self.assertEqual((intruder.received, neighbour.received), ([], []))
        call.dialog_request("BYE")
        served.ended()

    def test_secured_media_of_a_stranger_with_the_key_is_not_heard_either(self):
        intruder = self.start(RtpEndpoint(INTRUDER))
        call, served = self.established()
        intruder.secured(self.key, key_of(served.invite.body))
        for _ in range(2):
            self.intrude(intruder, self.media["teams"].remote)
            self.both_hear()
        self.assertEqual(len(self.media["west"].received), 40)
        self.assertEqual(intruder.received, [])
        call.dialog_request("BYE")
        served.ended()

    def test_media_address_outside_the_prefixes_is_refused(self):
        before = self.counter("refused_address")
        for name, body in (("c=", sdp(INTRUDER)), ("a name", sdp("media.example.com")),
                           ("rtcp", sdp(self.west.host, lines=[f"a=rtcp:4001 IN IP4 {INTRUDER}"])),
                           ("second stream", sdp(self.west.host, lines=["m=audio 4002 RTP/AVP 8",
                                                                       f"c=IN IP4 {INTRUDER}"]))):
            with self.subTest(name):
                call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=body)
                answer = call.final()
                self.assertEqual(answer.status, 488)
                self.assertRegex(answer.get("Warning"), "^399 trunkgate")
                self.assertEqual(self.teams.requests("INVITE", call.call_id), [])
        self.assertEqual(self.counter("refused_address"), before + 4)
        self.assertIn(f"media address ::ffff:{INTRUDER} of operator west is not allowed", self.gateway.kamailio.log())

        # Where each stream has an address of its own, that of the session is nobody's.
        body = sdp(INTRUDER, self.media["west"].port).replace("a=rtpmap", f"c=IN IP4 {self.west.host}\r\na=rtpmap")
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=body)
        self.teams.served(call_id=call.call_id).reply(486)
        call.final()

        call, served = self.call()
        body = self.secure("teams").replace(self.teams.host, INTRUDER)
        served.reply(200, body=body)
        self.assertEqual(call.final().status, 488)
        served.acked()
        self.ended_by_us(self.teams, call)

    def test_candidate_elsewhere_is_not_asked_and_gets_no_media(self):
        """It answers rtpengine's checks as the peer would: who wrote the SDP gave it the password."""
        elsewhere = self.start(StunResponder(INTRUDER))
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.plain("west") + elsewhere.lines())
        served = self.teams.served(call_id=call.call_id)
        served.reply(200, body=self.secure("teams") + elsewhere.lines())
        answer = call.final(status=200)
        call.ack()
        served.acked()
        self.connect(served, answer)
        for body in (served.invite.body, answer.body):
            self.assertNotIn("a=ice", body)
            self.assertNotIn("a=candidate", body)
        for _ in range(6):  # rtpengine's checks begin within a second
            self.both_hear()
        self.assertEqual((elsewhere.checks, elsewhere.media), (0, 0))
        call.dialog_request("BYE")
        served.ended()

    def test_hold_and_refused_streams_need_no_address(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=sdp("0.0.0.0", self.media["west"].port, lines=[
            "m=video 0 RTP/AVP 96", f"c=IN IP4 {INTRUDER}"]))
        served = self.teams.served(call_id=call.call_id)
        served.reply(486)
        call.final()


class PolicyCase(MediaCase):
    """Each side's SDP and keys as the case wants them; who is secured must hear what was sent in secret."""

    def setUp(self):
        super().setUp()
        self.keys = {"west": new_key(), "teams": new_key()}

    def body(self, who, kind):
        media = self.media[who]
        if kind == "plain":
            return sdp(media.host, media.port)
        return sdp(media.host, media.port, {"SRTP": "RTP/SAVP", "OSRTP": "RTP/AVP"}[kind], [crypto_line(self.keys[who])])

    def hears_through(self, caller, offer, answer, offered, answered):
        """A call whose SDP is of these kinds as it is sent, and as it arrives; both hear each other."""
        ends = {"west": (self.west, OUTSIDE, FOUND), "teams": (self.teams, FOUND, OUTSIDE)}
        callee = "teams" if caller == "west" else "west"
        endpoint, number, called = ends[caller]
        call = endpoint.invite(self.gateway.proxy, called, number, body=self.body(caller, offer))
        served = ends[callee][0].served(call_id=call.call_id)
        served.reply(200, body=self.body(callee, answer))
        arrived = call.final(status=200)
        call.ack()
        served.acked()
        self.assertEqual((self.kind(served.invite.body), self.kind(arrived.body)), (offered, answered))
        for who, sent, got in ((caller, offer, arrived.body), (callee, answer, served.invite.body)):
            media = self.media[who]
            media.protect = media.unprotect = None
            if self.kind(got) != "plain" and sent != "plain":
                media.secured(self.keys[who], key_of(got))
            media.remote = media_of(got)
        self.both_hear()
        call.dialog_request("BYE")
        served.ended()

    @staticmethod
    def kind(body):
        if key_of(body) is None:
            return "plain"
        return "SRTP" if "RTP/SAVP" in body else "OSRTP"


class TestBothSecured(PolicyCase):
    MEDIA = {"operator": "SRTP", "teams-oc": "SRTP"}

    def test_two_secured_sides_hear_each_other(self):
        for caller in ("west", "teams"):
            with self.subTest(caller):
                self.hears_through(caller, "SRTP", "SRTP", "SRTP", "SRTP")


class TestSuitesOfBothSides(PolicyCase):
    MEDIA = {"operator": "SRTP", "teams-oc": "SRTP"}
    STRONG, WEAK = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"

    @classmethod
    def changed(cls, document):
        for group in super().changed(document)["peerGroups"]:
            if group["side"] == "operator":
                group["srtpSuites"] = [cls.STRONG, cls.WEAK]
        return document

    def test_suite_of_one_side_alone_is_refused_before_anybody_rings(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.secure("west", self.WEAK))
        answer = call.final()
        self.assertEqual(answer.status, 488)
        self.assertRegex(answer.get("Warning"), f'^304 trunkgate ".*{self.WEAK}.*"$')
        self.assertEqual(self.teams.requests("INVITE", call.call_id), [])
        self.hears_through("west", "SRTP", "SRTP", "SRTP", "SRTP")

    def test_groups_without_a_suite_in_common_are_refused_or_named_in_the_log(self):
        document = self.gateway.document()
        for group in document["peerGroups"]:
            if group["side"] == "operator":
                group["srtpSuites"] = [self.WEAK]
        status, _, said = self.gateway.cli_try("topology_load", self.folder.write("bad.json", json.dumps(document)))
        self.assertNotEqual(status, 0)
        self.assertIn("teams-oc and operator have no SRTP suite in common", said)
        for group in document["peerGroups"]:
            if group["side"] == "operator":
                group["media"] = "SRTP-optional"
        self.gateway.load(document)
        self.addCleanup(self.gateway.load)
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.secure("west", self.WEAK))
        self.assertEqual(call.final().status, 488)
        self.assertIn("groups operator and teams-oc have no SRTP suite in common", self.gateway.kamailio.log())


class TestOptional(PolicyCase):
    MEDIA = {"teams-oc": "SRTP-optional"}

    def test_peer_is_offered_keys_and_chooses(self):
        for answer in ("OSRTP", "plain"):
            with self.subTest(answer):
                self.hears_through("west", "plain", answer, "OSRTP", "plain")

    def test_peer_that_began_with_keys_does_not_fall_back(self):
        call = self.teams.invite(self.gateway.proxy, OUTSIDE, FOUND, body=self.body("teams", "OSRTP"))
        served = self.west.served(call_id=call.call_id)
        served.reply(200, body=self.body("west", "plain"))
        call.final(status=200)
        call.ack()
        served.acked()
        for method, kind, status in (("UPDATE", "plain", 488), ("INVITE", "plain", 488), ("UPDATE", "OSRTP", 200)):
            with self.subTest(f"{method} {kind}"):
                request = call.dialog_request(method, body=self.body("teams", kind))
                if status == 200:
                    arrived = self.west.request(method, call_id=call.call_id)
                    self.west.reply(arrived, 200, body=self.body("west", "plain"))
                answer = self.teams.wait(lambda m: m.status and m.status >= 200 and m.cseq == request.cseq
                                         and m.method == method and m.call_id == call.call_id, what="answer")
                self.assertEqual(answer.status, status)
        # The other side asks, and what it gets is no reason to fall back either.
        request = served.dialog_request("INVITE", self.gateway.proxy, body=self.body("west", "plain"))
        arrived = self.teams.request("INVITE", call_id=call.call_id)
        self.assertEqual(self.kind(arrived.body), "OSRTP")
        self.teams.reply(arrived, 200, headers=[("Contact", self.teams.contact)], body=self.body("teams", "plain"))
        for endpoint in (self.teams, self.west):
            self.ended_by_us(endpoint, call)

    def test_peer_gets_back_what_it_offers(self):
        for offer in ("plain", "OSRTP", "SRTP"):
            with self.subTest(offer):
                self.hears_through("teams", offer, "plain", "plain", offer)


if __name__ == "__main__":
    unittest.main()
