# SPDX-License-Identifier: GPL-2.0-or-later
"""A process that handles calls opens, reads or maps no file and resolves no name while calls go through (strace)."""

import re
import shutil
import signal
import subprocess
import unittest

from harness import Case, wait_until
from harness.gateway import Gateway
from harness.sip import Message, token

NUMBER, OUTSIDE = "+15551230001", "+15557770000"
TRACED = ("open,openat,openat2,creat,read,pread64,readv,preadv,mmap,execve,connect,sendto,sendmsg,sendmmsg,stat,lstat,"
          "newfstatat,statx,access,readlink")
# Processes that no call passes: RPC, the supervisor, and Kamailio's first process, which only waits for signals.
NOT_OF_CALLS = ("supervisor", "ctl handler", "JSONRPCS", "main process", "attendant")


def faults(trace):
    """The lines of a strace output that touch a file or a name server."""
    found = []
    for line in trace.splitlines():
        call = re.match(r"(?:\d+ +)?(?:[\d:.]+ +)?(?:<\.\.\. )?(\w+)", line)
        name = call.group(1) if call else ""
        if name in ("open", "openat", "openat2", "creat", "execve"):
            found.append(line)
        elif name in ("read", "pread64", "readv", "preadv") and re.search(r"\(\d+</(?!dev/(?:u?random|null)>)", line):
            found.append(line)
        elif name == "mmap" and re.search(r"MAP_\w+[^)]*, \d+<", line):
            found.append(line)
        elif re.search(r"nscd|htons\(53\)|:53[\]>\"]|resolv|/etc/hosts|avahi|varlink", line):
            found.append(line)
    return found


class Strace:
    """strace on processes that already run."""

    def __init__(self, folder, pids):
        self.output = folder / "strace.txt"
        self.messages = folder / "strace.log"
        self.pids = pids
        self.process = None

    def start(self):
        words = ["strace", "-f", "-y", "-yy", "-s", "80", "-o", str(self.output), "-e", f"trace={TRACED}"]
        for pid in self.pids:
            words += ["-p", str(pid)]
        with open(self.messages, "wb") as log:
            self.process = subprocess.Popen(words, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(self.attached, 20, "strace is attached")

    def attached(self):
        if self.process.poll() is not None:
            raise AssertionError(self.messages.read_text())
        return self.messages.read_text().count(" attached") >= len(self.pids)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10)

    def trace(self):
        return self.output.read_text(errors="replace")


class TestNoFiles(Case):
    def setUp(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")

    def test_no_file_and_no_name_during_calls(self):
        self.no_file("UDP")

    def test_no_file_and_no_name_during_calls_over_tls(self):
        self.no_file("TLS")

    def no_file(self, signalling):
        gateway = self.start(Gateway(self.folder, signalling={"teams-oc": signalling}))
        self.play(gateway)  # connections to the peers are there, as in service
        roles = {pid: text for pid, text in gateway.kamailio.roles().items()
                 if not any(word in text for word in NOT_OF_CALLS)}
        self.assertTrue(any("receiver" in text for text in roles.values()), gateway.kamailio.roles())
        strace = Strace(self.folder, roles)
        self.addCleanup(strace.stop)
        strace.start()
        for _ in range(5):
            self.play(gateway)
        self.provoke(gateway)
        strace.stop()
        trace = strace.trace()
        self.assertGreater(len(re.findall(r"^\d+ +send", trace, re.M)), 10, "strace saw the calls")
        found = faults(trace)
        self.assertEqual(found, [], "\n".join([str(roles), *found[:20]]))

    def play(self, gateway):
        """A found call, one with failover, an unprovisioned one, and one to the operator."""
        west, east = gateway.peer["west"], gateway.peer["east"]
        first, second = gateway.peer["teams-1"], gateway.peer["teams-2"]
        tls = (gateway.host, gateway.tls_port)
        towards = tls if first.transport == "tls" else gateway.proxy
        self.answered(west.invite(gateway.proxy, NUMBER, OUTSIDE), first)
        self.answered(first.invite(towards, OUTSIDE, NUMBER), west)
        call = west.invite(gateway.proxy, NUMBER, OUTSIDE)
        served = first.served(call_id=call.call_id)
        served.reply(503)
        self.answered(call, second)
        self.assertEqual(west.invite(gateway.proxy, "+15559999999", OUTSIDE).final().status, 404)
        call = first.invite(towards, OUTSIDE, NUMBER)
        west.served(call_id=call.call_id)
        self.answered(call, east)

    def provoke(self, gateway):
        """Messages that name a host where nobody asked for one: a stray response, a BYE of no dialog, a Contact."""
        west, first = gateway.peer["west"], gateway.peer["teams-1"]
        name, us = "does-not-exist.example.com", f"{gateway.host}:{gateway.port}"
        ends = [("From", "<sip:a@b>;tag=1"), ("To", "<sip:a@b>;tag=2")]
        west.send(Message("SIP/2.0 200 OK", [
            ("Via", f"SIP/2.0/UDP {us};branch=z9hG4bKaaaa.1"), ("Via", f"SIP/2.0/UDP {name};branch=z9hG4bKbbb"), *ends,
            ("Call-ID", token("stray")), ("CSeq", "1 INVITE")]), gateway.proxy)
        bye = token("bye")
        west.send(Message(f"BYE sip:x@{name} SIP/2.0", [
            ("Via", west.via()), ("Max-Forwards", 70), ("Route", f"<sip:{us};lr>"), *ends, ("Call-ID", bye),
            ("CSeq", "9 BYE")]), gateway.proxy)
        self.assertEqual(west.response((200, 699), "BYE", call_id=bye).status, 481)
        call = west.invite(gateway.proxy, NUMBER, OUTSIDE)
        served = first.served(8, call.call_id)
        first.reply(served.invite, 200, served.tag, [("Contact", f"<sip:teams@{name}>")])
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()

    def answered(self, call, callee):
        served = callee.served(8, call.call_id)
        served.reply(180)
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()
        call.endpoint.response(200, "BYE", call_id=call.call_id)


class TestFaultsOfTrace(unittest.TestCase):
    """The test must see what it looks for."""

    def test_sees_files_and_names(self):
        for line in ('12 openat(AT_FDCWD</>, "/etc/hosts", O_RDONLY) = 5</etc/hosts>',
                     '12 read(5</etc/hosts>, "x", 10) = 1',
                     '12 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 5</usr/lib/x.so>, 0) = 0x7f',
                     '12 connect(7<UDP:[1]>, {sa_family=AF_INET, sin_port=htons(53), sin_addr=..}, 16) = 0',
                     '12 connect(7<UNIX:[1]>, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = 0'):
            self.assertEqual(faults(line), [line])

    def test_lets_sockets_pipes_and_memory_pass(self):
        for line in ('12 read(5<pipe:[123]>, "x", 10) = 1',
                     '12 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f',
                     '12 sendto(5<UDP:[127.0.0.1:5060]>, "INVITE", 900, 0, {sin_port=htons(5353)}, 16) = 900'):
            self.assertEqual(faults(line), [])


if __name__ == "__main__":
    unittest.main()
