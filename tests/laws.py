"""Laws of mergeable states, as functions that take any state type; each is run once against a broken one."""


def check_monoid(empty, a, b, c):
    """`empty` is neutral, `+` is associative and commutative, and leaves its operands alone."""
    before = (a, b, c)
    assert empty + a == a
    assert a + empty == a
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert before == (a, b, c)


def check_partition(build, whole, parts, empty):
    """Any partition of the samples sums to the whole."""
    total = empty
    for part in parts:
        total = total + build(part)
    assert total == build(whole)
