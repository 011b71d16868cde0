"""Count predictions where they are, by DuckDB: any SQL engine gives the same table."""

import sys
from pathlib import Path

import duckdb

QUERY = Path(__file__).with_name("counts.sql").read_text()

duckdb.sql(QUERY).write_csv(sys.argv[1])
