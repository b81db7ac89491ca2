# Cross-build for 64-bit Arm on Debian; its programs run under qemu-user. Packages:
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get install g++-aarch64-linux-gnu qemu-user nlohmann-json3-dev \
#     libhwy-dev:arm64 libfmt-dev:arm64 libre2-dev:arm64 libgtest-dev:arm64
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

# The multi-arch loader and libraries are in the usual places, so no -L. qemu's CPU has SVE2 with
# 512-bit vectors; QEMU_CPU=max,sve-default-vector-length=16 (or 32) in the environment gives others.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
