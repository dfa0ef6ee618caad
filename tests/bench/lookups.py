# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes a number and look-ups inside Kamailio: our table beside htable and mtree of the packaged Kamailio."""

import math
import os
import sqlite3
import time

from harness import Kamailio, binary, free_port

import series
from memory import Region, available
from report import note

ROUNDS = 20  # batches of 8192 look-ups of each kind in one repetition

# Memory that a row takes while Kamailio loads it, shared (tables) and private (db_sqlite reads all rows at once).
STOCK = {
    "htable": {"shared": 400, "private": 700, "kinds": ("htable_hit", "htable_miss")},
    "mtree": {"shared": 3000, "private": 700, "kinds": ("mtree_hit", "mtree_miss")},
}
BATCH = 8192

# Bytes a number while the table is filled; shared is built twice.
LAYOUTS = {"shared": 32, "unique": 44, "ranges": 16}

CFG = """
debug=1
log_stderror=yes
listen=udp:127.0.0.1:{port}
children=1
disable_tcp=yes
disable_core_dump=yes
dns=no
loadmodule "pv.so"
{stock}
# After the stock module: whoever connects to it is answered only when all modules are loaded.
loadmodule "ctl.so"
modparam("ctl", "binrpc", "unix:@CTL@")
loadmodule "{module}"
modparam("number_bench", "count", {count})
modparam("number_bench", "range_count", {ranges})
modparam("number_bench", "stock_count", {stock_count})
{regions}
request_route {{
	exit;
}}
"""

STOCK_CFG = {
    None: "",
    "htable": """
loadmodule "db_sqlite.so"
loadmodule "htable.so"
modparam("htable", "db_url", "sqlite:///{database}")
modparam("htable", "htable", "numbers=>size={size};dbtable=numbers;")
""",
    "mtree": """
loadmodule "db_sqlite.so"
loadmodule "mtree.so"
modparam("mtree", "db_url", "sqlite:///{database}")
modparam("mtree", "mtree", "name=numbers;dbtable=tree;type=0")
modparam("mtree", "pv_value", "$var(found)")
""",
}


def stock_database(path, count):
    """What htable and mtree load: the same numbers, the same attributes as one text."""
    database = sqlite3.connect(path)
    database.executescript("""
        PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
        CREATE TABLE numbers (id INTEGER PRIMARY KEY, key_name VARCHAR(64), key_type INTEGER, value_type INTEGER,
                              key_value VARCHAR(128), expires INTEGER);
        CREATE TABLE tree (id INTEGER PRIMARY KEY, tprefix VARCHAR(64), tvalue VARCHAR(128));""")
    values = [f"{series.account(i)}:{series.SERVICE_ID}:{series.header(i)}" for i in range(1, series.SETS + 1)]
    rows = ((series.number(i), values[i % series.SETS]) for i in range(count))
    database.executemany("INSERT INTO tree (tprefix, tvalue) VALUES (?, ?)", rows)
    database.execute("INSERT INTO numbers (key_name, key_type, value_type, key_value, expires) "
                     "SELECT '+' || tprefix, 0, 0, tvalue, 0 FROM tree")
    database.commit()
    database.close()


class Tables:
    """Our tables in memory files, filled once; each Kamailio of this run maps the same ones."""

    def __init__(self, report, count, ranges):
        self.report, self.count, self.ranges = report, count, ranges
        self.regions = {}

    def fill(self):
        count = self.count
        for layout, size in LAYOUTS.items():
            if count * size > available() * 0.8:
                note(f"{layout} with {count} numbers needs {count * size >> 30} GB of memory: left out")
                continue
            region = self.regions[layout] = Region()
            values = region.fill(layout, count, self.ranges)
            note(f"{count} numbers, {layout}: {values['build_s']:.2f} s")
            if layout == "shared":
                self._shared(values)
            elif layout == "unique":
                self.report.emit("index_bytes_per_number_unique_header", values["bytes"] / count, "bytes")
        lines = self.regions["lines"] = Region(0)
        lines.fill("lines", int(self.regions["shared"].resident()))

    def _shared(self, values):
        """Built twice: the second time while the first is in use."""
        count, report = self.count, self.report
        report.emit("index_bytes_per_number", values["rebytes"] / count, "bytes")
        report.emit("rebuild_table_s_per_million", values["rebuild_s"] / count * 1e6, "s")
        report.emit("rebuild_table_peak_ratio", (values["repeak_bytes"] - values["bytes"]) / values["rebytes"], "ratio")

    def close(self):
        for region in self.regions.values():
            region.close()


class Bench:
    """Kamailio with number_bench and at most one stock module."""

    def __init__(self, folder, tables, stock=None, stock_count=0):
        memory = {"shared": 64, "private": 8}
        text = STOCK_CFG[stock]
        if stock:
            memory = {kind: size + STOCK[stock][kind] * stock_count // 1_000_000 for kind, size in memory.items()}
            size = min(31, max(2, math.ceil(math.log2(stock_count))))
            text = text.format(database=folder / f"stock-{stock_count}.db", size=size)
        regions = "\n".join(f'modparam("number_bench", "{layout}", "{region.path}")'
                            for layout, region in tables.regions.items())
        cfg = CFG.format(port=free_port(), stock=text, module=binary("number_bench.so"), count=tables.count,
                         ranges=tables.ranges, stock_count=stock_count, regions=regions)
        self.kamailio = Kamailio(folder, cfg, name=f"bench-{stock or 'none'}", shm=memory["shared"])
        place = self.kamailio.command.index("-M") + 1
        self.kamailio.command[place] = str(memory["private"])

    def __enter__(self):
        start = time.monotonic()
        self.kamailio.start(timeout=3600)
        self.start_s = time.monotonic() - start
        return self

    def __exit__(self, *error):
        """Killed: mtree frees a million numbers for more than a minute, and Kamailio then aborts itself."""
        self.kamailio.kill()
        self.kamailio.stop()

    def shared_used(self):
        for line in self.kamailio.call("core.shmmem").splitlines():
            name, _, value = line.strip().partition(":")
            if name == "real_used":
                return int(value)
        raise RuntimeError("core.shmmem says no real_used")

    def run(self, kinds, workers, rounds=ROUNDS):
        """{kind: nanoseconds a look-up}; the slowest worker's median."""
        status, text = self.kamailio.rpc("number_bench.run", ",".join(kinds), rounds, workers, timeout=600)
        if status:
            raise RuntimeError(f"number_bench.run: {text}")
        found = {}
        for line in text.splitlines():
            kind, median, _, _, hits = line.split()
            expected = 0 if kind.endswith("miss") else rounds * BATCH
            if int(hits) != expected and kind != "dram":
                raise RuntimeError(f"{kind}: {hits} of {rounds * BATCH} look-ups found a number, not {expected}")
            found[kind] = max(found.get(kind, 0), float(median))
        return found


def repeat(bench, kinds, workers, repetitions):
    """{kind: [nanoseconds of each repetition]}; the first run only touches the pages."""
    bench.run(kinds, workers)
    runs = [bench.run(kinds, workers) for _ in range(repetitions)]
    return {kind: [run[kind] for run in runs] for kind in kinds}


NAMES = {"dram": "dram_line_ns", "hit": "lookup_hit_ns", "miss": "lookup_miss_ns", "hit_text": "lookup_text_hit_ns",
         "hit_unique": "lookup_hit_unique_header_ns", "range": "lookup_range_ns",
         "range_miss": "lookup_range_miss_ns", "htable_hit": "htable_lookup_ns", "htable_miss": "htable_lookup_miss_ns",
         "mtree_hit": "mtree_lookup_ns", "mtree_miss": "mtree_lookup_miss_ns"}
OURS = ("dram", "hit", "miss", "hit_text", "hit_unique", "range", "range_miss")
LAYOUT_OF = {"hit_unique": "unique", "range": "ranges", "range_miss": "ranges"}


def emit(report, runs, kinds, suffix=""):
    for kind in kinds:
        report.emit_spread(NAMES[kind] + suffix, runs[kind], "ns")


def stock_measure(report, folder, tables, stock, count, baseline, repetitions):
    """Load, bytes and look-ups of a stock module; ours beside it in the same rounds."""
    note(f"{stock}, {count} numbers")
    with Bench(folder, tables, stock, count) as bench:
        report.emit(f"{stock}_load_s", bench.start_s - baseline["start_s"], "s")
        report.emit(f"{stock}_bytes_per_number", (bench.shared_used() - baseline["shared"]) / count, "bytes")
        kinds = STOCK[stock]["kinds"]
        for workers, suffix in ((1, ""), (4, "_4_workers")):
            runs = repeat(bench, ("dram", "hit", "hit_text", *kinds), workers, repetitions)
            emit(report, runs, kinds, suffix)
            ratio = [theirs / ours for theirs, ours in zip(runs[kinds[0]], runs["hit_text"])]
            report.emit_spread(f"{stock}_to_ours{suffix}", ratio, "ratio")


def stock_fits(stock, count):
    needed = count * (STOCK[stock]["shared"] + STOCK[stock]["private"])
    if needed < available() * 0.8:
        return True
    note(f"{stock} with {count} numbers needs about {needed >> 30} GB of memory: left out")
    return False


def measure(report, folder, count, stock_count, repetitions, ranges=series.RANGES):
    """All of this file for one size. stock_count: at most this many numbers in htable and mtree; 0: without them."""
    tables = Tables(report, count, ranges)
    try:
        tables.fill()
        if os.sysconf("SC_NPROCESSORS_ONLN") < 4:
            note("fewer processors than 4 workers: they take turns")
        with Bench(folder, tables) as bench:
            baseline = {"start_s": bench.start_s, "shared": bench.shared_used()}
            kinds = [kind for kind in OURS if LAYOUT_OF.get(kind, "shared") in tables.regions]
            runs = repeat(bench, kinds, 1, repetitions)
            emit(report, runs, kinds)
            margin = [1.25 * line + 20 - hit for line, hit in zip(runs["dram"], runs["hit"])]
            report.emit_spread("lookup_hit_margin_ns", margin, "ns")
            emit(report, repeat(bench, kinds, 4, repetitions), kinds, "_4_workers")
        stock_count = min(count, stock_count)
        if stock_count:
            database = folder / f"stock-{stock_count}.db"
            stock_database(database, stock_count)
            for stock in STOCK:
                if stock_fits(stock, stock_count):
                    stock_measure(report, folder, tables, stock, stock_count, baseline, repetitions)
            database.unlink()
    finally:
        tables.close()
