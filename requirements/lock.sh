#!/bin/sh
# Resolve the *.in files into *.lock: exact versions, with hashes. Needs the network and `uv`.
# torch's CPU wheel must be where uv can find it: set UV_FIND_LINKS or UV_EXTRA_INDEX_URL.
set -eu
cd "$(dirname "$0")"
for name in cpu dev calibrate; do
  uv pip compile "$name.in" --override overrides.txt --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" --quiet --output-file "$name.lock"
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
