#!/usr/bin/env bash
# Installs what is missing on Debian 12 and builds the release preset in build/release.
#   scripts/setup.sh [TARGET...]    default: everything, with tests and benchmarks
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

need_packages "${ESPALIER_BUILD_PACKAGES[@]}"
echo "== Configuring build/release"
mkdir -p build
log=build/configure.log
cmake --preset release >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
echo "== Building ${*:-everything}"
cmake --build --preset release ${1:+--target "$@"}
