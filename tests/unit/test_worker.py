#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of trunkgate-worker and the command line as processes: usage: test_worker.py WORKER TRUNKGATE"""
import errno
import json
import os
import pwd
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

WORKER, TRUNKGATE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
REGION_SIZE = 64 << 20
PEER = {"name": "p1", "host": "192.0.2.10"}
GROUP = {"name": "core", "side": "operator", "signalling": "UDP", "media": "RTP", "peers": [PEER]}
TOPOLOGY = {"mode": "lab", "peerGroups": [GROUP]}


def until(condition, what, seconds=20):
    """Waits for a condition, not for a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not in {seconds} s: {what}")


class Client:
    """A raw client of the socket."""

    def __init__(self, path, timeout=90):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)  # waits for room in the queue, which a socket with a time-out does not
        self.socket.settimeout(timeout)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        return json.loads(self.file.readline())

    def ask(self, operation, *arguments):
        self.send(json.dumps({"operation": operation, "arguments": arguments}).encode() + b"\n")
        return self.answer()

    def close(self):
        self.file.close()
        self.socket.close()


class WorkerTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="worker-")
        self.addCleanup(self.folder.cleanup)
        self.store = os.path.join(self.folder.name, "t.db")
        self.socket = os.path.join(self.folder.name, "w.sock")
        self.worker = None
        self.addCleanup(self.end)

    def command(self, *more):
        return [WORKER, "--store", self.store, "--socket", self.socket, *more]

    def start(self, *more, **keywords):
        self.worker = subprocess.Popen(self.command(*more), stderr=subprocess.PIPE, text=True, **keywords)
        self.ready()

    def start_with_region(self):
        region = os.memfd_create("region")
        os.ftruncate(region, REGION_SIZE)
        self.addCleanup(os.close, region)
        self.region = region
        self.start("--region-fd", str(region), "--region", "west", pass_fds=[region])

    def ready(self):
        line = self.worker.stderr.readline()
        self.assertIn("ready on", line)

    def end(self):
        if not self.worker:
            return
        if self.worker.poll() is None:
            self.worker.terminate()
            self.assertEqual(self.worker.wait(30), 0, self.worker.stderr.read())
            # with a supervisor there is a next worker, and the command line must know that
            self.assertEqual(os.path.exists(self.socket), "--region-fd" in self.worker.args)
        self.worker.stderr.close()

    def kill(self):
        self.worker.kill()
        self.worker.wait()
        self.worker.stderr.close()

    def socket_refuses(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.socket) == errno.ECONNREFUSED

    def client(self):
        client = Client(self.socket)
        self.addCleanup(client.close)
        return client

    def cli(self, *words, text=None):
        return subprocess.run([TRUNKGATE, "--store", self.store, "--socket", self.socket, *words], input=text,
                              capture_output=True, text=True, timeout=60)

    def refused(self, answer, code, field, reason):
        self.assertEqual((answer["code"], answer["error"]["field"]), (code, field), answer)
        self.assertIn(reason, answer["error"]["reason"])

    def test_socket_is_for_owner_and_group(self):
        self.start()
        self.assertEqual(stat.S_IMODE(os.stat(self.socket).st_mode), 0o660)

    def test_user_and_door_are_logged(self):
        self.start()
        self.assertEqual(self.client().ask("account_set", "acme")["code"], 200)
        self.assertEqual(self.cli("account_set", "other").returncode, 0)
        me = pwd.getpwuid(os.getuid()).pw_name
        with sqlite3.connect(self.store) as store:
            rows = store.execute("SELECT user, via, operation FROM change_log").fetchall()
        self.assertEqual(rows, [(me, "socket", "account_set"), (me, "cli", "account_set")])

    def test_bad_lines_are_answered(self):
        self.start()
        client = self.client()
        twice = b'{"operation":"account_set","arguments":["a"],"arguments":["b"]}'
        for line in (b"", b"nonsense", twice, b"{\"operation\":\"status\"", b"\xff\xfe", b"[" * 1000):
            client.send(line + b"\n")
            self.refused(client.answer(), 400, "request", "")
        self.assertEqual(client.ask("status")["code"], 200)

    def test_pipelined_requests_are_answered_in_order(self):
        self.start()
        client = self.client()
        client.send(b"".join(b'{"operation":"account_set","arguments":["a%d"]}\n' % i for i in range(50)))
        client.socket.shutdown(socket.SHUT_WR)
        names = [client.answer()["result"]["accountName"] for _ in range(50)]
        self.assertEqual(names, [f"a{i}" for i in range(50)])

    def test_line_over_32_mb_is_refused(self):
        self.start()
        client = self.client()
        try:
            for _ in range(40):
                client.send(b"x" * (1 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.refused(client.answer(), 400, "request", "longer than 32 MB")
        self.assertEqual(self.client().ask("status")["code"], 200)

    def test_large_document_is_taken(self):
        self.start()
        document = json.dumps(TOPOLOGY) + " " * (20 << 20)
        line = json.dumps({"operation": "topology_load", "arguments": ["t.json"], "document": document})
        client = self.client()
        client.send(line.encode() + b"\n")
        self.assertEqual(client.answer()["code"], 200)

    def test_slow_clients_hold_nobody(self):
        self.start()
        slow = [self.client() for _ in range(100)]
        for client in slow:
            client.send(b'{"operation":')
        peers = [dict(PEER, name=f"peer-{i}", host=f"host-{i}.example.com") for i in range(5000)]
        groups = [dict(GROUP, name=f"g{i}", peers=peers[i * 50:i * 50 + 50]) for i in range(100)]
        document = json.dumps(dict(TOPOLOGY, peerGroups=groups))
        client = self.client()
        client.send(json.dumps({"operation": "topology_load", "arguments": ["t"], "document": document}).encode() + b"\n")
        self.assertEqual(client.answer()["code"], 200)
        for client in slow[:50]:
            client.send(b'"topology_get"}\n')  # about 1 MB each, which nobody reads
        quick = self.client()
        self.assertEqual(quick.ask("status")["code"], 200)
        begin = time.monotonic()
        self.assertEqual(quick.ask("account_set", "b")["code"], 200)
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(sum(len(group["peers"]) for group in slow[0].answer()["result"]["peerGroups"]), 5000)

    def test_too_many_clients_are_told(self):
        self.start()
        clients = [self.client() for _ in range(256)]
        self.assertEqual(clients[255].ask("status")["code"], 200)
        self.refused(self.client().answer(), 503, "request", "too many clients")
        clients[0].close()

        def room():
            try:
                return self.client().ask("status")["code"] == 200
            except BrokenPipeError:  # told and closed before it asked
                return False

        until(room, "room again")

    def test_kill_loses_no_acknowledged_change(self):
        self.start_with_region()
        acknowledged = []
        self.assertEqual(self.client().ask("account_set", "acme")["code"], 200)
        for round_number in range(10):
            stop = threading.Event()

            def write():
                try:
                    client = self.client()
                    while not stop.is_set():
                        number = f"+1555{round_number:02d}{len(acknowledged):05d}"
                        if client.ask("number_set", number, "acme", "teamsOperatorConnect", "gold")["code"] == 200:
                            acknowledged.append(number)
                except (OSError, ValueError):
                    pass

            writer = threading.Thread(target=write)
            before = len(acknowledged)
            writer.start()
            until(lambda: len(acknowledged) > before + 5, "some changes")
            self.kill()
            stop.set()
            writer.join()
            self.start("--region-fd", str(self.region), "--region", "west", pass_fds=[self.region])
            status = self.client().ask("status")["result"]
            self.assertEqual(status["publishedNumbers"], status["numbers"])
            self.assertEqual(status["publishedRevision"], status["revision"])
        client = self.client()
        for number in acknowledged:
            self.assertEqual(client.ask("number_get", number)["code"], 200, number)

    def test_dies_with_its_supervisor(self):
        script = ("import os, subprocess, sys, time\n"
                  "fd = os.memfd_create('r'); os.ftruncate(fd, %d)\n"
                  "p = subprocess.Popen(sys.argv[1:] + ['--region-fd', str(fd)], pass_fds=[fd])\n"
                  "print(p.pid, flush=True); time.sleep(60)\n" % REGION_SIZE)
        with subprocess.Popen([sys.executable, "-c", script, *self.command()], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as supervisor:
            int(supervisor.stdout.readline())
            until(lambda: os.path.exists(self.socket), "the worker")
            supervisor.kill()
        until(self.socket_refuses, "its end")

    def test_second_worker_is_refused(self):
        self.start()
        second = subprocess.run(self.command(), capture_output=True, text=True, timeout=30)
        self.assertEqual(second.returncode, 1)
        self.assertEqual(second.stderr.count("\n"), 1)
        self.assertIn(f"{self.store}: in use by process {self.worker.pid}", second.stderr)
        self.store += "2"
        third = subprocess.run(self.command(), capture_output=True, text=True, timeout=30)
        self.assertEqual(third.returncode, 1)
        self.assertIn("another worker answers on it", third.stderr)

    def test_store_that_cannot_be_opened_is_named(self):
        with open(self.store, "w", encoding="ascii") as file:
            file.write("no database" * 100)
        run = subprocess.run(self.command(), capture_output=True, text=True, timeout=30)
        self.assertEqual((run.returncode, run.stderr),
                         (1, f"trunkgate-worker: {self.store}: file is not a database\n"))

    def test_wrong_options_are_refused(self):
        for more in (["--region-fd", "99"], ["--region-fd", "x"], ["--region", "a b"], ["--nonsense"], ["word"]):
            run = subprocess.run(self.command(*more), capture_output=True, text=True, timeout=30)
            self.assertEqual(run.returncode, 2, more)
            self.assertTrue(run.stderr)
        self.assertFalse(os.path.exists(self.store))

    def test_full_disk_keeps_the_worker_alive(self):
        self.start()
        client = self.client()
        self.assertEqual(client.ask("account_set", "acme")["code"], 200)
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        self.refused(client.ask("account_set", "late"), 503, "store", "")
        self.assertEqual(client.ask("account_get", "acme")["code"], 200)
        self.refused(client.ask("account_get", "late"), 404, "account", "")
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertEqual(client.ask("account_set", "late")["code"], 200)
        self.assertEqual(client.ask("status")["result"]["revision"], 2)

    def test_command_line_works_without_a_worker(self):
        self.assertEqual(self.cli("status").returncode, 1)
        self.assertEqual(self.cli("account_set", "acme").returncode, 0)
        self.assertEqual(self.cli("number_set", "+15551230001", "acme", "teamsOperatorConnect", "gold").returncode, 0)
        run = self.cli("number_list")
        self.assertEqual(run.stdout.splitlines()[1].split(), ["+15551230001", "acme", "teamsOperatorConnect", "gold"])
        self.start()
        run = self.cli("--json", "number_get", "+15551230001")
        self.assertEqual(json.loads(run.stdout)["result"]["accountName"], "acme")

    def test_change_on_the_store_beside_a_left_socket_says_that_it_waits(self):
        self.start_with_region()
        self.worker.terminate()
        self.worker.wait(30)
        line = "stored: comes into force when a worker starts"
        self.assertIn(line, self.cli("account_set", "acme").stdout)
        answer = json.loads(self.cli("--json", "account_set", "other").stdout)
        self.assertEqual((answer["code"], answer["result"]["inForce"]), (200, False))
        run = self.cli("--json", "topology_load", "-", text=json.dumps(TOPOLOGY))
        self.assertIs(json.loads(run.stdout)["result"]["inForce"], False)
        self.assertIn(line, self.cli("peer_set", "p1", "drain").stdout)
        for words in (["status"], ["account_get", "acme"], ["topology_load", "-", "dry-run"]):
            run = self.cli(*words, text=json.dumps(TOPOLOGY))
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertNotIn("force", run.stdout, words)
        os.unlink(self.socket)
        self.assertNotIn("force", self.cli("account_set", "third").stdout)

    def test_command_line_tells_refusal_from_misuse(self):
        self.start()
        for status, words in ((0, ["status"]), (1, ["number_get", "+1555"]), (1, ["number_get"]), (2, ["bogus"]), (2, []),
                              (1, ["account_set", "a b"]), (2, ["--bogus", "status"]), (2, ["--store"]),
                              (1, ["account_set", "--", "--x", "y"]), (0, ["account_set", "--", "--x"]),
                              (2, ["topology_load", "/nonexistent"]), (0, ["--help"]), (0, ["number_set", "--help"])):
            run = self.cli(*words)
            self.assertEqual(run.returncode, status, (words, run.stderr))
            self.assertEqual(bool(run.stderr), status != 0, words)
        self.assertEqual(self.cli("number_get", "0012").stderr, "trunkgate: number: must start with '+' (400)\n")

    def test_lock_without_socket_is_told_after_a_short_wait(self):
        self.start()
        os.unlink(self.socket)
        begin = time.monotonic()
        run = self.cli("status")
        self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(run.returncode, 1)
        self.assertIn(f"in use by process {self.worker.pid} and no worker answers on {self.socket} (503)", run.stderr)

    def test_document_goes_round(self):
        self.start()
        run = self.cli("topology_load", "-", text=json.dumps(TOPOLOGY))
        self.assertEqual(run.returncode, 0, run.stderr)
        document = self.cli("topology_get").stdout
        run = self.cli("--json", "topology_load", "-", text=document)
        self.assertEqual(json.loads(run.stdout)["result"]["changeCount"], 0)
        self.assertEqual(self.cli("peer_set", "p1", "drain").returncode, 0)

    # --- jobs

    def csv(self, name, rows):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="ascii") as file:
            file.write("telephoneNumber,accountName,serviceDetails_teamsOperatorConnect_enabled\n")
            file.writelines(f"{number},{account},true\n" for number, account in rows)
        return path

    def many(self, count=200000, first=15550000000):
        return self.csv("many.csv", ((f"+{first + count - i}", "acme") for i in range(count)))

    def job(self, client, job):
        return until(lambda: (a := client.ask("job", str(job))["result"])["state"] != "running" and a, "its end", 60)

    def test_import_from_the_command_line(self):
        for with_worker in (True, False):
            with self.subTest(with_worker=with_worker):
                if with_worker:
                    self.start()
                self.cli("account_set", "acme")
                run = self.cli("import", self.csv("in.csv", [("+15551230001", "acme"), ("+15551230002", "acme")]))
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertRegex(run.stdout, r"state +done")
                run = self.cli("import", "-", text="telephoneNumber,accountName\n+1,acme\n")
                self.assertEqual(run.returncode, 1)
                self.assertIn("needs at least two digits", run.stdout)
                out = os.path.join(self.folder.name, "out.csv")
                run = self.cli("export", out)
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertEqual(self.cli("export", "-").stdout.splitlines()[1],
                                 "+15551230001,,acme,true,false,false,false,")
                with open(out, encoding="ascii") as file:
                    self.assertEqual(len(file.readlines()), 3)
                self.assertEqual(self.cli("import", "/nonexistent.csv").returncode, 2)
                self.assertEqual(self.cli("export", "/nonexistent/x.csv").returncode, 2)
                self.assertEqual([name for name in os.listdir(self.folder.name) if name.startswith("out.csv.")], [])
                if with_worker:
                    self.end()
                    self.worker = None

    def test_every_fault_is_in_the_report(self):
        self.start()
        self.cli("account_set", "acme")
        report = os.path.join(self.folder.name, "report.csv")
        run = self.cli("--report", report, "import", self.csv("bad.csv", ((str(i), "acme") for i in range(1200))))
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stdout, r"faultCount +1200")
        with open(report, encoding="ascii") as file:
            lines = file.read().splitlines()
        self.assertEqual(len(lines), 1201)
        self.assertTrue(lines[1200].startswith("1201,telephoneNumber,"), lines[1200])

    def test_reads_are_answered_and_changes_refused_while_an_import_writes(self):
        self.start_with_region()
        client = self.client()
        self.assertEqual(client.ask("account_set", "acme")["code"], 200)
        self.assertEqual(client.ask("number_set", "+4420", "acme", "teamsOperatorConnect")["code"], 200)
        path = self.many()
        job = client.ask("import", path)["result"]["job"]
        self.refused(client.ask("import", path), 409, "job", f"import {job} is running: one job at a time")
        seen, worst = set(), 0
        while client.ask("job", str(job))["result"]["state"] == "running":
            begin = time.monotonic()
            self.assertEqual(client.ask("number_get", "+4420")["code"], 200)
            seen.add(client.ask("status")["result"].get("jobPhase"))
            worst = max(worst, time.monotonic() - begin)
            answer = client.ask("number_set", "+4421", "acme", "teamsOperatorConnect")
            if answer["code"] != 200:
                self.refused(answer, 503, "job", f"import {job} is writing: try again in")
                self.assertGreaterEqual(answer["error"]["retryAfter"], 1)
                seen.add("refused")
        self.assertLess(worst, 2)
        self.assertLessEqual({"write", "refused"}, seen)
        status = client.ask("status")["result"]
        self.assertEqual((status["numbers"], status["publishedNumbers"]), (200002, 200002))
        self.assertEqual(client.ask("number_set", "+4421", "acme", "teamsOperatorConnect")["code"], 200)

    def test_cancelled_import_changes_nothing(self):
        self.start_with_region()
        client = self.client()
        client.ask("account_set", "acme")
        job = client.ask("import", self.many())["result"]["job"]
        until(lambda: client.ask("job", str(job))["result"].get("phase") == "write", "writing")
        self.assertEqual(client.ask("job_cancel", str(job))["code"], 200)
        self.assertEqual(self.job(client, job)["state"], "cancelled")
        self.assertEqual(client.ask("status")["result"]["numbers"], 0)
        self.assertEqual(os.path.getsize(self.store + "-wal"), 0)
        self.assertEqual(client.ask("account_set", "other")["code"], 200)

    def descriptors_of_the_store(self):
        """Of the worker; a snapshot and clients come and go."""
        folder, found = f"/proc/{self.worker.pid}/fd", []
        for number in os.listdir(folder):
            try:
                target = os.readlink(os.path.join(folder, number))
            except FileNotFoundError:
                continue
            if target in {os.path.realpath(self.store + ending) for ending in ("", "-wal", "-shm", ".lock")}:
                found.append((number, target))
        return found

    def test_files_of_the_store_are_neither_read_nor_written_over(self):
        """A process that closes any descriptor of a file loses SQLite's locks on it."""
        self.with_snapshot()
        client = self.client()
        until(lambda: os.path.exists(self.store + ".snapshot"), "a snapshot")
        until(lambda: [target for _, target in self.descriptors_of_the_store()].count(self.store + "-wal") == 1,
              "the connection of its own is closed")
        link = os.path.join(self.folder.name, "link.csv")
        os.symlink(self.store, link)
        hard = os.path.join(self.folder.name, "hard.csv")
        os.link(self.store, hard)
        files = [self.store + ending for ending in ("", "-wal", "-shm", ".lock", ".snapshot")] + [hard]
        for path in [*files, link]:
            with self.subTest(path=path):
                before = self.descriptors_of_the_store()
                for operation in ("import", "topology_load"):
                    self.refused(client.ask(operation, path), 400, "file", "is a file of the store itself")
                self.assertEqual(self.descriptors_of_the_store(), before)
                for how, operation in ((os.O_RDONLY, "import"), (os.O_WRONLY, "export")):
                    file = os.open(path, how)
                    other = Client(self.socket)
                    request = json.dumps({"operation": operation, "arguments": ["-"]}).encode() + b"\n"
                    socket.send_fds(other.socket, [request], [file])
                    self.refused(other.answer(), 400, "file", "is a file of the store itself")
                    socket.send_fds(other.socket, [b" "], [file])  # never asked for, and replaced
                    socket.send_fds(other.socket, [b" "], [file])
                    other.close()
                    os.close(file)
                    run = self.cli(operation, path)
                    self.assertEqual(run.returncode, 2)
                    self.assertIn("is a file of the store itself", run.stderr)
        for path in files:
            job = self.job(client, client.ask("export", path)["result"]["job"])
            self.assertEqual((job["state"], job["reason"]), ("failed", "is a file of the store itself"), path)
        job = self.job(client, client.ask("export", self.csv("mine.txt", []))["result"]["job"])
        self.assertEqual(job["state"], "done")
        with open(os.path.join(self.folder.name, "mine.txt"), "w", encoding="ascii") as file:
            file.write("a letter to my mother\n")
        for path in (file.name, link, self.folder.name):
            job = self.job(client, client.ask("export", path)["result"]["job"])
            self.assertEqual((job["state"], job["reason"]), ("failed", "is there already, and is no export"), path)
        shell = subprocess.run(["sqlite3", self.store, "SELECT count(*) FROM number"], capture_output=True, text=True)
        self.assertEqual(shell.stdout, "20000\n", shell.stderr)
        self.assertEqual(client.ask("number_set", "+4420", "acme", "teamsOperatorConnect")["code"], 200)
        self.kill()
        self.start_again()
        self.assertEqual(self.client().ask("number_get", "+4420")["code"], 200)

    def test_log_that_was_deleted_is_told(self):
        self.start()
        client = self.client()
        self.assertEqual(client.ask("account_set", "acme")["code"], 200)
        os.rename(self.store + "-wal", self.store + ".away")
        self.refused(client.ask("account_set", "other"), 503, "store", "its log was deleted")
        os.rename(self.store + ".away", self.store + "-wal")
        self.assertEqual(client.ask("account_set", "other")["code"], 200)

    def test_import_is_left_running_without_waiting(self):
        self.start()
        self.cli("account_set", "acme")
        run = self.cli("--json", "--no-wait", "import", self.many(20000))
        job = json.loads(run.stdout)["result"]["job"]
        self.assertEqual(self.job(self.client(), job)["state"], "done")
        self.assertEqual(self.client().ask("status")["result"]["numbers"], 20000)

    def test_full_disk_fails_an_import_and_a_snapshot_only(self):
        self.start_with_region()
        client = self.client()
        client.ask("account_set", "acme")
        path = self.many(50000)
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (400000, resource.RLIM_INFINITY))
        job = self.job(client, client.ask("import", path)["result"]["job"])
        self.assertEqual((job["state"], job["code"]), ("failed", 503), job)
        self.assertEqual(client.ask("status")["result"]["numbers"], 0)
        self.assertEqual(os.path.getsize(self.store + "-wal"), 0)  # it had grown until nothing fitted any more
        self.assertEqual(client.ask("account_set", "other")["code"], 200)
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        job = self.job(client, client.ask("import", path)["result"]["job"])
        self.assertEqual(job["state"], "done", job)
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (400000, resource.RLIM_INFINITY))
        self.assertIn("the snapshot cannot be written: File too large", self.worker.stderr.readline())
        self.assertFalse(os.path.exists(self.store + ".snapshot"))
        self.assertFalse(os.path.exists(self.store + ".snapshot.new"))
        self.assertEqual(client.ask("number_get", "+15550000001")["code"], 200)
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def test_read_only_folder_is_named_at_the_start(self):
        self.start()
        self.assertEqual(self.client().ask("account_set", "acme")["code"], 200)
        self.end()
        if os.geteuid() != 0:
            self.skipTest("only root may mount")
        folder = self.folder.name
        run = subprocess.run(["unshare", "-m", "sh", "-c",
                              f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec "
                              + " ".join(self.command())], capture_output=True, text=True, timeout=30)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("Read-only file system", run.stderr)
        self.start()
        self.assertEqual(self.client().ask("account_get", "acme")["code"], 200)

    def test_folder_that_takes_no_new_file_costs_snapshots_and_exports_only(self):
        """The worker is not root, and the folder is taken from its user while it runs."""
        if os.geteuid() != 0:
            self.skipTest("only root has users to give")
        user = pwd.getpwnam("nobody")
        worker = shutil.copy(WORKER, self.folder.name)  # where that user can reach it
        os.chown(self.folder.name, user.pw_uid, user.pw_gid)
        self.worker = subprocess.Popen([worker, *self.command()[1:]], stderr=subprocess.PIPE, text=True,
                                       user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        self.ready()
        client = self.client()
        self.assertEqual(client.ask("account_set", "acme")["code"], 200)
        os.chown(self.folder.name, 0, 0)
        os.chmod(self.folder.name, 0o755)
        self.assertEqual(client.ask("number_set", "+4420", "acme", "teamsOperatorConnect")["code"], 200)
        job = self.job(client, client.ask("import", self.many(20000))["result"]["job"])
        self.assertEqual(job["state"], "done", job)
        job = self.job(client, client.ask("export", os.path.join(self.folder.name, "out.csv"))["result"]["job"])
        self.assertEqual((job["state"], job["code"], job["field"]), ("failed", 400, "file"), job)
        self.assertIn("Permission denied", job["reason"])
        self.assertEqual(client.ask("number_get", "+15550000001")["code"], 200)
        os.chown(self.folder.name, user.pw_uid, user.pw_gid)

    def test_snapshot_cut_short_while_the_worker_runs_is_written_again(self):
        self.with_snapshot()
        self.end()
        self.assertIn("from the snapshot", self.start_again())
        client = self.client()
        whole = os.path.getsize(self.store + ".snapshot")
        for size in range(whole - whole % 4096, -1, -16 * 4096):
            os.truncate(self.store + ".snapshot", size)
            self.assertEqual(client.ask("number_get", "+15550000001")["code"], 200)
        self.kill()
        self.assertIn("the snapshot: it is no snapshot, or cut short", self.start_again())
        until(lambda: os.path.exists(self.store + ".snapshot") and
              os.path.getsize(self.store + ".snapshot") == whole, "a new snapshot")

    # --- the snapshot

    def start_again(self):
        """The log lines of a start."""
        self.worker = subprocess.Popen(self.command("--region-fd", str(self.region)), stderr=subprocess.PIPE, text=True,
                                       pass_fds=[self.region])
        line = self.worker.stderr.readline()
        self.ready()
        client = self.client()
        self.assertEqual(self.job(client, client.ask("verify")["result"]["job"])["state"], "done")
        self.assertEqual(client.ask("number_get", "+15550000001")["code"], 200)
        return line

    def with_snapshot(self):
        self.start_with_region()
        client = self.client()
        client.ask("account_set", "acme")
        self.assertEqual(self.job(client, client.ask("import", self.many(20000))["result"]["job"])["state"], "done")

    def copy_of(self, endings=("", ".snapshot")):
        """What the files hold now, to be put back."""
        kept = {}
        for ending in endings:
            with open(self.store + ending, "rb") as file:
                kept[ending] = file.read()
        return kept

    def put_back(self, kept):
        for ending in ("-wal", "-shm") if "" in kept else ():
            if os.path.exists(self.store + ending):
                os.unlink(self.store + ending)
        for ending, data in kept.items():
            with open(self.store + ending, "wb") as file:
                file.write(data)

    def test_start_takes_the_snapshot_that_fits_and_no_other(self):
        self.with_snapshot()
        self.end()
        self.assertIn("from the snapshot of revision 2", self.start_again())
        for number in range(10):  # put on top by the next start
            answer = self.client().ask("number_set", f"+4420{number}", "acme", "teamsOperatorConnect")
            self.assertEqual(answer["code"], 200)
        self.kill()
        self.assertIn("from the snapshot of revision 2", self.start_again())
        self.assertEqual(self.client().ask("status")["result"]["publishedNumbers"], 20010)
        self.end()
        yesterday = self.copy_of()
        with self.subTest("a store that went another way since the snapshot"):
            self.assertIn("revision 2", self.start_again())
            client = self.client()
            for number in range(1000):
                client.ask("number_set", f"+44{number:05d}", "acme", "teamsOperatorConnect")
            self.end()  # 1000 changes: a new snapshot
            newer = self.copy_of([".snapshot"])
            self.put_back(dict(yesterday, **newer))
            self.assertIn("it is newer than the store", self.start_again())
            client = self.client()
            for number in range(1100):
                client.ask("number_set", f"+45{number:05d}", "acme", "teamsOperatorConnect")
            self.kill()
            self.put_back(newer)
            self.assertIn("had other content at its revision", self.start_again())
        self.end()

    def test_another_store_with_the_same_revision_is_seen(self):
        self.with_snapshot()
        self.end()
        kept = self.copy_of([".snapshot"])
        for ending in ("", "-wal", "-shm", ".snapshot"):
            if os.path.exists(self.store + ending):
                os.unlink(self.store + ending)
        self.with_snapshot()
        self.end()
        self.put_back(kept)
        self.assertIn("it is of another store", self.start_again())

    def test_store_that_was_moved_away_is_told_and_reads_go_on(self):
        self.with_snapshot()
        self.end()
        self.assertIn("from the snapshot", self.start_again())
        client = self.client()
        os.rename(self.store, self.store + ".away")
        self.refused(client.ask("number_set", "+4420", "acme", "teamsOperatorConnect"), 503, "store", "was deleted")
        job = self.job(client, client.ask("import", self.many(100))["result"]["job"])
        self.assertEqual(job["state"], "failed")
        self.assertEqual(client.ask("number_get", "+15550000001")["code"], 200)
        os.rename(self.store + ".away", self.store)
        self.assertEqual(client.ask("number_set", "+4420", "acme", "teamsOperatorConnect")["code"], 200)

    def test_completion_comes_from_the_table(self):
        script = os.path.join(os.path.dirname(__file__), "../../provisioning/trunkgate.bash-completion")
        for words, expected in (("number_s", ["number_set"]), ("peer_set p1 d", ["drain", "disabled"]),
                                ("number_set +1 acme zoom", ["zoomPhoneCloudPeering"]), ("--js", ["--json"]),
                                ("import x.csv d", ["dry-run"]), ("import x.csv dry-run s", ["skip-bad"]),
                                ("range_s", ["range_set"]), ("--no", ["--no-wait"]),
                                ("--json --store x account_s", ["account_set"])):
            count = len(words.split(" "))
            command = (f"source '{script}'; COMP_WORDS=('{TRUNKGATE}' {words}); COMP_CWORD={count}; _trunkgate;"
                       ' printf "%s\\n" "${COMPREPLY[@]}"')
            run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True)
            self.assertEqual(sorted(run.stdout.split()), sorted(expected), words)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
