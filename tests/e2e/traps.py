"""A booby-trapped repository: every way we know by which looking at one could run something that lies in it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tests.quickstart import must

MODULES = (
    "sitecustomize", "usercustomize", "yaml", "json", "typing", "enum", "click", "typer", "sqlite3", "subprocess",
    "cryptography", "conftest", "setup", "train", "helper", "mlops",
)  # fmt: skip
HOOKS = (
    "pre-commit", "post-checkout", "post-index-change", "reference-transaction", "post-rewrite", "pre-auto-gc",
    "fsmonitor-watchman", "pre-push", "post-merge", "applypatch-msg",
)  # fmt: skip


@dataclass(frozen=True)
class Traps:
    """``folder`` is the project; a trap that goes off leaves a file in ``marks``."""

    folder: Path
    marks: Path

    def shell(self, name: str, then: str = "cat") -> str:
        """A shell command that leaves a mark and then behaves."""
        return f"touch {self.marks}/{name}; {then}"

    def program(self, path: Path, name: str, then: str = "cat") -> str:
        """An executable file that leaves a mark."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{self.shell(name, then)}\n")
        path.chmod(0o755)
        return str(path)

    def python(self, path: Path) -> None:
        """A module that leaves a mark when it is imported."""
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.relative_to(self.folder).as_posix().replace("/", "-")
        path.write_text(f"open({str(self.marks / name)!r}, 'w').close()\nraise SystemExit('trapped by {name}')\n")

    def config(self, **values: str) -> None:
        """Writes keys into the repository's own configuration; ``__`` stands for a dot."""
        for key, value in values.items():
            must(f"git config --add {key.replace('__', '.')} '{value}'", self.folder)


def set_traps(folder: Path, marks: Path) -> Traps:
    """Traps a project that was applied before. What is committed is committed before git itself is trapped."""
    marks.mkdir()
    traps = Traps(folder, marks)
    _files(traps)
    _manifest(traps)
    _table(traps, rows=3)
    must("git add -A && git commit -q -m 'A table'", folder)
    _table(traps, rows=4)
    _submodule(traps)
    must("git add -A && git commit -q -m 'Look at this'", folder)
    _git(traps)
    # Both differ from the index now: git has to look at their content, and filters and diffs would be asked.
    (folder / "data" / "digits.csv").write_bytes((folder / "data" / "digits.csv").read_bytes() + b"")
    os.utime(folder / "data" / "digits.csv", (1, 1))
    (folder / "README.md").write_text("edited\n")
    return traps


def _files(traps: Traps) -> None:
    folder = traps.folder
    for name in MODULES:
        traps.python(folder / f"{name}.py")
    for package in ("mlopsctl", "yaml_positions", "src/mlopsctl", "numpy"):
        traps.python(folder / package / "__init__.py")
        traps.python(folder / package / "__main__.py")
    with (folder / "train.py").open("a") as stream:
        stream.write("import helper\n")
    traps.program(folder / "tools" / "gate.sh", "command-gate")
    for name in ("git", "python", "python3", "sh", "cat"):
        traps.program(folder / name, f"program-{name}")
        traps.program(folder / ".venv" / "bin" / name, f"venv-{name}")
    (folder / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    pickle = f"cposix\nsystem\n(S'touch {traps.marks}/pickle'\ntR.".encode()
    for name in ("model.pkl", "model.onnx", "params.joblib", "data/model.pt"):
        (folder / name).write_bytes(pickle)
    (folder / "card.md.j2").write_text(
        f"{{{{ cycler.__init__.__globals__.os.system('touch {traps.marks}/template') }}}}"
    )
    (folder / "README.md").write_text("$(touch x) `touch y`\n")
    (folder / "code").mkdir()
    (folder / "code" / "passwd").symlink_to("/etc/passwd")
    (folder / "code" / "up").symlink_to("../../..")
    (folder / "data" / "out").symlink_to(traps.marks.parent)


def _manifest(traps: Traps) -> None:
    digest = hashlib.sha256((traps.folder / "tools" / "gate.sh").read_bytes()).hexdigest()
    path = traps.folder / "mlops.yaml"
    text = path.read_text()
    text = text.replace(
        "classifier: {run: python train.py}",
        'classifier: {run: "python train.py {data.digits} {params.rate}", params: {rate: "$(touch x)"}, '
        "env: {TOKEN: env:TRAP_SECRET}}",
    )
    text = text.replace(
        "gates:\n",
        f"gates:\n  external: {{use: command, program: tools/gate.sh, digest: 'sha256:{digest}', metric: m, max: 1}}\n",
    )
    text = text.replace("\ndata:\n", "\ndata:\n  extra: {path: data/extra.parquet, label: y, split: none}\n")
    more = "" if "\ndeployments:" in text else "\ndeployments:\n  local: {target: cpu}\n"
    path.write_text(text + "\nx-note: '{{ 7 * 7 }} {placeholder}'\n" + more)


def _table(traps: Traps, rows: int) -> None:
    """A Parquet file whose metadata name a class, as those that pandas and others write do."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    named = {"pandas": '{"index_columns": [], "creator": {"library": "helper"}}', "ARROW:extension:name": "helper.Trap"}
    table = pa.table({"id": list(range(rows)), "y": [n % 2 for n in range(rows)]}).replace_schema_metadata(named)
    pq.write_table(table, traps.folder / "data" / "extra.parquet")


def _submodule(traps: Traps) -> None:
    """A repository inside, with a configuration of its own that names programs."""
    inner = traps.folder / "vendor"
    must(f"git init -q {inner} && cd {inner} && echo x > x.txt && git add x.txt && git commit -q -m x", traps.folder)
    with (inner / ".git" / "config").open("a") as stream:
        fsmonitor = traps.program(inner / ".git" / "fsmonitor", "submodule-fsmonitor")
        stream.write(
            f'[core]\nfsmonitor = {fsmonitor}\n[filter "evil"]\nclean = {traps.program(inner / ".git" / "f", "sub")}\n'
        )
    (inner / ".git" / "info").mkdir(exist_ok=True)
    (inner / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    (inner / "x.txt").write_text("y\n")
    (traps.folder / ".gitmodules").write_text(
        '[submodule "vendor"]\n\tpath = vendor\n\turl = ext::sh -c touch% '
        + f"{traps.marks}/gitmodules\n\tupdate = checkout\n"
    )


def _git(traps: Traps) -> None:
    """Every setting of git that names a program, in the repository's own configuration, and all hooks."""
    folder = traps.folder
    (folder / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    must("git add .gitattributes && git commit -q -m attributes", folder)
    for name in HOOKS:
        traps.program(folder / "hooks" / name, f"hook-{name}")
        traps.program(folder / ".git" / "hooks" / name, f"git-hook-{name}")
    programs = folder / ".git" / "programs"
    with (folder / ".git" / "included").open("w") as stream:
        stream.write(f'[filter "Second.One"]\n\tclean = "{traps.shell("included-filter")}"\n\trequired = true\n')
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "attributes").write_text("*.md filter=Second.One\n")
    for key in (
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.textconv",
        "diff.evil.command",
        "diff.external",
        "merge.evil.driver",
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.sshCommand",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "credential.helper",
        "gpg.program",
        "gpg.ssh.program",
        "interactive.diffFilter",
        "pager.log",
        "pager.status",
        "pager.ls-tree",
        "sequence.editor",
        "uploadpack.packObjectsHook",
        "remote.origin.uploadpack",
        "trailer.x.command",
    ):
        # Who waits for the other end of a connection waits for ever where the trap waits too.
        value = traps.program(programs / key, key, "exit 1" if key.startswith(("core.", "credential")) else "cat")
        must(f"git config {key} {value}", folder)
    traps.config(
        filter__evil__required="true",
        core__hooksPath=str(folder / "hooks"),
        core__untrackedCache="true",
        core__attributesFile=str(folder / ".gitattributes"),
        include__path="included",
        log__showSignature="true",
        alias__status=f"!{traps.shell('alias')}",
        submodule__recurse="true",
        status__submoduleSummary="true",
        diff__submodule="log",
        protocol__ext__allow="always",
        remote__origin__url="ssh://trap.invalid/x",
        remote__origin__promisor="true",
        remote__origin__partialclonefilter="blob:none",
        extensions__partialClone="origin",
        core__repositoryFormatVersion="1",
        maintenance__auto="true",
        gc__auto="1",
    )
