#!/bin/sh
# Table lengths of docs/sequences.md: bench/sequences/lengths.sh FOLDER [further options of run_table.py]
exec python3 "$(dirname "$0")/run_table.py" lengths --out "$@"
