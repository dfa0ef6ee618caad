# SPDX-License-Identifier: GPL-2.0-or-later
"""A build that Kamailio would not load is refused when it is configured, by a message that names the difference."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.case import Case
from harness.daemon import run
from harness.paths import BUILD, ROOT

FLAGS = ROOT / "modules" / "kamailio" / "kamailio-flags"


def source_tree():
    """The tree that this build was configured with: it is in each module's compile command."""
    text = (BUILD / "compile_commands.json").read_text()
    start = text.index("-isystem ") + len("-isystem ")
    return text[start:].split()[0].removesuffix("/src").removesuffix("/src'")


class Flags(Case):
    def binary_that_says(self, *changes):
        says = run(["kamailio", "-v"])[1]
        for old, new in changes:
            self.assertIn(old, says)
            says = says.replace(old, new)
        path = self.folder.write("kamailio", f"#!/bin/sh\ncat <<'END'\n{says}END\n")
        path.chmod(0o755)
        return path

    def flags(self, binary, tree=None):
        return run([FLAGS, tree or source_tree(), binary, "cc"])

    def test_the_defines_of_the_fitting_tree_are_printed(self):
        status, out, err = self.flags("kamailio")
        self.assertEqual(status, 0, err)
        self.assertIn('-DNAME="kamailio"', out.splitlines())
        self.assertIn("-DUSE_TLS", out.splitlines())

    def test_another_version_is_named(self):
        version = run(["kamailio", "-v"])[1].split()[2]
        status, out, err = self.flags(self.binary_that_says((version, "9.8.7")))
        self.assertNotEqual(status, 0)
        self.assertIn("9.8.7", err)
        self.assertIn(version, err)
        self.assertEqual(out, "")

    def test_a_missing_and_an_additional_flag_are_named(self):
        status, _, err = self.flags(self.binary_that_says((", TLS_HOOKS", ""), ("USE_TCP,", "USE_TCP, USE_PIGEONS,")))
        self.assertNotEqual(status, 0)
        self.assertIn("has: USE_PIGEONS", err)
        self.assertIn("the tree has: TLS_HOOKS", err)

    def test_a_folder_that_is_no_tree_or_not_configured_is_told_apart(self):
        status, _, err = self.flags("kamailio", self.folder)
        self.assertNotEqual(status, 0)
        self.assertIn("is no Kamailio source tree", err)
        core = self.folder / "src" / "core"
        core.mkdir(parents=True)
        (core / "sr_module.h").touch()
        status, _, err = self.flags("kamailio", self.folder)
        self.assertNotEqual(status, 0)
        self.assertIn("is not configured", err)

    def test_kamailio_itself_names_what_it_cannot_load(self):
        module = self.folder.write("wrong.so", "no module")
        done = run([ROOT / "modules" / "kamailio" / "load-test", "kamailio", module, module])
        self.assertNotEqual(done[0], 0)
        self.assertIn("wrong.so", done[1] + done[2])


class Exports(Case):
    def test_a_module_shows_only_what_kamailio_looks_up(self):
        looked_up = {"exports", "mod_register", "module_version", "module_flags", "module_interface_ver"}
        for name in ("provisioning", "number_route", "custom_header"):
            path = next(BUILD.rglob(f"{name}.so"))
            shown = {line.split()[-1] for line in run(["nm", "-D", "--defined-only", path])[1].splitlines()}
            self.assertLessEqual(shown, looked_up, name)


class Source(Case):
    def test_deb_entries_of_this_machine_become_deb_src(self):
        script = (ROOT / "scripts" / "kamailio-source").read_text().split("has_source()")[0]
        lists = self.folder / "sources.list.d"
        lists.mkdir()
        self.folder.write("sources.list", "# deb http://mirror.example/debian old main\n"
                          "deb [signed-by=/k.gpg arch=amd64] http://mirror.example/debian/ trixie main contrib\n"
                          "deb http://other.example/x stable main\n")
        self.folder.write("sources.list.d/debian.sources",
                          "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
                          "Components: main\nSigned-By: /k.gpg\n\n"
                          "Types: deb\nURIs: http://other.example/x\nSuites: stable\nComponents: main\n")
        script = script.replace("/etc/apt", str(self.folder))

        def entries(function):
            done = subprocess.run(["bash", "-c", f"{script}\n{function} http://mirror.example/debian"],
                                  capture_output=True, text=True, env={**os.environ, "TRUNKGATE_CACHE": "/nonexistent"})
            self.assertEqual(done.stderr, "")
            return done.stdout.strip()

        self.assertEqual(entries("one_line_entries"),
                         "deb-src [signed-by=/k.gpg arch=amd64] http://mirror.example/debian/ trixie main contrib")
        self.assertEqual(entries("deb822_entries"),
                         "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
                         "Components: main\nSigned-By: /k.gpg")


if __name__ == "__main__":
    import unittest

    unittest.main()
