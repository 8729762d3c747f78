#!/bin/sh
# Build a container image without a daemon, with buildah.
set -eu

usage() {
  cat <<'EOT'
usage: sh release/image.sh cpu|gpu [--base IMAGE@sha256:...] [--wheels DIR] [--cubins DIR|none]
                           [--pip-config FILE] [--ca FILE] [--tag NAME] [--out FILE]

  cpu, gpu           which of Dockerfile.cpu and Dockerfile.gpu
  --base IMAGE       what it stands on, by digest (default: Debian 12 with Python, made here by
                     debootstrap from the mirror of your own apt, once; needs root)
  --wheels DIR       wheels that are taken before an index is asked. With the folder wheels/ of a
                     software bundle (`make bundle`) no index is asked at all
  --cubins DIR|none  gpu: FlashInfer's kernels, or to do without (default: downloaded)
  --pip-config FILE  pip's configuration for the build: a mirror, its password. Not in the image
  --ca FILE          certificates that this network needs, PEM. Not in the image
  --tag NAME         the image's name (default: localhost/intramural:VERSION-cpu, or -gpu)
  --out FILE         write the image into this file as well, for `podman load` or `docker load`

Needs buildah and, without --base, debootstrap. In a container, or wherever namespaces are not
permitted, set BUILDAH_ISOLATION=chroot and STORAGE_DRIVER=vfs. Takes 5 GB of disk for cpu and
some 30 GB for gpu, three times that with vfs. With docker or podman: docs/images.md.

exit codes: 0 the image is built; 1 it is not: the message says why
EOT
}

fail() {
  echo "error: $*" >&2
  exit 1
}

[ $# -ge 1 ] || { usage >&2; exit 1; }
case $1 in
  --help | -h) usage; exit 0 ;;
  cpu | gpu) kind=$1; shift ;;
  *) fail "the first word is cpu or gpu, not $1; see --help" ;;
esac
base='' wheels='' cubins='' pip='' ca='' tag='' out=''
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --base | --wheels | --cubins | --pip-config | --ca | --tag | --out)
      [ $# -ge 2 ] || fail "$1 needs a value; see --help" ;;
    *) fail "$1 is not known; see --help" ;;
  esac
  case $1 in
    --base) base=$2 ;;
    --wheels) wheels=$2 ;;
    --cubins) cubins=$2 ;;
    --pip-config) pip=$2 ;;
    --ca) ca=$2 ;;
    --tag) tag=$2 ;;
    --out) out=$2 ;;
  esac
  shift 2
done
case $base in '' | *@sha256:*) ;; *) fail "--base $base names no digest: NAME@sha256:... is needed, since a tag can change" ;; esac
[ -z "$wheels" ] || [ -d "$wheels" ] || fail "--wheels $wheels is no folder"
[ -z "$cubins" ] || [ "$kind" = gpu ] || fail "--cubins is for gpu; the cpu image has no FlashInfer"
case $cubins in '' | none) ;; *) [ -d "$cubins" ] || fail "--cubins $cubins is no folder, nor none" ;; esac
[ -z "$pip" ] || [ -f "$pip" ] || fail "--pip-config $pip is no file"
[ -z "$ca" ] || [ -f "$ca" ] || fail "--ca $ca is no file"
[ -z "$out" ] || [ ! -e "$out" ] || fail "--out $out is there already: remove it, or name another file"
command -v buildah >/dev/null || fail "buildah was not found: install it, or build with docker or podman as docs/images.md says"

root=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")
revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || revision=$revision-changed
tag=${tag:-localhost/intramural:$version-$kind}
made=localhost/intramural-base:bookworm

digest_of() {
  buildah inspect --type image --format '{{.FromImageDigest}}' "$1"
}

make_base() {
  command -v debootstrap >/dev/null || fail "debootstrap was not found, and no --base is given"
  [ "$(id -u)" = 0 ] || fail "debootstrap needs root; name an image with --base, or run as root"
  folder=$(mktemp -d)
  container=''
  trap 'rm -rf "$folder"; [ -z "$container" ] || buildah rm "$container" >/dev/null' EXIT
  echo "making $made: Debian 12 with Python (a minute or two) ..."
  debootstrap --variant=minbase --include=python3,python3-venv,libnuma1,ca-certificates bookworm "$folder/tree" \
    >"$folder/log" 2>&1 || { tail -5 "$folder/log" >&2; fail "debootstrap did not make a base; see above"; }
  rm -rf "$folder"/tree/var/cache/apt/archives/*.deb "$folder"/tree/var/lib/apt/lists/* \
    "$folder"/tree/var/log/*.log
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$folder/tree" / >/dev/null
  buildah commit --quiet --rm "$container" "$made" >/dev/null
  container=''
  rm -rf "$folder"
  trap - EXIT
}

if [ -z "$base" ]; then
  digest_of "$made" >/dev/null 2>&1 || make_base
  base=${made%:*}@$(digest_of "$made")
fi
set -- --format docker --file "$root/Dockerfile.$kind" --tag "$tag" --build-arg "BASE=$base" \
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
if [ -n "$wheels" ]; then
  set -- "$@" --build-context "wheels=$wheels"
  # A wheel for each package of the lock: then nobody need be asked.
  [ "$(find "$wheels" -maxdepth 1 -name '*.whl' | wc -l)" -lt \
    "$(grep -c '^[a-z0-9].*==' "$root/requirements/$kind.lock")" ] || set -- "$@" --build-arg PIP_NO_INDEX=1
fi
case $cubins in
  '') ;;
  none) set -- "$@" --build-arg FLASHINFER_CUBINS=0 ;;
  *) set -- "$@" --build-context "cubins=$cubins" ;;
esac
[ -z "$pip" ] || set -- "$@" --secret "id=pip,src=$pip"
[ -z "$ca" ] || set -- "$@" --secret "id=ca,src=$ca"
echo "building $tag on $base ..."
buildah build "$@" "$root" || fail "$tag was not built; buildah says above why"
size=$(buildah images --format '{{.Size}}' "$tag" | head -1)
echo "$tag: $size, $(digest_of "$tag")"
if [ -n "$out" ]; then
  echo "writing $out ..."
  buildah push --quiet "$tag" "docker-archive:$out:$tag" || { rm -f "$out"; fail "$out was not written"; }
  sha256sum "$out"
fi
