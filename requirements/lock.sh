#!/bin/sh
# Resolve the *.in files into *.lock: exact versions, with hashes. Needs the network and `uv`.
# usage: lock.sh [--check]   --check resolves nothing: it asks whether every row is to be had for every Python
#
# One lock serves Python 3.11, 3.12 and 3.13 on x86_64 Linux. pyproject.toml says so to uv (environments),
# which writes that condition behind every row; it is taken off again, as nothing else is installed on.
set -eu
cd "$(dirname "$0")"

of_these_machines() {  # what all rows have in common
  sed -E "s/python_full_version < '3.14' and //; s/implementation_name != 'PyPy' and //
    s/ ; implementation_name != 'pypy' / /
    s/( and )?platform_machine == 'x86_64' and platform_python_implementation == 'CPython' and sys_platform == 'linux'//
    s/ ; +\\\\\$/ \\\\/" "$1"
}

with_torch() {  # torch.lock's row in its place by the alphabet
  awk -v row="$(grep -v '^#' torch.lock)" '
    /^[a-z0-9].*==/ && !done && $0 > "torch==" { print row; done = 1 }
    { print }
    END { if (!done) print row }'
}

check() {  # no wheel is fetched where the index tells its metadata; torch is left out: few indexes have it
  code=0
  for lock in cpu dev calibrate; do
    awk '/^[a-z0-9].*==/ { kept = !/^torch==/ } kept || /^#/' "$lock.lock" >checked.lock
    for python in 3.11 3.12 3.13; do
      if python -m pip install --dry-run --quiet --disable-pip-version-check --ignore-installed --no-deps \
        --require-hashes --only-binary :all: --python-version $python --target checked.nowhere \
        -r checked.lock; then
        echo "$lock.lock: every row but torch is there for Python $python"
      else
        echo "error: $lock.lock: a row is not there for Python $python; pip says above which" >&2
        code=1
      fi
    done
  done
  rm -f checked.lock
  exit $code
}

[ "${1-}" != --check ] || check

for name in cpu dev calibrate; do
  uv pip compile "$name.in" --override overrides.txt --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" --quiet --output-file "$name.lock"
  of_these_machines "$name.lock" | with_torch >"$name.whole"
  mv "$name.whole" "$name.lock"
done

# uv prefers what stands in the output already: first what is tested on CPUs, then what was there.
# Not from where CPU wheels are found: to vLLM's pin, torch 2.13.0+cpu would be as good as 2.13.0.
touch gpu.lock
awk -F== '/^[a-z0-9].*==/ && $1 != "torch" && !seen[$1]++ { sub(/ .*/, ""); print }' \
  cpu.lock gpu.lock >gpu.preferred
mv gpu.preferred gpu.lock
env -u UV_FIND_LINKS -u UV_EXTRA_INDEX_URL \
  uv pip compile gpu.in --python-version 3.11 --python-platform x86_64-manylinux_2_31 \
  --generate-hashes --custom-compile-command "make lock" --quiet --output-file gpu.lock
