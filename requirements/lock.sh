#!/bin/sh
# Resolve the *.in files into *.lock: exact versions, with hashes. Needs the network and `uv`.
# torch's CPU wheel must be where uv can find it: set UV_FIND_LINKS or UV_EXTRA_INDEX_URL.
set -eu
cd "$(dirname "$0")"
for name in cpu dev calibrate; do
  uv pip compile "$name.in" --override overrides.txt --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" --quiet --output-file "$name.lock"
done
