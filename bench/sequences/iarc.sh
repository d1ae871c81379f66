#!/bin/sh
# Table iarc of docs/sequences.md: bench/sequences/iarc.sh FOLDER [further options of run_table.py]
exec python3 "$(dirname "$0")/run_table.py" iarc --out "$@"
