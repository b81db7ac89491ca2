# shellcheck shell=bash disable=SC2034
# Sourced by the scripts: which Debian packages each job needs, and how a missing one is installed.

readonly ESPALIER_BUILD_PACKAGES=(g++ cmake ninja-build libprotobuf-dev libonnx-dev libhwy-dev
  libre2-dev libdnnl-dev libjpeg-dev libpng-dev zlib1g-dev liblzma-dev
  libcli11-dev nlohmann-json3-dev libfmt-dev libgtest-dev libgmock-dev libbenchmark-dev python3
  libtorch-dev libgloo-dev libopenblas0-pthread libyaml-cpp-dev)
readonly ESPALIER_TEST_PACKAGES=(python3-venv libonnx-testdata python3-torch)

# The system's own Python first: a pyenv shim in front of it may lack the venv module.
ESPALIER_SYSTEM_PYTHON=/usr/bin/python3
[ -x "$ESPALIER_SYSTEM_PYTHON" ] || ESPALIER_SYSTEM_PYTHON=python3

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  elif command -v sudo >/dev/null; then
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  else
    echo "espalier: installing packages needs root or sudo; as root, run: $*" >&2
    return 1
  fi
}

# missing_packages PACKAGE...: prints those that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    # grep -x: "not-installed" and "config-files" (removed, not purged) are missing, too.
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
      echo "$package"
  done
}

# need_packages PACKAGE...: calls apt only when one is missing.
need_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null; then
    echo "espalier: this is not Debian; make sure that you have the equivalent of: $*" >&2
    return 0
  fi
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "== Installing packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
