#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of trunkgate-worker at random moments: usage: test_worker_crash.py WORKER TRUNKGATE

TRUNKGATE_CRASH_POINTS: how many (50). Whatever is interrupted, the next start succeeds, holds everything that was
acknowledged and nothing by half, and its table and digest are those of the store. A kill comes after a phase or a number
of answers, not after a time, so that a slow machine meets as much as a fast one.
"""
import contextlib
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

WORKER, TRUNKGATE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
POINTS = int(os.environ.get("TRUNKGATE_CRASH_POINTS", "50"))
SEED = int(os.environ.get("TRUNKGATE_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
REGION_SIZE = 256 << 20
WAL_INDEX_HEADER = 136  # bytes: https://www.sqlite.org/walformat.html, section 2.2
JOB_SECONDS = 120
BLOCK = 4000  # numbers of an import
PHASES = ("start", "read", "check", "write", "commit", "publish", "checkpoint", "done")
GROWTH_FROM, GROWTH_SHARE = 540, 0.06  # so many more numbers, at least, make the table grow
STEP_SECONDS = 30  # to get to where a kill comes
ENOUGH = 40  # crash points that meet everything
SERVICE = "teamsOperatorConnect"
HEAD = f"telephoneNumber,accountName,serviceDetails_{SERVICE}_enabled,configuration_customSipHeader\n"


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def ask(self, operation, *arguments):
        self.socket.sendall(json.dumps({"operation": operation, "arguments": arguments}).encode() + b"\n")
        line = self.file.readline()
        if not line:
            raise ConnectionResetError
        return json.loads(line)

    def close(self):
        self.file.close()
        self.socket.close()


class WorkerCrashTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="crash-")
        self.addCleanup(self.folder.cleanup)
        self.store = os.path.join(self.folder.name, "t.db")
        self.path = os.path.join(self.folder.name, "w.sock")
        self.region = os.memfd_create("region")
        os.ftruncate(self.region, REGION_SIZE)
        self.addCleanup(os.close, self.region)
        self.random = random.Random(SEED)
        self.model = {}  # number: header, as acknowledged
        self.open = {}  # number: set of what it may be, of requests that were not answered
        self.blocks = {}  # first number of an import that was not answered: header
        self.cancelled = set()  # first numbers of imports whose cancellation was answered with 200
        self.next_block = 20000000
        self.next_number = 0
        self.turn = threading.Condition()
        self.wrong = None  # the end of an import that was not cancelled, and failed, or the other way round
        self.phase, self.answers = 0, 0  # how far what is to be interrupted has come
        self.start_seconds = self.end_seconds = 0.05
        self.actions, self.moments, self.counts = [], [], {}
        self.met = dict.fromkeys(("import committed", "import gone", "cancelled", "growth"), 0)
        self.worker = None
        self.addCleanup(self.kill)

    def spawn(self):
        log = open(os.path.join(self.folder.name, "log"), "a", encoding="utf-8")
        with log:
            self.worker = subprocess.Popen([WORKER, "--store", self.store, "--socket", self.path, "--region-fd",
                                            str(self.region)], pass_fds=[self.region], stderr=log)

    def start(self):
        self.spawn()
        begin = time.monotonic()
        while time.monotonic() < begin + 30:
            try:
                client = Client(self.path)
                self.start_seconds = time.monotonic() - begin
                return client
            except OSError:
                self.assertIsNone(self.worker.poll(), "the worker does not start")
                time.sleep(0.002)
        self.fail("the worker does not answer")

    def kill(self):
        if self.worker:
            self.worker.kill()
            self.worker.wait()
            self.worker = None

    def log(self):
        with open(os.path.join(self.folder.name, "log"), encoding="utf-8") as file:
            return file.read()

    def kill_within(self, seconds):
        time.sleep(self.random.uniform(0, seconds))
        self.kill()

    def reach(self, phase=None):
        """Called by what is to be interrupted."""
        with self.turn:
            if phase is None:
                self.answers += 1
            else:
                self.phase = PHASES.index(phase)
            self.turn.notify_all()

    def from_all(self, kept, choices):
        """Each of the choices once in a random order, and again."""
        if not kept:
            kept.extend(choices)
            self.random.shuffle(kept)
        return kept.pop()

    # --- what is interrupted: each runs beside the kill

    def change(self, client):
        while True:
            self.reach()
            number = f"+1555{self.random.randrange(200):04d}"
            header = self.random.choice([None, f"h{self.random.randrange(1000)}"])
            self.open[number] = {header, self.model.get(number)}
            if header is None:
                answer = client.ask("number_delete", number)
                done = answer["code"] in (200, 404)
            else:
                answer = client.ask("number_set", number, "acme", SERVICE, header)
                done = answer["code"] == 200
            if done:
                self.model[number] = header
            del self.open[number]

    def ranges(self, client):
        """Beside them an account that comes and goes, with its sets."""
        while True:
            self.reach()
            index = self.random.randrange(20)
            first, last = f"+1666{index:02d}000", f"+1666{index:02d}999"
            header = self.random.choice([None, f"r{self.random.randrange(1000)}"])
            self.open[first] = {header, self.model.get(first)}
            if header is None:
                done = client.ask("range_delete", first, last)["code"] in (200, 404)
            else:
                done = client.ask("range_set", first, last, "acme", SERVICE, header)["code"] == 200
            if done:
                self.model[first] = header
            del self.open[first]
            if index == 0:
                self.spare(client)

    def spare(self, client):
        number = "+1888000"
        self.open[number] = {"s", None}
        client.ask("account_set", "spare")
        if client.ask("number_set", number, "spare", SERVICE, "s")["code"] == 200:
            self.model[number] = "s"
        if client.ask("number_delete", number)["code"] in (200, 404):
            self.model[number] = None
        client.ask("account_delete", "spare")
        del self.open[number]

    def grow(self, client):
        """Numbers that were never there: the table becomes full, and copies itself to the other half."""
        while True:
            self.reach()
            self.next_number += 1
            number, header = f"+1777{self.next_number:06d}", f"h{self.next_number % 10}"
            self.open[number] = {header, None}
            if client.ask("number_set", number, "acme", SERVICE, header)["code"] == 200:
                self.model[number] = header
            del self.open[number]

    def import_block(self, client, cancel_at=None):
        first, self.next_block = self.next_block, self.next_block + BLOCK
        header = f"b{first}"
        path = os.path.join(self.folder.name, "in.csv")
        numbers = list(range(first, first + BLOCK))
        self.random.shuffle(numbers)
        with open(path, "w", encoding="ascii") as file:
            file.write(HEAD + "".join(f"+{number},acme,true,{header}\n" for number in numbers) + "+1x,acme,true,\n")
        self.blocks[first] = header
        job = str(client.ask("import", path, "skip-bad")["result"]["job"])
        while (result := client.ask("job", job)["result"])["state"] == "running":
            self.reach(result["phase"])
            if cancel_at is not None and self.phase >= cancel_at:
                cancel_at = None
                if client.ask("job_cancel", job)["code"] == 200:
                    self.cancelled.add(first)
        if result["state"] != ("cancelled" if first in self.cancelled else "done"):
            self.wrong = result
        if result["state"] == "done" and first not in self.cancelled:
            self.model.update({f"+{number}": header for number in numbers})
            self.met["import committed"] += 1
            del self.blocks[first]
        self.reach("done")

    def cancel(self, client):
        self.import_block(client, self.random.randrange(len(PHASES) - 1) if self.met["cancelled"] else 0)

    def both(self, client):
        other = Client(self.path)
        thread = threading.Thread(target=self.beside, args=(self.random.choice([self.change, self.ranges]), other))
        thread.start()
        try:
            self.import_block(client)
        finally:
            thread.join()

    def stop(self, _client):
        """The end of a worker writes a snapshot."""
        self.worker.terminate()

    def beside(self, action, client):
        try:
            action(client)
        except (OSError, ValueError, AttributeError):
            pass  # the worker was killed
        finally:
            client.close()

    def interrupt(self, action, arrived):
        client = self.start()
        self.phase = self.answers = 0
        thread = threading.Thread(target=self.beside, args=(action, client))
        thread.start()
        with self.turn:
            self.turn.wait_for(arrived, STEP_SECONDS)
        self.kill_within(0.002)
        thread.join()
        self.assertIsNone(self.wrong)

    def crash_import(self, action):
        moment = PHASES.index(self.from_all(self.moments, PHASES))
        if not self.met["cancelled" if action == self.cancel else "import committed"]:
            moment = PHASES.index("done")
        self.interrupt(action, lambda: self.phase >= moment)

    def crash_changes(self, action):
        answers = self.random.randrange(1, 60)
        self.interrupt(action, lambda: self.answers >= answers)

    def crash_growth(self, action):
        """About where the table grows; the first time certainly after it."""
        needed = GROWTH_FROM + int(GROWTH_SHARE * len(self.model))
        answers = self.random.randrange(needed * 3 // 4, needed * 5 // 4) if self.met["growth"] else needed
        self.interrupt(action, lambda: self.answers > answers)
        self.met["growth"] += self.answers > needed

    def crash_stop(self, action):
        self.start().close()
        action(None)
        self.kill_within(1.2 * self.end_seconds)

    def crash_start(self, _action):
        self.spawn()
        self.kill_within(1.2 * self.start_seconds)

    def crash(self):
        crashes = {self.change: self.crash_changes, self.ranges: self.crash_changes, self.grow: self.crash_growth,
                   self.import_block: self.crash_import, self.both: self.crash_import, self.cancel: self.crash_import,
                   self.stop: self.crash_stop, self.start: self.crash_start}
        action = self.from_all(self.actions, crashes)
        self.counts[action.__name__] = self.counts.get(action.__name__, 0) + 1
        crashes[action](action)
        return action.__name__

    # --- what must be there

    def stored(self):
        with contextlib.closing(sqlite3.connect(self.store)) as store:
            return {f"+{number}": header or None for number, header in store.execute(
                "SELECT e164, coalesce(header, 'set is gone') FROM number LEFT JOIN attribute_set s"
                " ON s.id = attribute_set UNION ALL SELECT first, coalesce(header, 'set is gone') FROM number_range"
                " LEFT JOIN attribute_set s ON s.id = attribute_set")}

    def settle(self, stored):
        """What was not answered may have been done or not, but not by half."""
        for number, allowed in self.open.items():
            self.assertIn(stored.get(number), allowed, number)
            self.model[number] = stored.get(number)
        self.open.clear()
        for first, header in self.blocks.items():
            there = sum(f"+{number}" in stored for number in range(first, first + BLOCK))
            self.assertIn(there, (0,) if first in self.cancelled else (0, BLOCK), "an import by half, or cancelled")
            self.met["cancelled" if first in self.cancelled else "import committed" if there else "import gone"] += 1
            if there:
                self.model.update({f"+{number}": header for number in range(first, first + BLOCK)})
        self.blocks.clear()

    def check(self):
        client = self.start()
        stored = self.stored()
        self.settle(stored)
        expected = {number: header for number, header in self.model.items() if header}
        self.assertEqual(sorted(stored.items() ^ expected.items()), [], "found in the store or expected, not both")
        status = client.ask("status")["result"]
        numbers = sum(not number.startswith("+1666") for number in stored)
        self.assertEqual((status["numbers"], status["publishedNumbers"]), (numbers, numbers))
        self.assertEqual(status["publishedRevision"], status["revision"])
        job = str(client.ask("verify")["result"]["job"])
        end = time.monotonic() + JOB_SECONDS
        while (result := client.ask("job", job)["result"])["state"] == "running":
            self.assertLess(time.monotonic(), end, "verify does not end")
            time.sleep(0.001)
        self.assertEqual(result["state"], "done", result)
        client.close()

    def test_kill_leaves_a_whole_store_and_table(self):
        client = self.start()
        self.assertEqual(client.ask("account_set", "acme")["code"], 200)
        client.close()
        self.kill()
        name = None
        for point in range(POINTS):
            try:
                name = self.crash()
                self.check()
                self.random.choice([self.kill, self.end])()
            except Exception as error:  # the first one ends the test: what follows would stand on a broken store
                error.add_note(f"seed {SEED}, point {point}, after {name}; the worker said last:\n{self.log()[-2000:]}")
                raise
        log = self.log()
        self.met["start from a snapshot"] = log.count("from the snapshot")
        self.met["start from the store"] = log.count("from the store")
        print(f"seed {SEED}: {POINTS} crash points {self.counts}, {len(self.model)} numbers; met: {self.met}")
        if POINTS >= ENOUGH:
            self.assertEqual([what for what, count in self.met.items() if count == 0], [], "never met")

    def test_a_change_that_was_not_seen_stays_away(self):
        """A commit of a killed worker that never got into SQLite's index of the log (FILE-shm) is recovered once the
        last reader is gone; by then others may have read, and changed, a store without it."""
        client = self.start()
        self.assertEqual(client.ask("account_set", "before")["code"], 200)
        reader = sqlite3.connect(self.store)
        reader.execute("SELECT revision FROM store").fetchone()
        with open(self.store + "-shm", "r+b", buffering=0) as index:  # closing it drops the reader's locks, too
            header = index.read(WAL_INDEX_HEADER)
            self.assertEqual(client.ask("account_set", "in-doubt")["code"], 200)
            client.close()
            self.kill()
            index.seek(0)
            index.write(header)
            self.expect_revision(1)
            reader.close()
        self.kill()
        self.expect_revision(1)

    def expect_revision(self, revision):
        client = self.start()
        self.assertEqual(client.ask("status")["result"]["revision"], revision)
        client.close()

    def end(self):
        begin = time.monotonic()
        self.worker.terminate()
        self.assertEqual(self.worker.wait(60), 0)
        self.end_seconds = time.monotonic() - begin


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
