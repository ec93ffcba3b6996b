"""mlops.yaml -> resources: what should exist, checked, with every reference resolved. Pure but for ``${env:…}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias, cast

from ..canonical import digest_of, plain
from ..errors import ManifestError, MlopsError
from ..personal import struck
from ..provider import policy, result_fields
from ..registry import PROVIDERS, implied_use, provider
from ..types import SECTIONS, Address, Digest, Resource, Where
from .conform import conform, fields_of, matches
from .each import MARK, Families, Family, Read, Scalar, bind, family, filled, read_files, refuse_marks
from .findings import Findings, did_you_mean
from .moved import moved
from .references import check_entry, check_texts, interpolate, texts
from .yaml_positions import Node, Place, decode, read_yaml

API_VERSION = "mlopsctl/v1"
NAME = r"^[a-z][a-z0-9_-]*$"
_STABLE = ("by", "key", "time", "train")
"""Any of these in a split keeps a row on its side when other values of it change."""
TOP_LEVEL = ("apiVersion", "requires", "project", "store", *SECTIONS, "moved")


@dataclass(frozen=True)
class ProjectSpec:
    """What the project is; ``status`` begins with it."""

    name: str = policy(doc="The project's name, unique in its repository.", pattern=NAME)
    log: str = policy("", doc="The id of the project's audit trail; written by init, never by hand.")
    owner: str = policy("", doc="Who answers for the project.")
    purpose: str = policy("", doc="What the models are for.")
    license: str = policy("", doc="The licence of the models, as an SPDX expression.")


class Manifest(NamedTuple):
    """A valid manifest. ``resources`` stand in the order in which they can be made."""

    project: ProjectSpec
    store: str | None
    resources: tuple[Resource, ...]
    digest: Digest
    """Of the document with its variables filled in: comments, formatting and the order of keys do not enter."""
    path: str = "mlops.yaml"
    warnings: tuple[str, ...] = ()
    moved: Mapping[Address, Address] = {}
    """New address -> the one that the resource had before."""


class _Entry:
    """One named block of a section, on its way to a Resource."""

    def __init__(self, address: Address, provider: str, node: Node, at: Place, spec: Any = None) -> None:
        self.address = address
        self.provider = provider
        self.node = node
        self.at = at
        self.spec = spec
        self.each: Node | None = None
        self.values: Mapping[str, Scalar] = {}


_Entries: TypeAlias = list[_Entry]


def _of(entries: _Entries, section: str) -> _Entries:
    return [entry for entry in entries if entry.address.section == section]


def load_manifest(
    text: bytes, path: str = "mlops.yaml", read: Read | None = None, change: Callable[[Node], Node] | None = None
) -> Manifest:
    """Reads and checks a manifest; ``read`` gives the bytes of the files that ``each:`` names.

    ``change`` makes another document of the one that was read, before anything in it is looked at.

    Raises ManifestError with the first finding; the file's other findings are in its ``others``.
    """
    source, findings = decode(text, path)
    root = read_yaml(source, findings)
    if not isinstance(root.value, dict):
        findings.add(
            "MLO3009", f"a manifest is a mapping of keys, not a {root.kind}", root.at, hint="see `mlopsctl init`"
        )
        findings.close()
    if change is not None:
        findings.close()
        root = change(root)
    if change is not None or b"each:" in text:
        read_files(root, read, findings)
        findings.close()
    check_texts(root, findings)
    _check_top_level(root, findings)
    project = _project(root, findings)
    store = _store(root, findings)
    entries, families = _sections(root, findings, marked=change is not None or MARK.encode() in text)
    findings.close()
    _fill(entries, families, findings)
    findings.close()
    # Variables are filled in by now: a saved plan is about the store and the places that it was made for.
    document = root.plain()
    resources = _ordered(_resources(entries, path, findings), findings)
    renamed = moved(root, resources, findings)
    findings.close()
    return Manifest(project, store, resources, digest_of(plain(document)), path, tuple(_warnings(resources)), renamed)


def _ordered(resources: Iterable[Resource], findings: Findings) -> tuple[Resource, ...]:
    try:
        return topological(resources)
    except ManifestError as error:
        if error.where is None:
            raise
        findings.add(error.code, error.message, (error.where.line, error.where.column), hint=error.hint)
        findings.close()
        raise


def topological(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """The resources so that each stands after all it needs; otherwise in the order given.

    Raises ManifestError for a cycle, naming the chain, and for a need that no resource meets.
    """
    from graphlib import CycleError, TopologicalSorter

    wanted = {resource.address: resource for resource in resources}
    order = {address: index for index, address in enumerate(wanted)}
    sorter: TopologicalSorter[Address] = TopologicalSorter()
    for resource in wanted.values():
        for need in resource.needs:
            if need.address not in wanted:
                message = f"{resource.address} needs {need.address}, which the manifest does not declare"
                hint = f"declare it, or take it out of {resource.address}"
                raise ManifestError(message, hint=hint, where=resource.where, code="MLO3020")
        sorter.add(resource.address, *(need.address for need in resource.needs))
    try:
        sorter.prepare()
    except CycleError as error:
        chain: list[Address] = error.args[1]
        message = "these wait for each other: " + " → ".join(str(address) for address in reversed(chain))
        hint = "take one of the references out"
        raise ManifestError(message, hint=hint, where=wanted[chain[0]].where, code="MLO3026") from None
    found: list[Resource] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=order.__getitem__)
        found.extend(wanted[address] for address in ready)
        sorter.done(*ready)
    return tuple(found)


# --- Top level ---------------------------------------------------------------------------------------------


def _check_top_level(root: Node, findings: Findings) -> None:
    for key, at in root.keys.items():
        if key in TOP_LEVEL or key.startswith("x-"):
            continue
        from .words import explain

        answer = explain("", key) or ("MLO3013", f"unknown section '{key}'", did_you_mean(key, TOP_LEVEL))
        findings.add(answer[0], answer[1], at, hint=answer[2])
    version = root.get("apiVersion")
    if version is None:
        findings.add(
            "MLO3015", "the key 'apiVersion' is missing", root.at, hint=f"begin with apiVersion: {API_VERSION}"
        )
    elif version.value != API_VERSION:
        message = f"this mlopsctl reads {API_VERSION}, not '{version.plain()}'"
        findings.add(
            "MLO3027", message, version.at, hint=f"write apiVersion: {API_VERSION}, or install a newer mlopsctl"
        )
    requires = root.get("requires")
    if requires is not None:
        _check_requires(requires, findings)


def _check_requires(node: Node, findings: Findings) -> None:
    from .. import __version__

    bounds = [part.strip() for part in node.value.split(",")] if isinstance(node.value, str) else [""]
    for bound in bounds:
        match = re.fullmatch(r"(>=|<)\s*([0-9]+(?:\.[0-9]+)*)", bound)
        if match is None:
            hint = 'write requires: ">=0.1" or ">=0.1,<2"'
            findings.add("MLO3017", "'requires' is a list of version bounds", node.at, hint=hint)
            return
        ours = tuple(int(part) for part in re.findall(r"[0-9]+", __version__)[:3])
        theirs = tuple(int(part) for part in match[2].split("."))
        width = max(len(ours), len(theirs))
        ours, theirs = (version + (0,) * (width - len(version)) for version in (ours, theirs))
        if (ours >= theirs) != (match[1] == ">="):
            message = f"this manifest requires mlopsctl {node.value}; this is {__version__}"
            findings.add("MLO3027", message, node.at, hint=f'pip install "mlopsctl{node.value}"')


def _project(root: Node, findings: Findings) -> ProjectSpec:
    node = root.get("project")
    if node is None:
        findings.add("MLO3015", "the key 'project' is missing", root.at, hint="write project: {name: my-project}")
        return ProjectSpec("")
    found = conform(node, ProjectSpec, findings, _strange("project"), root.keys["project"])
    return cast(ProjectSpec, found) if found else ProjectSpec("")


def _store(root: Node, findings: Findings) -> str | None:
    node = root.get("store")
    if node is None or node.value is None:
        return None
    if isinstance(node.value, dict):
        findings.add(
            "MLO3019", "several stores are not yet supported", node.at, hint="write one folder: store: ../mlops-store"
        )
        return None
    if not isinstance(node.value, str):
        findings.add("MLO3016", f"'store' must be text, not a {node.kind}", node.at, hint="write store: ../mlops-store")
        return None
    interpolate(node, findings)
    text: str = node.value.removeprefix("file://")
    if "://" in text or text.startswith("oci:"):
        message = f"a store at '{text.split(':')[0]}:' is not yet supported"
        findings.add("MLO3019", message, node.at, hint="write a folder: store: ../mlops-store")
    return text


# --- Sections ----------------------------------------------------------------------------------------------


def _strange(section: str, module: ModuleType | None = None) -> Callable[[str], tuple[str, str, str] | None]:
    def answer(path: str) -> tuple[str, str, str] | None:
        from .words import explain

        return explain(section, path, tuple(getattr(module, "LATER_KEYS", ())))

    return answer


def _sections(root: Node, findings: Findings, *, marked: bool) -> tuple[_Entries, Families]:
    """Every entry with its Spec; names and providers are known before references are checked."""
    entries: _Entries = []
    for section in SECTIONS:
        block = root.get(section)
        if block is None or block.value is None:
            continue
        if not isinstance(block.value, dict):
            message = f"'{section}' must be a mapping of names, not a {block.kind}"
            findings.add("MLO3016", message, block.at, hint=f"write {section}: {{NAME: {{…}}}}")
            continue
        for name, node in block.value.items():
            entry = _entry(section, name, node, block.keys[name], findings)
            if entry:
                entries.append(entry)
    # Mappings without values: in the order of the manifest, and asked for every reference whether they hold a name.
    names = {section: dict.fromkeys(_names(root, section)) for section in SECTIONS}
    before = len(findings)
    entries, families = _repeated(entries, findings, marked=marked)
    if len(findings) > before:
        findings.close()  # what follows would find the same in other words
    if families:
        for section, group in families.items():
            for name, whole in group.items():
                names[section] |= dict.fromkeys(f"{name}[{one.name}]" for one in whole.instances)
        for entry in entries:
            spec = provider(entry.provider).Spec
            bind(spec, entry.node, entry.address, entry.values, families, findings)
    for entry in entries:
        module = provider(entry.provider)
        strange = _strange(entry.address.section, cast(ModuleType, module))
        entry.spec = conform(entry.node, module.Spec, findings, strange, entry.at)
        check_entry(module.Spec, entry.node, names, findings)
    return entries, families


def _repeated(entries: _Entries, findings: Findings, *, marked: bool) -> tuple[_Entries, Families]:
    """The entries with every repeated one as its instances."""
    found: _Entries = []
    families: dict[str, dict[str, Family]] = {}
    for entry in entries:
        if entry.each is None:
            if marked:
                refuse_marks(entry.node, findings)
            found.append(entry)
            continue
        whole = family(entry.each, entry.address, entry.node.size - entry.each.size, findings)
        if whole is None:
            continue
        families.setdefault(entry.address.section, {})[entry.address.name] = whole
        spec = provider(entry.provider).Spec
        for one in whole.instances:
            node = filled(entry.node, spec, one.values, findings)
            instance = _Entry(entry.address._replace(instance=one.name), entry.provider, node, entry.at)
            instance.values = one.values
            found.append(instance)
    return found, families


def _names(root: Node, section: str) -> Collection[str]:
    block = root.get(section)
    return block.value if block and isinstance(block.value, dict) else ()


def _entry(section: str, name: str, node: Node, at: Place, findings: Findings) -> _Entry | None:
    if not matches(NAME, name):
        hint = "use lower-case letters, digits, '-' and '_', beginning with a letter"
        findings.add("MLO3028", f"'{name}' is no name for a resource", at, hint=hint)
        return None
    if node.value is not None and not isinstance(node.value, dict):
        message = f"'{section}.{name}' must be a mapping of keys, not a {node.kind}"
        findings.add("MLO3016", message, node.at, hint=f"write {name}: {{…}}")
        return None
    items = dict(node.value or {})
    use, each = items.pop("use", None), items.pop("each", None)
    word = use.value if use else implied_use(section, lambda key: items[key].value, items)
    if f"{section}/{word}" not in PROVIDERS:
        _unknown_use(section, use, findings)
        return None
    rest = Node(items, node.at, node.end, node.keys, flow=node.flow, size=node.size)
    if section == "deployments" and "to" in items:
        interpolate(items["to"], findings)
    entry = _Entry(Address(section, name), f"{section}/{word}", rest, at)
    entry.each = each
    return entry


def _unknown_use(section: str, use: Node | None, findings: Findings) -> None:
    from .words import LATER_USES

    if use is None:
        return
    known = [key.partition("/")[2] for key in PROVIDERS if key.startswith(section + "/")]
    listed = "use one of: " + ", ".join(known)
    if not isinstance(use.value, str):
        findings.add("MLO3016", f"'use' must be text, not a {use.kind}", use.at, hint=listed)
    elif use.value in LATER_USES[section]:
        findings.add("MLO3019", f"'use: {use.value}' is not yet supported in '{section}'", use.at, hint=listed)
    else:
        message = f"'{section}' has no provider '{use.value}'"
        findings.add("MLO3029", message, use.at, hint=did_you_mean(use.value, known))


# --- References left out, implicit gates, needs ------------------------------------------------------------


def _models(entries: _Entries) -> list[str]:
    """The names of all training entries that yield a model."""
    return [
        entry.address.bare for entry in _of(entries, "train") if getattr(entry.spec, "produces", "model") == "model"
    ]


def _final(entries: _Entries) -> list[str]:
    """The models that no other training entry consumes."""
    used = {
        match
        for entry in _of(entries, "train")
        for text in texts(entry.node)
        for match in re.findall(r"\{train\.([^{}]+)\}", text.value)
        if match != entry.address.bare
    }
    return [name for name in _models(entries) if name not in used]


def _sole(names: list[str]) -> str:
    """The one name that all of these are instances of, or "" where there are several."""
    found = {name.partition("[")[0] for name in names}
    return found.pop() if len(found) == 1 else ""


def _only(names: list[str], sole: str, entry: _Entry, section: str, families: Families) -> str:
    """The one that is meant where a name is left out: the only one, or of the only repeated one the same instance."""
    if len(names) == 1:
        return names[0]
    whole = families.get(section, {}).get(sole)
    instance = whole.pick(entry.values) if whole else None
    return f"{sole}[{instance}]" if instance else ""


def _fill(entries: _Entries, families: Families, findings: Findings) -> None:
    """Writes the model and the data an entry left out into its Spec, where only one can be meant."""
    models, data = _final(entries), [entry.address.bare for entry in _of(entries, "data")]
    sole_model, sole_data = _sole(models), _sole(data)
    made_for: dict[str, str] = {}
    for entry in entries:
        kind: type = type(entry.spec)
        keys = {key for key, item in fields_of(kind).items() if item.metadata.get("ref")}
        target = getattr(entry.spec, "target", None)
        if "model" in keys and not entry.spec.model:
            if target in made_for:
                entry.spec = replace(entry.spec, model=made_for[target])
            elif only := _only(models, sole_model, entry, "train", families):
                entry.spec = replace(entry.spec, model=only)
            elif models and not target and not getattr(entry.spec, "data", None):
                hint = "write model: " + " or model: ".join(models)
                findings.add("MLO3030", f"{entry.address} does not say which model", entry.at, hint=hint)
        if "data" in keys and entry.spec.data == "" and (only := _only(data, sole_data, entry, "data", families)):
            entry.spec = replace(entry.spec, data=only)
        if entry.address.section == "targets":
            made_for[entry.address.bare] = getattr(entry.spec, "model", "")


def _scans(entries: _Entries, findings: Findings) -> list[_Entry]:
    """A scan of every model for which the manifest declares none: what is served was looked through first."""
    if "gates/scan" not in PROVIDERS:
        return []
    models = _models(entries)
    declared = {entry.spec.model for entry in _of(entries, "gates") if entry.provider == "gates/scan"}
    unscanned = set(models) - declared
    missing = [entry for entry in _of(entries, "train") if entry.address.bare in unscanned]
    for entry in _of(entries, "gates"):
        if missing and entry.address.name == "scan":
            message = "the name 'scan' belongs to the built-in gate that looks through every model"
            findings.add("MLO3031", message, entry.at, hint="choose another name, or write use: scan")
    spec = provider("gates/scan").Spec
    return [
        _Entry(
            Address("gates", "scan", "" if len(models) == 1 else _as_instance(entry.address)),
            "gates/scan",
            entry.node,
            entry.at,
            spec(model=entry.address.bare),
        )
        for entry in missing
    ]


def _as_instance(model: Address) -> str:
    """A model as the instance of its scan: ``scorer``, or ``scorer,eu`` for ``scorer[eu]``."""
    return f"{model.name},{model.instance}" if model.instance else model.name


def _resources(entries: _Entries, path: str, findings: Findings) -> list[Resource]:
    scans = _scans(entries, findings)
    findings.close()
    entries = [*entries, *scans]
    entries.sort(key=lambda entry: SECTIONS.index(entry.address.section))
    specs: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for entry in entries:
        specs[entry.address.section][entry.address.bare] = entry.spec
    found: list[Resource] = []
    for entry in entries:
        try:
            needs = provider(entry.provider).needs(entry.spec, specs)
        except MlopsError as error:
            findings.add(error.code, error.message, entry.at, hint=error.hint)
            continue
        found.append(Resource(entry.address, entry.provider, entry.spec, needs, Where(path, *entry.at)))
    findings.close()
    return found


def _personal(spec: Any) -> str:
    """The first text of a Spec's result fields that looks like somebody's address or folder."""
    waiting: list[Any] = [result_fields(spec)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and struck(value) != value:
            return value
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ""


def _warnings(resources: Iterable[Resource]) -> Iterator[str]:
    """What is allowed and still worth a word."""
    for resource in resources:
        own: Callable[[Any], tuple[str, ...]] | None = getattr(provider(resource.provider), "warnings", None)
        for text in own(resource.spec) if own else ():
            yield f"{resource.where}: {resource.address}: {text}"
        if personal := _personal(resource.spec):
            yield (
                f"{resource.where}: {resource.address}: '{personal}' goes into signed entries as it is written, and they "
                "do not forget: leave people's addresses and folders out"
            )
        split = getattr(resource.spec, "split", "none")
        whole = isinstance(split, str) or getattr(split, "test", None) == "all"
        if whole or not getattr(resource.spec, "label", None):
            continue
        if split is None or not any(getattr(split, key, None) for key in _STABLE):
            yield (
                f"{resource.where}: {resource.address}: the split is unstable under edits: a corrected row may change "
                "sides; name the column that identifies a row with split: {key: …} or {by: …}"
            )
