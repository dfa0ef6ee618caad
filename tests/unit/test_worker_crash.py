#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of trunkgate-worker at random moments: usage: test_worker_crash.py WORKER TRUNKGATE

TRUNKGATE_CRASH_POINTS: how many (50). Whatever is interrupted, the next start succeeds, holds everything that was
acknowledged and nothing by half, and its table is that of the store.
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
BLOCK = 12000  # numbers of an import: enough for a snapshot, and for growth after it
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
        self.next_block = 20000000
        self.next_number = 0
        self.worker = None
        self.addCleanup(self.kill)

    def spawn(self):
        log = open(os.path.join(self.folder.name, "log"), "a", encoding="utf-8")
        with log:
            self.worker = subprocess.Popen([WORKER, "--store", self.store, "--socket", self.path, "--region-fd",
                                            str(self.region)], pass_fds=[self.region], stderr=log)

    def start(self):
        self.spawn()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                return Client(self.path)
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

    # --- what is interrupted: each runs beside the kill

    def change(self, client):
        while True:
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

    def grow(self, client):
        """Numbers that were never there: the table becomes full, and copies itself to the other half."""
        while True:
            self.next_number += 1
            number, header = f"+1777{self.next_number:06d}", f"h{self.next_number % 10}"
            self.open[number] = {header, None}
            if client.ask("number_set", number, "acme", SERVICE, header)["code"] == 200:
                self.model[number] = header
            del self.open[number]

    def import_block(self, client):
        first, self.next_block = self.next_block, self.next_block + BLOCK
        header = f"b{first}"
        path = os.path.join(self.folder.name, "in.csv")
        numbers = list(range(first, first + BLOCK))
        self.random.shuffle(numbers)
        with open(path, "w", encoding="ascii") as file:
            file.write(HEAD + "".join(f"+{number},acme,true,{header}\n" for number in numbers))
        self.blocks[first] = header
        job = str(client.ask("import", path)["result"]["job"])
        while True:
            result = client.ask("job", job)["result"]
            if result["state"] != "running":
                self.assertEqual(result["state"], "done", result)
                for number in numbers:
                    self.model[f"+{number}"] = header
                del self.blocks[first]
                return
            time.sleep(0.001)

    def both(self, client):
        other = Client(self.path)
        thread = threading.Thread(target=self.beside, args=(self.change, other))
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

    def crash(self):
        action, seconds = self.random.choice([(self.change, 0.05), (self.import_block, 0.25), (self.both, 0.25),
                                              (self.grow, 0.25), (self.stop, 0.03), (None, 0.06)])
        if action is None:
            self.spawn()
            self.kill_within(seconds)
            return "start"
        client = self.start()
        thread = threading.Thread(target=self.beside, args=(action, client))
        thread.start()
        self.kill_within(seconds)
        thread.join()
        return action.__name__

    # --- what must be there

    def stored(self):
        with contextlib.closing(sqlite3.connect(self.store)) as store:
            return {f"+{number}": header or None for number, header in store.execute(
                "SELECT e164, header FROM number JOIN attribute_set s ON s.id = attribute_set")}

    def settle(self, stored):
        """What was not answered may have been done or not, but not by half."""
        for number, allowed in self.open.items():
            self.assertIn(stored.get(number), allowed, number)
            self.model[number] = stored.get(number)
        self.open.clear()
        for first, header in self.blocks.items():
            there = sum(f"+{number}" in stored for number in range(first, first + BLOCK))
            self.assertIn(there, (0, BLOCK), "an import by half")
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
        self.assertEqual(status["numbers"], len(stored))
        self.assertEqual((status["publishedRevision"], status["publishedNumbers"]), (status["revision"], len(stored)))
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
        counts, name = {}, None
        for point in range(POINTS):
            try:
                name = self.crash()
                counts[name] = counts.get(name, 0) + 1
                self.check()
                self.random.choice([self.kill, self.end])()
            except Exception as error:  # the first one ends the test: what follows would stand on a broken store
                error.add_note(f"seed {SEED}, point {point}, after {name}; the worker said last:\n{self.log()[-2000:]}")
                raise
        log = self.log()
        print(f"{POINTS} crash points {counts}, {len(self.model)} numbers, starts: {log.count('from the snapshot')} "
              f"from a snapshot, {log.count('from the store')} from the store")

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
        self.worker.terminate()
        self.assertEqual(self.worker.wait(60), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
