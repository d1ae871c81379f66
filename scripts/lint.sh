#!/usr/bin/env bash
# Runs clang-tidy (checks in .clang-tidy, warnings are errors) on the sources that differ from a base; changes nothing.
#   scripts/lint.sh [--all | --base REVISION | FILE...] [--build FOLDER] [--seconds N] [--jobs N]
#     --all       every source of the build
#     --base      default: where this branch left origin's default branch, else the previous commit
#     --build     configured build folder, whose compile_commands.json is read; default: build/release
#     --seconds   time limit; the files that it left out are listed. Default: none
#     --jobs      files at a time; default: all cores
#     --path-map FROM=TO   the build folder was configured for a tree at FROM that is at TO now
# A changed header is checked through its own source, or else through the first source that includes it. Nothing has to be
# built, only configured. Exit code 1 if clang-tidy found something, 2 for wrong usage; files left out are no failure.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }
fail() { echo "$1" >&2; exit 2; }
all=false base='' build=build/release seconds=0 jobs=$(nproc) map='' files=()
while [ $# -gt 0 ]; do
  case "$1" in
    --base | --build | --seconds | --jobs | --path-map)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case "$1" in --base) base=$2 ;; --build) build=$2 ;; --seconds) seconds=$2 ;; --jobs) jobs=$2 ;; --path-map) map=$2 ;; esac
      shift 2 ;;
    --all) all=true; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) files+=("$1"); shift ;;
  esac
done
scripts/install-packages.sh lint
[ -f "$build/compile_commands.json" ] ||
  fail "$build/compile_commands.json: no such file; configure first (cmake --preset release), or give --build FOLDER"

# The commit to compare with: an empty answer means that there is none, and every source counts as changed.
default_base() {
  local branch commit
  for branch in origin/HEAD origin/main origin/master; do
    commit=$(git merge-base HEAD "$branch" 2>/dev/null) || continue
    [ "$commit" = "$(git rev-parse HEAD)" ] || { echo "$commit"; return; }
  done
  git rev-parse --verify --quiet HEAD~1 || true
}
if ! $all && [ ${#files[@]} -eq 0 ]; then
  if [ -n "$base" ]; then
    base=$(git rev-parse --verify --quiet "$base^{commit}") || fail "--base: no such commit"
  else
    base=$(default_base)
  fi
  if [ -z "$base" ]; then
    all=true
  else
    # Committed, staged and edited files, and new ones that git would add.
    mapfile -t files < <({ git diff --name-only --diff-filter=d "$base" --; git ls-files --others --exclude-standard; } |
      grep -E '\.(cpp|h)$' | sort -u)
    [ ${#files[@]} -gt 0 ] || { echo "lint: no source differs from $(git rev-parse --short "$base")"; exit 0; }
  fi
fi

python3 - "$build" "$seconds" "$jobs" "$map" "$all" "${files[@]}" <<'PY'
import concurrent.futures, json, os, re, shlex, signal, subprocess, sys, tempfile, threading, time

build, seconds, jobs, path_map, everything = sys.argv[1:6]
seconds, jobs, wanted = float(seconds), int(jobs), [os.path.relpath(f) for f in sys.argv[6:]]
before, _, after = path_map.partition("=")
root = os.getcwd()

# These use GCC's own vector built-ins, which clang does not have.
gcc_only = re.compile(r"model/kernels/cpu/isa_\w+\.cpp")

# Without the precompiled header, which GCC made and clang cannot read (a source includes what it uses), and without options
# that clang does not know.
def clang_arguments(words):
    kept, skip = [], 0
    for i, word in enumerate(words):
        if skip:
            skip -= 1
        elif word == "-include" and words[i + 1].endswith("cmake_pch.hxx"):
            skip = 1
        elif word == "-o":
            skip = 1
        elif word in ("-Winvalid-pch", "-Werror", "-fpch-preprocess") or word.startswith("--param="):
            pass
        else:
            kept.append(word)
    if not any(word.startswith("-std=") for word in kept):
        kept.append("-std=gnu++17")  # GCC's default
    # For GCC's omp.h; searched last, so that clang finds its own intrinsics first.
    return kept + ["-Wno-unknown-warning-option", "-idirafter", gcc_headers]

gcc_headers = subprocess.run(["gcc", "-print-file-name=include"], stdout=subprocess.PIPE, text=True).stdout.strip()
commands = {}
for entry in json.load(open(os.path.join(build, "compile_commands.json"))):
    if before:  # FROM is a whole path or the folder at its beginning
        entry = {k: re.sub(re.escape(before) + r"(?=/|\s|$)", lambda _: after, v) for k, v in entry.items()}
    path = os.path.relpath(entry["file"], root)
    ours = not path.startswith((os.pardir, os.path.relpath(build, root) + os.sep)) and os.path.exists(path)
    if path.endswith(".cpp") and ours and not gcc_only.fullmatch(path):
        words = clang_arguments(shlex.split(entry["command"]))
        # The build folder may be another tree's; all paths but the output's are absolute.
        commands.setdefault(path, {"directory": root, "file": path, "arguments": words})

def source_of(header):
    own = header[:-len(".h")] + ".cpp"
    if own in commands:
        return own
    line = re.compile(r'^\s*#\s*include\s+"' + re.escape(header) + '"', re.M)
    return next((s for s in sorted(commands) if line.search(open(s, encoding="utf-8", errors="replace").read())), None)

sources, unreachable = [], []
for path in wanted if everything != "true" else sorted(commands):
    source = source_of(path) if path.endswith(".h") else path if path in commands else None
    if source is None:
        unreachable.append(path)
    elif source not in sources:
        sources.append(source)
if unreachable:
    print("lint: not in this build, or not for clang: " + ", ".join(unreachable))

database = tempfile.mkdtemp(prefix="uvic-lint-")
json.dump([commands[s] for s in sources], open(os.path.join(database, "compile_commands.json"), "w"))
deadline = time.monotonic() + seconds if seconds > 0 else None
failed, left_out, lock = [], [], threading.Lock()

def check(source):
    left = deadline - time.monotonic() if deadline else None
    if left is not None and left <= 0:
        return left_out.append(source)
    run = subprocess.Popen(["clang-tidy", "--quiet", "--warnings-as-errors=*", "-p", database, source],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = run.communicate(timeout=left)
    except subprocess.TimeoutExpired:
        run.kill()
        run.communicate()
        return left_out.append(source)
    if run.returncode != 0:
        with lock:
            failed.append(source)
            # stderr counts suppressed warnings of system headers; it matters where clang-tidy itself failed.
            print(out if out.strip() else err, flush=True)

signal.signal(signal.SIGINT, signal.SIG_DFL)
begin = time.monotonic()
with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
    list(pool.map(check, sources))
os.remove(os.path.join(database, "compile_commands.json"))
os.rmdir(database)

done = len(sources) - len(left_out)
print(f"lint: {done} of {len(sources)} sources checked in {time.monotonic() - begin:.0f} s, {len(failed)} with findings")
if left_out:
    print(f"lint: not checked within {seconds:.0f} s: " + ", ".join(sorted(left_out)))
sys.exit(1 if failed else 0)
PY
