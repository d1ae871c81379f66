#!/bin/sh
# Table nt of docs/sequences.md: bench/sequences/nt.sh FOLDER [further options of run_table.py]
exec python3 "$(dirname "$0")/run_table.py" nt --out "$@"
