#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the worker's resolver against a real name server (nsd): usage: test_resolver.py WORKER TRUNKGATE"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.name_server import NameServer, silent_server  # noqa: E402

WORKER, TRUNKGATE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
REGION_SIZE = 64 << 20


def until(condition, what, seconds=20):
    """Waits for a condition, not for a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not in {seconds} s: {what}")


class ResolverTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="resolver-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.chmod(self.folder, 0o755)
        self.store, self.socket = os.path.join(self.folder, "t.db"), os.path.join(self.folder, "w.sock")
        self.region = os.memfd_create("region")
        self.addCleanup(os.close, self.region)
        os.ftruncate(self.region, REGION_SIZE)
        self.worker = None
        self.addCleanup(self.end)

    def serve(self, records):
        with silent_server() as bound:
            port = bound.getsockname()[1]
        self.server = NameServer(self.folder, port)
        self.server.write(records)
        self.server.start()
        self.addCleanup(self.server.stop)
        return f"127.0.0.1:{port}"

    def silent(self, port=0):
        bound = silent_server(port)
        self.addCleanup(bound.close)
        return f"127.0.0.1:{bound.getsockname()[1]}"

    def start(self, nameservers, prefix=()):
        self.log = open(os.path.join(self.folder, "worker.log"), "ab+")
        self.addCleanup(self.log.close)
        more = ["--nameservers", nameservers] if nameservers else []
        self.worker = subprocess.Popen([*prefix, WORKER, "--store", self.store, "--socket", self.socket, "--region-fd",
                                        str(self.region), *more], stderr=self.log, pass_fds=[self.region])
        until(lambda: self.try_ask("status"), "worker answers")

    def end(self):
        if self.worker and self.worker.poll() is None:
            self.worker.terminate()
            self.assertEqual(self.worker.wait(30), 0)

    def kill(self):
        self.worker.kill()
        self.worker.wait()

    def logged(self):
        self.log.seek(0)
        return self.log.read().decode()

    def try_ask(self, operation, *arguments, **more):
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(self.socket)
            except OSError:
                return None
            client.settimeout(30)
            request = {"operation": operation, "arguments": arguments, **more}
            client.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(client.makefile("rb").readline() or "null")

    def ask(self, operation, *arguments, **more):
        answer = self.try_ask(operation, *arguments, **more)
        self.assertEqual(answer and answer["code"], 200, answer)
        return answer["result"]

    def load(self, peers, signalling="UDP"):
        """Peers by name: host, or (host, port). Returns the seconds that it took."""
        rows = []
        for name, host in peers.items():
            host, port = host if isinstance(host, tuple) else (host, None)
            rows.append({"name": name, "host": host, **({"port": port} if port else {})})
        groups = [{"name": f"g{at}", "side": "operator", "signalling": signalling, "media": "RTP",
                   "localSocket": f"{signalling.lower()}:127.0.0.1:{5000 + at}",
                   "peers": rows[at:at + 64]} for at in range(0, len(rows), 64)]
        begin = time.monotonic()
        self.ask("topology_load", "t.json", document=json.dumps({"mode": "lab", "peerGroups": groups}))
        return time.monotonic() - begin

    def targets(self):
        """By peer: (list of "address:port" or "address:port/priority/weight=name", reason)"""
        peers, after = {}, []
        while True:
            page = self.ask("target_list", "500", *after)
            for item in page["items"]:
                peers[item["peer"]] = ([self.target(target) for target in item["targets"]], item["reason"])
            if "next" not in page:
                return peers
            after = [page["next"]]

    def target(self, target):
        text = f"{target['address']}:{target['port']}"
        if "name" in target:
            text += f"/{target['srvPriority']}/{target['srvWeight']}={target['name']}"
        return text

    def targets_become(self, expected, seconds=20):
        def same():
            self.seen = self.targets()
            return all(self.seen[peer] == value for peer, value in expected.items())
        try:
            until(same, "targets", seconds)
        except AssertionError:
            self.assertEqual({peer: self.seen[peer] for peer in expected}, expected)

    def test_addresses_and_services(self):
        self.start(self.serve("""
a 60 A 192.0.2.1
both 60 A 192.0.2.3
both 60 A 192.0.2.2
both 60 AAAA 2001:db8::2
alias 60 CNAME both
_sip._udp.srv 60 SRV 20 0 5070 a
_sip._udp.srv 60 SRV 10 30 5072 both
_sip._udp.srv 60 SRV 10 70 5071 a
_sips._tcp.srv 60 SRV 1 1 5099 a
_sip._udp.gone 60 SRV 0 0 0 .
gone 60 A 192.0.2.9
_sip._udp.half 60 SRV 1 1 5060 a
_sip._udp.half 60 SRV 2 1 5060 nowhere
odd 60 A 0.0.0.0
odd 60 A 224.0.0.1
odd 60 AAAA ::ffff:192.0.2.1
"""))
        srv = ["192.0.2.1:5071/10/70=a.example", "192.0.2.2:5072/10/30=both.example",
               "192.0.2.3:5072/10/30=both.example", "2001:db8::2:5072/10/30=both.example",
               "192.0.2.1:5070/20/0=a.example"]
        self.load({"address": "192.0.2.77", "a": ("a.example", 5062), "both": ("both.example", 5060),
                   "alias": ("alias.example", 5060), "srv": "srv.example", "named": "_sip._udp.srv.example",
                   "other": "_sips._tcp.srv.example", "plain": "a.example", "gone": "gone.example",
                   "half": "half.example", "odd": ("odd.example", 5060), "upper": ("A.EXAMPLE", 5062)})
        self.targets_become({
            "address": (["192.0.2.77:5060"], ""),
            "a": (["192.0.2.1:5062"], ""),
            "both": (["192.0.2.2:5060", "192.0.2.3:5060", "2001:db8::2:5060"], ""),
            "alias": (["192.0.2.2:5060", "192.0.2.3:5060", "2001:db8::2:5060"], ""),
            "srv": (srv, ""),
            "named": (srv, ""),
            "other": (["192.0.2.1:5099/1/1=a.example"], ""),
            "plain": (["192.0.2.1:5060"], ""),
            "gone": ([], "SRV: the service is not offered there: _sip._udp.gone.example"),
            "half": (["192.0.2.1:5060/1/1=a.example"], "A: there is no such name: nowhere.example"),
            "odd": ([], "A: the answer holds nothing that can be called: odd.example"),
            "upper": (["192.0.2.1:5062"], ""),
        })

    def test_change_is_seen_when_the_time_of_the_record_is_over(self):
        self.start(self.serve("a 1 A 192.0.2.1\n_sip._udp.s 1 SRV 1 1 5060 a\nb 3000 A 192.0.2.3"))
        self.load({"a": ("a.example", 5060), "s": "s.example", "b": ("b.example", 5060)})
        self.targets_become({"a": (["192.0.2.1:5060"], ""), "s": (["192.0.2.1:5060/1/1=a.example"], ""),
                             "b": (["192.0.2.3:5060"], "")})
        self.server.change("a 1 A 192.0.2.2\n_sip._udp.s 1 SRV 2 1 5061 a\nb 3000 A 192.0.2.4")
        self.targets_become({"a": (["192.0.2.2:5060"], ""), "s": (["192.0.2.2:5061/2/1=a.example"], ""),
                             "b": (["192.0.2.3:5060"], "")})

    def test_names_that_fail_are_named_and_stop_no_others(self):
        self.start(self.serve("a 60 A 192.0.2.1\nempty 60 TXT hello"))
        self.load({"a": ("a.example", 5060), "none": ("none.example", 5060), "empty": ("empty.example", 5060),
                   "broken": ("a.broken", 5060), "service": "_sip._udp.none.example", "plain": "none.example"})
        self.targets_become({"a": (["192.0.2.1:5060"], ""),
                             "none": ([], "A: there is no such name: none.example"),
                             "empty": ([], "A: there are no such records: empty.example"),
                             "service": ([], "SRV: there is no such name: _sip._udp.none.example"),
                             "plain": ([], "A: there is no such name: none.example")})
        reason = until(lambda: self.targets()["broken"][1].startswith("A: ") and self.targets()["broken"][1], "SERVFAIL")
        self.assertRegex(reason, "^A: (the name servers fail|no name server gives an answer): a.broken$")
        self.assertIn("name none.example: A: there is no such name: none.example", self.logged())

    def test_silent_name_server_holds_up_nothing(self):
        self.start(self.silent())
        took = self.load({"address": "192.0.2.1", "a": ("a.example", 5060)})
        self.assertLess(took, 1)
        self.assertEqual(self.targets(), {"address": (["192.0.2.1:5060"], ""), "a": ([], "is being looked up")})
        slowest = 0
        while self.targets()["a"][1] == "is being looked up":
            begin = time.monotonic()
            self.ask("account_set", "acme")
            slowest = max(slowest, time.monotonic() - begin)
        self.assertLess(slowest, 1)
        self.assertEqual(self.targets()["a"], ([], "A: no answer from the name servers: a.example"))
        self.assertLess(self.load({"a": ("a.example", 5060), "b": ("b.example", 5060)}), 1)

    def test_second_name_server_is_asked(self):
        good = self.serve("a 60 A 192.0.2.1")
        self.start(f"{self.silent()},{good}")
        self.load({"a": ("a.example", 5060)})
        self.targets_become({"a": (["192.0.2.1:5060"], "")})

    def test_long_answer_comes_over_tcp_and_is_cut(self):
        records = "\n".join(f"a 60 A 198.51.{at // 250}.{at % 250 + 1}" for at in range(400))
        self.start(self.serve(records + "\n" + "\n".join(f"b 60 A 192.0.2.{at + 1}" for at in range(31))))
        self.load({"a": ("a.example", 5060), "b": ("b.example", 5060)})
        until(lambda: len(self.targets()["a"][0]) == 32, "32 targets")
        until(lambda: len(self.targets()["b"][0]) == 31, "31 targets")
        self.assertIn("more than 32", self.targets()["a"][1])

    def test_many_names(self):
        count = 1000
        self.start(self.serve("\n".join(f"n{at} 60 A 10.0.{at // 250}.{at % 250 + 1}" for at in range(count))))
        self.load({f"p{at}": (f"n{at}.example", 5060) for at in range(count)})
        self.targets_become({f"p{at}": ([f"10.0.{at // 250}.{at % 250 + 1}:5060"], "") for at in range(count)})

    def test_worker_that_was_killed_keeps_the_targets_while_dns_is_silent(self):
        nameserver = self.serve("a 60 A 192.0.2.1\n_sip._udp.s 60 SRV 1 5 5070 a\n_sip._udp.s 60 SRV 2 5 5071 b\n"
                                "b 60 AAAA 2001:db8::1")
        self.start(nameserver)
        self.load({"a": ("a.example", 5060), "s": "s.example"})
        before = {"a": ["192.0.2.1:5060"],
                  "s": ["192.0.2.1:5070/1/5=a.example", "2001:db8::1:5071/2/5=b.example"]}
        self.targets_become({peer: (targets, "") for peer, targets in before.items()})
        self.server.stop()
        bound = silent_server(self.server.port)
        self.kill()
        self.start(nameserver)
        self.assertEqual({peer: targets for peer, (targets, _) in self.targets().items()}, before)
        until(lambda: all(reason for _, reason in self.targets().values()), "reasons")
        self.assertEqual({peer: targets for peer, (targets, _) in self.targets().items()}, before)
        bound.close()
        self.server.write("a 60 A 192.0.2.9\n_sip._udp.s 60 SRV 2 5 5071 b\nb 60 AAAA 2001:db8::1")
        self.server.start()
        self.targets_become({"a": (["192.0.2.9:5060"], ""), "s": (["2001:db8::1:5071/2/5=b.example"], "")}, 60)

    def test_name_servers_that_cannot_be_are_refused(self):
        done = subprocess.run([WORKER, "--store", self.store, "--socket", self.socket, "--region-fd", str(self.region),
                               "--nameservers", "not an address"], capture_output=True, text=True, timeout=20,
                              pass_fds=[self.region])
        self.assertEqual(done.returncode, 1)
        self.assertIn("name servers", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "only root may make namespaces")
    def test_resolv_conf_and_hosts_of_the_machine_are_followed(self):
        """In namespaces of its own: the name servers' port cannot be named in resolv.conf."""
        for name, text in (("resolv.conf", "nameserver 127.0.0.1\n"), ("hosts", "192.0.2.50 Inside.example\n")):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)
        holder = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c",
                                   f"ip link set lo up && mount --bind {self.folder}/resolv.conf /etc/resolv.conf"
                                   f" && mount --bind {self.folder}/hosts /etc/hosts && echo ready && exec cat"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.stdin.close)
        if holder.stdout.readline() != b"ready\n":
            self.skipTest("no namespaces here")
        inside = ("nsenter", "--net", "--mount", "-t", str(holder.pid))
        servers = []
        for at, address in enumerate(("192.0.2.1", "192.0.2.2")):
            folder = os.path.join(self.folder, str(at))
            os.mkdir(folder)
            server = NameServer(folder, 53, f"127.0.0.{at + 1}", inside)
            server.write(f"a 1 A {address}")
            server.start()
            self.addCleanup(server.stop)
            servers.append(server)
        self.start(None, inside)
        self.load({"a": ("a.example", 5060), "inside": ("inside.example", 5060)})
        self.targets_become({"a": (["192.0.2.1:5060"], ""), "inside": (["192.0.2.50:5060"], "")})
        with open(os.path.join(self.folder, "resolv.conf"), "w") as file:
            file.write("# another one\nnameserver 127.0.0.2\n")
        self.targets_become({"a": (["192.0.2.2:5060"], "")})


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]])
