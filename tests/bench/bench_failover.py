# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench failover: sites that fail under load, beside stock dispatcher; processor time of a call."""

import argparse
import signal
import sys

from harness import Network

import cpu
import failover_page
import outages
from report import Report

PARTS = ("outages", "cpu")


def arguments_parse():
    parser = argparse.ArgumentParser(prog="scripts/bench failover", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="writes the measured tables of docs/failover.md")
    parser.add_argument("--quick", action="store_true", help="short intervals and few calls: shows that it runs")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"which of {','.join(PARTS)}")
    parser.add_argument("--kinds", default=",".join(outages.KINDS), help="which failures (all)")
    parser.add_argument("--transports", default=",".join(outages.ALL), help="which transports (all)")
    parser.add_argument("--ratios", default=",".join(cpu.RATIOS), help="which ratios of processor time (all)")
    arguments = parser.parse_args()
    if arguments.docs and (arguments.quick or arguments.parts != ",".join(PARTS)):
        parser.error("--docs needs the whole run")
    for name, known in (("parts", PARTS), ("kinds", outages.KINDS), ("transports", outages.ALL),
                        ("ratios", cpu.RATIOS)):
        words = getattr(arguments, name).split(",")
        if not set(words) <= set(known):
            parser.error(f"--{name}: of {', '.join(known)}")
        setattr(arguments, name, words)
    return arguments


def main():
    arguments = arguments_parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report, targets = Report(), {}
    network = Network().start()
    try:
        if "outages" in arguments.parts:
            settings = outages.Settings(arguments.quick)
            found = outages.measure(report, network, settings, arguments.kinds, arguments.transports)
            targets.update(outages.targets(settings, arguments.kinds, arguments.transports))
        if "cpu" in arguments.parts:
            cpu.measure(report, cpu.Settings(arguments.quick), arguments.ratios)
            targets.update(cpu.targets())
    finally:
        network.stop()
    report.verdicts(targets)
    if arguments.docs:
        failover_page.write(found, settings, report)


if __name__ == "__main__":
    main()
