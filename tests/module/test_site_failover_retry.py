# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module site_failover: which target gets a call after another, and when."""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.site_failover import PROGRESS, SILENCE, Gateway
from harness.wait import wait_until


class TestRetry(Gateway):
    def test_408_503_504_go_to_the_next_peer(self):
        for status in (408, 503, 504):
            with self.subTest(status):
                before = self.counter("calls_failed_over")
                call = self.call()
                self.west.served(call_id=call.call_id).reply(status)
                self.talk(call, self.east.served(call_id=call.call_id))
                self.assertEqual(self.finals_of(call), [200])
                self.assertEqual(self.counter("calls_failed_over"), before + 1)

    def test_every_other_answer_is_the_callers(self):
        for status in (300, 400, 403, 404, 480, 486, 487, 488, 491, 500, 501, 502, 505, 580, 600, 603, 606):
            with self.subTest(status):
                call = self.call()
                self.west.served(call_id=call.call_id).reply(status)
                self.assertEqual(call.final().status, status)
                self.assertEqual(self.east.requests("INVITE", call.call_id), [])

    def test_answer_after_a_failover_is_that_of_the_last_peer(self):
        for first, last in ((503, 486), (408, 603), (503, 404)):
            with self.subTest(first=first, last=last):
                call = self.call()
                self.west.served(call_id=call.call_id).reply(first)
                self.east.served(call_id=call.call_id).reply(last)
                self.assertEqual(call.final().status, last)

    def test_answer_after_silence_is_that_of_the_last_peer(self):
        call = self.call()
        self.west.served(call_id=call.call_id)
        self.east.served(SILENCE + 2, call.call_id).reply(486)
        self.assertEqual(call.final().status, 486)

    def test_no_peer_left_is_the_scripts_answer(self):
        call = self.call()
        self.west.served(call_id=call.call_id).reply(503)
        self.east.served(call_id=call.call_id).reply(503)
        self.assertIn("No Peer Left", call.final().first)

    def test_503_after_180_is_the_callers(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        served.reply(503)
        self.assertEqual(call.final().status, 503)
        self.assertEqual(self.east.requests("INVITE", call.call_id), [])

    def test_final_answer_waits_for_its_ack_as_long_as_ever(self):
        call = self.call()
        self.west.served(call_id=call.call_id).reply(404)
        wait_until(lambda: self.teams.statuses(call_id=call.call_id).count(404) >= 4, SILENCE + 5,
                   "404 is sent again after the silence limit")
        call.final()


class TestRepliesKept(Gateway):
    """tm is told to keep the answers of earlier branches, and would pick the lowest."""

    reply_mode = 0

    def test_answer_after_a_failover_is_that_of_the_last_peer(self):
        for first, last in ((408, 486), (503, 580), (504, 600)):
            with self.subTest(first=first, last=last):
                call = self.call()
                self.west.served(call_id=call.call_id).reply(first)
                self.east.served(call_id=call.call_id).reply(last)
                self.assertEqual(call.final().status, last)


class TestLimits(Gateway):
    def moved_after(self, *provisional):
        call = self.call()
        begin = time.monotonic()
        first = self.west.served(call_id=call.call_id)
        for status in provisional:
            first.reply(status)
        second = self.east.served(PROGRESS + 2, call.call_id)
        passed = time.monotonic() - begin
        second.reply(486)
        call.final()
        return passed

    def test_silence_moves_on_after_the_silence_limit(self):
        self.assertAlmostEqual(self.moved_after(), SILENCE, delta=0.4)

    def test_100_moves_on_after_the_progress_limit(self):
        self.assertAlmostEqual(self.moved_after(100), PROGRESS, delta=0.4)

    def test_failure_after_100_moves_on_at_once(self):
        for status in (408, 503, 504):
            with self.subTest(status):
                self.assertLess(self.moved_after(100, status), SILENCE)

    def test_ringing_is_waited_for(self):
        for provisional in ((180,), (183,), (100, 180), (100, 155), (100, 183, 180)):
            with self.subTest(provisional):
                call = self.call()
                served = self.west.served(call_id=call.call_id)
                for status in provisional:
                    served.reply(status)
                call.provisional(provisional[-1])
                self.assertTrue(self.silent(self.east, PROGRESS + 0.5))
                self.talk(call, served)

    def test_late_180_of_an_abandoned_peer_does_not_lift_the_limits_of_the_next(self):
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        second = self.east.served(SILENCE + 2, call.call_id)
        begin = time.monotonic()
        first.reply(180)
        first.cancelled(2)
        self.assertEqual(call.final(PROGRESS + 2).status, 503)
        self.assertLess(time.monotonic() - begin, PROGRESS)
        self.assertEqual(self.teams.statuses(call_id=call.call_id).count(180), 0)
        del second


class TestRefusedByUdp(Gateway):
    closed = ("west",)

    def test_silent_port_is_silence(self):
        call = self.call()
        self.talk(call, self.east.served(SILENCE + 2, call.call_id))


class TestRefusedByTcp(Gateway):
    transports = {"operator": "TCP"}
    closed = ("west",)

    def test_error_at_sending_goes_on_at_once_and_counts_against_the_peer(self):
        begin = time.monotonic()
        call = self.call()
        served = self.east.served(SILENCE + 2, call.call_id)
        self.assertLess(time.monotonic() - begin, SILENCE - 0.2)
        self.talk(call, served)
        self.assertEqual(self.finals_of(call), [200])
        row = self.listed("west")
        self.assertEqual((row["observed"], row["reason"]), ("down", "error at sending"))


class TestTcp(Gateway):
    transports = {"operator": "TCP", "teams": "TCP"}

    def test_late_answer_is_ended_on_its_own_connection(self):
        call, first, second = self.abandoned()
        first.reply(200)
        acknowledged, ended = self.ended_by_us(first, 408)
        self.assertIs(acknowledged.connection, first.invite.connection)
        self.assertIs(ended.connection, first.invite.connection)
        self.talk(call, second)
        self.assertEqual(self.finals_of(call), [200])


if __name__ == "__main__":
    unittest.main()
