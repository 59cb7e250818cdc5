#!/bin/sh
# Empty sources for every target that the manifests name, so that the dependencies can be built before the sources are there.
set -eu
stub() { mkdir -p "$(dirname "$1")" && echo 'fn main() {}' >"$1"; }

mkdir -p src load/src
: >src/lib.rs
stub src/main.rs
stub load/src/main.rs
sed -n '/^\[\[bench\]\]/{n;s/^name = "\(.*\)"$/\1/p;}' Cargo.toml | while read -r bench; do stub "benches/$bench.rs"; done
sed -n '/^\[\[test\]\]/,/^$/s/^path = "\(.*\)"$/\1/p' Cargo.toml | while read -r path; do stub "$path"; done
