# SPDX-License-Identifier: GPL-2.0-or-later
"""The measured tables of docs/failover.md."""

import re

from harness import ROOT

import outages

PAGE = ROOT / "docs" / "failover.md"
COLUMNS = ("lost_calls", "pdd_ms_max", "detect_ms", "recover_ms")


def cell(value):
    return "-" if value != value else f"{value:.0f}"


def row(kind, transport, values, settings):
    ours, stock = (values[system, transport] for system in outages.SYSTEMS)
    limit = outages.limit_ms(kind, settings)
    words = [f"`{transport}_{kind}`", f"{ours['ringing_lost'][0]} / {ours['established_lost'][0]}"]
    words += [cell(ours["lost_calls"][0]), f"{cell(ours['pdd_ms_max'][0])} (of {limit})", cell(ours["detect_ms"][0]),
              cell(ours["recover_ms"][0])]
    words += [cell(stock[name][0]) for name in COLUMNS]
    return "| " + " | ".join(words) + " |"


def measured(found, settings):
    lines = ["| | ringing / talking | lost | late | found | back | stock: lost | late | found | back |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for kind, values in found.items():
        lines += [row(kind, transport, values, settings) for transport in outages.KINDS[kind][0]
                  if ("", transport) in values]
    return lines


def cpu_rows(report):
    lines = ["", "| processor time of a call | ours, us | stock, us | ratio | in pairs |", "|---|---|---|---|---|"]
    for name, what in {"cpu_ratio_bare_relay": "our routing against a bare record-routing relay",
                       "cpu_ratio_stock": "the whole gateway against stock modules that do the same"}.items():
        values = report.values
        if name in values:
            short = name.replace("ratio", "us")
            lines.append(f"| {what} | {values[short + '_ours']:.0f} | {values[short + '_stock']:.0f} | "
                         f"{values[name]:.2f} | {values[name + '_low']:.2f} to {values[name + '_high']:.2f} |")
    return lines if len(lines) > 3 else []


def kinds():
    return ["| | |", "|---|---|", *(f"| `{name}` | {text} |" for name, (*_, text) in outages.KINDS.items())]


def put(page, marker, lines):
    text = "\n".join(lines)
    return re.sub(f"(<!-- {marker}: begin -->\n).*?(<!-- {marker}: end -->)", lambda m: f"{m[1]}{text}\n{m[2]}", page,
                  flags=re.DOTALL)


def write(found, settings, report):
    page = put(PAGE.read_text(), "measured", measured(found, settings) + cpu_rows(report))
    PAGE.write_text(put(page, "kinds", kinds()))
