# SPDX-License-Identifier: GPL-2.0-or-later
"""What the sources and documents promise: dependencies, SPDX lines, format, cppcheck, and examples that run."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import unittest

from harness import Case, ROOT, binary
from harness.gateway import Gateway


def tracked(*patterns):
    """Files under version control, or all of the tree where there is none."""
    done = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                          capture_output=True, text=True)
    names = done.stdout.split("\n") if done.returncode == 0 else [
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if not path.parts[len(ROOT.parts)].startswith("build")]
    paths = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    return sorted(path for path in paths if any(path.relative_to(ROOT).match(pattern) for pattern in patterns))


class TestSources(unittest.TestCase):
    def includes(self, path):
        return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)', path.read_text(), re.M)

    def test_lib_includes_no_kamailio_no_sqlite_no_json(self):
        wrong = [(path.name, name) for path in tracked("lib/*.[ch]") for name in self.includes(path)
                 if re.search(r"sqlite|json|kamailio|core/|modules/|^(sr_module|str|dprint)\.h", name)]
        self.assertEqual(wrong, [])

    def test_provisioning_includes_no_kamailio(self):
        wrong = [(path.name, name) for path in tracked("provisioning/*.[ch]") for name in self.includes(path)
                 if re.search(r"kamailio|core/|modules/", name)]
        self.assertEqual(wrong, [])

    def test_only_provisioning_includes_sqlite(self):
        wrong = [str(path) for path in tracked("modules/**/*.[ch]", "lib/*.[ch]", "provisioning/module/*.[ch]")
                 if any("sqlite" in name for name in self.includes(path))]
        self.assertEqual(wrong, [])

    def test_lib_has_no_mutable_statics(self):
        wrong = [f"{path.name}: {line}" for path in tracked("lib/*.c") for line in path.read_text().splitlines()
                 if re.match(r"\s*static (?!const\b|inline\b|_Thread)[\w *]+?(\[\w*\])? *(=[^=].*)?;$", line)]
        self.assertEqual(wrong, [])

    def test_each_source_has_its_spdx_line(self):
        sources = tracked("*.[ch]", "*.py", "*.sh", "*.sql", "*.cfg", "*.map", "*.xml", "meson.build", "scripts/*",
                          ".ci/*")
        self.assertGreater(len(sources), 20)
        wrong = [str(path.relative_to(ROOT)) for path in sources
                 if "SPDX-License-Identifier: GPL-2.0-or-later" not in "\n".join(
                     path.read_text(errors="replace").splitlines()[:4])]
        self.assertEqual(wrong, [])

    def test_clang_format_is_clean(self):
        if not shutil.which("clang-format"):
            self.skipTest("clang-format is not installed")
        said = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout
        if " 14." not in said:
            self.skipTest(f"the format is that of clang-format 14, here is: {said.strip()}")
        done = subprocess.run(["clang-format", "--dry-run", "--Werror", *map(str, tracked("*.[ch]"))],
                              capture_output=True, text=True)
        wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", done.stderr, re.M)))
        self.assertEqual(wrong, [], done.stderr[:2000])

    def test_cppcheck_finds_nothing(self):
        if not shutil.which("cppcheck"):
            self.skipTest("cppcheck is not installed")
        files = [str(path.relative_to(ROOT))
                 for path in tracked("lib/*.c", "provisioning/*.c", "rtpengine-plugins/**/*.c")]
        done = subprocess.run(["cppcheck", "-j2", "--quiet", "--enable=warning,portability", "--std=c11",
                               "--inline-suppr", "--error-exitcode=1", "-Ilib", "-Iprovisioning",
                               "-Irtpengine-plugins/srtp_enforcer",
                               "--suppress=missingIncludeSystem", "--suppress=unknownMacro",
                               "--suppress=normalCheckLevelMaxBranches", *files], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_scripts_pass_shell_syntax(self):
        for path in tracked("scripts/*", ".ci/*"):
            if path.read_text(errors="replace").startswith("#!/bin/bash"):
                with self.subTest(path=path.name):
                    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))


class Example:
    """Commands of one block, each with the output lines that the document shows ("..." stands for anything)."""

    def __init__(self, path, line, commands):
        self.path, self.line, self.commands = path, line, commands


def console_blocks(path):
    """The ```console blocks: "$ command", then its output."""
    text = path.read_text()
    for found in re.finditer(r"^```console\n(.*?)^```", text, re.S | re.M):
        commands = []
        for line in found.group(1).splitlines():
            if line.startswith(("$ ", "# ")):
                commands.append([line[2:], []])
            elif commands and commands[-1][0].endswith("\\"):
                commands[-1][0] = commands[-1][0][:-1] + line
            elif commands:
                commands[-1][1].append(line)
        yield Example(path, text[:found.start()].count("\n") + 1, commands)


def indented_blocks(path):
    """Indented blocks all of whose lines are commands of ours: they must succeed."""
    lines = path.read_text().splitlines()
    block = []
    for number, line in enumerate([*lines, ""]):
        if line.startswith("    "):
            block.append(line.strip())
            continue
        if block and all(word.startswith(("trunkgate ", "kamcmd ")) for word in block):
            yield Example(path, number - len(block) + 1, [[word.split("  #")[0], []] for word in block])
        block = []


class TestExamples(Case):
    """The examples run in order of the document against a gateway, in a folder with the file topology.json."""

    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder))
        tools = cls.folder / "tools"
        tools.mkdir()
        kamailio = cls.gateway.kamailio
        for name, words in (
                ("trunkgate", [binary("trunkgate"), "--socket", kamailio.socket, "--store", kamailio.store,
                               "--kamailio", cls.folder / "jsonrpc.sock"]),
                ("kamcmd", [shutil.which("kamcmd"), "-s", f"unix:{kamailio.ctl}"])):
            script = tools / name
            script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
            script.chmod(0o755)
        cls.environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}

    def test_each_example_does_what_its_document_says(self):
        examples = [example for path in tracked("*.md") if pathlib.Path("tests") not in path.relative_to(ROOT).parents
                    for blocks in (console_blocks, indented_blocks) for example in blocks(path)]
        self.assertGreater(len(examples), 0)
        for example in examples:
            for command, shown in example.commands:
                with self.subTest(document=str(example.path.relative_to(ROOT)), line=example.line, command=command):
                    self.run_example(command, shown)

    def run_example(self, command, shown):
        done = subprocess.run(["bash", "-c", command], cwd=self.folder.path, env=self.environment, timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        output = done.stdout + done.stderr
        if not shown:
            self.assertEqual(done.returncode, 0, output)
            return
        pattern = r"\n".join(re.escape(line.rstrip()).replace(r"\.\.\.", ".*") for line in shown)
        self.assertTrue(re.search(pattern, "\n".join(line.rstrip() for line in output.splitlines()), re.S),
                        f"shown:\n{chr(10).join(shown)}\nprinted:\n{output}")


if __name__ == "__main__":
    unittest.main()
