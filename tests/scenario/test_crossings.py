# SPDX-License-Identifier: GPL-2.0-or-later
"""Crossings of CANCEL, late 180, late 200 and failover: each answered endpoint gets ACK and BYE, the caller one final."""

import os
import random
import threading
import time
import unittest

from harness import Case, Served, wait_until
from harness.gateway import SETTINGS, Gateway

NUMBER, OUTSIDE = "+15551230001", "+15557770000"
SILENCE = SETTINGS["silenceLimitMs"] / 1000
PROGRESS = SETTINGS["progressLimitMs"] / 1000
REPETITIONS = int(os.environ.get("TRUNKGATE_REPETITIONS", 10))


class CrossingCase(Case):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder))
        cls.caller = cls.gateway.peer["west"]
        cls.first, cls.second = cls.gateway.peer["teams-1"], cls.gateway.peer["teams-2"]

    def call(self):
        return self.caller.invite(self.gateway.proxy, NUMBER, OUTSIDE)

    def ended_by_gateway(self, served):
        """An abandoned endpoint that answered is acknowledged and ended."""
        served.acked()
        served.ended()

    def ended_by_caller(self, call, served):
        """The caller holds the call: it acknowledges and ends it."""
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()
        self.caller.response(200, "BYE", call_id=call.call_id)

    def one_final(self, call):
        self.assertEqual(len(call.finals()), 1, [repr(message) for message in call.finals()])


class TestCrossings(CrossingCase):
    def test_cancel_crosses_200(self):
        call = self.call()
        served = self.first.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        served.endpoint.reply(served.endpoint.request("CANCEL", call_id=call.call_id), 481)
        served.reply(200)
        answer = call.final()
        if answer.status == 200:
            call.ack()
            served.acked()
            call.dialog_request("BYE")
            served.ended()
        else:
            self.ended_by_gateway(served)
        self.one_final(call)

    def test_late_200_while_the_other_site_rings(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        other.reply(180)
        call.provisional(180)
        late.reply(200)
        self.ended_by_gateway(late)
        other.reply(200)
        self.ended_by_caller(call, other)
        self.one_final(call)

    def test_late_180_then_200_while_the_other_site_rings(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        late.reply(180)
        other.reply(180)
        call.provisional(180)
        late.reply(200)
        self.ended_by_gateway(late)
        other.reply(200)
        self.ended_by_caller(call, other)
        self.one_final(call)

    def test_late_180_of_the_abandoned_site_is_cancelled_or_ended(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        late.reply(180)
        late.cancelled(3)
        other.reply(200)
        self.ended_by_caller(call, other)
        self.one_final(call)

    def test_late_200_after_the_other_site_answered(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        other.reply(200)
        self.assertEqual(call.final().status, 200)
        late.reply(200)
        call.ack()
        other.acked()
        self.ended_by_gateway(late)
        call.dialog_request("BYE")
        other.ended()
        self.one_final(call)

    def test_both_answer_at_once(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        late.reply(200)
        other.reply(200)
        self.ended_by_gateway(late)
        self.ended_by_caller(call, other)
        self.one_final(call)

    def test_retransmitted_late_200_is_acknowledged_each_time(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        other.reply(180)
        for _ in range(3):
            late.reply(200)
            late.acked()
        late.ended()
        other.reply(200)
        self.ended_by_caller(call, other)
        self.one_final(call)

    def test_late_200_after_all_were_silent(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        second = self.second.served(SILENCE + 2, call.call_id)
        self.assertEqual(call.final(SILENCE + 3).status, 408)
        late.reply(200)
        self.ended_by_gateway(late)
        second.reply(200)
        self.ended_by_gateway(second)
        self.one_final(call)

    def test_late_200_after_a_503_of_the_other_site(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        second = self.second.served(SILENCE + 2, call.call_id)
        second.reply(503)
        second.acked()
        self.assertIn(call.final(3).status, (408, 503))
        late.reply(200)
        self.ended_by_gateway(late)
        self.one_final(call)

    def test_late_200_after_the_transaction_is_gone(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        other.reply(200)
        self.ended_by_caller(call, other)
        wait_until(self.no_transaction, 30, "tm holds no transaction", 0.2)
        late.reply(200)
        self.ended_by_gateway(late)
        self.one_final(call)

    def no_transaction(self):
        text = self.gateway.kamailio.call("tm.stats")
        return "current: 0" in text

    def test_cancel_before_any_answer_then_late_200(self):
        call = self.call()
        served = self.first.served(call_id=call.call_id)
        call.cancel()
        self.caller.response(200, "CANCEL", call_id=call.call_id)
        answer = call.final(6)
        self.assertIn(answer.status, (408, 487))
        served.reply(200)
        self.ended_by_gateway(served)
        self.assertEqual(self.second.requests("INVITE", call.call_id), [], "no other site after CANCEL")
        self.one_final(call)

    def test_cancel_before_any_answer_then_180(self):
        call = self.call()
        served = self.first.served(call_id=call.call_id)
        call.cancel()
        self.caller.response(200, "CANCEL", call_id=call.call_id)
        served.reply(180)
        served.cancelled()
        self.assertEqual(call.final(6).status, 487)
        self.one_final(call)

    def test_cancel_during_failover_then_late_200(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        other.reply(180)
        call.provisional(180)
        call.cancel()
        other.cancelled()
        late.reply(200)
        answer = call.final(6)
        self.assertEqual(answer.status, 487)
        self.ended_by_gateway(late)
        self.one_final(call)

    def test_late_refusal_of_the_abandoned_site_is_not_passed(self):
        for status in (486, 503, 603):
            with self.subTest(status):
                call = self.call()
                late = self.first.served(call_id=call.call_id)
                other = self.second.served(SILENCE + 2, call.call_id)
                late.reply(status)
                late.acked()
                other.reply(200)
                self.ended_by_caller(call, other)
                self.one_final(call)

    def test_late_200_then_cancel_while_the_other_site_rings(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        other.reply(180)
        call.provisional(180)
        late.reply(200)
        call.cancel()
        other.cancelled()
        self.assertEqual(call.final(6).status, 487)
        self.ended_by_gateway(late)
        self.one_final(call)

    def test_late_180_then_cancel_while_the_other_site_rings(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        other = self.second.served(SILENCE + 2, call.call_id)
        late.reply(180)
        other.reply(180)
        call.provisional(180)
        call.cancel()
        other.cancelled()
        late.cancelled()
        self.assertEqual(call.final(6).status, 487)
        self.one_final(call)

    def test_200_crosses_the_cancel_of_the_progress_limit(self):
        call = self.call()
        late = self.first.served(call_id=call.call_id)
        late.reply(100)
        other = self.second.served(PROGRESS + 2, call.call_id)
        cancel = late.cancelled(answer=False)
        late.endpoint.reply(cancel, 481)
        late.reply(200)
        self.ended_by_gateway(late)
        other.reply(200)
        self.ended_by_caller(call, other)
        self.one_final(call)

    def test_cancel_crosses_503(self):
        """The caller gave up: no other site may ring."""
        call = self.call()
        served = self.first.served(call_id=call.call_id)
        served.reply(100)
        call.cancel()
        self.caller.response(200, "CANCEL", call_id=call.call_id)
        served.endpoint.reply(served.endpoint.request("CANCEL", call_id=call.call_id), 200)
        served.reply(503)
        served.acked()
        self.assertIn(call.final(6).status, (487, 503))
        self.assertEqual(self.second.requests("INVITE", call.call_id), [])
        self.one_final(call)

    def test_cancel_in_the_instant_of_failover(self):
        """Whoever got the INVITE gets its CANCEL as well, or was given up before he answered."""
        for offset in (-0.06, -0.03, 0, 0.03):
            with self.subTest(offset):
                call = self.call()
                first = self.first.served(call_id=call.call_id)
                time.sleep(max(0, first.invite.time + SILENCE + offset - time.monotonic()))
                call.cancel()
                final = call.final(6)
                self.assertIn(final.status, (408, 487))
                for endpoint in (self.first, self.second):
                    for invite in endpoint.requests("INVITE", call.call_id):
                        served = Served(endpoint, invite)
                        served.reply(200)
                        self.ended_by_gateway(served)
                self.one_final(call)


class TestStreamCrossings(CrossingCase):
    """Over TCP and TLS what ends a late answer goes back on the connection that brought it."""

    def late_200(self, signalling):
        gateway = self.start(Gateway(self.folder, signalling={"teams-oc": signalling}))
        call = gateway.peer["west"].invite(gateway.proxy, NUMBER, OUTSIDE)
        late = gateway.peer["teams-1"].served(call_id=call.call_id)
        other = gateway.peer["teams-2"].served(SILENCE + 2, call.call_id)
        other.reply(180)
        call.provisional(180)
        late.reply(200)
        ack = late.acked()
        self.assertIs(ack.connection, late.invite.connection)
        late.ended()
        other.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        other.acked()
        call.dialog_request("BYE")
        other.ended()
        self.one_final(call)

    @classmethod
    def prepare(cls):
        pass

    def test_late_200_over_tcp(self):
        self.late_200("TCP")

    def test_late_200_over_tls(self):
        self.late_200("TLS")


class TestCrossingsAtRandom(CrossingCase):
    def test_any_moment(self):
        """Both sites answer and the caller cancels at random moments around the silence limit."""
        seed = int(os.environ.get("TRUNKGATE_SEED", random.randrange(1 << 30)))
        chance = random.Random(seed)
        for number in range(REPETITIONS):
            plan = {"first": chance.choice((None, chance.uniform(0, 2.2 * SILENCE))),
                    "second": chance.choice((None, chance.uniform(0, SILENCE))),
                    "ring": chance.random() < 0.5,
                    "cancel": chance.choice((None, None, chance.uniform(0, 2.5 * SILENCE)))}
            with self.subTest(seed=seed, number=number, **plan):
                self.play(plan)

    def play(self, plan):
        call = self.call()
        answered = []
        threads = [threading.Thread(target=self.answer, args=(endpoint, call, plan[name], plan["ring"], answered))
                   for name, endpoint in (("first", self.first), ("second", self.second))]
        for thread in threads:
            thread.start()
        if plan["cancel"] is not None:
            self.pass_time(plan["cancel"])
            if not call.finals():
                call.cancel()
        final = call.final(12)
        if final.status == 200:
            call.ack()
            self.pass_time(0.05)
            call.dialog_request("BYE")
        for thread in threads:
            thread.join(20)
        for served in answered:
            served.acked(6)
            served.ended(6)
        self.one_final(call)

    def answer(self, endpoint, call, delay, ring, answered):
        """Plays a callee: may ring, answers after delay (None: never), obeys a CANCEL that comes before."""
        try:
            served = endpoint.served(2.5 * SILENCE + 1, call.call_id)
        except AssertionError:
            return
        if ring and delay is not None:
            served.reply(180)
        try:
            served.cancelled(delay if delay is not None else 3 * SILENCE)
            return
        except AssertionError:
            pass
        if delay is not None:
            answered.append(served)
            served.reply(200)

    def pass_time(self, seconds):
        time.sleep(seconds)


if __name__ == "__main__":
    unittest.main()
