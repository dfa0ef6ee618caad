# SPDX-License-Identifier: GPL-2.0-or-later
"""What srtp_enforcer costs rtpengine: packets and offers a second of its processor time, with and without it."""

import contextlib
import os
import pathlib
import subprocess

from harness.media_sdp import DEFAULT, SUITES, body, section, sections
from harness.paths import binary
from harness.rtpengine import Rtpengine

from report import note

CALLS = 40
FIRST = 30000  # ports of the endpoints, at addresses of their own
ADDRESSES = "127.0.9.1", "127.0.9.2"
OFFERS = 10  # of one side, before it is the other's turn
FLAGS = [f"SDES-no-{suite}" for suite in SUITES if suite != DEFAULT]  # as srtp_policy sends them
FOR_PLUGIN = {"dtls_profiles": "SRTP_AES128_CM_HMAC_SHA1_80", "fingerprints": "remove"}  # the same; rtpengine would log them


def cpu_seconds(pid):
    """Processor time of all threads so far."""
    return sum(int((thread / "schedstat").read_text().split()[0]) * 1e-9
               for thread in pathlib.Path(f"/proc/{pid}/task").iterdir())


def pin(pid, at):
    """All threads of a process to one processor: both rtpengines to the same, their sender to another if there is one."""
    processors = sorted(os.sched_getaffinity(0))
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):  # a thread of its start that is over
            os.sched_setaffinity(int(thread), {processors[at % len(processors)]})


class Side:
    """One rtpengine with plain calls. streams: (address, port, port of rtpengine) for the sender."""

    def __init__(self, folder, plugin, address):
        name = "with" if plugin else "without"
        self.rtpengine = Rtpengine(folder, plugin=plugin, media_ports=4000, name=f"rtpengine-{name}", log_level=4)
        self.rtpengine.start()
        pin(self.rtpengine.pid, 1)
        self.calls = [f"media-{number}" for number in range(CALLS)]
        self.offers = 0
        self.words = FOR_PLUGIN if plugin else {}
        self.streams = []
        for call in self.calls:
            ports = FIRST + len(self.streams), FIRST + len(self.streams) + 1
            offered = self.rtpengine.ng("offer", call_id=call, from_tag="a",
                                        sdp=body(section(port=ports[0]), address=address))
            answered = self.rtpengine.ng("answer", call_id=call, from_tag="a", to_tag="b",
                                         sdp=body(section(port=ports[1]), address=address))
            self.streams += [(address, own, sections(reply["sdp"])[0][1])
                             for own, reply in zip(ports, (answered, offered))]

    def packets(self):
        """Packets that rtpengine relayed so far."""
        return sum(self.rtpengine.ng("query", call_id=call)["totals"]["RTP"]["packets"] for call in self.calls)

    def cpu(self):
        return cpu_seconds(self.rtpengine.pid)

    def offer(self):
        """Offers (plain to SRTP, as Kamailio sends them) with their deletes; the processor time they took."""
        before = self.cpu()
        for _ in range(OFFERS):
            self.offers += 1
            call = f"offer-{self.offers}"
            reply = self.rtpengine.ng("offer", call_id=call, from_tag="a", transport_protocol="RTP/SAVP", flags=FLAGS,
                                      replace=["origin"], ICE="remove", sdp=body(), **self.words)
            assert reply["result"] == "ok", reply
            self.rtpengine.ng("delete", call_id=call, from_tag="a")
        return self.cpu() - before


class Sender:
    """Packets to both sides in turns, so that both meet the same machine."""

    def __init__(self, sides):
        self.process = subprocess.Popen([binary("rtp_load")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pin(self.process.pid, 0)
        for number, pair in enumerate(zip(*(side.streams for side in sides))):
            for stream in pair if number % 2 else reversed(pair):
                self.process.stdin.write("%s %d %d\n" % stream)
        self.process.stdin.write("\n")

    def send(self, rate, seconds):
        self.process.stdin.write(f"{rate} {int(seconds * 1000)}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.communicate()


def media(sides, sender, rate, seconds=0.5):
    """Packets a second of processor time, of each side, while media passes through both; None if many were lost, because
    the machine did other things."""
    packets = [side.packets() for side in sides]
    cpu = [side.cpu() for side in sides]
    sent = sender.send(rate, seconds)
    used = [side.cpu() - before for side, before in zip(sides, cpu)]
    relayed = [side.packets() - before for side, before in zip(sides, packets)]
    if sum(relayed) < 0.95 * sent:
        return None
    return [count / busy for count, busy in zip(relayed, used)]


def offers(sides):
    """Offers a second of processor time, of each side; they take turns, 10 at a time."""
    used = [0.0, 0.0]
    for turn in range(4):
        for at in ((0, 1), (1, 0))[turn % 2]:
            used[at] += sides[at].offer()
    return [4 * OFFERS / seconds for seconds in used]


def media_pairs(sides, sender, rate, rounds):
    pairs = []
    for _ in range(3 * rounds):
        pairs += filter(None, [media(sides, sender, rate)])
        if len(pairs) == rounds:
            return pairs
    note(f"the machine was busy: in {3 * rounds - len(pairs)} of {3 * rounds} rounds packets were lost")
    return pairs


def emit(report, name, unit, pairs):
    """Medians and quartiles of the ratios of pairs, and of what the side with the plugin did."""
    for title, values, word in ((f"{name}_ratio", [a / b for a, b in pairs], "x"),
                                (f"{name}_per_cpu_s", [a for a, _ in pairs], unit)):
        values.sort()
        quarter = len(values) // 4
        report.emit_spread(title, values[quarter:len(values) - quarter], word)


def measure_pair(folder, number, rounds, rate):
    """One pair of rtpengines: (media, offers). A process runs a percent or more faster or slower than another of the same
    program as long as it lives, by where its memory lies: so there are many pairs of short lives. Which one starts first,
    and has which address, alternates."""
    running, sides = [], {}
    try:
        for plugin, address in zip((True, False) if number % 2 else (False, True), ADDRESSES):
            sides[plugin] = Side(folder, plugin, address)
            running.append(sides[plugin].rtpengine)
        sides = [sides[True], sides[False]]
        sender = Sender(sides)
        running.append(sender)
        media(sides, sender, rate), offers(sides)
        return media_pairs(sides, sender, rate, rounds), [offers(sides) for _ in range(rounds)]
    finally:
        for thing in reversed(running):
            thing.stop()


def measure(report, folder, pairs, rounds, rate):
    found = [], []
    for number in range(pairs):
        media_found, offers_found = measure_pair(folder, number, rounds, rate)
        found[0].extend(media_found)
        found[1].extend(offers_found)
    assert len(found[0]) > 2 * pairs, "the machine is too busy: most packets were lost"
    emit(report, "media", "packets/s", found[0])
    emit(report, "offers", "offers/s", found[1])
