# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench numbers: the number table beside htable and mtree, import, export, changes and routing."""

import argparse
import signal
import sys

from harness import Folder

import growth
import live
import lookups
import store
from report import Report, note

SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
STOCK_COUNT = 1_000_000
PARTS = ("lookups", "store", "live")
SMALL_REPETITIONS = 3


def arguments_parse():
    parser = argparse.ArgumentParser(prog="scripts/bench numbers", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=10_000_000, help="numbers (default 10000000)")
    parser.add_argument("--huge", action="store_true", help="100 million numbers")
    parser.add_argument("--docs", action="store_true",
                        help="each size from 10,000 on; writes docs/numbers.md and docs/numbers.svg")
    parser.add_argument("--stock", type=int, default=STOCK_COUNT, help="at most this many in htable and mtree (1000000)")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=6, help="of calls in each window of a state (6)")
    parser.add_argument("--rounds", type=int, default=3, help="of these windows, one after the other (3)")
    parser.add_argument("--parts", default=",".join(PARTS), help="which of lookups,store,live")
    arguments = parser.parse_args()
    if arguments.huge:
        arguments.count = SIZES[-1]
    if not 1000 <= arguments.count <= SIZES[-1]:
        parser.error("count: from 1000 to 100000000")
    arguments.parts = arguments.parts.split(",")
    if not set(arguments.parts) <= set(PARTS):
        parser.error(f"--parts: of {', '.join(PARTS)}")
    return arguments


def measure(arguments, report, folder, count, last):
    """One size; routing and changes only at the largest, and fewer repetitions at the others."""
    if "lookups" in arguments.parts:
        repeated = last or count == arguments.stock  # the largest size measures htable and mtree at that one too
        lookups.measure(report, folder, count, arguments.stock if last or not repeated else 0,
                        arguments.repetitions if last else min(arguments.repetitions, SMALL_REPETITIONS))
    if "store" in arguments.parts or ("live" in arguments.parts and last):
        with store.Store(folder, count) as filled:
            if "store" in arguments.parts:
                store.measure(report, filled)
            if "live" in arguments.parts and last:
                live.measure(report, filled, arguments.seconds, arguments.rounds)


def main():
    arguments = arguments_parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Folder("trunkgate-bench")
    rows = {}
    sizes = [size for size in SIZES if size < arguments.count] if arguments.docs else []
    try:
        for size in [*sizes, arguments.count]:
            last = size == arguments.count
            report = Report(quiet=not last)
            note(f"{size} numbers")
            measure(arguments, report, folder, size, last)
            rows[size] = report.values
    finally:
        folder.remove()
    report.verdicts()
    if arguments.docs:
        growth.write(rows, arguments.stock, arguments.count)


if __name__ == "__main__":
    main()
