"""``tag:NAME``: an annotated git tag, signed as the user signs tags, whose message names the trail's tips.

The message carries lines ``mlops-trail: LOG TIP [TIP…]``. Which programs sign and verify, and whose signatures count, is
taken from the user's own configuration of git only: what the repository says about that is overridden.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..git import Repo, git
from . import Checkpoint, Claim, Held, Left, Setup, cannot_leave

_LINE = re.compile(r"^mlops-trail: ([0-9a-f]{32})((?: [0-9a-f]{64})+)$", re.MULTILINE)
_GOOD = re.compile(r'Good "git" signature for (\S+)|\[GNUPG:\] GOODSIG \S+ (.+)')
# Their values where the user has set none: git's own.
_PROGRAMS = {"gpg.program": "gpg", "gpg.openpgp.program": "gpg", "gpg.x509.program": "gpgsm",
             "gpg.ssh.program": "ssh-keygen", "gpg.ssh.defaultKeyCommand": "", "gpg.minTrustLevel": "undefined"}  # fmt: skip
_FILES = ("gpg.ssh.allowedSignersFile", "gpg.ssh.revocationFile")


def leave(place: str, setup: Setup, checkpoint: Checkpoint) -> Left:
    """Makes the tag on the commit of HEAD."""
    name = place.removeprefix("tag:")
    text = f"{checkpoint.reason or name}\n\nmlops-trail: {' '.join([setup.log, *checkpoint.tips])}\n"
    done = git(
        setup.repo.root, *_own_settings(setup.repo), "tag", "--sign", "--cleanup=verbatim", "-F", "-", "--", name,
        data=text.encode(), check=False,
    )  # fmt: skip
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()
        hint = "set user.signingKey (and gpg.format ssh) with git config --global, and take a name that is not used"
        raise cannot_leave(place, words, hint)
    return Left(f"tag {name}", f"signed; it counts for others once pushed: git push origin {name}")


def seen(place: str, setup: Setup) -> Held:
    """What tags say of this log; NAME may hold ``*``. A tag whose signature does not hold says nothing."""
    claims: list[Claim] = []
    warnings: list[tuple[str, str]] = []
    settings = _own_settings(setup.repo)
    met = False
    for name, oid, tips in _naming(setup.repo, setup.log, place.removeprefix("tag:")):
        # Of tags that are met the newest is enough; each one that is not is looked at.
        lost = not all(map(setup.known, tips))
        if not lost and met:
            continue
        who = _signed_by(setup.repo, settings, oid)
        if who:
            met = met or not lost
            claims.append(Claim(f"tag {name}", setup.log, tips, says=f"signed by {who}"))
        else:
            hint = "gpg.ssh.allowedSignersFile in your own git configuration says whose signatures count"
            warnings.append(("MLO7185", f"tag {name} names the trail, and its signature proves nothing here: {hint}"))
    return Held(tuple(claims), tuple(warnings))


def _naming(repo: Repo, log: str, pattern: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """(name, object id, tips) of the annotated tags that name this log, the newest first."""
    listed = repo.git(
        "for-each-ref", "--sort=-creatordate", "--format=%(refname)%00%(objecttype)%00%(objectname)%00%(contents)%00",
        "refs/tags" if pattern == "*" else f"refs/tags/{pattern}",
    ).decode(errors="replace")  # fmt: skip
    fields = listed.split("\0")
    found = []
    for ref, kind, oid, text in zip(fields[0::4], fields[1::4], fields[2::4], fields[3::4], strict=False):
        tips = {tip for named, some in _LINE.findall(text) if named == log for tip in some.split()}
        if kind == "tag" and tips:
            found.append((ref.strip().removeprefix("refs/tags/"), oid, tuple(sorted(tips))))
    return found


def _signed_by(repo: Repo, settings: Sequence[str], oid: str) -> str:
    """Who signed the tag, as the user's own configuration knows them; "" for nobody."""
    done = git(repo.root, *settings, "verify-tag", "--raw", oid, check=False)
    words = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        return ""
    good = _GOOD.search(words)
    return (good[1] or good[2]).strip() if good else ""


def _own_settings(repo: Repo) -> tuple[str, ...]:
    """Switches that give what the user, and never the repository, says about signatures."""
    own: dict[str, str] = {}
    for scope in ("--system", "--global"):
        done = git(repo.root, "config", scope, "--includes", "-z", "--get-regexp", r"^gpg\.", check=False)
        for item in done.stdout.decode(errors="replace").split("\0") if done.returncode == 0 else ():
            key, _, value = item.partition("\n")
            own[key] = value
    words: list[str] = []
    for name, usual in _PROGRAMS.items():
        words += ["-c", f"{name}={own.get(name.lower()) or usual}"]
    for name in _FILES:
        path = own.get(name.lower(), "")
        path = str(Path(path).expanduser()) if path.startswith("~") else path
        # A relative path would be taken from the repository's folder.
        words += ["-c", f"{name}={path if path.startswith('/') else ''}"]
    return tuple(words)
