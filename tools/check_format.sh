#!/usr/bin/env bash
# Fails, with the places, if a C++ file is not as clang-format 14 (Debian 12) writes it. --fix: writes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
formatter=$(command -v clang-format-14 || command -v clang-format)
mapfile -t files < <(find src include tests fuzz bench examples -name '*.cc' -o -name '*.h' | sort)
if [ "${1:-}" = --fix ]; then
  "$formatter" -i "${files[@]}"
else
  "$formatter" --dry-run -Werror "${files[@]}"
  echo "check_format: ok, ${#files[@]} files"
fi
