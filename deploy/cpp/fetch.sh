#!/usr/bin/env bash
# Fetches what find_quads is built with into deploy/cpp/fetched, as any user, and installs nothing:
#   headers of ONNX Runtime's C++ API   Debian 13, package libonnxruntime-dev
#   a JSON library, headers alone       Debian 13, package nlohmann-json3-dev
#   libonnxruntime.so                   PyPI, wheel onnxruntime
# A library runs programs that were built with the headers of older versions, so these need not be the same.
# Needs apt-get (Debian, of whatever release) and python3 with pip.
set -euo pipefail
headers=(libonnxruntime-dev=1.21.0+dfsg-1 nlohmann-json3-dev=3.11.3-2.1)
wheel=onnxruntime==1.32.0
suite=trixie

out=$(cd "$(dirname "$0")" && pwd)/fetched
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# apt's own mirror, with lists of its own, so that the system's packages stay as they are
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/$') || {
    echo "fetch.sh: apt knows no mirror of Debian; see README.md for other ways" >&2
    exit 2
}
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/wheel"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $suite main" >"$work/sources.list"
options=(-q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
(
    cd "$work"
    apt-get "${options[@]}" update
    apt-get "${options[@]}" download "${headers[@]}"
    for package in *.deb; do dpkg-deb -x "$package" unpacked; done
)
python3 -m pip download -q --no-deps --only-binary :all: -d "$work/wheel" "$wheel"
python3 -m zipfile -e "$work"/wheel/*.whl "$work/wheel"

rm -rf "$out.part" "$out"
mkdir -p "$out.part/lib"
cp -r "$work/unpacked/usr/include" "$out.part/include"
cp "$work"/wheel/onnxruntime/capi/libonnxruntime.so.* "$out.part/lib"
ln -s "$(basename "$out.part"/lib/libonnxruntime.so.*)" "$out.part/lib/libonnxruntime.so.1"
mv "$out.part" "$out"
echo "fetched: $out"
