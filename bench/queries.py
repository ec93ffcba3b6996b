"""How long questions to a trail of 10,000 entries take, beyond a verb that opens it: impact, runs, what was tried.

python bench/queries.py [ENTRIES]
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlopsctl.adapters.git import find_repo
from mlopsctl.adapters.keys import new_key
from mlopsctl.audit.entry import entry_fields, read_line
from mlopsctl.audit.signing import signed_line
from mlopsctl.audit.statement import statement
from mlopsctl.audit.trust import read_policy
from mlopsctl.canonical import digest_of, plain
from mlopsctl.cli.trail import init_trail, new_log_id
from mlopsctl.types import Digest

BIN = Path(sys.executable).parent
ROUNDS = 7
OPENS = ("audit", "log", "-n", "1")
"""What every figure is compared with: it opens the same trail and prints one entry."""

QUESTIONS: tuple[tuple[str, float, Sequence[str]], ...] = (
    ("impact of the dataset that all follow from", 1.0, ("audit", "impact", "data.rows", "-n", "20")),
    ("the same as JSON", 1.0, ("audit", "impact", "data.rows", "--format", "json")),
    ("impact of one run", 1.0, ("audit", "impact", "train.model7")),
    ("runs ls", 0.5, ("runs", "ls")),
    (
        "runs ls by condition, sorted",
        0.5,
        ("runs", "ls", "--where", "params.lr<0.5", "--where", "gates.accuracy>0.9", "--sort", "gates.accuracy"),
    ),
    ("runs tried, one that never was", 0.5, ("runs", "tried", "lr=7", "depth=3")),
)


def digest(*words: object) -> Digest:
    return Digest("sha256:" + hashlib.sha256(repr(words).encode()).hexdigest())


def entry(address: str, output: Digest | None, spec: dict[str, Any], facts: dict[str, Any], **inputs: Digest) -> dict[str, Any]:  # fmt: skip
    section = address.partition(".")[0]
    parts = {
        "provider": f"{section}/x", "version": 1, "spec": plain(spec),
        "inputs": {role: [one] for role, one in inputs.items()},
    }  # fmt: skip
    name = {"train": "model", "targets": "artifact", "data": "train"}.get(section, "out")
    return {
        "address": address, "status": "passed" if section == "gates" else "done", "made_from": digest_of(parts),
        "ingredients": parts, "outputs": {name: output} if output else {}, "facts": facts,
        "made_with": {"python": "3.11.2", "host": "x86-64"},
    }  # fmt: skip


def fields(number: int, rows: Digest) -> dict[str, Any]:
    """Of ten entries four are runs, four gates, one an artifact and one its deployment; all of one dataset."""
    run, place = divmod(number, 10)
    turn = place % 4
    model = digest("model", run, turn)
    if place < 4:
        lr = (run % 997 + 1) / 1000 + turn / 10000
        spec = {"run": "python train.py", "seed": number, "params": {"lr": lr, "depth": turn}}
        facts = {"kind": "onnx", "opset": 17, "usage": {"seconds": "3.1", "max_rss_bytes": 123456789}}
        return entry(f"train.model{run % 50}", model, spec, facts, data=rows)
    if place < 8:
        value = f"0.{8000 + number % 1999}"
        facts = {"value": value, "ci": [value, "0.9999"], "n": 1000, "metric": "accuracy", "view": "test"}
        return entry("gates.accuracy", None, {"metric": "accuracy", "n": number}, facts, model=model, data=rows)
    if place == 8:
        return entry("targets.cpu", digest("artifact", run), {"n": number}, {"proof": "device-run"}, model=digest("model", run, 0))  # fmt: skip
    return entry("deployments.local", None, {"n": number}, {"location": "here"}, artifact=digest("artifact", run))


def fill(folder: Path, number: int) -> None:
    """A repository with a trail of that many entries, and a manifest that names it."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    repo, log = find_repo(folder), new_log_id()
    (folder / "mlops.yaml").write_text(f'apiVersion: mlopsctl/v1\nproject: {{name: bench, log: "{log}"}}\n')
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", "-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "-qm", "x"], cwd=folder, check=True)  # fmt: skip
    key = new_key(Path(os.environ["XDG_CONFIG_HOME"]) / "mlops/keys/owner.pem")
    trail, root, _ = init_trail(repo, repo.common_dir / "mlops", log, key)
    rows, commit = digest("rows"), repo.rev("HEAD")
    given = [entry("data.rows", rows, {"path": "rows.csv"}, {"rows": {"train": 1000}})]
    given += [fields(n, rows) for n in range(number)]
    trust = read_policy(root.facts["trust"]).digest
    lines, parent = [], root.id
    for seq, one in enumerate(given, 2):
        made = entry_fields(
            log=log, seq=seq, parents=[parent], at=root.at, signer=key.name, trust=trust, kind="result", **one
        )  # fmt: skip
        lines.append(signed_line(statement(made, commit), key, "bench"))
        parent = read_line(lines[-1]).id
    # All in one commit of the notes: how fast appending is, another benchmark says.
    trail.ledger.log.add(trail.ledger.log.tip(), {commit: lines})
    if len(trail.entries()) != number + 2:
        raise SystemExit("the trail is not as it was meant")


def seconds(words: Sequence[str], folder: Path, codes: tuple[int, ...] = (0, 1)) -> float:
    """The least of several runs of a command."""
    least = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        done = subprocess.run([BIN / "mlopsctl", *words], cwd=folder, capture_output=True, text=True, check=False)
        least = min(least, time.perf_counter() - begun)
        if done.returncode not in codes:
            raise SystemExit(f"$ mlopsctl {' '.join(words)}\n{done.stderr}exit {done.returncode}")
    return least


def main() -> int:
    number = int(next((word for word in sys.argv[1:] if word.isdigit()), "10000"))
    with tempfile.TemporaryDirectory(prefix="mlopsctl-bench-") as place:
        os.environ["XDG_CONFIG_HOME"] = place + "/config"
        folder = Path(place) / "repo"
        begun = time.perf_counter()
        fill(folder, number)
        print(f"a trail of {number} entries, made in {time.perf_counter() - begun:.0f} s; least of {ROUNDS} runs each")
        opened = seconds(OPENS, folder, (0,))
        print(f"{opened:6.3f} s  mlopsctl {' '.join(OPENS)}")
        missed = 0
        for what, limit, words in QUESTIONS:
            beyond = seconds(words, folder) - opened
            missed += beyond > limit
            print(f"{beyond:6.3f} s beyond it (<= {limit:.1f})  {'ok  ' if beyond <= limit else 'MISS'}  {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
