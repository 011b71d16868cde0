"""The rules: a truth table, monotonicity, and mutants that it must catch."""

import ast
import doctest
import inspect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import rules
from evalkit.rules import DROP_JUDGES, LIMIT_JUDGES

P, F, U, C = "passed", "failed", "inconclusive", "cannot_judge"
NAN, INF = math.nan, math.inf
NONE = (None, None)

# judge, value, low, high, limit -> as a floor, as a ceiling
LIMITS = [
    ("point", 0.95, 0.9, 0.97, 0.95, P, P),
    ("point", 0.94, 0.9, 0.97, 0.95, F, P),
    ("point", 0.96, 0.9, 0.97, 0.95, P, F),
    ("point", 0.0, 0.0, 0.1, -0.0, P, P),
    ("point", None, 0.9, 0.97, 0.95, C, C),
    ("point", NAN, 0.9, 0.97, 0.95, C, C),
    ("point", INF, 0.9, 0.97, 0.95, C, C),
    ("point", -INF, 0.9, 0.97, 0.95, C, C),
    ("point", 0.95, 0.9, 0.97, NAN, F, F),
    ("lower", 0.95, 0.9, 0.97, 0.9, P, P),
    ("lower", 0.95, 0.9, 0.97, 0.91, F, P),
    ("lower", 0.95, 0.9, 0.97, 0.89, P, F),
    ("upper", 0.95, 0.9, 0.97, 0.97, P, P),
    ("upper", 0.95, 0.9, 0.97, 0.98, F, P),
    ("upper", 0.95, 0.9, 0.97, 0.96, P, F),
    ("interval", 0.95, 0.9, 0.97, 0.9, P, U),
    ("interval", 0.95, 0.9, 0.97, 0.95, U, U),
    ("interval", 0.95, 0.9, 0.97, 0.97, U, P),
    ("interval", 0.95, 0.9, 0.97, 0.98, F, P),
    ("interval", 0.95, 0.9, 0.97, 0.89, P, F),
    ("lower", 0.95, NAN, 0.97, 0.5, C, C),
    ("upper", 0.95, 0.9, INF, 0.5, C, C),
    ("interval", 0.95, -INF, 0.97, 0.5, C, C),
    ("lower", 0.95, None, None, 0.5, C, C),
    ("upper", 0.95, None, None, 0.5, C, C),
    ("interval", 0.95, None, None, 0.5, C, C),
]

# judge, drop, low, high, allowed -> outcome
DROPS = [
    ("point", 0.01, -0.1, 0.1, 0.01, P),
    ("point", 0.011, -0.1, 0.1, 0.01, F),
    ("point", None, -0.1, 0.1, 0.01, C),
    ("point", NAN, -0.1, 0.1, 0.01, C),
    ("guard", 0.01, 0.005, 0.02, 0.01, P),
    ("guard", 0.02, 0.005, 0.03, 0.01, F),
    ("guard", 0.02, 0.0, 0.03, 0.01, U),
    ("guard", 0.02, -0.01, 0.03, 0.01, U),
    ("guard", -0.02, -0.03, -0.01, -0.03, U),
    ("guard", -0.02, -0.03, -0.01, -0.02, P),
    ("guard", 0.02, None, None, 0.01, C),
    ("guard", 0.0, None, None, 0.01, C),
    ("guard", None, -0.01, 0.01, 0.01, C),
    ("guard", NAN, -0.01, 0.01, 0.01, C),
    ("guard", 0.0, NAN, 0.01, 0.01, C),
    ("guard", 0.0, -0.01, INF, 0.01, C),
    ("interval", 0.0, -0.01, 0.01, 0.01, P),
    ("interval", 0.0, -0.01, 0.011, 0.01, U),
    ("interval", 0.02, 0.01, 0.03, 0.01, U),
    ("interval", 0.02, 0.011, 0.03, 0.01, F),
    ("interval", 0.02, None, None, 0.01, C),
    ("interval", INF, 0.01, 0.03, 0.5, C),
]


def interval(low, high):
    return None if low is None else (low, high)


def check_tables(module):
    """Every line of both tables; AssertionError at the first that differs."""
    for judge, value, low, high, limit, floor, ceiling in LIMITS:
        for at_least, expected in ((True, floor), (False, ceiling)):
            found = module.judge_limit(judge, value, interval(low, high), limit, at_least=at_least)
            assert found == expected, (judge, value, low, high, limit, at_least)
    for judge, drop, low, high, allowed, expected in DROPS:
        found = module.judge_drop(judge, drop, interval(low, high), allowed)
        assert found == expected, (judge, drop, low, high, allowed)


def test_truth_tables():
    """Equality, unknowns, signs of zero; for floors, ceilings and drops."""
    check_tables(rules)
    assert {line[0] for line in LIMITS} == set(LIMIT_JUDGES)
    assert {line[0] for line in DROPS} == set(DROP_JUDGES)
    assert doctest.testmod(rules).failed == 0


class Mutator(ast.NodeTransformer):
    """Flips the n-th comparison, boolean operator or negation."""

    SWAPS = {ast.GtE: ast.Lt, ast.LtE: ast.Gt, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Eq: ast.NotEq}
    EDGES = {ast.GtE: ast.Gt, ast.LtE: ast.Lt}

    def __init__(self, position, swaps):
        self.left, self.swaps = position, swaps

    def _mine(self):
        self.left -= 1
        return self.left == -1

    def visit_Compare(self, node):
        self.generic_visit(node)
        if type(node.ops[0]) in self.swaps and self._mine():
            node.ops[0] = self.swaps[type(node.ops[0])]()
        return node

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        if self.swaps is self.SWAPS and self._mine():
            node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        return node

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        return (
            node.operand
            if isinstance(node.op, ast.Not) and self.swaps is self.SWAPS and self._mine()
            else node
        )

    def visit_IfExp(self, node):
        self.generic_visit(node)
        if self.swaps is self.SWAPS and self._mine():
            node.body, node.orelse = node.orelse, node.body
        return node


def mutants():
    """Yield a module for every single flip of the rules' source."""
    source = inspect.getsource(rules)
    for swaps in (Mutator.SWAPS, Mutator.EDGES):
        for position in range(200):
            mutator = Mutator(position, swaps)
            tree = ast.fix_missing_locations(mutator.visit(ast.parse(source)))
            if mutator.left >= 0:
                break
            module = type(rules)("mutant")
            module.__dict__["__name__"] = "mutant"
            exec(compile(tree, "mutant", "exec"), module.__dict__)
            yield f"{swaps is Mutator.EDGES} {position}", module


def test_every_mutant_of_the_rules_is_caught():
    """Each comparison, and, or, not and branch, flipped one at a time, breaks a line of the tables."""
    survivors, n = [], 0
    for name, module in mutants():
        n += 1
        try:
            check_tables(module)
        except (AssertionError, TypeError, ValueError):
            continue
        survivors.append(name)
    assert n >= 25
    assert not survivors


numbers = st.floats(-1, 1)
RANK = {P: 0, U: 1, F: 2}


@given(st.sampled_from(LIMIT_JUDGES), numbers, numbers, numbers, numbers, st.floats(0, 1), st.booleans())
def test_a_stricter_limit_never_helps(judge, value, a, b, limit, stricter, at_least):
    """Law 5: failed never becomes passed."""
    bounds = (min(a, b), max(a, b))
    loose = rules.judge_limit(judge, value, bounds, limit, at_least=at_least)
    tighter = limit + stricter if at_least else limit - stricter
    tight = rules.judge_limit(judge, value, bounds, tighter, at_least=at_least)
    assert RANK[tight] >= RANK[loose]


@given(st.sampled_from(DROP_JUDGES), numbers, numbers, numbers, numbers, st.floats(0, 1))
def test_a_stricter_drop_never_helps(judge, drop, a, b, allowed, stricter):
    """The same for what may be lost; guard's question after the limit is whether anything was."""
    bounds = (min(a, b), max(a, b))
    loose = rules.judge_drop(judge, drop, bounds, allowed)
    tight = rules.judge_drop(judge, drop, bounds, allowed - stricter)
    assert not (loose != "passed" and tight == "passed")


@pytest.mark.parametrize("judge", DROP_JUDGES)
def test_a_gain_demanded_is_a_negative_drop(judge):
    """min_gain: 0.01 is max_drop: -0.01 in every row."""
    assert rules.judge_drop(judge, -0.02, (-0.03, -0.015), -0.01) == "passed"
    assert rules.judge_drop(judge, 0.02, (0.01, 0.03), -0.01) == "failed"
