#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// Instruction sets that this build has code for and this machine can run, best first, by
/// Highway's names ("AVX2", "SSE4", "NEON", "EMU128", ...).
std::vector<std::string> AvailableIsas();

/// The instruction set that kernels run on now.
std::string ActiveIsa();

/// Restricts kernels to one instruction set, process-wide; an empty name lifts the restriction.
/// Kernels give the same bytes on each, so this is for tests and measurements.
/// @throws Error  kInvalidArgument if `name` is none of AvailableIsas().
void ForceIsa(std::string_view name);

/// Applies the environment variable ESPALIER_FORCE_ISA, if set, through ForceIsa().
/// @throws Error  kInvalidArgument as ForceIsa().
void ForceIsaFromEnvironment();

}  // namespace espalier
