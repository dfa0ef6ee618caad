# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the tree, the build and what it built are. TRUNKGATE_BUILD names another build folder."""

import functools
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TRUNKGATE_BUILD", ROOT / "build"))
HARNESS = pathlib.Path(__file__).resolve().parent


@functools.cache
def binary(name):
    """The built executable of that name (trunkgate, trunkgate-worker)."""
    for path in sorted(BUILD.rglob(name)):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise FileNotFoundError(f"{name} is not built in {BUILD}: run `meson compile -C {BUILD}`")


@functools.cache
def stock_modules():
    """Kamailio's own module folder."""
    for pattern in ("usr/lib/*/kamailio/modules", "usr/lib/kamailio/modules", "usr/lib64/kamailio/modules"):
        for path in sorted(pathlib.Path("/").glob(pattern)):
            if (path / "tm.so").exists():
                return str(path)
    raise FileNotFoundError("Kamailio's modules are not installed")


@functools.cache
def kamailio_version():
    """(5, 6, 3): of the installed binary."""
    said = subprocess.run(["kamailio", "-v"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.search(r"kamailio (\d+)\.(\d+)\.(\d+)", said).groups())


@functools.cache
def module_path():
    """Kamailio's -L value: the folders of our built modules, then the stock ones."""
    names = ("provisioning", "number_route", "custom_header", "site_failover", "srtp_policy")
    folders = []
    for name in names:
        for path in sorted(BUILD.rglob(f"{name}.so")):
            if str(path.parent) not in folders:
                folders.append(str(path.parent))
    return ":".join(folders + [stock_modules()])
