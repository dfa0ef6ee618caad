# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of the worker under load loses no call and no acknowledged change; nor does kill -9 of Kamailio lose one."""

import os
import threading
import unittest

from harness import Case, Sipp, wait_until
from harness.gateway import PEERS, Gateway

REPETITIONS = int(os.environ.get("TRUNKGATE_REPETITIONS", 10))
RATE = 20
NUMBER = "+15551230001"


class Changes(threading.Thread):
    """Sets number after number, each with a header value of its own, and remembers those that were acknowledged.

    unseen: those that a look-up right after the acknowledgement did not find.
    """

    def __init__(self, gateway, first):
        super().__init__(daemon=True)
        self.gateway, self.first = gateway, first
        self.acknowledged = {}
        self.unseen = []
        self.ending = threading.Event()

    def run(self):
        count = 0
        while not self.ending.is_set():
            number, value = f"+{self.first + count}", f"value-{count}"
            status, _, _ = self.gateway.cli_try("number_set", number, "acme", "teamsOperatorConnect", value)
            if status == 0:
                self.acknowledged[number] = value
                found, text = self.gateway.kamailio.rpc("number_route.lookup", f"s:{number}")
                if self.gateway.kamailio.alive() and (found or value not in text):
                    self.unseen.append((number, value, text))
            count += 1

    def finish(self):
        self.ending.set()
        self.join(30)
        return self.acknowledged


class KilledCase(Case):
    def missing(self, gateway, acknowledged):
        """Acknowledged changes that the store or the look-up of a call does not show."""
        lost = []
        for number, value in acknowledged.items():
            status, out, err = gateway.cli_try("number_get", number)
            if status or value not in out.split() and f'"{value}"' not in out:
                lost.append(("store", number, value, out + err))
            status, text = gateway.kamailio.rpc("number_route.lookup", f"s:{number}")
            if status or value not in text:
                lost.append(("look-up", number, value, text))
        return lost


class TestWorkerKilled(KilledCase):
    def test_no_call_and_no_acknowledged_change_is_lost(self):
        west, answerer = PEERS["west"][3], PEERS["teams-1"][3]
        gateway = Gateway(self.folder, elsewhere=("west", "teams-1"))
        callee = Sipp(self.folder, "answerer", address=answerer)
        caller = Sipp(self.folder, "caller", address=west, remote=gateway.proxy, calls=1000000, rate=RATE,
                      keys={"to": NUMBER, "from": "+15557770000"}, extra=["-d", "400"])
        gateway.ports = {"teams-1": callee.port, "west": caller.port}
        self.start(callee)
        self.start(gateway)
        self.start(caller)
        changes = [Changes(gateway, 15560000000), Changes(gateway, 15570000000)]
        for thread in changes:
            self.addCleanup(thread.finish)
            thread.start()
        killed = set()
        for number in range(REPETITIONS):
            before = sum(len(thread.acknowledged) for thread in changes)
            wait_until(lambda: sum(len(thread.acknowledged) for thread in changes) >= before + 5, 30,
                       f"changes are acknowledged again after kill {number}")
            wait_until(gateway.kamailio.worker_serves, 30, "a worker serves")
            killed.add(gateway.kamailio.kill_worker())
        self.assertEqual(len(killed), REPETITIONS)
        wait_until(gateway.kamailio.worker_serves, 30, "the last worker serves")
        acknowledged = {}
        for thread in changes:
            acknowledged.update(thread.finish())
        self.assertTrue(caller.alive(), "calls went on all the time")
        caller.finish()
        counts = caller.counts()
        self.assertGreater(counts["SuccessfulCall"], RATE * REPETITIONS // 2)
        self.assertEqual((counts["FailedCall"], counts["SuccessfulCall"]), (0, counts["OutgoingCall"]),
                         caller.log_tail(60))
        self.assertEqual([row for thread in changes for row in thread.unseen], [])
        self.assertEqual(self.missing(gateway, acknowledged), [])
        self.assertGreaterEqual(len(acknowledged), 5 * REPETITIONS)
        self.assertTrue(gateway.kamailio.alive())


class TestKamailioKilled(KilledCase):
    def test_acknowledged_changes_are_there_afterwards(self):
        gateway = self.start(Gateway(self.folder))
        acknowledged = {}
        for number in range(3):
            changes = Changes(gateway, 15580000000 + number * 1000000)
            changes.start()
            wait_until(lambda: len(changes.acknowledged) >= 20, 30, "changes are acknowledged")
            gateway.kamailio.kill()
            acknowledged.update(changes.finish())
            gateway.restart_kamailio()
            self.assertEqual(self.missing(gateway, acknowledged), [])

    def test_worker_goes_with_kamailio(self):
        gateway = self.start(Gateway(self.folder))
        worker = wait_until(gateway.kamailio.worker_pid, 10)
        os.kill(gateway.kamailio.pid, 9)
        for pid in list(gateway.kamailio.processes()):
            if pid != worker:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
        wait_until(lambda: not gateway.kamailio.processes(), 5, "the worker ends when its supervisor is gone")


if __name__ == "__main__":
    unittest.main()
