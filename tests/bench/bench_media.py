# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench media: what srtp_enforcer costs rtpengine, and how long a SIP worker waits for an rtpengine."""

import argparse
import pathlib
import signal
import sys

from harness import Folder

import media
from report import Report

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import test_media_relay_wait as relays  # noqa: E402

PARTS = ("plugin", "wait")
TARGETS = {
    "media_ratio": (">=", lambda v: 0.99),
    "offers_ratio": (">=", lambda v: 0.90),
    "rtpengine_wait_ms_p99": ("<=", lambda v: 250),
}


def arguments_parse():
    parser = argparse.ArgumentParser(prog="scripts/bench media", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs")
    parser.add_argument("--pairs", type=int, help="of rtpengines that are started, with and without the plugin (48)")
    parser.add_argument("--rounds", type=int, help="measurements of each pair (4)")
    parser.add_argument("--rate", type=int, default=30000, help="packets a second, over both sides (30000)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"which of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    arguments.pairs = arguments.pairs or (2 if arguments.quick else 48)
    arguments.rounds = arguments.rounds or 4
    arguments.parts = arguments.parts.split(",")
    if not set(arguments.parts) <= set(PARTS):
        parser.error(f"--parts: of {', '.join(PARTS)}")
    return arguments


def wait(report):
    """The wait of calls whose rtpengines are not well: the worst p99 of all the ways to be unwell."""
    found = {}
    relays.TestWait.setUpClass()
    try:
        for title, nodes in (("two_silent", (relays.silent(), relays.silent())),
                             ("two_answer_pings_alone", (relays.ping_only(), relays.ping_only())),
                             ("one_silent_one_good", (relays.silent(), None)),
                             ("one_answers_pings_alone_one_good", (relays.ping_only(), None))):
            case = relays.TestWait("test_two_silent_nodes")
            try:
                for node in nodes:
                    if node:
                        case.start(node)
                waits = sorted(seconds for seconds, _ in case.waits(case.gateway(*nodes)))
            finally:
                case.doCleanups()
            found[title] = waits[int(len(waits) * 0.99)] * 1000
    finally:
        relays.TestWait.doClassCleanups()
    for title, p99 in found.items():
        report.emit(f"rtpengine_wait_ms_p99_{title}", p99, "ms")
    report.emit("rtpengine_wait_ms_p99", max(found.values()), "ms")


def main():
    arguments = arguments_parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report, folder = Report(), Folder("trunkgate-bench")
    try:
        if "plugin" in arguments.parts:
            media.measure(report, folder, arguments.pairs, arguments.rounds, arguments.rate)
        if "wait" in arguments.parts:
            wait(report)
    finally:
        folder.remove()
    report.verdicts(TARGETS)


if __name__ == "__main__":
    main()
