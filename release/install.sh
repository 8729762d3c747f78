#!/bin/sh
# Install this software bundle on a machine without a network, and import its model.
set -eu

usage() {
  cat <<'EOT'
usage: sh install.sh --into DIR [--trust KEY] [--data-dir DIR] [--python PYTHON]

  --into DIR      the environment that is made: a folder that is not there yet
  --trust KEY     a public key in PEM, or a folder of them (*.pub, *.pem): one of them must have
                  signed. Without it, damage is found, and forgery is not.
  --data-dir DIR  where the model goes (default: ~/.local/share/intramural)
  --python PYTHON which interpreter (default: python3.11)

Needs Python 3.11 with venv, sha256sum, awk and, for --trust, openssl. No network is used: pip gets
no index and this folder's wheels alone, and installs nothing whose hash is not in the lock.
This script is part of what is checked. Check it by hand before you run it:

  openssl dgst -sha256 -verify KEY -signature SHA256SUMS.sig SHA256SUMS
  grep ' install.sh$' SHA256SUMS | sha256sum --check

exit codes: 0 installed; 1 damaged, not signed by a trusted key, or not installed
EOT
}

fail() {
  echo "error: $*" >&2
  exit 1
}

into='' trust='' data='' python=python3.11
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --into | --trust | --data-dir | --python) [ $# -ge 2 ] || fail "$1 needs a value; see --help" ;;
    *) fail "$1 is not known; see --help" ;;
  esac
  case $1 in
    --into) into=$2 ;;
    --trust) trust=$2 ;;
    --data-dir) data=$2 ;;
    --python) python=$2 ;;
  esac
  shift 2
done
[ -n "$into" ] || fail "--into DIR is missing; see --help"
[ ! -e "$into" ] || fail "$into is there already: remove it, or name another folder"
case $into in /*) ;; *) into=$PWD/$into ;; esac
case $trust in '' | /*) ;; *) trust=$PWD/$trust ;; esac
case $data in '' | /*) ;; *) data=$PWD/$data ;; esac
command -v "$python" >/dev/null || fail "$python was not found: name a Python 3.11 with --python"
cd "$(dirname "$0")"
[ -f SHA256SUMS ] || fail "this bundle is not whole: SHA256SUMS is missing. Copy it anew."

signed_by() {
  openssl dgst -sha256 -verify "$1" -signature SHA256SUMS.sig SHA256SUMS >/dev/null 2>&1
}

if [ -n "$trust" ]; then
  [ -f SHA256SUMS.sig ] || fail "this bundle is not signed, and --trust asks for a signature"
  command -v openssl >/dev/null || fail "openssl was not found; --trust needs it"
  signer=''
  if [ -d "$trust" ]; then
    for key in "$trust"/*.pub "$trust"/*.pem; do
      if [ -f "$key" ] && signed_by "$key"; then signer=$key; break; fi
    done
  elif signed_by "$trust"; then
    signer=$trust
  fi
  [ -n "$signer" ] || fail "no key in $trust made the signature of SHA256SUMS over these bytes"
  echo "signed by $signer"
else
  echo "who made this bundle is not asked (--trust KEY)"
fi

# The model's parts are hashed when they are imported, against an index that is hashed here.
num=$(grep -cv '  model/.*\.part[0-9]*$' SHA256SUMS)
echo "checking $num files ..."
grep -v '  model/.*\.part[0-9]*$' SHA256SUMS | sha256sum --check --strict 2>&1 | awk -v num="$num" '
  / OK$/ { done++; if (done % 20 == 0) print "  " done " of " num; next }
  { print "  " $0 }
  END { exit done != num }' || fail "this bundle is damaged; copy what is named above anew"

echo "making the environment $into ..."
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
  || fail "$python is not Python 3.11, for which these wheels are"
"$python" -m venv "$into"
packages=$(grep -c '^[a-zA-Z0-9].*==' requirements.lock)
echo "installing $packages packages ..."
state=$into/.install
{
  code=0
  # No configuration and no variable of the user: nothing but these wheels.
  PIP_CONFIG_FILE=/dev/null "$into/bin/python" -I -m pip --isolated install --no-index \
    --find-links wheels --require-hashes --no-deps --only-binary :all: --no-cache-dir \
    --disable-pip-version-check --progress-bar off -r requirements.lock 2>&1 || code=$?
  echo "$code" >"$state"
} | awk -v num="$packages" '
  /^Processing / { seen++; if (seen % 20 == 0) print "  read " seen " of " num; next }
  /^Installing collected/ { print "  unpacking them, which takes longest ..."; next }
  /^(Successfully|Looking in links)|[Uu]ninstall|Found existing/ { next }
  { print "  " $0 }'
[ "$(cat "$state")" = 0 ] || fail "pip did not install everything; $into is not complete: remove it"
rm -f "$state"

echo "importing the model ..."
# -I: no module of the user or of this folder comes before what was installed.
set -- -I -m models import "$PWD/model"
[ -z "$trust" ] || set -- "$@" --trust "$trust"
[ -z "$data" ] || set -- "$@" --data-dir "$data"
"$into/bin/python" "$@" || fail "the model was not imported; see above. Again: $into/bin/python $*"
echo "installed. Its Python is $into/bin/python, which is what to start in place of python above."
