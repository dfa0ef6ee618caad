# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages that want to get past the rules: stray responses, forged tokens, SDP in hiding, names of next hops."""

import base64
import socket
import time

from harness import Case, Endpoint, sdp, wait_until
from harness.gateway import HEADER, Gateway
from harness.sip import Message, token

FOUND, NO_HEADER, OUTSIDE = "+15551230001", "+15551230002", "+15557770000"
ELSEWHERE = "10.9.9.9"
TM_FORGETS = 6.0


def media(message):
    """The lines of an SDP that say where media goes."""
    return [line for line in message.body.splitlines() if line[:2] in ("c=", "m=")]


def parts(kind, *bodies):
    """A multipart body of application/sdp parts and one that is none: (Content-Type, body)."""
    text = "".join(f"--bb\r\nContent-Type: application/sdp\r\n\r\n{body}\r\n" for body in bodies)
    return f"multipart/{kind};boundary=bb", f"{text}--bb\r\nContent-Type: text/plain\r\n\r\nABC\r\n--bb--\r\n"


def in_base64(kind, body):
    text = base64.b64encode(body.encode()).decode()
    return "multipart/mixed;boundary=bb", (f"--bb\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                                           f"{text}\r\n--bb--\r\n")


class HostileCase(Case):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder))
        cls.west, cls.teams = cls.gateway.peer["west"], cls.gateway.peer["teams-1"]

    def established(self, **options):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, **options)
        served = self.teams.served(call_id=call.call_id)
        served.reply(200)
        call.final(status=200)
        call.ack()
        served.acked()
        return call, served

    def answer(self, endpoint, request):
        return endpoint.wait(lambda m: not m.is_request and m.call_id == request.call_id and m.cseq == request.cseq
                             and m.method == request.method and m.status >= 200, what=f"answer to {request!r}")

    def probe(self, sender):
        """Waits until the gateway has handled what came before from this sender's address."""
        call_id = token("after")
        sender.send(Message(f"OPTIONS sip:{self.gateway.host} SIP/2.0", [
            ("Via", sender.via()), ("Max-Forwards", 70), ("From", "<sip:a@b>;tag=1"), ("To", "<sip:a@b>"),
            ("Call-ID", call_id), ("CSeq", "1 OPTIONS")]), self.gateway.proxy)
        sender.response((200, 699), "OPTIONS", call_id=call_id)


class TestStrayResponses(HostileCase):
    def stray(self, sender, victim, method="INVITE", headers=()):
        call_id = token("stray")
        sender.send(Message("SIP/2.0 200 OK", [
            ("Via", f"SIP/2.0/UDP {self.gateway.host}:{self.gateway.port};branch=z9hG4bKaaaa.1"),
            ("Via", f"SIP/2.0/UDP {victim};branch=z9hG4bKbbb"), ("From", "<sip:a@b>;tag=1"), ("To", "<sip:a@b>;tag=2"),
            ("Call-ID", call_id), ("CSeq", f"1 {method}"), *headers]), self.gateway.proxy)
        return call_id

    def test_response_of_a_stranger_reaches_nobody(self):
        victim, stranger = self.start(Endpoint("127.0.9.9")), self.start(Endpoint("127.0.9.1"))
        for method in ("INVITE", "BYE", "OPTIONS"):
            self.stray(stranger, victim.address, method)
        self.stray(stranger, "does-not-exist.example.com")
        self.probe(stranger)
        time.sleep(0.3)
        self.assertEqual(victim.messages, [])

    def test_response_of_a_peer_reaches_nobody_either(self):
        victim = self.start(Endpoint("127.0.9.9"))
        for method in ("INVITE", "BYE"):
            self.stray(self.teams, victim.address, method)
        self.probe(self.teams)
        time.sleep(0.3)
        self.assertEqual(victim.messages, [])

    def test_answer_with_the_token_of_another_call_reaches_nobody(self):
        call, served = self.established()
        victim = self.start(Endpoint("127.0.9.9"))
        self.stray(self.teams, victim.address, headers=[("Record-Route", served.invite.get("Record-Route"))])
        self.probe(self.teams)
        time.sleep(0.3)
        self.assertEqual(victim.messages, [])
        call.dialog_request("BYE")
        served.ended()

    def test_repeated_answer_without_transaction_is_treated_like_the_first(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE)
        served = self.teams.served(call_id=call.call_id)
        served.reply(200)
        first = call.final(status=200)
        time.sleep(TM_FORGETS)
        served.reply(200, headers=[(HEADER, "forged")])
        again = call.final(status=200)
        self.assertEqual(media(again), media(first))
        self.assertEqual(again.all(HEADER), ["gold"])
        served.reply(200, body="this is no session description\r\n")
        served.reply(183)
        self.probe(self.teams)
        time.sleep(0.3)
        self.assertEqual(call.endpoint.statuses(call_id=call.call_id)[-2:], [200, 200])
        self.assertNotIn(183, call.endpoint.statuses(call_id=call.call_id))
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()


class TestByeWithoutToken(HostileCase):
    def bye(self, uri, call_id=None):
        request = Message(f"BYE {uri} SIP/2.0", [
            ("Via", self.west.via()), ("Max-Forwards", 70),
            ("Route", f"<sip:{self.gateway.host}:{self.gateway.port};lr>"), ("From", "<sip:a@b>;tag=1"),
            ("To", "<sip:a@b>;tag=2"), ("Call-ID", call_id or token("bye")), ("CSeq", "9 BYE")])
        self.west.send(request, self.gateway.proxy)
        return self.answer(self.west, request)

    def test_it_reaches_no_stranger_and_no_name(self):
        victim = self.start(Endpoint("127.0.9.9"))
        for uri in (f"sip:x@{victim.address}", "sip:x@does-not-exist.example.com"):
            began = time.monotonic()
            self.assertEqual(self.bye(uri).status, 481)
            self.assertLess(time.monotonic() - began, 0.5)
        self.assertEqual(victim.messages, [])

    def test_it_ends_no_media(self):
        call, served = self.established()

        def forge(message):
            for header in message.headers:
                if header[0] == "Route":
                    header[1] = header[1].replace(";tg=", ";tg=x")

        call.dialog_request("BYE", changes=forge)
        served.ended()
        time.sleep(0.6)
        self.assertTrue(relayed(self.gateway, call))
        call.dialog_request("BYE")
        served.ended()
        wait_until(lambda: not relayed(self.gateway, call), 3, "the call is deleted")


def relayed(gateway, call):
    """Does rtpengine know the call?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect(("127.0.0.1", gateway.rtpengine.port))
        sock.send(f"{token('q')} d7:call-id{len(call.call_id)}:{call.call_id}7:command5:querye".encode())
        return b"created" in sock.recv(65535)


class TestSdpInHiding(HostileCase):
    def reply(self, request, status, kind, body, to_tag="callee"):
        """A response whose body has a Content-Type of its own."""
        response = Message(f"SIP/2.0 {status} Other")
        for name in ("Via", "From", "To", "Call-ID", "CSeq", "Record-Route"):
            for value in request.all(name):
                tag = f";tag={to_tag}" if name == "To" and ";tag=" not in value else ""
                response.headers.append([name, value + tag])
        response.headers += [["Contact", self.teams.contact], ["Content-Type", kind]]
        response.body = body
        self.teams.send(bytes(response), self.gateway.proxy)

    def invite_with(self, kind, body):
        return self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=body,
                                changes=lambda m: m.set("Content-Type", kind))

    def test_offer_that_cannot_be_replaced_gets_488(self):
        offer = sdp(ELSEWHERE)
        for kind, body in (parts("alternative", offer), parts("related", offer), parts("mixed", offer, offer),
                           parts("mixed", "no session description"), in_base64("application / sdp", offer),
                           ("Multipart/Signed;boundary=bb", parts("x", offer)[1]),
                           ("multipart/alternative;boundary=bb", "\0" + parts("x", offer)[1]),
                           ("application/sdp, text/plain", offer), ("application/SDP", "v=0\r\n")):
            with self.subTest(kind):
                call = self.invite_with(kind, body)
                self.assertEqual(call.final().status, 488)
                self.assertEqual(self.teams.requests("INVITE", call.call_id), [])

    def test_offer_in_multipart_mixed_is_replaced(self):
        kind, body = parts("mixed", sdp(ELSEWHERE))
        with_length = body.replace("application/sdp\r\n", f"application/sdp\r\nContent-Length: {len(sdp(ELSEWHERE))}\r\n")
        for text in (body, with_length):
            with self.subTest(text):
                call = self.invite_with(kind, text)
                served = self.teams.served(call_id=call.call_id)
                self.assertNotIn(ELSEWHERE, served.invite.body)
                self.assertIn("m=audio", served.invite.body)
                self.assertIn("ABC", served.invite.body)
                served.reply(486)
                call.final()

    def test_answer_with_bytes_past_its_length_is_refused(self):
        call = self.invite_with("application/sdp", sdp(self.west.host))
        served = self.teams.served(call_id=call.call_id)
        data = bytes(self.answer_message(served, sdp(self.teams.host))) + f"c=IN IP4 {ELSEWHERE}\r\n".encode()
        self.teams.send(data, served.invite.source)
        self.assertEqual(call.final().status, 488)
        served.acked()
        served.ended()

    def answer_message(self, served, body):
        response = Message("SIP/2.0 200 OK")
        for name in ("Via", "From", "To", "Call-ID", "CSeq", "Record-Route"):
            for value in served.invite.all(name):
                response.headers.append([name, value + (";tag=callee" if name == "To" else "")])
        response.headers += [["Contact", self.teams.contact], ["Content-Type", "application/sdp"]]
        response.body = body
        return response

    def test_body_that_is_no_sdp_passes_and_its_answer_is_an_offer(self):
        for kind, body in (("application/isup", "ABC"), parts("alternative")):
            with self.subTest(kind):
                call = self.invite_with(kind, body)
                served = self.teams.served(call_id=call.call_id)
                self.assertEqual(served.invite.body, body)
                served.reply(200)
                answer = call.final(status=200)
                self.assertNotIn(self.teams.host, answer.body)
                call.dialog_request("ACK", body=sdp(ELSEWHERE))
                ack = served.acked()
                self.assertIn("m=audio", ack.body)
                self.assertNotIn(ELSEWHERE, ack.body)
                call.dialog_request("BYE")
                served.ended()

    def test_answer_that_cannot_be_replaced_gets_488_and_the_callee_bye(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE)
        served = self.teams.served(call_id=call.call_id)
        self.reply(served.invite, 183, *parts("alternative", sdp(ELSEWHERE)))
        self.assertEqual(call.provisional(183).body, "")
        self.reply(served.invite, 200, *parts("alternative", sdp(ELSEWHERE)))
        self.assertEqual(call.final().status, 488)
        served.acked()
        served.ended()

    def test_negative_answer_loses_its_sdp(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE)
        served = self.teams.served(call_id=call.call_id)
        served.reply(488, body=sdp(ELSEWHERE))
        answer = call.final()
        self.assertEqual((answer.status, answer.body), (488, ""))

    def test_update_and_reinvite_go_through_the_relay(self):
        call, served = self.established()
        for method in ("UPDATE", "INVITE"):
            with self.subTest(method):
                call.dialog_request(method, body=sdp(ELSEWHERE))
                request = self.teams.wait(lambda m: m.is_request and m.call_id == call.call_id and m.method == method
                                          and m.cseq == call.cseq)
                self.assertIn("m=audio", request.body)
                self.assertNotIn(ELSEWHERE, request.body)
                self.teams.reply(request, 200, headers=[("Contact", self.teams.contact)], body=sdp(ELSEWHERE))
                answer = self.answer(self.west, request)
                self.assertIn("m=audio", answer.body)
                self.assertNotIn(ELSEWHERE, answer.body)
        call.dialog_request("UPDATE", body="no session description")
        self.assertEqual(self.west.response((300, 699), "UPDATE", call_id=call.call_id).status, 488)
        call.dialog_request("BYE")
        served.ended()

    def test_reinvite_whose_answer_cannot_be_replaced_ends_the_call_on_both_sides(self):
        call, served = self.established()
        call.dialog_request("INVITE", body=sdp(self.west.host))
        request = self.teams.wait(lambda m: m.is_request and m.call_id == call.call_id and m.method == "INVITE"
                                  and m.cseq == call.cseq)
        self.reply(request, 200, *parts("alternative", sdp(ELSEWHERE)))
        self.assertEqual(self.answer(self.west, request).status, 488)
        for endpoint in (self.west, self.teams):
            bye = endpoint.request("BYE", call_id=call.call_id)
            endpoint.reply(bye, 200)
            self.assertIn("SIP;cause=488", bye.get("Reason"))
        wait_until(lambda: not relayed(self.gateway, call), 3, "the call is deleted")

    def test_prack_brings_an_offer_or_the_late_answer(self):
        for early, body in (("an offer", None), ("no offer", "")):
            with self.subTest(early):
                call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=body)
                served = self.teams.served(call_id=call.call_id)
                served.reply(183, headers=[("Require", "100rel"), ("RSeq", "1")])
                call.answer = call.provisional(183)
                self.assertNotIn(self.teams.host, call.answer.body)
                call.dialog_request("PRACK", [("RAck", "1 1 INVITE")], sdp(ELSEWHERE, 4444))
                prack = self.teams.request("PRACK", call_id=call.call_id)
                self.assertIn("m=audio", prack.body)
                self.assertNotIn(ELSEWHERE, prack.body)
                self.teams.reply(prack, 200, body=sdp(self.teams.host, 5555))
                answer = self.west.response(200, "PRACK", call_id=call.call_id)
                # The answer to an answer is nothing.
                self.assertEqual("m=audio" in answer.body, body is None)
                self.assertNotIn(self.teams.host, answer.body)
                served.reply(486)
                call.final()

    def test_ack_and_prack_without_relay_carry_no_sdp(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body="")
        served = self.teams.served(call_id=call.call_id)
        served.reply(200)
        call.final(status=200)
        self.gateway.rtpengine.stop()
        try:
            call.dialog_request("PRACK", [("RAck", "1 1 INVITE")], sdp(ELSEWHERE))
            self.assertEqual(self.west.response((200, 699), "PRACK", call_id=call.call_id).status, 503)
            call.dialog_request("ACK", body=sdp(ELSEWHERE))
            self.assertEqual(served.acked().body, "")
            call.dialog_request("BYE")
            served.ended()
        finally:
            self.gateway.rtpengine.start()
            time.sleep(2.2)

    def test_ack_with_sdp_that_cannot_be_replaced_loses_it(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body="")
        served = self.teams.served(call_id=call.call_id)
        served.reply(200)
        call.final(status=200)
        kind, body = parts("alternative", sdp(ELSEWHERE))
        call.dialog_request("ACK", body=body, changes=lambda m: m.set("Content-Type", kind))
        self.assertEqual(served.acked().body, "")
        call.dialog_request("BYE")
        served.ended()


class TestNextHopAndNumbers(HostileCase):
    def test_nobody_names_our_next_hop(self):
        victim = self.start(Endpoint("127.0.9.9"))
        for sender in (self.west, victim):
            call = sender.invite(self.gateway.proxy, FOUND, OUTSIDE, headers=[("Route", f"<sip:{victim.address};lr>")])
            if sender is victim:
                self.assertEqual(call.final().status, 403)
                continue
            served = self.teams.served(call_id=call.call_id)
            self.assertEqual(served.invite.all("Route"), [])
            served.reply(486)
            call.final()
        self.assertEqual(victim.requests("INVITE"), [])

    def test_answer_goes_to_where_the_request_came_from(self):
        other = self.start(Endpoint(self.west.host))
        call_id = token("rport")
        self.west.send(Message(f"OPTIONS sip:{self.gateway.host} SIP/2.0", [
            ("Via", f"SIP/2.0/UDP {other.address};branch={token('z9hG4bK')}"), ("Max-Forwards", 70),
            ("From", "<sip:a@b>;tag=1"), ("To", "<sip:a@b>"), ("Call-ID", call_id), ("CSeq", "1 OPTIONS")]),
            self.gateway.proxy)
        self.west.response(200, "OPTIONS", call_id=call_id)
        self.assertEqual(other.messages, [])

    def value_for(self, caller, *asserted):
        """The custom header's values of a call to the operator."""
        call = self.teams.invite(self.gateway.proxy, OUTSIDE, caller,
                                 headers=[("P-Asserted-Identity", value) for value in asserted])
        served = self.west.served(call_id=call.call_id)
        served.reply(486)
        call.final()
        return served.invite.all(HEADER)

    def test_calling_number_is_the_asserted_one(self):
        for value in (f"<sip:{FOUND}@x>", f"<sip:{FOUND};npdi@x>", f"<tel:{FOUND}>", "<tel:+1-555-123-0001>",
                      f"<tel:{FOUND};npdi>", f'"A" <sip:{FOUND};rn=+1555@x;user=phone>', "<sip:%2B15551230001@x>",
                      "<sip:+1(555)123.0001@x>"):
            with self.subTest(value):
                self.assertEqual(self.value_for("anonymous", value), ["gold"])
        self.assertEqual(self.value_for(FOUND, f"<sip:{NO_HEADER}@x>"), [])

    def test_unreadable_asserted_identity_is_no_number(self):
        for value in ("garbage", "<sip:anonymous@x>", "<sip:x", ""):
            with self.subTest(value):
                self.assertEqual(self.value_for(FOUND, value), [])

    def test_calling_number_of_from_ends_at_its_parameters(self):
        self.assertEqual(self.value_for(f"{FOUND};npdi"), ["gold"])
        self.assertEqual(self.value_for("+1-555-123-0001"), ["gold"])

    def test_number_of_another_service_tells_nothing(self):
        mobile = self.gateway.peer["mobile-1"]
        call = mobile.invite(self.gateway.proxy, OUTSIDE, FOUND)
        served = self.west.served(call_id=call.call_id)
        self.assertEqual(served.invite.all(HEADER), [])
        served.reply(200)
        call.final(status=200)
        call.ack()
        self.assertEqual(served.acked().all(HEADER), [])
        call.dialog_request("BYE")
        self.assertEqual(served.ended().all(HEADER), [])

    def test_called_user_keeps_its_parameters(self):
        host, port = self.gateway.proxy
        for uri, user, end in (
                (f"sip:{FOUND};npdi=yes@{host}:{port}", f"{FOUND};npdi=yes", ""),
                (f"sip:{FOUND};npdi;rn=+15550000000@{host};user=phone", f"{FOUND};npdi;rn=+15550000000", ";user=phone"),
                (f"tel:{FOUND};npdi", f"{FOUND};npdi", ";user=phone"),
                ("tel:+1-555-123-0001", FOUND, ";user=phone"),
                (f"sip:%2B15551230001@{host}", FOUND, ""),
                (f"sip:+1-555-123-0001@{host}", FOUND, "")):
            with self.subTest(uri):
                call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, uri=uri)
                first = self.teams.served(call_id=call.call_id)
                first.reply(503)
                served = self.gateway.peer["teams-2"].served(call_id=call.call_id)
                for invite, peer in ((first.invite, self.teams), (served.invite, self.gateway.peer["teams-2"])):
                    self.assertEqual(invite.uri, f"sip:{user}@{peer.address}{end}")
                served.reply(486)
                call.final()

    def test_called_user_that_is_no_number_reaches_the_operator(self):
        call = self.teams.invite(self.gateway.proxy, OUTSIDE, FOUND, uri=f"sip:*72;foo@{self.gateway.host}")
        served = self.west.served(call_id=call.call_id)
        self.assertEqual(served.invite.uri, f"sip:*72;foo@{self.west.address}")
        served.reply(486)
        call.final()

    def test_long_called_user_reaches_the_operator_or_gets_404(self):
        for length in (500, 512, 513, 1000, 1010, 1024, 4000):
            with self.subTest(length=length):
                user = "a" * length
                call = self.teams.invite(self.gateway.proxy, user, FOUND)
                if length > 512:
                    self.assertEqual(call.final().status, 404)
                    continue
                served = self.west.served(call_id=call.call_id)
                self.assertEqual(served.invite.uri, f"sip:{user}@{self.west.address}")
                self.assertEqual(served.invite.all(HEADER), ["gold"])
                served.reply(486)
                self.assertEqual(call.final().status, 486)

    def test_no_called_user_gets_404_from_both_sides(self):
        for sender in (self.west, self.teams):
            call = sender.invite(self.gateway.proxy, OUTSIDE, FOUND, uri=f"sip:{self.gateway.host}:{self.gateway.port}")
            self.assertEqual(call.final().status, 404)
