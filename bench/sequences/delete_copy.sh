#!/bin/sh
# Table delete_copy of docs/sequences.md: bench/sequences/delete_copy.sh FOLDER [further options of run_table.py]
exec python3 "$(dirname "$0")/run_table.py" delete_copy --out "$@"
