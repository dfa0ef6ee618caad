#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of trunkgate-worker and the command line as processes: usage: test_worker.py WORKER TRUNKGATE"""
import errno
import json
import os
import pwd
import resource
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

    def __init__(self, path, timeout=30):
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
        until(lambda: self.client().ask("status")["code"] == 200, "room again")

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

    def test_completion_comes_from_the_table(self):
        script = os.path.join(os.path.dirname(__file__), "../../provisioning/trunkgate.bash-completion")
        for words, expected in (("number_s", ["number_set"]), ("peer_set p1 d", ["drain", "disabled"]),
                                ("number_set +1 acme zoom", ["zoomPhoneCloudPeering"]), ("--js", ["--json"]),
                                ("--json --store x account_s", ["account_set"])):
            count = len(words.split(" "))
            command = (f"source '{script}'; COMP_WORDS=('{TRUNKGATE}' {words}); COMP_CWORD={count}; _trunkgate;"
                       ' printf "%s\\n" "${COMPREPLY[@]}"')
            run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True)
            self.assertEqual(sorted(run.stdout.split()), sorted(expected), words)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
