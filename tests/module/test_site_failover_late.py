# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module site_failover: answers that come too late, or are refused."""

import itertools
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.sip import Call, Endpoint, Message, token
from harness.site_failover import SILENCE, Gateway
from harness.wait import wait_until


class TestLateAnswer(Gateway):
    """An answer of a branch that was given up: nobody but the gateway can end it."""

    def test_while_the_other_site_rings(self):
        before = self.counter("late_answers")
        call, first, second = self.abandoned()
        first.reply(200)
        self.ended_by_us(first, 408)
        self.talk(call, second)
        self.assertEqual(self.finals_of(call), [200])
        self.assertEqual(self.counter("late_answers"), before + 1)

    def test_after_the_other_site_answered(self):
        call, first, second = self.abandoned()
        self.talk(call, second)
        first.reply(200)
        self.ended_by_us(first, 200)
        self.assertEqual(self.finals_of(call), [200])

    def test_after_a_final_answer_of_its_own_branch(self):
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        first.reply(503)
        second = self.east.served(call_id=call.call_id)
        second.reply(180)
        call.provisional(180)
        first.reply(200)
        first.acked()
        first.ended()
        self.talk(call, second)
        self.assertEqual(len(self.west.requests("BYE", call.call_id)), 1)

    def test_each_retransmission_is_acknowledged_and_one_bye_is_sent(self):
        call, first, second = self.abandoned()
        for _ in range(4):
            first.reply(200)
            first.acked()
        first.ended()
        self.assertTrue(self.silent(self.west))
        self.assertEqual(len(self.west.requests("BYE", call.call_id)), 1)
        self.talk(call, second)

    def test_each_to_tag_gets_its_own_bye(self):
        call, first, second = self.abandoned()
        tags = [token("to"), token("to")]
        for tag in tags:
            first.reply(200, tag=tag)
            first.acked()
        ended = [first.ended(), first.ended()]
        self.assertEqual(sorted(bye.tag("To") for bye in ended), sorted(tags))
        self.talk(call, second)

    def test_routes_beyond_us_are_followed_and_ours_is_left_out(self):
        call, first, second = self.abandoned()
        ours = first.invite.routes()
        near, far = f"<sip:{self.west.address};lr;n=1>", "<sip:192.0.2.77;lr;n=2>"
        response = first.invite
        saved = [list(header) for header in response.headers]
        response.headers = [header for header in response.headers if header[0] != "Record-Route"]
        response.headers += [["Record-Route", f"{far}, {near}"]] + [["Record-Route", route] for route in ours]
        first.reply(200)
        response.headers = saved
        acknowledged, ended = self.ended_by_us(first, 408)
        self.assertEqual(acknowledged.routes("Route"), [near, far])
        self.assertEqual(ended.routes("Route"), [near, far])
        self.talk(call, second)

    def test_name_in_contact_is_not_looked_up(self):
        call, first, second = self.abandoned()
        self.west.reply(first.invite, 200, first.tag, [("Contact", "<sip:west@no-such-host.invalid>")])
        acknowledged = first.acked(1)
        self.assertEqual(acknowledged.uri, "sip:west@no-such-host.invalid")
        first.ended(1)
        self.talk(call, second)

    def test_answer_that_cannot_be_ended_is_tried_again_and_not_called_ended(self):
        call, first, second = self.abandoned()
        far = [["Record-Route", f"<sip:192.0.2.{i};lr;pad={'x' * 400}>"] for i in range(1, 13)]
        saved = list(first.invite.headers)
        first.invite.headers[:0] = far
        before = self.counter("late_byes")
        first.reply(200)
        wait_until(lambda: f"answer of call {call.call_id} is not wanted, and sending failed" in self.kamailio.log(), 3, "the log")
        self.assertNotIn(f"{call.call_id} from", self.kamailio.log())
        self.assertEqual(self.counter("late_byes"), before)
        first.invite.headers = saved
        first.reply(200)
        self.ended_by_us(first, 408)
        self.assertEqual(self.counter("late_byes"), before + 1)
        self.talk(call, second)

    def test_answer_without_contact_harms_nothing(self):
        call, first, second = self.abandoned()
        self.west.reply(first.invite, 200, first.tag)
        self.talk(call, second)
        self.assertEqual(self.finals_of(call), [200])

    def test_custom_header_goes_to_the_operator(self):
        self.kamailio.call("provisioning.account_set", "acme")
        self.kamailio.call("provisioning.number_set", "s:+15551230001", "acme", "teamsOperatorConnect", "gold")
        call = self.call(headers=[("X-Attributes", "1")])
        first = self.west.served(call_id=call.call_id)
        second = self.east.served(SILENCE + 2, call.call_id)
        first.reply(200)
        acknowledged, ended = self.ended_by_us(first, 408)
        self.assertEqual(acknowledged.get("X-Operator-Content"), "gold")
        self.assertEqual(ended.get("X-Operator-Content"), "gold")
        self.talk(call, second)


class TestTaken(Gateway):
    """late_answer=take: the first answer wins as long as the caller has heard nothing above 100."""

    parameters = 'modparam("site_failover", "late_answer", "take")'

    def given_up(self):
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        return call, first, self.east.served(SILENCE + 2, call.call_id)

    def taken(self, call, first):
        first.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        first.acked()

    def test_answer_of_the_silent_site_is_the_callers(self):
        before = self.counter("late_taken")
        call, first, second = self.given_up()
        second.reply(100)
        self.taken(call, first)
        second.cancelled()
        self.assertEqual(self.counter("late_taken"), before + 1)
        self.assertEqual((self.load_of("west"), self.load_of("east")), ((1, 0), (0, 0)))
        first.dialog_request("BYE", self.proxy)
        self.teams.reply(self.teams.request("BYE", call_id=call.call_id), 200)
        wait_until(lambda: self.load_of("west") == (0, 0), 2)
        self.assertEqual(self.finals_of(call), [200])

    def test_the_other_site_that_answers_then_is_ended(self):
        call, first, second = self.given_up()
        self.taken(call, first)
        second.reply(200)
        self.ended_by_us(second, 200)
        call.dialog_request("BYE")
        first.ended()
        self.assertEqual(self.finals_of(call), [200])

    def test_after_ringing_it_is_ended_all_the_same(self):
        call, first, second = self.given_up()
        second.reply(180)
        call.provisional(180)
        first.reply(200)
        self.ended_by_us(first, 408)
        self.talk(call, second)
        self.assertEqual(self.finals_of(call), [200])

    def test_repeated_answer_after_the_transaction_is_gone_ends_nothing(self):
        call, first, second = self.given_up()
        self.taken(call, first)
        second.reply(100)
        wait_until(lambda: "current: 0" in self.kamailio.call("tm.stats").replace("\t", " "), 15, "no transaction", 0.2)
        first.reply(200)
        self.assertTrue(self.silent(self.west))
        self.assertEqual(self.west.requests("BYE", call.call_id), [])
        call.dialog_request("BYE")
        first.ended()


class TestCancel(Gateway):
    def test_late_200_after_the_caller_gave_up_on_a_silent_site(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        call.cancel()
        self.assertEqual(call.final(SILENCE + 2).status, 487)
        served.reply(200)
        self.ended_by_us(served, 487)
        self.assertEqual(self.finals_of(call), [487])
        self.assertEqual(self.east.requests("INVITE", call.call_id), [])

    def test_200_that_crosses_cancel_in_an_open_transaction_is_the_callers(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.endpoint.reply(served.endpoint.request("CANCEL", call_id=call.call_id), 481)
        self.talk(call, served)
        self.assertEqual(self.finals_of(call), [200])

    def test_200_after_its_own_487_is_ended(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.cancelled()
        self.assertEqual(call.final().status, 487)
        served.reply(200)
        wait_until(lambda: len(self.west.requests("BYE", call.call_id)) == 1, 3, "BYE")
        self.assertEqual(self.finals_of(call), [487])

    def test_cancel_of_the_second_site_and_late_200_of_both(self):
        call, first, second = self.abandoned()
        call.cancel()
        second.cancelled()
        self.assertEqual(call.final().status, 487)
        first.reply(200)
        self.ended_by_us(first, 487)
        self.assertEqual(self.finals_of(call), [487])


class TestOthersCalls(Gateway):
    """Calls that the rest of the configuration places: forking is its own affair."""

    def test_both_answers_of_a_forked_call_are_the_callers(self):
        caller, left, right = (self.start(Endpoint(f"127.0.9.{i}")) for i in (1, 2, 3))
        call = caller.invite(self.proxy, "alice", headers=[("X-Fork", f"sip:alice@{left.address}"),
                                                           ("X-Fork-Too", f"sip:alice@{right.address}")])
        first, second = left.served(call_id=call.call_id), right.served(call_id=call.call_id)
        for served in (first, second):
            served.reply(200)
            self.assertEqual(caller.response(200, "INVITE", 2, call.call_id).tag("To"), served.tag)
        self.assertEqual(left.requests("BYE", call.call_id) + right.requests("BYE", call.call_id), [])

    def test_their_answers_are_not_refused(self):
        caller, left, right = (self.start(Endpoint(f"127.0.9.{i}")) for i in (1, 2, 3))
        call = caller.invite(self.proxy, "alice", headers=[("X-Fork", f"sip:alice@{left.address}"),
                                                           ("X-Fork-Too", f"sip:alice@{right.address}")])
        served = left.served(call_id=call.call_id)
        right.served(call_id=call.call_id)
        served.reply(200, headers=[("X-Refuse", "1")])
        self.assertTrue(self.silent(left))
        self.assertEqual(caller.statuses(call_id=call.call_id).count(488), 0)


class TestWithinDialog(Gateway):
    def test_late_200_of_a_new_offer_is_the_callers_and_ends_nothing(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(200)
        call.final()
        call.ack()
        served.acked()
        offer = call.dialog_request("INVITE", headers=[("Contact", self.teams.contact)])
        again = self.west.wait(lambda m: m.is_request and m.method == "INVITE" and m.tag("To"))
        for status in (486, 200):
            self.west.reply(again, status, headers=[("Contact", self.west.contact)])
            self.teams.wait(lambda m: m.status == status and m.cseq == offer.cseq and m.method == "INVITE")
        self.assertEqual(self.west.requests("BYE", call.call_id), [])
        call.dialog_request("BYE")
        served.ended()


class TestTransactionGone(Gateway):
    """tm keeps a finished transaction for one second here; the branch is known longer."""

    kept = 1000

    def gone(self):
        call, first, second = self.abandoned()
        self.talk(call, second)
        self.no_transaction()
        return call, first

    def test_late_200_is_ended_once_and_acknowledged_each_time(self):
        call, first = self.gone()
        for _ in range(3):
            first.reply(200)
            first.acked()
        bye = first.ended()
        self.assertIn("SIP;cause=200", bye.get("Reason"))
        self.assertTrue(self.silent(self.west))
        self.assertEqual(len(self.west.requests("BYE", call.call_id)), 1)
        self.assertEqual(self.finals_of(call), [200])

    def test_late_180_is_cancelled_and_its_487_acknowledged(self):
        call, first = self.gone()
        first.reply(180)
        cancel = self.west.request("CANCEL", call_id=call.call_id)
        self.assertEqual(cancel.branch, first.invite.branch)
        self.assertEqual(cancel.uri, first.invite.uri)
        self.assertEqual(cancel.cseq, first.invite.cseq)
        self.west.reply(cancel, 200, first.tag)
        first.reply(487)
        acknowledged = first.acked()
        self.assertEqual(acknowledged.branch, first.invite.branch)
        self.assertTrue(self.silent(self.teams))
        self.assertEqual(self.finals_of(call), [200])

    def ended_long_ago(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.talk(call, served)
        self.no_transaction()
        return call, served

    def no_transaction(self):
        wait_until(lambda: "current: 0" in self.kamailio.call("tm.stats").replace("\t", " "), 5,
                   "no transaction is left", 0.2)

    def test_other_branches_are_not_ours(self):
        call, served = self.ended_long_ago()
        before = len(self.west.requests("ACK", call.call_id))
        served.reply(200)
        self.teams.wait(lambda m: m.status == 200 and m.method == "INVITE" and m.call_id == call.call_id, 3)
        self.assertEqual(len(self.west.requests("ACK", call.call_id)), before)

    def test_branch_that_answered_is_forgotten_with_its_transaction(self):
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        first.reply(503)
        self.talk(call, self.east.served(call_id=call.call_id))
        self.no_transaction()
        first.reply(180)
        self.assertTrue(self.silent(self.west, 0.6))
        self.assertEqual(self.west.requests("CANCEL", call.call_id), [])

    def test_branch_that_never_answered_the_cancel_is_remembered(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        call.cancel()
        self.assertEqual(call.final(SILENCE + 2).status, 487)
        self.no_transaction()
        served.reply(200)
        self.ended_by_us(served, 487)

    def test_stray_answer_of_the_callee_with_a_token_is_his_dialogs(self):
        call, served = self.ended_long_ago()
        foreign = ["Record-Route", "<sip:192.0.2.9;lr;tg=AAAAAAAAAAAAAAAAAAAAAAAAAAAA>"]
        served.invite.headers.insert(0, foreign)
        before = self.arrived(call)
        served.reply(200)
        wait_until(lambda: self.arrived(call) > before, 2, "the answer")

    def arrived(self, call):
        return len(self.teams.seen(lambda m: not m.is_request and m.method == "INVITE" and m.call_id == call.call_id))

    def test_stray_answer_of_anybody_else_is_not(self):
        call, served = self.ended_long_ago()
        stranger = self.start(Endpoint("127.0.9.9"))
        without, changed = served.invite, Message.parse(bytes(served.invite))
        bare = Message.parse(bytes(without))
        bare.remove("Record-Route")
        changed.set("Call-ID", token("call"))
        for endpoint, request in ((stranger, without), (self.west, bare), (self.west, changed)):
            with self.subTest(endpoint=endpoint.host, request=request):
                request.source = request.source or without.source
                before = len(self.teams.messages)
                endpoint.reply(request, 200, served.tag, [("Contact", endpoint.contact)])
                self.assertTrue(self.silent(self.teams))
                self.assertEqual(len(self.teams.messages), before)


class TestRefuse(Gateway):
    def test_refused_answer_is_488_for_the_caller_and_bye_for_the_callee(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        for _ in range(2):
            served.reply(200, headers=[("X-Refuse", "1")])
            served.acked()
        self.assertEqual(call.final().status, 488)
        self.assertIn("SIP;cause=488", served.ended().get("Reason"))
        self.assertEqual(self.finals_of(call), [488])
        self.assertEqual(self.west.requests("CANCEL", call.call_id), [])
        self.assertEqual(self.east.requests("INVITE", call.call_id), [])

    def established(self):
        self.kamailio.call("provisioning.account_set", "acme")
        self.kamailio.call("provisioning.number_set", "s:+15551230001", "acme", "teamsOperatorConnect", "gold")
        call = self.call(headers=[("X-Attributes", "1")])
        served = self.west.served(call_id=call.call_id)
        served.reply(200)
        call.final(status=200)
        call.ack()
        served.acked()
        return call, served

    def answered(self, sender, receiver, request):
        """The request as it came, after an answer that is refused: twice, as over UDP."""
        arrived = receiver.wait(lambda m: m.is_request and m.method == request.method and m.cseq == request.cseq
                                and m.call_id == request.call_id, what="request")
        for _ in range(2):
            receiver.reply(arrived, 200, headers=[("Contact", receiver.contact), ("X-Refuse", "1")])
            if request.method == "INVITE":
                self.assertEqual(receiver.request("ACK", call_id=request.call_id).cseq, request.cseq)
        answer = sender.response((200, 699), request.method, call_id=request.call_id)
        self.assertEqual(answer.status, 488)
        return answer

    def ended_with_488(self, endpoint, call_id):
        bye = endpoint.request("BYE", call_id=call_id)
        endpoint.reply(bye, 200)
        self.assertIn("SIP;cause=488", bye.get("Reason"))
        return bye

    def test_refused_answer_to_a_new_offer_ends_the_call_on_both_sides(self):
        for number, method in itertools.product(("caller", "callee"), ("INVITE", "UPDATE", "PRACK")):
            with self.subTest(f"{method} of the {number}"):
                call, served = self.established()
                if number == "caller":
                    sender, receiver, request = self.teams, self.west, call.dialog_request(method, body="v=0\r\n")
                else:
                    sender, receiver = self.west, self.teams
                    request = served.dialog_request(method, self.proxy, body="v=0\r\n")
                self.answered(sender, receiver, request)
                for endpoint in (sender, receiver):
                    bye = self.ended_with_488(endpoint, call.call_id)
                    self.assertEqual(bye.all("X-Operator-Content"), ["gold"] if endpoint is self.west else [])
                    self.assertEqual(len(endpoint.requests("BYE", call.call_id)), 1)

    def test_without_contacts_both_are_reached_all_the_same(self):
        call, _ = self.established()
        call.dialog_request("PRACK", body="v=0\r\n", changes=lambda message: message.remove("Contact"))
        self.west.reply(self.west.request("PRACK", call_id=call.call_id), 200, headers=[("X-Refuse", "1")])
        self.assertEqual(self.teams.response((200, 699), "PRACK", call_id=call.call_id).status, 488)
        self.assertEqual(self.ended_with_488(self.west, call.call_id).uri, self.west.contact.strip("<>"))
        self.ended_with_488(self.teams, call.call_id)

    def test_refused_answer_to_what_has_no_session_ends_nothing(self):
        call, served = self.established()
        self.answered(self.teams, self.west, call.dialog_request("INFO"))
        call.dialog_request("BYE")
        self.assertIsNone(served.ended().get("Reason"))
        self.assertEqual(self.teams.requests("BYE", call.call_id), [])


class TestRefuseOverTcp(TestRefuse):
    """The BYE goes back over the connection of the request."""

    transports = {"operator": "TCP"}


if __name__ == "__main__":
    unittest.main()
