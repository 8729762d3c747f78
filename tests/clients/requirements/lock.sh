#!/bin/sh
# Resolve each client's *.in into *.txt: exact versions, with hashes. Needs the network and `uv`.
# usage: lock.sh [NAME ...]      NAME: of a client, as langchain; all of them unless named
set -eu
cd "$(dirname "$0")"

[ $# -gt 0 ] || set -- $(ls *.in | sed 's/\.in$//')
for name; do
  uv pip compile "$name.in" --python-version 3.11 --python-platform x86_64-manylinux_2_31 \
    --generate-hashes --no-annotate --custom-compile-command "sh tests/clients/requirements/lock.sh" \
    --quiet --output-file "$name.txt"
done
