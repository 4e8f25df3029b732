"""The folder of formula files -> an immutable catalogue. Parse, validate, swap; a bad edit keeps the last good one.

A file that cannot be read leaves every other file alone, and its own last good version in service for as long as the
process lives; so does a file that was removed. What is wrong stands in `problems`, for the log, the metric and
`/readyz?verbose`. Kubernetes swaps a mounted ConfigMap by moving one symbolic link, so what a file holds now is found
out by reading it: cheap, since only bytes that differ are parsed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import yaml

from scaler.errors import ConfigError, UnknownFormula, nearest
from scaler.spec import FormulaFile, parse_file

MAX_FILE_BYTES = 256 * 1024
MAX_FILES = 1000
MAX_NODES = 20_000  # of one YAML document


@dataclass(frozen=True, slots=True)
class Catalog:
    """The formula files as they were last read.

    Attributes:
        formulas: the last good version of every file, by the formula's name.
        problems: what is wrong, by file name; the formula of that file, if any, is an older one.
        digests: what each file held when it was last read.
    """

    formulas: Mapping[str, FormulaFile] = field(default_factory=lambda: MappingProxyType({}))
    problems: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    digests: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

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


def load(folder: Path, last: Catalog | None = None) -> Catalog:
    """Read the folder again.

    Args:
        folder: `*.yaml` and `*.yml` directly inside it are formula files.
        last: the catalogue before; its files stay where the new ones are bad or gone.

    Returns:
        The new catalogue; `last` itself when nothing has changed.

    Raises:
        ConfigError: there was no catalogue before, and the folder cannot be listed.
    """
    before = last or Catalog()
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"} and path.is_file())
    except OSError as error:
        if last is None:
            raise ConfigError(str(folder), "", f"cannot be listed ({error.strerror})", "a folder") from error
        problems = {**before.problems, folder.name: f"the folder cannot be listed ({error.strerror})"}
        return Catalog(before.formulas, MappingProxyType(problems), before.digests)
    formulas = dict(before.formulas)
    problems: dict[str, str] = {}
    digests: dict[str, str] = {}
    for path in paths[:MAX_FILES]:
        try:
            text = _read(path)
            digests[path.name] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
            if digests[path.name] == before.digests.get(path.name):
                if path.name in before.problems:
                    problems[path.name] = before.problems[path.name]
                continue
            file = parse_file(parse_yaml(text, path.name), path.name, path.stem)
            formulas[file.name] = file
        except ConfigError as error:
            problems[path.name] = str(error)
    here = {path.stem for path in paths[:MAX_FILES]}
    for name in sorted(set(formulas) - here):
        problems[f"{name}.yaml"] = "the file is gone; its last version goes on serving until this process ends"
    for path in paths[MAX_FILES:]:
        problems[path.name] = f"not read: more than {MAX_FILES} files"
    if formulas == before.formulas and problems == before.problems and last is not None:
        return last if digests == before.digests else Catalog(before.formulas, before.problems, digests)
    return Catalog(MappingProxyType(formulas), MappingProxyType(problems), MappingProxyType(digests))


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


class _Loader(yaml.SafeLoader):
    """YAML without aliases (they make small texts enormous, or cyclic), without duplicate keys, and bounded."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:  # type: ignore[override]
        """Refuse an alias, and a document of too many nodes, before it is built."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_NODES} values", problem_mark=mark)
        return super().compose_node(parent, index)  # type: ignore[no-any-return, no-untyped-call]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:  # type: ignore[override]
        """Refuse a key that stands twice: one of the two would be lost."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return, no-untyped-call]


def parse_yaml(text: str, where: str) -> object:
    """Read one YAML document.

    Raises:
        ConfigError: not YAML, or cyclic, enormous, nested too deeply, or with a key that stands twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (at {mark.line + 1}:{mark.column + 1})" if mark else ""
        raise ConfigError(where, "", f"is not YAML we can read: {error.problem}{place}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(where, "", f"is not YAML we can read: {str(error)[:200]}") from error
    except RecursionError as error:
        raise ConfigError(where, "", "is nested too deeply") from error
