# SPDX-License-Identifier: GPL-2.0-or-later
"""Every final answer that the routes choose themselves, and those of peers that they pass on."""

import socket
import time

from harness import Case, Endpoint, free_port, sdp, wait_until
from harness.gateway import PEERS, Gateway
from harness.sip import Message, token

FOUND, UNKNOWN, NO_GROUP, OUTSIDE = "+15551230001", "+15559999999", "+15551230009", "+15557770000"

ZOOM_PEERS = {**PEERS, "zoom-1": ("zoom", "service", "cloud-1", "127.0.2.30", "zoomPhoneCloudPeering")}
NUMBERS = {
    FOUND: ("acme", "teamsOperatorConnect", "gold"),
    NO_GROUP: ("acme", "teamsDirectRouting", None),
}
SECONDS = "10"
KEY = "inline:U+y2+bkPJtcCXHfohwIhKegaoBUbzy8I5Q/rMZXz"


def secure(host, profile="RTP/SAVP", suite="AES_CM_128_HMAC_SHA1_80", more=()):
    """SDP of an endpoint with SRTP."""
    return sdp(host, profile=profile, lines=[f"a=crypto:1 {suite} {KEY}", *more])


class AnswerCase(Case):
    def refused(self, call, status, timeout=5.0):
        answer = call.final(timeout)
        self.assertEqual(answer.status, status, answer.first)
        self.assertEqual(answer.get("Retry-After"), SECONDS if status == 503 else None)
        return answer

    def invite(self, number=FOUND, caller=None, **options):
        return (caller or self.gateway.peer["west"]).invite(self.gateway.proxy, number, OUTSIDE, **options)

    def answer_to(self, endpoint, first, headers=(), to_tag=""):
        """The final answer to a single request."""
        method = first.split(" ")[0]
        call_id = token("single")
        endpoint.send(Message(first, [
            ("Via", endpoint.via()), ("Max-Forwards", 70), ("From", f"<sip:a@{endpoint.host}>;tag=1"),
            ("To", f"<sip:b@127.0.0.1>{to_tag}"), ("Call-ID", call_id), ("CSeq", f"1 {method}"), *headers]), self.gateway.proxy)
        return endpoint.response((200, 699), method, call_id=call_id)


class TestBeforeAnyPeer(AnswerCase):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder, peers=ZOOM_PEERS, numbers=NUMBERS))

    def test_unknown_source_gets_403(self):
        stranger = self.start(Endpoint("127.0.9.9"))
        self.refused(self.invite(caller=stranger), 403)

    def test_options_of_unknown_source_get_403(self):
        stranger = self.start(Endpoint("127.0.9.9"))
        answer = self.answer_to(stranger, f"OPTIONS sip:127.0.0.1:{self.gateway.port} SIP/2.0")
        self.assertEqual(answer.status, 403)

    def test_wrong_transport_gets_403(self):
        west = self.start(Endpoint("127.0.1.10", transport="tcp"))
        self.refused(self.invite(caller=west), 403)

    def test_options_get_200(self):
        answer = self.answer_to(self.gateway.peer["west"], f"OPTIONS sip:127.0.0.1:{self.gateway.port} SIP/2.0")
        self.assertEqual(answer.status, 200)
        self.assertIn("INVITE", answer.get("Allow"))

    def test_other_methods_get_405(self):
        for method in ("REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH"):
            answer = self.answer_to(self.gateway.peer["west"], f"{method} sip:127.0.0.1 SIP/2.0",
                                    [("Contact", "<sip:a@127.0.1.10>")])
            self.assertEqual(answer.status, 405)
            self.assertIn("INVITE", answer.get("Allow"))

    def test_no_hops_left_gets_483(self):
        self.refused(self.invite(changes=lambda m: m.set("Max-Forwards", 0)), 483)

    def test_malformed_request_gets_400(self):
        answer = self.invite(changes=lambda m: m.set("CSeq", "1 BYE")).endpoint.response((200, 699))
        self.assertEqual(answer.status, 400)

    def test_number_not_provisioned_without_default_service_gets_404(self):
        self.refused(self.invite(UNKNOWN), 404)

    def test_called_user_that_is_no_number_gets_404(self):
        self.refused(self.invite("operations"), 404)

    def test_calling_number_not_provisioned_for_a_service_that_needs_it_gets_404(self):
        zoom = self.gateway.peer["zoom-1"]
        self.refused(zoom.invite(self.gateway.proxy, OUTSIDE, UNKNOWN), 404)
        self.refused(zoom.invite(self.gateway.proxy, OUTSIDE, FOUND), 404)
        self.assertEqual(self.gateway.peer["west"].requests("INVITE"), [])

    def test_service_without_peer_group_gets_503(self):
        self.refused(self.invite(NO_GROUP), 503)

    def test_cancel_of_unknown_call_gets_481(self):
        answer = self.answer_to(self.gateway.peer["west"], f"CANCEL sip:{FOUND}@127.0.0.1 SIP/2.0")
        self.assertEqual(answer.status, 481)

    def test_request_of_unknown_dialog_gets_481(self):
        west = self.gateway.peer["west"]
        for method in ("INVITE", "UPDATE", "BYE", "INFO"):
            with self.subTest(method):
                answer = self.answer_to(west, f"{method} sip:x@127.0.2.10 SIP/2.0", to_tag=";tag=2", headers=[
                    ("Contact", west.contact)])
                self.assertEqual(answer.status, 481)


class TestOfPeers(AnswerCase):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder, numbers=NUMBERS))

    def tearDown(self):
        for peer in ("teams-1", "teams-2"):
            self.gateway.kamailio.rpc("site_failover.set", peer, "auto")

    def test_answers_that_are_no_failure_pass_unchanged(self):
        for status in (302, 404, 480, 486, 500, 603):
            with self.subTest(status):
                call = self.invite()
                self.gateway.peer["teams-1"].served(call_id=call.call_id).reply(status)
                self.assertEqual(call.final().status, status)
                self.assertEqual(self.gateway.peer["teams-2"].requests("INVITE", call.call_id), [])

    def test_no_peer_in_service_gets_503(self):
        for peer in ("teams-1", "teams-2"):
            self.gateway.kamailio.call("site_failover.set", peer, "disabled")
        self.refused(self.invite(), 503)

    def test_all_silent_gets_408(self):
        call = self.invite()
        self.refused(call, 408, timeout=8)
        self.assertTrue(self.gateway.peer["teams-1"].requests("INVITE", call.call_id))
        self.assertTrue(self.gateway.peer["teams-2"].requests("INVITE", call.call_id))

    def test_all_refusing_gets_503(self):
        call = self.invite()
        self.gateway.peer["teams-1"].served(call_id=call.call_id).reply(504)
        self.gateway.peer["teams-2"].served(call_id=call.call_id).reply(503, headers=[("Retry-After", "99")])
        self.refused(call, 503)

    def test_one_refusing_one_silent_gets_503(self):
        call = self.invite()
        self.gateway.peer["teams-1"].served(call_id=call.call_id).reply(503)
        self.refused(call, 503, timeout=8)

    def test_cancelled_call_gets_487(self):
        call = self.invite()
        served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.cancelled()
        self.assertEqual(call.final().status, 487)

    def test_forged_token_gets_481_but_bye_passes(self):
        teams = self.gateway.peer["teams-1"]
        call = self.invite()
        served = teams.served(call_id=call.call_id)
        served.reply(200)
        call.final(status=200)
        call.ack()
        served.acked()

        def forge(message):
            for header in message.headers:
                if header[0] == "Route":
                    header[1] = header[1].replace(";tg=", ";tg=x")

        call.dialog_request("INFO", changes=forge)
        self.assertEqual(call.endpoint.response((200, 699), "INFO", call_id=call.call_id).status, 481)
        call.dialog_request("BYE", changes=forge)
        served.ended()
        self.assertEqual(call.endpoint.response((200, 699), "BYE", call_id=call.call_id).status, 200)


class TestPeersThatRefuseConnections(AnswerCase):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(
            cls.folder, numbers=NUMBERS, elsewhere=("teams-1", "teams-2"), signalling={"teams-oc": "TCP"},
            ports={"teams-1": free_port("127.0.2.10"), "teams-2": free_port("127.0.2.11")}))

    def test_no_peer_reached_gets_503(self):
        call = self.invite()
        self.refused(call, 503)
        self.assertEqual(call.endpoint.statuses(call_id=call.call_id).count(503), 1)


class TestMedia(AnswerCase):
    @classmethod
    def prepare(cls):
        cls.gateway = Gateway(cls.folder, numbers=NUMBERS)
        document = cls.gateway.document
        cls.gateway.document = lambda: cls.with_srtp(document())
        cls.start_for_all(cls.gateway)

    @staticmethod
    def with_srtp(document):
        for group in document["peerGroups"]:
            if group["side"] == "service":
                group["media"] = "SRTP"
        return document

    HOST = "127.0.2.10"
    INSECURE = {
        "plain": sdp(HOST),
        "a plain stream": secure(HOST, more=["m=video 40002 RTP/AVP 96"]),
        "a plain stream first": sdp(HOST, lines=["m=video 40002 RTP/SAVP 96",
                                                 f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}"]),
        "no key": sdp(HOST, profile="RTP/SAVP"),
        "a short suite": secure(HOST, suite="AES_CM_128_HMAC_SHA1_32"),
        "no cipher": secure(HOST, suite="NULL_HMAC_SHA1_80"),
        "DTLS": secure(HOST, profile="UDP/TLS/RTP/SAVPF"),
        "another profile": secure(HOST, profile="RTP/SAVPX"),
    }

    def test_offer_without_srtp_from_a_group_with_srtp_gets_488(self):
        teams = self.gateway.peer["teams-1"]
        for name, body in self.INSECURE.items():
            with self.subTest(name):
                self.refused(teams.invite(self.gateway.proxy, OUTSIDE, FOUND, body=body), 488)

    def test_offer_with_srtp_passes(self):
        teams, west = self.gateway.peer["teams-1"], self.gateway.peer["west"]
        for body in (secure(self.HOST), secure(self.HOST, profile="RTP/SAVPF"),
                     secure(self.HOST, more=["m=image 0 udptl t38", "m=video 0 RTP/AVP 96"])):
            call = teams.invite(self.gateway.proxy, OUTSIDE, FOUND, body=body)
            served = west.served(call_id=call.call_id)
            self.assertIn(" RTP/AVP", served.invite.body)
            self.assertNotIn("crypto", served.invite.body)
            served.reply(486)
            call.final()

    def test_answer_without_srtp_ends_the_call(self):
        for name, body in self.INSECURE.items():
            with self.subTest(name):
                call = self.invite()
                served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
                served.reply(183, body=body)
                self.assertEqual(call.provisional(183).body, "")
                served.reply(200, body=body)
                self.assertEqual(call.final().status, 488)
                served.acked()
                served.ended()

    def test_offers_and_answers_within_a_call_need_srtp_too(self):
        for method in ("UPDATE", "INVITE"):
            with self.subTest(method):
                self.offer_and_answer_within_a_call(method)

    def offer_and_answer_within_a_call(self, method):
        west, teams = self.gateway.peer["west"], self.gateway.peer["teams-1"]
        call = self.invite()
        served = teams.served(call_id=call.call_id)
        served.reply(200, body=secure(self.HOST))
        call.final(status=200)
        call.ack()
        served.acked()

        def refusal(endpoint, request):
            message = endpoint.wait(lambda m: not m.is_request and m.call_id == call.call_id and m.cseq == request.cseq
                                    and m.method == request.method and m.status >= 200, what="answer")
            self.assertEqual((message.status, message.body), (488, ""))
            self.assertRegex(message.get("Warning"), r'^304 trunkgate ".*SRTP.*"$')

        refusal(teams, served.dialog_request(method, self.gateway.proxy, body=sdp(self.HOST)))
        offer = call.dialog_request(method, body=sdp(west.host))
        request = teams.wait(lambda m: m.is_request and m.call_id == call.call_id and m.method == method
                             and m.cseq == call.cseq)
        self.assertIn("RTP/SAVP", request.body)
        teams.reply(request, 200, headers=[("Contact", teams.contact)], body=sdp(self.HOST))
        refusal(west, offer)
        # A refused answer leaves two people with different ideas of the call: it ends.
        self.both_get_bye(call)

    def both_get_bye(self, call):
        for endpoint in (self.gateway.peer["west"], self.gateway.peer["teams-1"]):
            bye = endpoint.request("BYE", call_id=call.call_id)
            endpoint.reply(bye, 200)
            self.assertIn("SIP;cause=488", bye.get("Reason"))
            self.assertEqual(len(endpoint.requests("BYE", call.call_id)), 1)
        wait_until(lambda: self.gateway.kamailio.counter("site_failover", "calls_live") == 0, 3, "it counts no more")

    def test_late_offer_to_a_group_with_srtp_is_srtp(self):
        west, teams = self.gateway.peer["west"], self.gateway.peer["teams-1"]
        for body, answered in ((secure(self.HOST), True), (sdp(self.HOST), False)):
            with self.subTest(answered):
                call = teams.invite(self.gateway.proxy, OUTSIDE, FOUND, body="")
                served = west.served(call_id=call.call_id)
                served.reply(200)
                answer = call.final(status=200)
                self.assertIn("RTP/SAVP", answer.body)
                self.assertIn("AES_CM_128_HMAC_SHA1_80", answer.body)
                call.dialog_request("ACK", body=body)
                ack = served.acked()
                self.assertEqual("RTP/AVP" in ack.body, answered)
                self.assertNotIn(self.HOST, ack.body)
                if answered:
                    call.dialog_request("BYE")
                    served.ended()
                else:
                    self.both_get_bye(call)
                wait_until(lambda: not self.relayed(call), 3, "the call is deleted")

    def test_offer_to_a_group_with_srtp_has_the_one_suite(self):
        call = self.invite()
        served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
        self.assertIn("RTP/SAVP", served.invite.body)
        suites = [line.split()[1] for line in served.invite.body.splitlines() if line.startswith("a=crypto:")]
        self.assertEqual(suites, ["AES_CM_128_HMAC_SHA1_80"])
        self.assertNotIn("fingerprint", served.invite.body)
        served.reply(486)
        call.final()

    def test_no_media_relay_at_the_answer_gets_503_and_the_callee_bye(self):
        call = self.invite()
        served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
        self.gateway.rtpengine.stop()
        try:
            served.reply(200, body=secure("127.0.2.10"))
            self.assertEqual(call.final().status, 503)
            served.acked()
            served.ended()
        finally:
            self.gateway.rtpengine.start()
            self.recovered()

    def test_answer_that_calls_itself_sdp_and_is_none_gets_488_and_the_callee_bye(self):
        call = self.invite()
        served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
        served.reply(200, body="this is no session description\r\n")
        self.assertEqual(call.final().status, 488)
        served.acked()
        served.ended()

    def test_no_media_relay_gets_503_in_time(self):
        self.gateway.rtpengine.stop()
        try:
            began = time.monotonic()
            self.refused(self.invite(), 503)
            self.assertLess(time.monotonic() - began, 0.5)
        finally:
            self.gateway.rtpengine.start()
            self.recovered()

    def recovered(self):
        """Calls get through again without a restart."""
        def placed():
            call = self.invite()
            try:
                served = self.gateway.peer["teams-1"].served(0.5, call_id=call.call_id)
            except AssertionError:
                call.final()
                return False
            served.reply(486)
            call.final()
            return True

        wait_until(placed, 10, "calls get through", interval=0.2)

    def test_silent_media_relay_gets_503_in_time(self):
        self.gateway.rtpengine.freeze()
        try:
            began = time.monotonic()
            self.refused(self.invite(), 503)
            self.assertLess(time.monotonic() - began, 0.5)
        finally:
            self.gateway.rtpengine.thaw()
            self.recovered()

    def test_ended_calls_leave_no_media_in_rtpengine(self):
        call = self.invite()
        served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
        self.assertTrue(self.relayed(call))
        served.reply(486)
        call.final()
        wait_until(lambda: not self.relayed(call), 3, "the call is deleted")

        call = self.invite()
        served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.cancelled()
        call.final()
        wait_until(lambda: not self.relayed(call), 3, "the call is deleted")

    def relayed(self, call):
        """Does rtpengine know the call?"""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.connect(("127.0.0.1", self.gateway.rtpengine.port))
            sock.send(f"{token('q')} d7:call-id{len(call.call_id)}:{call.call_id}7:command5:querye".encode())
            return b"created" in sock.recv(65535)

    def test_call_without_offer_gets_its_media_from_answer_and_ack(self):
        west, teams = self.gateway.peer["west"], self.gateway.peer["teams-1"]
        call = self.invite(body="")
        served = teams.served(call_id=call.call_id)
        self.assertEqual(served.invite.body, "")
        served.reply(200, body=secure(teams.host))
        answer = call.final(status=200)
        self.assertIn("RTP/AVP", answer.body)
        self.assertNotIn(teams.host, answer.body)
        call.dialog_request("ACK", body=sdp(west.host))
        ack = served.acked()
        self.assertIn("RTP/SAVP", ack.body)
        self.assertNotIn(west.host, ack.body)
        call.dialog_request("BYE")
        served.ended()


class TestNotReady(AnswerCase):
    def test_nothing_published_yet_gets_503(self):
        self.gateway = Gateway(self.folder)
        words = self.gateway.kamailio.command
        for index, word in enumerate(words):
            if word.startswith("TRUNKGATE_WORKER="):
                words[index] = 'TRUNKGATE_WORKER="/bin/false"'
        self.start(self.gateway.kamailio)
        caller = self.start(Endpoint("127.0.1.10"))
        stream = self.start(Endpoint("127.0.1.10", transport="tcp"))
        just_started = self.invite(caller=caller)
        self.refused(self.invite(caller=stream), 503)
        self.assertEqual(just_started.finals(), [])

        def repeated():
            caller.send(just_started.sent, just_started.proxy)
            return just_started.finals()
        wait_until(repeated, 8, "the start is over", 0.5)
        self.refused(just_started, 503)
