"""The formula files -> an immutable catalogue. Parse, validate, swap; a bad edit keeps the last good one.

The shipped files are always there; a file of the user's own folder takes the place of a shipped one of its name. A file
that cannot be read leaves every other file alone, and its own last good version in service for as long as the process
lives. A file that was removed is forgotten once no workload uses it, and is a problem until then. What is wrong stands
in `problems`, for the log, the metric and `/readyz?verbose`. Kubernetes swaps a mounted ConfigMap by moving one
symbolic link, so what a file holds now is found out by reading it: cheap, since only bytes that differ are parsed.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from scaler.config.bind import bind, parse_file
from scaler.config.defaults import Defaults
from scaler.config.formula_file import FormulaFile
from scaler.config.trigger import parse_trigger
from scaler.config.workload import WorkloadSpec
from scaler.model.errors import ConfigError, UnknownFormula, nearest
from scaler.model.measurement import TriggerRef, WorkloadKey
from scaler.model.strict_yaml import parse_yaml

MAX_FILE_BYTES = 256 * 1024
MAX_FILES = 1000


@dataclass(frozen=True, slots=True)
class Binding:
    """A trigger, and the formula that it is bound to."""

    key: WorkloadKey
    file: FormulaFile | None  # None: the trigger brings an expression of its own
    spec: WorkloadSpec


@dataclass(frozen=True, slots=True)
class Catalog:
    """The formula files as they were last read.

    Attributes:
        formulas: the last good version of every file, by the formula's name.
        problems: what is wrong, by file name; the formula of that file, if any, is an older one.
        digests: what each file held when it was last read, by its path.
        replaced: shipped formulas that a file of the user's own takes the place of.
    """

    formulas: Mapping[str, FormulaFile] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()

    def bind(self, request: TriggerRef, defaults: Defaults, kind: str | None = None) -> Binding:
        """Make of what KEDA sends the workload that is decided: the one door for configuration.

        Args:
            request: what KEDA sends.
            defaults: what the settings say.
            kind: of the object, as Kubernetes says; None: as the trigger says.

        Raises:
            ScalerError: there is no such formula, or the trigger or the formula file is wrong; says what is allowed.
        """
        trigger = parse_trigger(request)
        if kind is not None:
            trigger = replace(trigger, key=replace(trigger.key, kind=kind))
        file = self.find(trigger.formula) if trigger.formula is not None else None
        return Binding(trigger.key, file, bind(file, trigger, defaults))

    def find(self, name: str) -> FormulaFile:
        """Return the formula of that name.

        Raises:
            UnknownFormula: there is none; says which there are, and why a file of that name was not read.
        """
        if name in self.formulas:
            return self.formulas[name]
        broken = next((text for file, text in self.problems.items() if Path(file).stem == name), None)
        if broken:
            raise UnknownFormula(f"formula {name[:63]!r} could not be read: {broken}")
        known = ", ".join(sorted(self.formulas)[:20]) or "none"
        raise UnknownFormula(f"no formula {name[:63]!r}{nearest(name[:63], self.formulas)}; there are: {known}")

    def problem_of(self, name: str) -> str:
        """Say why the newest version of a formula's file is not in force; empty: it is."""
        found = ((file, text) for file, text in self.problems.items() if Path(file).stem == name)
        file, problem = next(found, ("", ""))
        return f"{file} as it is now is not in force: {problem}" if problem else ""


def shipped_formulas() -> Path:
    """Return the folder of the formulas that come with the program: inside the package, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "formulas"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "formulas"


def load(own: Path | None = None, last: Catalog | None = None, in_use: Collection[str] = ()) -> Catalog:
    """Read the formula files again: the shipped ones, and those of the user's own folder, which win over them.

    Args:
        own: `*.yaml` and `*.yml` directly inside this folder are formula files; None: the shipped ones alone.
        last: the catalogue before; its files stay where the new ones are bad.
        in_use: formulas that workloads use; such a one stays also when its file is gone, and that is a problem.

    Returns:
        The new catalogue; `last` itself when nothing has changed.

    Raises:
        ConfigError: there was no catalogue before, and a folder cannot be listed.
    """
    before = last or Catalog()
    try:
        files, problems = _listed(own)
    except ConfigError as error:
        if last is None:
            raise
        gone = {**before.problems, error.where: f"the folder {error.problem}"}
        return replace(before, problems=MappingProxyType(gone))
    formulas, digests, unread = _formulas(files, before)
    problems |= unread
    for name in sorted(before.formulas.keys() - files.keys() & set(in_use)):
        formulas[name] = before.formulas[name]
        problems[f"{name}.yaml"] = "the file is gone; its last version serves the workloads that use it"
    same = (problems, digests, formulas.keys()) == (before.problems, before.digests, before.formulas.keys())
    if last is not None and same:
        return last
    replaced = {path.stem for path in files.values() if own and path.parent == own and _is_shipped(path.stem)}
    return Catalog(
        MappingProxyType(formulas), MappingProxyType(problems), MappingProxyType(digests), frozenset(replaced)
    )


def _listed(own: Path | None) -> tuple[dict[str, Path], dict[str, str]]:
    """List the files by the formula's name, the user's own before the shipped ones, and what is wrong with others.

    Raises:
        ConfigError: a folder cannot be listed.
    """
    files: dict[str, Path] = {}
    problems: dict[str, str] = {}
    for folder in filter(None, (shipped_formulas(), own)):
        try:
            paths = formula_paths(folder)
        except OSError as error:
            raise ConfigError(str(folder), "", f"cannot be listed ({error.strerror})", "a folder") from error
        found, doubled = _one_of_each_name(paths)
        files |= found
        problems |= doubled
    return files, problems


def _formulas(
    files: Mapping[str, Path], before: Catalog
) -> tuple[dict[str, FormulaFile], dict[str, str], dict[str, str]]:
    """Read the files that have changed; of one that is bad the version before stays.

    Returns:
        The formulas by name, the digests of the files by path, and what is wrong with a file by its name.
    """
    formulas: dict[str, FormulaFile] = {}
    digests: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name, path in files.items():
        try:
            content = _read(path)
            digest = digests[str(path)] = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
            if digest != before.digests.get(str(path)):
                formulas[name] = parse_file(parse_yaml(content, path.name), path.name, name)
                continue
            problem = before.problems.get(path.name)
        except ConfigError as error:
            problem = str(error)
        if problem:
            problems[path.name] = problem
        if name in before.formulas:
            formulas[name] = before.formulas[name]
    return formulas, digests, problems


def _one_of_each_name(paths: Iterable[Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """Map the formulas' names to the files of one folder, and say what is wrong with the others."""
    found: dict[str, Path] = {}
    problems: dict[str, str] = {}
    for path in paths:
        if len(found) == MAX_FILES or path.stem in found:
            error = ConfigError(path.name, "", "is not read", f"at most {MAX_FILES} files, one of each name")
            problems[path.name] = str(error)
        else:
            found[path.stem] = path
    return found, problems


def _is_shipped(name: str) -> bool:
    return any((shipped_formulas() / f"{name}{suffix}").is_file() for suffix in (".yaml", ".yml"))


def formula_paths(folder: Path) -> list[Path]:
    """List the formula files of a folder: `*.yaml` and `*.yml` directly inside it."""
    return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"} and path.is_file())


def read_formula(path: Path) -> FormulaFile:
    """Read one formula file by itself.

    Raises:
        ConfigError: it cannot be read, or says something that is not allowed.
    """
    return parse_file(parse_yaml(_read(path), str(path)), str(path), path.stem)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError(path.name, "", "is too large", f"at most {MAX_FILE_BYTES // 1024} KiB")
        return raw.decode("utf-8")
    except OSError as error:
        raise ConfigError(path.name, "", f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path.name, "", f"is not UTF-8 (byte {error.start})") from error
