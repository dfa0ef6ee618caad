# SPDX-License-Identifier: GPL-2.0-or-later
"""How cost grows with the size of the table: docs/numbers.md and docs/numbers.svg."""

import datetime
import html
import math
import os
import platform

from harness import ROOT

STOCK = ("htable", "mtree")

# heading: (name of the value, decimal places)
TABLES = {
    "Memory, bytes a number": {
        "table": ("index_bytes_per_number", 1),
        "table, header value of each number its own": ("index_bytes_per_number_unique_header", 1),
        "htable": ("htable_bytes_per_number", 0),
        "mtree": ("mtree_bytes_per_number", 0),
    },
    "One look-up in Kamailio, ns (processor time, one worker)": {
        "one cache line": ("dram_line_ns", 0),
        "number found": ("lookup_hit_ns", 0),
        "from text": ("lookup_text_hit_ns", 0),
        "not there": ("lookup_miss_ns", 0),
        "100,000 ranges": ("lookup_range_ns", 0),
        "own header value": ("lookup_hit_unique_header_ns", 0),
        "htable": ("htable_lookup_ns", 0),
        "mtree": ("mtree_lookup_ns", 0),
    },
    "The same with four workers, ns": {
        "one cache line": ("dram_line_ns_4_workers", 0),
        "number found": ("lookup_hit_ns_4_workers", 0),
        "htable": ("htable_lookup_ns_4_workers", 0),
        "mtree": ("mtree_lookup_ns_4_workers", 0),
    },
    "Start and bulk work": {
        "rebuild from the store, s": ("rebuild_s", 2),
        "start with snapshot, ms": ("start_snapshot_ms", 0),
        "cold, ms": ("start_snapshot_cold_ms", 0),
        "import, rows/s": ("import_rows_per_s", 0),
        "export, rows/s": ("export_rows_per_s", 0),
        "htable load, s": ("htable_load_s", 1),
        "mtree load, s": ("mtree_load_s", 1),
    },
}

# At the largest size: value: (name, unit, decimal places)
BESIDE_CALLS = {
    "routing, p99, idle": ("route_us_p99_idle", "us", 0),
    "while changes are made, 200/s": ("route_us_p99_change", "us", 0),
    "while the table is built again": ("route_us_p99_rebuild", "us", 0),
    "while an import changes every number": ("route_us_p99_import", "us", 0),
    "a change, until it is acknowledged, median": ("change_ack_ms_p50", "ms", 2),
    "of that the disk": ("fsync_ms_p50", "ms", 2),
    "the longest that a change waits for an import": ("change_wait_import_ms_max", "ms", 0),
    "look-ups that missed an acknowledged change": ("change_stale_lookups", "", 0),
    "memory for a rebuild, in tables": ("rebuild_peak_ratio", "", 2),
}

# title: {label: (name, colour, dashes)}
PLOTS = {
    "memory, bytes a number": {
        "table": ("index_bytes_per_number", "#1b6ca8", ""),
        "own headers": ("index_bytes_per_number_unique_header", "#1b6ca8", "5 4"),
        "htable": ("htable_bytes_per_number", "#c46210", ""),
        "mtree": ("mtree_bytes_per_number", "#7a4b94", ""),
    },
    "one look-up, ns": {
        "cache line": ("dram_line_ns", "#666666", "2 3"),
        "table": ("lookup_text_hit_ns", "#1b6ca8", ""),
        "htable": ("htable_lookup_ns", "#c46210", ""),
        "mtree": ("mtree_lookup_ns", "#7a4b94", ""),
    },
    "filling from the store, s": {
        "table": ("rebuild_s", "#1b6ca8", ""),
        "snapshot": ("start_snapshot_s", "#1b6ca8", "5 4"),
        "htable": ("htable_load_s", "#c46210", ""),
        "mtree": ("mtree_load_s", "#7a4b94", ""),
    },
}

WIDTH, HEIGHT = 1080, 340
PANEL, LEFT, TOP, BOTTOM, LABELS = 360, 52, 44, 44, 76
LABEL_STEP = 14


def derive(rows, stock_count, largest):
    """Adds seconds in all; puts what stock modules were measured at, beside the largest table, where it belongs."""
    stock = {name: value for name, value in rows[largest].items() if name.startswith(STOCK)}
    rows.get(stock_count, {}).update(stock if largest > stock_count else {})
    for size, values in rows.items():
        if "rebuild_s_per_million" in values:
            values["rebuild_s"] = values["rebuild_s_per_million"] * size / 1e6
        if "start_snapshot_ms" in values:
            values["start_snapshot_s"] = values["start_snapshot_ms"] / 1e3
        if size > stock_count:
            for name in [name for name in values if name.startswith(STOCK)]:
                del values[name]


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{model}, {os.cpu_count()} processors, {memory} GB, Linux {platform.release()}"


def table(rows, columns):
    columns = {heading: cell for heading, cell in columns.items() if any(cell[0] in row for row in rows.values())}
    if not columns:
        return []
    lines = ["| numbers | " + " | ".join(columns) + " |", "|--:" * (len(columns) + 1) + "|"]
    for size, values in rows.items():
        cells = [f"{values[name]:,.{places}f}" if name in values else "" for name, places in columns.values()]
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return lines


def beside_calls(values, largest):
    lines = [f"| {what} | {values[name]:,.{places}f} {unit} |".replace("  |", " |")
             for what, (name, unit, places) in BESIDE_CALLS.items() if name in values]
    return ["", f"## Beside calls, {largest:,} numbers", "", "| | |", "|---|--:|", *lines] if lines else []


def markdown(rows, largest):
    lines = ["# What the number table costs", "",
             f"Made by `scripts/bench numbers --docs` on {datetime.date.today()}: {machine()}.",
             "htable and mtree are those of the packaged Kamailio, with the same numbers in the same run; what each value",
             "means is in [tests/bench/README.md](../tests/bench/README.md).", "",
             "![cost by size](numbers.svg)"]
    for heading, columns in TABLES.items():
        body = table(rows, columns)
        if body:
            lines += ["", f"## {heading}", "", *body]
    return "\n".join(lines + beside_calls(rows[largest], largest)) + "\n"


class Scale:
    """Logarithmic, whole decades."""

    def __init__(self, values, start, end):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self.start, self.end = start, end

    def __call__(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self):
        return [10.0 ** power for power in range(self.low, self.high + 1)]


def tick_text(value):
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:g}"


def text(x, y, words, anchor="start", colour="#333333", size=12, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
            f'font-weight="{weight}">{html.escape(words)}</text>')


def line(x1, y1, x2, y2, colour="#dddddd"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def axes(x, y):
    parts = []
    for value in y.ticks():
        parts += [line(x.start, y(value), x.end, y(value)), text(x.start - 6, y(value) + 4, tick_text(value), "end")]
    for value in x.ticks():
        parts += [line(x(value), y.start, x(value), y.end), text(x(value), y.start + 18, tick_text(value), "middle")]
    parts.append(text((x.start + x.end) / 2, y.start + 36, "numbers", "middle"))
    return parts


def labels_place(ends):
    """Pushes labels apart that would lie upon each other: [(y, label, x, colour)]."""
    placed = []
    for y, *rest in sorted(ends):
        placed.append((max(y, placed[-1][0] + LABEL_STEP) if placed else y, *rest))
    return placed


def panel(rows, title, curves, left):
    points = {label: [(size, values[name]) for size, values in rows.items() if values.get(name, 0) > 0]
              for label, (name, _, _) in curves.items()}
    values = [value for curve in points.values() for _, value in curve]
    parts = [text(left + LEFT, 24, title, size=14, weight="bold")]
    if not values:
        return parts
    x = Scale(list(rows), left + LEFT, left + PANEL - LABELS)
    y = Scale(values, HEIGHT - BOTTOM, TOP)
    parts += axes(x, y)
    ends = []
    for label, (_, colour, dashes) in curves.items():
        if not points[label]:
            continue
        path = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in points[label])
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
                     f'stroke-dasharray="{dashes}"/>')
        parts += [f'<circle cx="{x(size):.1f}" cy="{y(value):.1f}" r="2.5" fill="{colour}"/>'
                  for size, value in points[label]]
        size, value = points[label][-1]
        ends.append((y(value), label, x(size), colour))
    return parts + [text(end + 6, place + 4, label, colour=colour)
                    for place, label, end, colour in labels_place(ends)]


def svg(rows):
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    for index, (title, curves) in enumerate(PLOTS.items()):
        parts += panel(rows, title, curves, index * PANEL)
    return "\n".join([*parts, "</svg>"]) + "\n"


def write(rows, stock_count, largest):
    derive(rows, stock_count, largest)
    (ROOT / "docs" / "numbers.md").write_text(markdown(rows, largest))
    (ROOT / "docs" / "numbers.svg").write_text(svg(rows))
