"""``make bench``: everything that is promised about speed and coverage, measured here and now.

``python -m tests.benchmarks speed`` runs one part: startup, speed, loading, loop, audit, memory, tables, coverage,
gates or pages.
"""

import sys

from tests.benchmarks import audit, coverage, gates, loading, loop, memory, pages, speed, startup, tables

PARTS = {
    "startup": startup.run,
    "speed": speed.run,
    "loading": loading.run,
    "loop": loop.run,
    "audit": audit.run,
    "memory": memory.run,
    "tables": tables.run,
    "coverage": coverage.run,
    "gates": gates.run,
    "pages": pages.run,
}

for name in sys.argv[1:] or PARTS:
    print(f"== {name}")
    PARTS[name]()
    print(flush=True)
