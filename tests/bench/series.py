# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of the benchmarks, as in series.h and bench_region.c."""

SETS = 1000
SERVICE = "teamsOperatorConnect"
SERVICE_ID = 1
RANGES = 100_000


def number(index):
    return 49_000_000_000 + index * 618033989 % 1_000_000_000


def set_id(index):
    return index % SETS + 1


def account(set_number):
    return f"acct-{set_number % SETS:04d}"


def header(set_number):
    return f"{set_number:09d}"
