#!/bin/sh
# Table attention of docs/sequences.md: bench/sequences/attention.sh FOLDER [further options of run_table.py]
exec python3 "$(dirname "$0")/run_table.py" attention --out "$@"
