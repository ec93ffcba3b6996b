"""The trail's speed, as ratios measured side by side in one run: append, cold verify, opening it for a plan.

python bench/trail.py [ENTRIES] [--one-commit]
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mlopsctl.adapters.git import find_repo
from mlopsctl.adapters.keys import new_key
from mlopsctl.adapters.signatures import verify_signature
from mlopsctl.audit.checks import verify
from mlopsctl.audit.dsse import pae
from mlopsctl.audit.entry import read_line
from mlopsctl.canonical import digest_of
from mlopsctl.cli.trail import init_trail, new_log_id, open_trail
from mlopsctl.types import Digest


def fields(n: int) -> dict[str, Any]:
    digest = hashlib.sha256(str(n).encode()).hexdigest()
    ingredients = {
        "provider": "train/local", "version": 1, "spec": {"run": "python train.py", "params": {"lr": "0.001"}},
        "inputs": {"data": ["sha256:" + digest]}, "tree": "gitoid:" + digest[:40],
    }  # fmt: skip
    return {
        "address": f"train.model{n % 50}",
        "status": "done",
        "made_from": digest_of(ingredients),
        "ingredients": ingredients,
        "outputs": {"model": Digest("dirhash:" + digest), "model.sig": Digest("sha256:" + digest)},
        "facts": {"kind": "onnx", "opset": 17, "usage": {"seconds": "3.1", "max_rss_bytes": 123456789}},
        "made_with": {"python": "3.11.2", "host": "x86-64"},
    }


def commits(folder: Path, number: int) -> list[str]:
    """Ids of that many commits, made by one fast-import."""
    script = "".join(
        f"commit refs/heads/main\nmark :{n + 1}\ncommitter a <a@b> {n} +0000\ndata 1\nx\n" for n in range(number)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=script.encode(), check=True)
    listed = subprocess.run(["git", "rev-list", "main"], cwd=folder, capture_output=True, check=True)
    return listed.stdout.decode().split()


def timed(what: Callable[[], object]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def main() -> None:
    number = int(next((word for word in sys.argv[1:] if word.isdigit()), "10000"))
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CONFIG_HOME"] = place + "/config"
        folder = Path(place) / "repo"
        subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
        subjects = commits(folder, 1 if "--one-commit" in sys.argv else number)
        repo = find_repo(folder)
        state, log = repo.common_dir / "mlops", new_log_id()
        trail, _, _ = init_trail(repo, state, log, new_key(Path(place) / "config/mlops/keys/owner.pem"))

        filled = timed(
            lambda: [trail.append("result", commit=subjects[n % len(subjects)], **fields(n)) for n in range(number)]
        )
        trail.flush()
        print(f"filled with {number} entries in {filled:.1f} s")

        trail = open_trail(repo, state, log)

        def append(n: int) -> None:
            trail.append("result", commit=subjects[n % len(subjects)], **fields(n))

        each = [timed(partial(append, number + n)) for n in range(500)]
        trail.flush()
        print(
            f"append, with {number} present: median {statistics.median(each) * 1e3:.2f} ms, mean {statistics.mean(each) * 1e3:.2f} ms (<= 6)"
        )

        opened = [timed(lambda: open_trail(repo, state, log).result(Digest(fields(7)["made_from"]))) for _ in range(20)]
        print(f"open and find one result, warm: median {statistics.median(opened) * 1e3:.2f} ms")

        lines = [
            line
            for _, body in trail.ledger.log.blobs(list(trail.ledger.log.notes(trail.ledger.log.tip()).values()))
            for line in body.split(b"\n")
            if line
        ]
        records = [read_line(line) for line in lines]
        key = trail.signer().key
        del trail
        messages = [(pae(record.payload), record.signatures[0][1]) for record in records]
        bare = timed(lambda: [verify_signature(key, message, signature) for message, signature in messages])
        cold = timed(lambda: verify(open_trail(repo, state, log).ledger, full=True))
        again = timed(lambda: verify(open_trail(repo, state, log).ledger))
        print(
            f"cold verify of {len(lines)} entries: {cold:.2f} s = {cold / bare:.2f} x {len(lines)} bare signature checks ({bare:.2f} s; <= 2)"
        )
        print(f"second verify: {again:.3f} s = {again / cold * 100:.1f} % of the first")
        (state / "index.db").unlink()
        fresh = timed(lambda: open_trail(repo, state, log).tips())
        print(f"fresh clone (index from nothing): {fresh:.2f} s")
        loose = sum(path.stat().st_size for path in (folder / ".git/objects").glob("??/*"))
        print(f"loose objects: {loose / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
