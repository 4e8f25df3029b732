"""One YAML document, read as data from strangers: bounded, without aliases, without keys that stand twice."""

from collections.abc import Hashable
from typing import Any

import yaml

from scaler.model.errors import ConfigError

MAX_NODES = 20_000
MAX_DIGITS = 100  # of a number; YAML 1.1 also reads 1:30:00 as one, in a time that grows with the square of its parts

_DATE = "tag:yaml.org,2002:timestamp"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """YAML without aliases (they make small texts enormous, or cyclic), duplicate keys and dates, and bounded."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse an alias, and a document of too many nodes, before it is built."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_NODES} values", problem_mark=mark)
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
            raise yaml.MarkedYAMLError(problem=f"a number of {len(node.value)} characters", problem_mark=mark)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Refuse a key that stands twice: one of the two would be lost."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is not a plain value", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _without_dates(resolvers: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]


_Loader.yaml_implicit_resolvers = {  # a date stays the text that it is: no key of ours takes another
    first: _without_dates(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


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
    except RecursionError as error:
        raise ConfigError(where, "", "is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(where, "", f"is not YAML we can read: {str(error)[:200]}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # as of `!!bool maybe`, `!!int ""`
        raise ConfigError(where, "", f"has a value that does not fit its tag ({error})") from error
