# SPDX-License-Identifier: GPL-2.0-or-later
"""What a benchmark prints: `name value unit` lines on standard output, remarks on standard error."""

import statistics
import sys
import time

STARTED = time.monotonic()

# What the figures are held against: name: (relation, limit or a function of all values, text).
TARGETS = {
    "index_bytes_per_number": ("<=", lambda v: 16),
    "index_bytes_per_number_unique_header": ("<=", lambda v: 48),
    "lookup_hit_ns": ("<=", lambda v: 1.25 * v["dram_line_ns"] + 20),
    "lookup_text_hit_ns": ("<=", lambda v: v["htable_lookup_ns"]),
    "lookup_range_ns": ("<=", lambda v: 500),
    "start_snapshot_ms": ("<=", lambda v: 250),
    "rebuild_s_per_million": ("<=", lambda v: 0.4),
    "rebuild_peak_ratio": ("<=", lambda v: 1.3),
    "import_rows_per_s": (">=", lambda v: 150000),
    "export_rows_per_s": (">=", lambda v: 1000000),
    "change_ack_ms_p50": ("<=", lambda v: 1 + v["fsync_ms_p50"]),
    "change_stale_lookups": ("<=", lambda v: 0),
    "route_us_p99_import": ("<=", lambda v: 1.1 * v["route_us_p99_idle"] + 50),
    "route_us_p99_rebuild": ("<=", lambda v: 1.1 * v["route_us_p99_idle"] + 50),
}


class Report:
    """quiet: keeps the values, prints none (the smaller tables of the growth table)."""

    def __init__(self, quiet=False):
        self.values = {}
        self.quiet = quiet

    def emit(self, name, value, unit):
        self.values[name] = value
        if not self.quiet:
            print(f"{name} {value:.6g} {unit}" if abs(value) < 1e6 else f"{name} {value:.0f} {unit}", flush=True)

    def emit_spread(self, name, values, unit):
        """The median of repetitions, their lowest and highest."""
        self.emit(name, statistics.median(values), unit)
        if len(values) > 1:
            self.emit(f"{name}_low", min(values), unit)
            self.emit(f"{name}_high", max(values), unit)

    def verdicts(self, targets=None):
        """One remark for each target whose figure was measured."""
        for name, (relation, limit_of) in (TARGETS if targets is None else targets).items():
            try:
                value, limit = self.values[name], limit_of(self.values)
            except KeyError as missing:
                note(f"{name}: not measured" if missing.args[0] == name else f"{name}: {missing.args[0]} is missing")
                continue
            met = value <= limit if relation == "<=" else value >= limit
            note(f"{'met   ' if met else 'MISSED'} {name} {value:.6g} (target {relation} {limit:.6g})")


def note(text):
    print(f"bench: {time.monotonic() - STARTED:4.0f} s: {text}", file=sys.stderr, flush=True)


def values_of(text):
    """{name: number} of the lines `name value` that a program of the benchmark prints."""
    pairs = (line.split() for line in text.splitlines())
    return {words[0]: float(words[1]) for words in pairs if len(words) == 2}
