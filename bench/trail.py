"""The trail's speed and size, each figure with its limit, measured side by side in one run; ``--large`` adds 100,000.

python bench/trail.py [--large]. Timings differ between machines, so what can be is a ratio. Every part runs in a
process of its own, so that one does not warm another and peak memory is that part's alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from binascii import a2b_base64
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from mlopsctl.adapters.git import find_repo
from mlopsctl.adapters.keys import new_key
from mlopsctl.adapters.signatures import verify_signature
from mlopsctl.audit.checks import verify
from mlopsctl.audit.dsse import entry_id, pae
from mlopsctl.audit.entry import entry_fields
from mlopsctl.audit.signing import signed_line
from mlopsctl.audit.statement import statement
from mlopsctl.audit.trail import TrailLog
from mlopsctl.canonical import digest_of
from mlopsctl.cli.trail import init_trail, new_log_id, open_trail
from mlopsctl.types import Digest

PRESENT = 10_000
LARGE = 100_000
APPENDS = 1_000
ROUNDS = 5
SIGNED = "SELECT proof, payload FROM entries JOIN payloads USING (n) WHERE key <> '' AND n > ? AND n <= ?"


def main() -> int:
    if len(sys.argv) > 2:
        return part(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    with tempfile.TemporaryDirectory(prefix="mlopsctl-bench-") as scratch:
        place = Path(scratch)
        os.environ["XDG_CONFIG_HOME"] = f"{place}/config"
        print("value   limit")
        missed = appending(place) + verifying(place, PRESENT, "10,000")
        if "--large" in sys.argv:
            missed += verifying(place, LARGE, "100,000")
        return 1 if missed + planning(place) else 0


def tell(value: float, limit: float, what: str) -> int:
    """Prints one figure; 1 where it is missed."""
    print(f"{value:6.2f}  {limit:6.2f}  {'ok  ' if value <= limit else 'MISS'}  {what}", flush=True)
    return int(value > limit)


def child(name: str, folder: Path, *more: str) -> dict[str, Any]:
    """What a part measured, in a process of its own."""
    argv = [sys.executable, __file__, name, str(folder), *more]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{name}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def part(name: str, folder: Path, *more: str) -> int:
    """One measurement; prints it as JSON."""
    found = PARTS[name](folder, *more)
    print(json.dumps(found))
    return 0


def peak() -> float:
    """Peak memory in MB since this program began; ``ru_maxrss`` begins with what the parent had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


# --- Trails ------------------------------------------------------------------------------------------------------


def fields(n: int) -> dict[str, Any]:
    """The members of a training result like a real one: 2 KB as a statement."""
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
    """Ids of that many commits beside the branches, made by one fast-import."""
    script = "".join(
        f"commit refs/bench/subjects\nmark :{n + 1}\ncommitter a <a@b> {n} +0000\ndata 1\nx\n" for n in range(number)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=script.encode(), check=True)
    listed = subprocess.run(["git", "rev-list", "refs/bench/subjects"], cwd=folder, capture_output=True, check=True)
    return listed.stdout.decode().split()


def fill(trail: TrailLog, subjects: list[str], number: int) -> None:
    """Adds that many signed results to the notes, in one commit: the trail grows, and nobody waits for it."""
    write_down(trail, subjects, map(fields, range(number)))


def write_down(trail: TrailLog, subjects: list[str], results: Iterable[dict[str, Any]]) -> None:
    """Adds signed results with these members to the notes, in one commit, each about one of the subjects."""
    signer, policy = trail.signer(), trail.ledger.policy_in_force()
    assert policy is not None
    tips, log = trail.tips(), trail.log_id()
    seq, at = trail.next_seq(tips), trail.clock()
    groups: dict[str, list[bytes]] = {}
    for n, own in enumerate(results):
        own = entry_fields(
            log=log, seq=seq + n, parents=tips, at=at, signer=policy.name_of(signer.key), trust=policy.digest,
            kind="result", **own,
        )  # fmt: skip
        commit = subjects[n % len(subjects)]
        payload = statement(own, commit)
        tips = [entry_id(payload)]
        groups.setdefault(commit, []).append(signed_line(payload, signer, "bench"))
    assert trail.ledger.log.add(trail.ledger.log.tip(), groups) is not None


def new_trail(folder: Path, number: int, subjects: int) -> list[str]:
    """A repository with a trail of that many entries on so many commits, and the commits."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    listed, repo, log = commits(folder, subjects), find_repo(folder), new_log_id()
    key = new_key(Path(os.environ["XDG_CONFIG_HOME"]) / "mlops/keys" / f"{folder.name}.pem")
    fill(init_trail(repo, repo.common_dir / "mlops", log, key)[0], listed, number)
    (folder / "log").write_text(log, encoding="ascii")
    return listed


def opened(folder: Path) -> TrailLog:
    repo = find_repo(folder)
    return open_trail(repo, repo.common_dir / "mlops", (folder / "log").read_text(encoding="ascii"))


def cpu() -> float:
    """Seconds of processor that this process and its finished children have had: one core's worth of time."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(what: Callable[[], object]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


# --- Appending ---------------------------------------------------------------------------------------------------


def appending(place: Path) -> int:
    missed = 0
    for number, how in ((PRESENT, "one entry a commit"), (1, "all on one commit")):
        folder = place / f"append{number}"
        new_trail(folder, PRESENT, number)
        found = child("append", folder)
        missed += tell(found["median"] * 1e3, 6, f"ms an append, median, {PRESENT:,} entries present, {how}")
        missed += tell(found["loose"], 8, f"MB of loose objects per 1,000 appended entries, {how}")
    folder = place / "writers"
    new_trail(folder, 0, 1)
    argv = [sys.executable, __file__, "write", str(folder)]
    writers = [subprocess.Popen([*argv, str(n)], stdout=subprocess.DEVNULL) for n in range(20)]
    failed = sum(writer.wait() != 0 for writer in writers)
    lost = 1000 - child("count", folder)["entries"] + failed
    return missed + tell(lost, 0, "entries lost of 20 processes x 50 entries in one clone")


def append(folder: Path) -> dict[str, Any]:
    trail, before = opened(folder), loose(folder)
    subjects = commits_of(folder)
    trail.settle()
    each = []
    for n in range(APPENDS):
        own = fields(PRESENT + n)
        begun = time.perf_counter()
        trail.append("result", commit=subjects[n % len(subjects)], **own)
        each.append(time.perf_counter() - begun)
    trail.flush()
    return {"median": statistics.median(each), "loose": (loose(folder) - before) / 1e6 * 1000 / APPENDS}


def commits_of(folder: Path) -> list[str]:
    listed = subprocess.run(["git", "rev-list", "refs/bench/subjects"], cwd=folder, capture_output=True, check=True)
    return listed.stdout.decode().split()


def loose(folder: Path) -> int:
    """Bytes of loose objects."""
    return sum(path.stat().st_size for path in (folder / ".git/objects").glob("??/*"))


def write(folder: Path, who: str) -> dict[str, Any]:
    trail, subjects = opened(folder), commits_of(folder)
    for n in range(50):
        trail.append("result", commit=subjects[0], **fields(1_000_000 + int(who) * 50 + n))
    trail.flush()
    return {}


def count(folder: Path) -> dict[str, Any]:
    trail = opened(folder)
    verdict = verify(trail.ledger, full=True)
    return {"entries": len(trail.entries(kinds=("result",))) if verdict.ok else 0}


# --- Verifying ---------------------------------------------------------------------------------------------------


def verifying(place: Path, number: int, name: str) -> int:
    folder = place / f"verify{number}"
    subjects = new_trail(folder, number, number)
    rounds = 1 if number == LARGE else ROUNDS
    found = [child("cold", folder) for _ in range(rounds)]
    ratio = min(one["cold"] for one in found) / min(one["bare"] for one in found)
    missed = tell(ratio, 2, f"cold verify of {name} entries / as many bare signature checks")
    least = child("floor", folder)
    bare = min(one["bare"] for one in found)
    parts = ", ".join(f"{what} {took / bare:.2f}" for what, took in least.items())
    print(
        f"                      of them signatures 1, and other library calls {sum(least.values()) / bare:.2f}: {parts}"
    )
    missed += tell(max(one["verifying"] for one in found), 700, f"MB peak memory of a cold verify of {name} entries")
    more = opened(folder)
    more.settle()
    fill(more, subjects, 100)
    again = child("again", folder)["again"] / min(one["cold"] for one in found)
    # Of a short trail, what it costs to start git and to import a library is most of it.
    limit = 5 if number == LARGE else 15
    return missed + tell(again * 100, limit, f"% of that: a second verify after 100 new entries on {name}")


def cold(folder: Path) -> dict[str, Any]:
    """Both in processor time, git's included, and all of it on one core; the bare checks have their messages in memory."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for file in (find_repo(folder).common_dir / "mlops").glob("index.db*"):
        file.unlink()
    trail = opened(folder)
    key = trail.signer().key
    verify_signature(key, b"", b"")
    begun = cpu()
    verify(trail.ledger, full=True)
    took, memory = cpu() - begun, peak()
    total, bare = 0, 0.0
    database = sqlite3.connect(find_repo(folder).common_dir / "mlops" / "index.db")
    while total < trail.ledger.index.last_row():
        rows = list(database.execute(SIGNED, (total, total + 1000)))
        messages = [(pae(payload), proof) for proof, payload in rows]
        begun = cpu()
        for message, proof in messages:
            verify_signature(key, message, proof)
        bare += cpu() - begun
        total += 1000
    return {"cold": took, "bare": bare, "verifying": memory}


def floor(folder: Path) -> dict[str, Any]:
    """Processor time of the library calls that are made for these entries beside signatures, and of nothing else."""
    log = opened(folder).ledger.log
    wanted = "\n".join(log.notes(log.tip()).values()).encode()
    begun = cpu()
    git = ("git", "cat-file", "--batch", "--buffer")
    answer = subprocess.run(git, cwd=folder, input=wanted, capture_output=True, check=True).stdout
    took = {"git": cpu() - begun}
    encoded = [line.split(b'"')[5] for line in answer.split(b"\n") if line.startswith(b"{")]
    begun = cpu()
    payloads = [a2b_base64(text, strict_mode=True) for text in encoded]
    for payload in payloads:
        hashlib.sha256(payload).digest()
    took["base64 and sha256"] = cpu() - begun
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder(order="sorted").encode
    begun = cpu()
    for payload in payloads:
        encode(decode(payload))
    took["JSON"] = cpu() - begun
    begun = cpu()
    with closing(sqlite3.connect(folder / "floor.db")) as database, database:
        database.execute("CREATE TABLE payloads (n INTEGER PRIMARY KEY, payload BLOB)")
        database.executemany("INSERT INTO payloads VALUES (?, ?)", enumerate(payloads))
    took["SQLite"] = cpu() - begun
    return took


def again(folder: Path) -> dict[str, Any]:
    begun = cpu()
    verify(opened(folder).ledger)
    return {"again": cpu() - begun}


# --- Planning ----------------------------------------------------------------------------------------------------


def planning(place: Path) -> int:
    """The quickstart's plan with its own entries, and with 10,000 of other addresses beside them; in turns."""
    from run import call, quickstart

    place = place / "plan"
    place.mkdir()
    project = quickstart(place)
    repo = find_repo(project)
    state = repo.common_dir / "mlops"
    try:
        subjects = commits(project, PRESENT)
        plan = ("mlopsctl", "-C", str(project), "plan", "--detailed-exitcode")
        kept = {"few": place / "few", "many": place / "many"}
        tips = {"few": open_trail(repo, state).ledger.log.tip()}
        entries = len(open_trail(repo, state).entries())
        call(*plan, folder=project, check=True)
        shutil.copytree(state, kept["few"])
        fill(open_trail(repo, state), subjects, PRESENT)
        tips["many"] = open_trail(repo, state).ledger.log.tip()
        call(*plan, folder=project, check=True)
        call("mlopsctl", "-C", str(project), "audit", "verify", folder=project, check=True)
        shutil.copytree(state, kept["many"])
        least = {"few": float("inf"), "many": float("inf"), "fresh": float("inf")}
        for number in range(ROUNDS * 4):
            for name in ("few", "many", "fresh"):
                if name == "fresh" and number >= ROUNDS:
                    continue
                which = "many" if name == "fresh" else name
                subprocess.run(["git", "update-ref", "refs/notes/mlops", tips[which]], cwd=project, check=True)
                for file in ("index.db", "anchor.json"):
                    shutil.copy(kept[which] / file, state / file)
                if name == "fresh":
                    (state / "index.db").unlink()
                took = timed(lambda: call(*plan, folder=project, check=True))
                least[name] = min(least[name], took)
    finally:
        call("mlopsctl", "destroy", "--all", "-y", folder=project)
    print(f"plan: {', '.join(f'{name} {took * 1e3:.0f} ms' for name, took in least.items())}")
    missed = tell(least["many"] / least["few"], 1.3, f"plan with {PRESENT:,} more entries / with {entries}, warm")
    return missed + tell(least["fresh"], 1, f"s a plan whose index is made from nothing, {PRESENT:,} entries")


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "append": append, "write": write, "count": count, "cold": cold, "floor": floor, "again": again,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
