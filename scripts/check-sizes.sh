#!/usr/bin/env bash
# Checks the size of source files and functions: at most 400 lines for a file, 60 lines for a function (body with braces).
# Prints every one that is larger and not in the lists below, and exits 1 if there is one; changes nothing.
#   scripts/check-sizes.sh [FOLDER]      default: the tree that the script is in
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

# Files that may be longer: kernels, code that emulates them, and generated tables.
files='
data/html_entity_tables.cpp
model/kernels/cpu/attention_tiles.h
model/kernels/cuda/cuda_block_host.cpp
'

# Functions that may be longer, as PATH NAME; * is any path. Each is of one of these sorts:
# - a flat list of options or table rows, where one entry is as short as it can be;
# - a flat switch, where every case stands alone;
# - a kernel, whose state is in registers.
functions='
* fields
data/formats/file_kind.cpp file_kinds
diffusion/noise_schedule.cpp schedule_kinds
diffusion/objective.cpp timestep_sampling_kinds
diffusion/sampler.cpp samplers
data/formats/pickle.cpp step
model/kernels/cpu/attention_tiles.h attention_of_head
model/kernels/cpu/attention_tiles.h attention_grad_of_head
model/kernels/cuda/attention_cuda_forward.cuh attend_rows
'

mapfile -t sources < <(find base data diffusion metrics model app tests bench -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o \
  -name '*.cuh' | sort)
awk -v files="$files" -v functions="$functions" '
    function long_file(path) {
      if (lines > 400 && !(path in long_files)) {
        printf "%s: %d lines, more than 400\n", path, lines; ++wrong
      }
    }
    # The last word before the first parenthesis of a declaration.
    function name_of(head) {
      sub(/\(.*/, "", head); sub(/ *$/, "", head); sub(/.*[ *&:]/, "", head)
      return head
    }
    function open_brace(head,   kind, is_scope) {
      gsub(/^ +| +$/, "", head)
      is_scope = depth == 0 || kinds[depth] == "scope"
      kind = "block"
      if (is_scope) {
        if (head ~ /\(/ && head !~ /= *$/ && head !~ /^(static |const |constexpr |inline )*(struct|class|enum|union|namespace)[ :]/)
          kind = "function"
        else if (head ~ /(^| )(namespace|struct|class|union|extern)( |$)/)
          kind = "scope"
        else if (head == "" && last_closed == "function")  # the body after an initializer with braces
          { kind = "function"; head = last_head }
      }
      ++depth; kinds[depth] = kind; starts[depth] = FNR; heads[depth] = head
    }
    function close_brace(   size) {
      if (depth == 0) return
      size = FNR - starts[depth] + 1
      last_closed = kinds[depth]; last_head = heads[depth]
      if (kinds[depth] == "function") {
        ++checked
        if (size > 60 && !((FILENAME " " name_of(heads[depth])) in long_functions) && !(("* " name_of(heads[depth])) in long_functions)) {
          printf "%s:%d: %s has %d lines, more than 60\n", FILENAME, starts[depth], name_of(heads[depth]), size
          ++wrong
        }
      }
      --depth
    }
    BEGIN {
      count = split(files, list, "\n"); for (i = 1; i <= count; ++i) long_files[list[i]]
      count = split(functions, list, "\n"); for (i = 1; i <= count; ++i) long_functions[list[i]]
    }
    FNR == 1 {
      if (path != "") long_file(path)
      path = FILENAME; depth = 0; head = ""; last_closed = ""; raw = 0; comment = 0
    }
    {
      lines = FNR
      text = $0
      if (raw) { if (index(text, raw_end) == 0) next; text = substr(text, index(text, raw_end) + length(raw_end)); raw = 0 }
      if (comment) { if (text !~ /\*\//) next; sub(/.*\*\//, "", text); comment = 0 }
      gsub(/\\\\|\\"|\\\047/, "", text)                 # escaped characters
      if (match(text, /R"[a-z]*\(/)) {                    # a raw string
        raw_end = ")" substr(text, RSTART + 2, RLENGTH - 3) "\""
        rest = substr(text, RSTART + RLENGTH)
        if (index(rest, raw_end)) text = substr(text, 1, RSTART - 1) substr(rest, index(rest, raw_end) + length(raw_end))
        else { raw = 1; text = substr(text, 1, RSTART - 1) }
      }
      gsub(/"[^"]*"|\047[^\047]\047/, "", text)
      sub(/\/\/.*/, "", text)
      gsub(/\/\*[^*]*\*\//, "", text)
      if (text ~ /\/\*/) { comment = 1; sub(/\/\*.*/, "", text) }
      if (text ~ /^ *#/) next
      while (match(text, /[{};]/)) {
        head = head " " substr(text, 1, RSTART - 1)
        mark = substr(text, RSTART, 1); text = substr(text, RSTART + 1)
        if (mark == "{") open_brace(head)
        else if (mark == "}") close_brace()
        else last_closed = ""
        head = ""
      }
      head = head " " text
    }
    END {
      long_file(path)
      if (wrong) { printf "sizes: %d too large\n", wrong; exit 1 }
      printf "sizes: %d functions in order\n", checked
    }' "${sources[@]}"
