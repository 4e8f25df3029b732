"""Formulas at random: mostly right ones, with a seasoning of wrong types, and broken texts made from them."""

import random
from collections.abc import Callable

NAMES = ("a", "b", "waiting", "gpu_free")
VALUES = (0.0, 1.0, -1.0, 2.0, 3.0, 0.5, 2.5, 8.0, -3.0, 100.0, 1e6)
NUMBERS = ("0", "1", "2", "3", "7", "10", "0.5", "2.5", ".25", "1.", "1_000", "0x1F", "0b101", "0o17", "1e3", "2.5e-1")
ORDERS = ('"desc"', "'asc'", "`desc`")
FRAGMENTS = (
    *"+-*/%^()[]{}?:;,.#|&!<>=",
    *("**", "??", "&&", "||", "..", "==", "!=", "<=", "?.", "::", " ", " in ", " not ", "not in", " and ", " or "),
    *("let x = 1; ", "if a > 1 {", "} else {", "#index", "#acc", "nil", "true", "a", "1", "0", "-1", "1.5", "//", "/*"),
    *("*/", "'", '"', "`", "\n", "max(", "count(", "sum(", "map(", "x", "float(", "now()", "é", "²", "\t", "$env"),
)


class Grammar:
    """One formula after another, from one source of randomness."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._closures: list[tuple[str, ...]] = []  # the pointers in scope, innermost last
        self._lets: list[str] = []

    def formula(self, *, boolean: bool = False) -> str:
        """A formula that gives a number, or a boolean, if nothing goes wrong."""
        self._closures, self._lets = [], []
        return (self._test if boolean else self._number)(self._random.choice((1, 2, 3, 3, 4, 5)))

    def broken(self, *, boolean: bool = False) -> str:
        """A formula with a few pieces of text taken out, doubled, swapped or put in."""
        text = self.formula(boolean=boolean)
        for _ in range(self._random.randint(1, 3)):
            at = self._random.randint(0, len(text))
            to = min(len(text), at + self._random.randint(0, 4))
            piece = self._random.choice(("", text[at:to] * 2, self._random.choice(FRAGMENTS), text[at:to][::-1]))
            text = text[:at] + piece + text[to:]
        return text

    def values(self) -> dict[str, float | None]:
        """A value for each name, now and then none."""
        nils = self._random.random() < 0.2
        return {n: None if nils and self._random.random() < 0.5 else self._random.choice(VALUES) for n in NAMES}

    def _one_of(self, *makers: Callable[[], str]) -> str:
        return self._random.choice(makers)()

    def _number(self, depth: int) -> str:
        if self._random.random() < 0.03:
            return self._one_of(lambda: self._test(depth - 1), lambda: self._array(depth - 1), lambda: "nil")
        if depth <= 0:
            return self._leaf()
        n, t, a = (lambda: self._number(depth - 1)), (lambda: self._test(depth - 1)), (lambda: self._array(depth - 1))
        return self._one_of(
            lambda: f"{n()} {self._random.choice(['+', '-', '*', '/', '+', '*', '**', '^'])} {n()}",
            lambda: f"({n()} {self._random.choice('+-*/')} {n()})",
            lambda: f"({n()})",
            lambda: f"{self._random.choice('-+')}{n()}",
            lambda: f"({t()} ? {n()} : {n()})",
            lambda: f"(if {t()} {{ {n()} }} else {{ {n()} }})",
            lambda: f"(({n()}) ?? ({n()}))",
            lambda: f"({self._leaf()} ?? {self._leaf()} ?? {n()})",
            lambda: f"{self._leaf()} ?? ({n()})",
            lambda: f"{self._random.choice(['abs', 'ceil', 'floor', 'round', 'int', 'float'])}({n()})",
            lambda: f"{self._random.choice(['max', 'min', 'mean', 'median'])}({n()}, {n()})",
            lambda: f"{self._random.choice(['max', 'min', 'mean', 'median', 'sum', 'len', 'first', 'last'])}({a()})",
            lambda: f"({n()} | {self._random.choice(['max', 'min'])}({n()}))",
            lambda: f"({a()} | {self._random.choice(['sum', 'count', 'len', 'max'])}())",
            lambda: f"int({n()}) % {self._random.choice(['2', '3', '-3', f'int({n()})', self._leaf()])}",
            lambda: f"{a()}[{self._whole(depth - 1)}]",
            lambda: f"get({a()}, {self._whole(depth - 1)})",
            lambda: self._let(depth),
            lambda: self._closure(depth, ("count", "find", "findIndex", "findLast", "findLastIndex"), self._test),
            lambda: self._closure(depth, ("sum",), self._number),
            lambda: self._reduce(depth),
            lambda: f"{n()} /* why */",
        )

    def _leaf(self) -> str:
        choices = [*NUMBERS, *NAMES * 6, *self._lets * 8]
        if self._closures:
            choices += self._closures[-1] * 8
        return self._random.choice(choices)

    def _whole(self, depth: int) -> str:
        if self._random.random() < 0.1:
            return self._number(depth)
        return self._random.choice(["0", "1", "-1", "2", "5", f"int({self._leaf()})", f"len({self._array(depth - 1)})"])

    def _test(self, depth: int) -> str:
        if self._random.random() < 0.03:
            return self._number(depth)
        n, t, a = (lambda: self._number(depth - 1)), (lambda: self._test(depth - 1)), (lambda: self._array(depth - 1))
        if depth <= 0:
            return self._random.choice(["true", "false", f"{self._leaf()} > {self._leaf()}"])
        return self._one_of(
            lambda: f"{n()} {self._random.choice(['<', '<=', '>', '>=', '==', '!='])} {n()}",
            lambda: f"{n()} < {n()} <= {n()}",
            lambda: f"{t()} {self._random.choice(['and', '&&', 'or', '||'])} {t()}",
            lambda: f"({t()})",
            lambda: f"{self._random.choice(['!', 'not '])}({t()})",
            lambda: f"{n()} {self._random.choice(['in', 'not in'])} {a()}",
            lambda: f"{n()} == nil",
            lambda: f"{a()} == {a()}",
            lambda: self._closure(depth, ("all", "any", "none", "one"), self._test),
        )

    def _array(self, depth: int) -> str:
        if depth <= 0:
            return self._random.choice(["[]", "[a, b]", "[1, 2, 3]", "1..3", "[1, 2.5]", "[a, 1, waiting]", "3..1"])
        n, a = (lambda: self._number(depth - 1)), (lambda: self._array(depth - 1))
        return self._one_of(
            lambda: f"[{', '.join(n() for _ in range(self._random.randint(0, 4)))}]",
            lambda: f"[{n()}, {n()},]",
            lambda: f"({self._whole(depth - 1)}..{self._whole(depth - 1)})",
            lambda: f"{self._random.choice(['sort', 'reverse', 'uniq', 'flatten', 'concat'])}({a()})",
            lambda: f"sort({a()}, {self._random.choice(ORDERS)})",
            lambda: f"concat({a()}, {a()})",
            lambda: f"([{a()}, {a()}] | flatten())",
            lambda: f"take({a()}, {self._whole(depth - 1)})",
            lambda: f"{a()}[{self._whole(depth - 1)}:{self._whole(depth - 1)}]",
            lambda: f"{a()}[{self._random.choice(['1:', ':1', ':', '-2:', ':-1'])}]",
            lambda: self._closure(depth, ("filter",), self._test),
            lambda: self._closure(depth, ("map",), self._number, ("#index",)),
            lambda: self._closure(depth, ("sortBy",), self._number),
        )

    def _closure(
        self, depth: int, functions: tuple[str, ...], body: Callable[[int], str], more: tuple[str, ...] = ()
    ) -> str:
        items = self._array(depth - 1)
        self._closures.append(("#", *more))
        inner = body(depth - 1)
        self._closures.pop()
        if self._random.random() < 0.5:
            inner = f"{{{inner}}}"
        function = self._random.choice(functions)
        return self._one_of(lambda: f"{function}({items}, {inner})", lambda: f"({items} | {function}({inner}))")

    def _reduce(self, depth: int) -> str:
        items = self._array(depth - 1)
        self._closures.append(("#", "#acc", "#index"))
        inner = self._random.choice(["#acc + #", "# + #acc", self._number(depth - 1)])
        self._closures.pop()
        start = self._random.choice(["", f", {self._leaf()}", ", 0"])
        return f"reduce({items}, {inner}{start})"

    def _let(self, depth: int) -> str:
        name = f"x{len(self._lets)}"
        value = self._one_of(lambda: self._number(depth - 1), lambda: self._number(depth - 1))
        self._lets.append(name)
        body = self._number(depth - 1)
        self._lets.pop()
        text = f"let {name} = {value}; {body}"
        return text if self._random.random() < 0.1 else f"({text})"
