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

from scaler.config.formula_file import FormulaFile, parse_file
from scaler.model.errors import ConfigError, UnknownFormula, nearest
from scaler.model.strict_yaml import parse_yaml

MAX_FILE_BYTES = 256 * 1024
MAX_FILES = 1000


@dataclass(frozen=True, slots=True)
class Catalog:
    """The formula files as they were last read.

    Attributes:
        formulas: the last good version of every file, by the formula's name.
        problems: what is wrong, by file name; the formula of that file, if any, is an older one.
        digests: what each file held when it was last read.
    """

    formulas: Mapping[str, FormulaFile] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

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


def shipped_formulas() -> Path:
    """The folder of the formulas that come with the program: inside the package, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "formulas"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "formulas"


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
        paths = formula_paths(folder)
    except OSError as error:
        if last is None:
            raise ConfigError(str(folder), "", f"cannot be listed ({error.strerror})", "a folder") from error
        gone = {**before.problems, str(folder): f"the folder cannot be listed ({error.strerror})"}
        return Catalog(before.formulas, MappingProxyType(gone), before.digests)
    formulas, problems, digests = dict(before.formulas), {}, {}
    seen: set[str] = set()
    for path in paths:
        try:
            if len(seen) == MAX_FILES or path.stem in seen:
                raise ConfigError(path.name, "", "is not read", f"at most {MAX_FILES} files, one of each name")
            seen.add(path.stem)
            content = _read(path)
            digest = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
            digests[path.name] = digest
            if digest != before.digests.get(path.name):
                formulas[path.stem] = parse_file(parse_yaml(content, path.name), path.name, path.stem)
            elif path.name in before.problems:
                problems[path.name] = before.problems[path.name]
        except ConfigError as error:
            problems[path.name] = str(error)
    for name in sorted(set(formulas) - seen):
        problems[f"{name}.yaml"] = "the file is gone; its last version goes on serving until this process ends"
    if last is not None and (problems, digests) == (before.problems, before.digests):
        return last
    return Catalog(MappingProxyType(formulas), MappingProxyType(problems), MappingProxyType(digests))


def formula_paths(folder: Path) -> list[Path]:
    """The formula files of a folder: `*.yaml` and `*.yml` directly inside it."""
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
