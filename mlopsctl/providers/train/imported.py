"""``import:``: a model that somebody else made: pinned, looked through like a trained one, its origin verified."""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import EvidenceError, ManifestError, ProviderError
from ...gitobjects import object_id
from ...provider import (
    Context,
    Inputs,
    Specs,
    Tree,
    always_fine,
    diff_by_fingerprint,
    nothing_to_remove,
    nothing_to_verify,
    read_from_trail,
    result,
    run,
)
from ...types import Digest, Json, Need, Outcome, Resource, TreeFile
from .code import code_files
from .command_line import commands
from .taken import as_model, copy

RESULT_VERSION = 1
LATER_KEYS = ("output", "threshold")

read = read_from_trail
diff = diff_by_fingerprint
judge = always_fine
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A model made elsewhere: a file or folder, or an https URL; ``signed_by`` says whose word is taken for it."""

    import_: str = result(
        doc="Where it comes from: a file or folder of this repository, another path, or an https URL."
    )
    digest: str = result(
        "",
        doc="Its sha256: (a file) or dirhash: (a folder); needed for what git does not track.",
        pattern="^(sha256|dirhash):[0-9a-f]{64}$",
    )
    signed_by: tuple[str, ...] = result((), doc="Signers of the trust policy, one of whom must have signed it.")
    signature: str = result(
        "", doc="The OpenSSF model signature: a path or an https URL; default: beside it, with .sig."
    )
    provenance: str = result("", doc="SLSA provenance (a DSSE envelope) to verify instead of a signature.")
    builder: str = result("", doc="The builder.id that the provenance must name.")
    data: str = run("", doc="The dataset it is measured on; may be left out where only one exists.", ref="data")
    predict: str = result(
        "", doc="For a model that is not ONNX: reads JSON lines, prints one line a row.", placeholders=("model",)
    )
    formats: tuple[str, ...] = result((), doc="File suffixes that a model with predict: may hold; default: no pickles.")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """Nothing: it is not trained here. Raises ManifestError where the keys do not fit together."""
    source = spec.import_
    if source.startswith("hf://"):
        raise ManifestError(
            "'import: hf://…' is not yet supported: a revision of a hub cannot be proved to be what was meant",
            hint="take the https address of the file, and pin it: digest: sha256:…",
            code="MLO3019",
        )
    for key, text in (("import", source), ("signature", spec.signature), ("provenance", spec.provenance)):
        scheme, mark, _ = text.partition("://")
        if mark and scheme != "https":
            raise ManifestError(
                f"{key}: {scheme}:// is not read", hint="write a path, or an https:// address", code="MLO1231"
            )
    if not spec.digest and (_is_url(source) or _outside(source)):
        raise ManifestError(
            f"import: {source} is not pinned: other bytes could come from there tomorrow",
            hint="add digest: sha256:… of the file (sha256sum prints it), or put the model into the repository",
            code="MLO1231",
        )
    if spec.digest.startswith("dirhash:") and _is_url(source):
        raise ManifestError("an address gives one file, not a folder", hint="write digest: sha256:…", code="MLO1231")
    if (spec.signature or spec.provenance) and not spec.signed_by:
        raise ManifestError(
            "a signature proves nothing without whose it has to be",
            hint="add signed_by: [NAME], a signer of the trust policy",
            code="MLO1231",
        )
    if bool(spec.builder) != bool(spec.provenance) or (spec.signature and spec.provenance):
        raise ManifestError(
            "provenance: and builder: go together, and take the place of signature:",
            hint="write provenance: FILE and builder: ID, or signature: FILE",
            code="MLO1231",
        )
    return ()


def notes(want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """Says where nobody vouches for the model."""
    if want.spec.signed_by:
        return ()
    return ("unverified: no signed_by:, so no deployment that needs approvals: will run it",)


def _is_url(source: str) -> bool:
    return source.startswith("https://")


def _outside(path: str) -> bool:
    return path.startswith(("/", "~")) or posixpath.normpath(path).split("/")[0] == ".."


def sources(want: Resource, tree: Tree) -> Mapping[str, TreeFile]:
    """What git holds of it: the model where it is pinned by nothing else, its proof, and what ``predict:`` runs.

    Raises ProviderError for a model that git does not track.
    """
    spec: Spec = want.spec
    found = code_files(commands(spec.predict), (), "", tree) if spec.predict else {}
    if not spec.digest:
        found |= _tracked(spec.import_, tree)
    proof = _proof_name(spec)
    if proof and not _is_url(proof) and not _outside(proof) and (file := tree.file(posixpath.normpath(proof))):
        found[posixpath.normpath(proof)] = file
    return found


def code_of(want: Resource, sources: Mapping[str, TreeFile]) -> dict[str, TreeFile]:
    """The sources that are code, which the trail keeps; a model's weights lie in git and in the store."""
    place = posixpath.normpath(want.spec.import_)
    proof = _proof_name(want.spec)
    aside = {place, posixpath.normpath(proof) if proof else ""}
    return {name: file for name, file in sources.items() if name not in aside and not name.startswith(place + "/")}


def _proof_name(spec: Spec) -> str:
    """Where the signature or provenance is looked for; "" where nobody's word is asked for."""
    if not spec.signed_by:
        return ""
    return spec.provenance or spec.signature or spec.import_.rstrip("/") + ".sig"


def _tracked(source: str, tree: Tree) -> dict[str, TreeFile]:
    path = posixpath.normpath(source)
    names = [path] if tree.file(path) else [name for name in tree.files() if name.startswith(path + "/")]
    found = {name: file for name in names if tree.tracked(name) and (file := tree.file(name))}
    if not found or len(found) != len(names):
        raise ProviderError(
            f"import: {source} is no file or folder that git tracks, so nobody else could have the same model",
            hint=f"git add -f {source}, or pin it: digest: sha256:… (of a folder dirhash:…)",
            code="MLO1230",
        )
    return found


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Brings the pinned bytes here, verifies whose they are, and checks them as if they had been trained here.

    Raises EvidenceError where bytes or proof are not the ones asked for, ProviderError where it is no model.
    """
    spec: Spec = want.spec
    source = _fetch(spec, ctx)
    origin, proof = _origin(spec, source, ctx)
    folder, facts = as_model(want, source, spec.import_, ctx, origin)
    outputs: dict[str, Path | Digest] = {"model": folder}
    if proof is not None:
        outputs["origin"] = proof
    return Outcome(outputs, facts)


def _fetch(spec: Spec, ctx: Context) -> Path:
    """The source under its own name in the scratch folder, with the pinned digest."""
    from ...adapters.download import download
    from ...adapters.store import hash_path

    aside = ctx.scratch / "source"
    aside.mkdir()
    name = posixpath.basename(posixpath.normpath(spec.import_.partition("?")[0])) or "model"
    place = aside / name
    if _is_url(spec.import_):
        ctx.tell(f"fetching {spec.import_}")
        download(spec.import_, Digest(spec.digest), place, ctx.tell)
        return place
    if not spec.digest:
        _export(_tracked(spec.import_, ctx.tree), posixpath.normpath(spec.import_), place, ctx)
        return place
    copy(ctx.root / Path(spec.import_).expanduser(), place, spec.import_)
    found = hash_path(place)
    if found != spec.digest:
        raise EvidenceError(
            f"{spec.import_} has other bytes than the pinned ones: {found} instead of {spec.digest}",
            hint=f"find out what changed; if you want it, write digest: {found}",
            code="MLO7280",
        )
    return place


def _export(files: Mapping[str, TreeFile], root: str, place: Path, ctx: Context) -> None:
    for name, file in files.items():
        body = ctx.tree.read(name) if file.mode.startswith("100") else b""
        if object_id("blob", body) != file.oid:
            raise ProviderError(
                f"{name} was changed after this apply had looked at it, or is no plain file",
                hint="plan and apply again; a link has to be the file itself",
                code="MLO1225",
            )
        path = place if name == root else place / name[len(root) + 1 :]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def _origin(spec: Spec, source: Path, ctx: Context) -> tuple[dict[str, Json], Path | None]:
    """Who vouches for the source, and the file that proves it."""
    from ...adapters.origin import UNVERIFIED, VERIFIED, Proof, verify_source
    from ...adapters.store import hash_path

    digest = hash_path(source)
    if not spec.signed_by:
        return {"state": UNVERIFIED, "digest": digest}, None
    how = "provenance" if spec.provenance else "signature"
    proof = _fetch_proof(spec, ctx)
    ctx.tell(f"verifying the {how} of {' or '.join(spec.signed_by)}")
    name, key = verify_source(source, Proof(how, proof, spec.builder), spec.signed_by, ctx.trail.key_of)
    builder = {"builder": spec.builder} if spec.builder else {}
    return {"state": VERIFIED, "by": name, "key": key, "how": how, "digest": digest, **builder}, proof


def _fetch_proof(spec: Spec, ctx: Context) -> Path:
    from ...adapters.download import download

    named, place = _proof_name(spec), ctx.scratch / "origin"
    if _is_url(named):
        download(named, Digest(""), place, ctx.tell, most=16 * 2**20)
        return place
    found = ctx.root / Path(named).expanduser()
    if found.is_symlink() or not found.is_file():
        raise EvidenceError(
            f"{spec.import_} must be signed by {' or '.join(spec.signed_by)}, and there is no {named}",
            hint="put the publisher's signature there, or name it: signature: FILE",
            code="MLO7282",
        )
    shutil.copyfile(found, place)
    return place
