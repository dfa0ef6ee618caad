# SPDX-License-Identifier: GPL-2.0-or-later
"""INVITEs with the same Call-ID and From tag: each has its own media, and ends nobody else's."""

import socket
import unittest

from harness import wait_until
from harness.gateway import HEADER
from harness.media import FOUND, OUTSIDE
from harness.rtp import media_of, new_key
from harness.rtpengine import debian13
from harness.sip import Message, uri_of
from test_media_ends import EndsCase


def is_free(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        try:
            mine.bind(address)
        except OSError:
            return False
    return True


class SharedCase(EndsCase):
    lived = 0

    def setUp(self):
        super().setUp()
        self.lived = self.live_calls()

    def live_calls(self):
        """Without those that a test before left."""
        return super().live_calls() - self.lived

    def ringing(self, caller="west"):
        self.caller, self.callee = (self.west, self.teams) if caller == "west" else (self.teams, self.west)
        self.names = (caller, "teams" if caller == "west" else "west")
        numbers = (FOUND, OUTSIDE) if caller == "west" else (OUTSIDE, FOUND)
        self.call = self.caller.invite(self.gateway.proxy, *numbers, body=self.offer())
        self.call_id = self.call.call_id
        return self.arrived()

    def offer(self, kind=None):
        return self.body(self.names[0], kind or self.KINDS[self.names[0]])

    def arrived(self):
        served = self.callee.served(call_id=self.call_id)
        served.reply(180)
        return served

    def branch(self, body=None):
        """The INVITE by another branch, as a proxy before us forks it: the same CSeq, another Via."""
        invite = Message.parse(bytes(self.call.sent))
        invite.headers[0][1] = self.caller.via()
        invite.body = body or invite.body
        self.caller.send(invite, self.gateway.proxy)
        return invite

    def next(self):
        """The caller's INVITE once more (RFC 3261 8.1.3.5, RFC 4028 7.3): the next CSeq."""
        self.call.cseq += 1
        self.call.start(self.offer())
        return self.call.sent

    def failed(self, invite, status):
        """The final answer to that INVITE, acknowledged."""
        answer = self.caller.wait(lambda m: m.status == status and m.method == "INVITE" and m.branch == invite.branch,
                                  what=f"{status} of a branch")
        self.caller.send(self.call.message("ACK", invite.uri, invite.cseq, branch=invite.branch,
                                           remote=answer.get("To")), self.gateway.proxy)

    def turned_down(self, served, invite, status=486):
        served.reply(status, headers=[("Min-SE", 1800)] if status == 422 else [])
        self.failed(invite, status)

    def cancelled(self, served, invite):
        cancel = self.call.message("CANCEL", invite.uri, invite.cseq, branch=invite.branch)
        cancel.headers[0][1] = invite.get("Via")
        self.caller.send(cancel, self.gateway.proxy)
        served.cancelled()
        self.failed(invite, 487)

    def answered(self, served):
        served.reply(200, body=self.body(self.names[1], self.KINDS[self.names[1]]))
        answer = self.call.final(status=(200, 699))
        self.assertEqual(answer.status, 200, answer.reason)
        self.call.ack()
        served.acked()
        self.dialogs = dict(zip(self.names, (self.call, served)))
        for who, got in zip(self.names, (answer.body, served.invite.body)):
            self.connect_as(who, self.KINDS[who], got)
        self.both_hear()

    def lives_and_ends(self):
        self.media_go_on()
        self.assertEqual(self.live_calls(), 1)
        self.both_hear()
        self.over()
        self.assertEqual(self.live_calls(), 0)


class TestOneAfterTheOther(SharedCase):
    def test_caller_repeats_it_at_once(self):
        for status in (422, 488):
            served, invite = self.ringing(), self.call.sent
            self.turned_down(served, invite, status)
            self.next()
            self.answered(self.arrived())
            self.lives_and_ends()

    def test_proxy_tries_the_next_number_at_once(self):
        for _ in range(2):
            served, invite = self.ringing(), self.call.sent
            self.turned_down(served, invite)
            self.branch()
            self.answered(self.arrived())
            self.lives_and_ends()

    def test_all_fail(self):
        served, invite = self.ringing(), self.call.sent
        for _ in range(5):
            self.turned_down(served, invite)
            invite = self.branch()
            served = self.arrived()
        self.assertTrue(self.relayed())
        self.turned_down(served, invite)
        self.media_end()

    def test_the_next_has_no_offer(self):
        served, invite = self.ringing(), self.call.sent
        self.turned_down(served, invite)
        self.call.cseq += 1
        self.call.start("")
        served = self.arrived()
        served.reply(200, body=self.body("teams", "SRTP"))
        offered = self.call.final(status=200)
        self.call.dialog_request("ACK", body=self.body("west", "plain"))
        answered = self.teams.wait(lambda m: m.method == "ACK" and m.cseq == 2 and m.call_id == self.call_id,
                                   what="ACK")
        self.dialogs = {"west": self.call, "teams": served}
        self.connect_as("west", "plain", offered.body)
        self.connect_as("teams", "SRTP", answered.body)
        self.both_hear()
        self.lives_and_ends()


class TestAtTheSameTime(SharedCase):
    def relay_is_used(self):
        call = self.west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=self.body("west", "plain"))
        found = call.final(status=(100, 699)).status < 200
        if found:
            self.teams.served(call_id=call.call_id).reply(486)
            call.final(status=486)
        return found

    def test_another_is_busy_before_the_answer(self):
        first = self.ringing()
        invite = self.branch()
        self.turned_down(self.arrived(), invite)
        self.media_go_on()
        self.answered(first)
        self.lives_and_ends()

    def test_the_first_is_busy_before_the_answer(self):
        first, invite = self.ringing(), self.call.sent
        self.branch()
        second = self.arrived()
        self.turned_down(first, invite)
        self.media_go_on()
        self.answered(second)
        self.lives_and_ends()

    def test_another_is_cancelled_after_the_answer(self):
        first = self.ringing()
        invite = self.branch()
        second = self.arrived()
        self.answered(first)
        self.cancelled(second, invite)
        self.lives_and_ends()

    def test_another_comes_after_the_answer_and_is_refused(self):
        """RFC 3261 8.2.2.2: a merged request."""
        for caller in ("west", "teams"):
            self.answered(self.ringing(caller))
            invite = self.branch(self.body(caller, self.KINDS[caller], self.second[caller], new_key()))
            served = self.arrived()
            self.both_hear()
            self.turned_down(served, invite, 482)
            self.lives_and_ends()

    def test_both_are_answered(self):
        """RFC 3261 13.2.2.4: the caller, behind a proxy that forks, ends the one that he does not want."""
        first = self.ringing()
        self.branch()
        second = self.arrived()
        self.answered(first)
        answer, dialogs = self.call.answer, self.dialogs
        self.media["teams"], self.second["teams"] = self.second["teams"], self.media["teams"]
        self.answered(second)
        self.assertEqual(self.live_calls(), 2)
        self.send("west", "BYE")
        self.teams.reply(self.arrives("teams", "BYE"), 200)
        wait_until(lambda: is_free(media_of(second.invite.body)), 3, "its port is free")
        self.media["teams"], self.second["teams"] = self.second["teams"], self.media["teams"]
        self.dialogs, self.call.answer = dialogs, answer
        self.connect_as("west", "plain", answer.body)
        self.both_hear()
        self.lives_and_ends()

    def test_another_comes_after_the_answer_and_we_refuse_it(self):
        self.answered(self.ringing("teams"))
        self.failed(self.branch(self.offer("plain")), 488)
        self.lives_and_ends()

    def test_the_answer_to_another_is_refused(self):
        first = self.ringing()
        invite = self.branch()
        second = self.arrived()
        self.answered(first)
        second.reply(200, body=self.body("teams", "plain"))
        self.failed(invite, 488)
        second.acked()
        second.ended()
        self.lives_and_ends()

    def test_call_ends_while_another_rings(self):
        first = self.ringing()
        invite = self.branch()
        second = self.arrived()
        self.answered(first)
        self.send("west", "BYE")
        self.teams.reply(self.arrives("teams", "BYE"), 200)
        self.west.response(200, "BYE", call_id=self.call_id)
        self.media_go_on()
        self.cancelled(second, invite)
        self.media_end()

    def test_one_fails_while_another_offers(self):
        """The other's worker waits for rtpengine meanwhile, 120 ms at most: on a busy machine it may have to try again."""
        for _ in range(5):
            first, invite, checked = self.ringing(), self.call.sent, self.counter("checked")
            self.gateway.rtpengine.freeze()
            other = self.branch()
            wait_until(lambda: self.counter("checked") > checked, 3, "the other INVITE is here")
            first.reply(486)
            self.west.wait(lambda m: m.status == 486 and m.branch == invite.branch, what="486", take=False)
            self.gateway.rtpengine.thaw()
            self.failed(invite, 486)
            if not self.west.seen(lambda m: m.status == 503 and m.branch == other.branch):
                break
            wait_until(self.relay_is_used, 5, "Kamailio asks rtpengine again")
        self.answered(self.arrived())
        self.lives_and_ends()

    def test_all_fail_at_once(self):
        for _ in range(5):
            branches = [(self.ringing(), self.call.sent)]
            for _ in range(2):
                invite = self.branch()
                branches.append((self.arrived(), invite))
            for served, _ in branches:
                served.reply(486)
            for _, invite in branches:
                self.failed(invite, 486)
            self.media_end()


class TestTokenOfAnotherInvite(SharedCase):
    """The callee has the tokens of two INVITEs of one Call-ID and From tag: that of the first names nothing of the call."""

    MEDIA = {"teams-oc": "SRTP-optional"}
    KINDS = {"west": "plain", "teams": "OSRTP"}

    def up(self):
        first, invite = self.ringing(), self.call.sent
        self.turned_down(first, invite, 422)
        self.next()
        self.answered(self.arrived())
        self.routes = first.invite.routes()

    def with_its_token(self, method, body=""):
        def changes(message):
            message.remove("Route")
            message.headers[1:1] = [["Route", route] for route in self.routes]
        return self.dialogs["teams"].dialog_request(method, self.gateway.proxy, body=body, changes=changes)

    def test_who_was_secured_stays_so(self):
        self.up()
        request = self.with_its_token("UPDATE", self.body("teams", "plain"))
        self.assertEqual(self.answer_to("teams", request).status, 488)
        self.lives_and_ends()

    def test_nor_does_it_in_the_answer(self):
        first, invite = self.ringing(), self.call.sent
        self.turned_down(first, invite, 422)
        self.next()
        served = self.arrived()
        served.invite.set("Record-Route", first.invite.get("Record-Route"))
        self.answered(served)
        request = self.send("teams", "UPDATE", self.body("teams", "plain"))
        self.assertEqual(self.answer_to("teams", request).status, 488)
        self.lives_and_ends()

    def test_bye_ends_the_call(self):
        self.up()
        self.with_its_token("BYE")
        self.west.reply(self.arrives("west", "BYE"), 200)
        self.teams.response(200, "BYE", call_id=self.call_id)
        self.media_end()
        self.assertEqual(self.live_calls(), 0)


class TestPassesTwice(SharedCase):
    """A service that sends the call on, to a number of the operator's, as a proxy does (RFC 3261 16)."""

    MEDIA = {}
    CALLER = "+15551230002"

    def sends_on(self, endpoint, message):
        if message.status == 100 or (message.status == 200 and message.method == "CANCEL"):
            return
        if message.is_request and message.method in ("INVITE", "CANCEL"):
            endpoint.reply(message, 100 if message.method == "INVITE" else 200)
        message = Message.parse(bytes(message))
        if message.is_request:
            routes = message.routes("Route")
            message.remove("Route")
            message.headers[:0] = [["Via", endpoint.via(f"{message.branch}.on")],
                                   *(["Route", route] for route in routes if uri_of(route) != self.own)]
        else:
            message.headers.remove(next(header for header in message.headers if header[0] == "Via"))
        if message.is_request and message.method in ("INVITE", "CANCEL") and not message.tag("To"):
            message.first = f"{message.method} sip:{OUTSIDE}@{self.gateway.host}:{self.gateway.port} SIP/2.0"
        if message.is_request and message.method == "INVITE":
            message.headers.insert(1, ["Record-Route", f"<{self.own}>"])
        if message.is_request and message.method == "CANCEL":
            del message.headers[1]
        endpoint.send(message, self.gateway.proxy)

    def begin(self, body=None, caller=CALLER):
        self.own = f"sip:{self.teams.address};lr"
        self.media["teams"] = self.second["west"]
        self.teams.behave = self.sends_on
        self.addCleanup(setattr, self.teams, "behave", None)
        body = self.body("west", "plain") if body is None else body
        call = self.west.invite(self.gateway.proxy, FOUND, caller, body=body)
        self.call_id = call.call_id
        return call, self.west.served(call_id=call.call_id)

    def answered_by(self, call, served):
        served.reply(200, body=self.body("teams", "plain"))
        answer = call.final(status=200)
        call.ack()
        served.acked()
        self.connect_as("west", "plain", answer.body)
        self.connect_as("teams", "plain", served.invite.body)
        self.both_hear()
        self.assertEqual(self.live_calls(), 2)

    def both_are_over(self):
        self.media_end()
        self.assertEqual(self.live_calls(), 0)

    def caller_ends(self, call, served):
        call.dialog_request("BYE")
        served.ended()
        self.west.response(200, "BYE", call_id=call.call_id)
        self.both_are_over()

    def test_caller_ends_it(self):
        call, served = self.begin()
        self.answered_by(call, served)
        self.caller_ends(call, served)

    def test_callee_ends_it(self):
        call, served = self.begin()
        self.answered_by(call, served)
        served.dialog_request("BYE", self.gateway.proxy)
        self.west.reply(self.west.request("BYE", call_id=call.call_id), 200)
        self.west.response(200, "BYE", call_id=call.call_id)
        self.both_are_over()

    def test_busy(self):
        call, served = self.begin()
        self.assertTrue(self.relayed())
        served.reply(486)
        call.final(status=486)
        self.both_are_over()

    def test_cancelled(self):
        call, served = self.begin()
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.cancelled()
        call.final(status=487)
        self.both_are_over()

    def test_another_peer_answers(self):
        call, _ = self.begin()
        served = self.gateway.peer["east"].served(call_id=call.call_id)
        self.answered_by(call, served)
        self.caller_ends(call, served)

    def test_new_offers_of_both_ends(self):
        call, served = self.begin()
        self.answered_by(call, served)
        for who, other in (("west", "teams"), ("teams", "west")):
            body = self.body(who, "plain")
            if who == "west":
                call.dialog_request("UPDATE", body=body)
            else:
                served.dialog_request("UPDATE", self.gateway.proxy, body=body)
            arrived = self.west.request("UPDATE", call_id=call.call_id)
            self.west.reply(arrived, 200, headers=[("Contact", self.west.contact)], body=self.body(other, "plain"))
            answer = self.west.response(200, "UPDATE", call_id=call.call_id)
            self.connect_as(who, "plain", answer.body)
            self.connect_as(other, "plain", arrived.body)
            self.both_hear()
        self.caller_ends(call, served)

    def test_the_offer_is_in_the_answer(self):
        call, served = self.begin("")
        served.reply(200, body=self.body("teams", "plain"))
        offered = call.final(status=200)
        call.dialog_request("ACK", body=self.body("west", "plain"))
        self.connect_as("west", "plain", offered.body)
        self.connect_as("teams", "plain", served.acked().body)
        self.both_hear()
        self.caller_ends(call, served)

    def test_answer_repeated_when_its_transactions_are_gone(self):
        call, served = self.begin()
        self.answered_by(call, served)
        first = self.answers(call)[-1]
        wait_until(lambda: self.gateway.kamailio.transactions() == 0, 15, "the transactions are gone")
        served.reply(200, body=self.body("teams", "plain"))
        wait_until(lambda: len(self.answers(call)) == 2, 3, "200 again")
        self.assertEqual(media_of(self.answers(call)[-1].body), media_of(first.body))
        self.both_hear()
        self.caller_ends(call, served)

    def answers(self, call):
        return self.west.seen(lambda m: m.status == 200 and m.method == "INVITE" and m.call_id == call.call_id)

    def test_late_answer_ends_both_passes(self):
        """No 180 comes back to the first pass, which gives teams-1 up."""
        def silent(endpoint, message):
            if message.status != 180:
                self.sends_on(endpoint, message)
        call, served = self.begin(caller=FOUND)
        self.teams.behave = silent
        served.reply(180)
        other = self.gateway.peer["teams-2"].served(call_id=call.call_id)
        other.reply(180)
        served.reply(200, body=self.body("teams", "plain"))
        served.acked()
        bye = served.ended()
        self.assertEqual(len(bye.all("Via")), 3)
        requests = self.teams.seen(lambda m: m.is_request and m.method in ("ACK", "BYE") and m.call_id == call.call_id)
        self.assertEqual([message.get(HEADER) for message in requests], [None] * len(requests))
        other.reply(486)
        call.final(status=486)
        self.both_are_over()


class TestOneAfterTheOtherDebian13(TestOneAfterTheOther):
    ROOT = debian13


class TestAtTheSameTimeDebian13(TestAtTheSameTime):
    ROOT = debian13


class TestPassesTwiceDebian13(TestPassesTwice):
    ROOT = debian13


if __name__ == "__main__":
    unittest.main()
