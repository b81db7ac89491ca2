#!/usr/bin/env bash
# Installs what is missing on Debian 12, builds the release preset and runs every test.
#   scripts/test.sh [CTEST ARGUMENT...]    e.g. scripts/test.sh -R prune
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

venv=build/venv
requirements=scripts/requirements.txt

# Only the tests against ONNX Runtime need PyPI; without it they skip and the rest runs.
make_venv() {
  cmp -s "$requirements" "$venv/installed.txt" && return 0
  echo "== Making $venv with $(paste -sd' ' "$requirements")"
  rm -rf "$venv"
  mkdir -p build
  "$ESPALIER_SYSTEM_PYTHON" -m venv "$venv" &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 2 -r "$requirements" &&
    cp "$requirements" "$venv/installed.txt"
}

need_packages "${ESPALIER_BUILD_PACKAGES[@]}" "${ESPALIER_TEST_PACKAGES[@]}"
if make_venv; then
  export ESPALIER_PYTHON=$PWD/$venv/bin/python
else
  unset ESPALIER_PYTHON
  echo "== SKIPPED: no packages from PyPI (see above); the tests against ONNX Runtime will skip" >&2
fi
scripts/setup.sh

echo "== Testing"
ctest --preset release --no-tests=error -j2 "$@"
