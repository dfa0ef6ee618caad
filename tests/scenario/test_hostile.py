# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages that want to get past the rules: stray responses, forged tokens, SDP in hiding, names of next hops."""

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
