#pragma once

#include <cstdint>
#include <functional>

namespace espalier {

/// Told how far a long job is: `done` of `total`, in bytes or steps. Called from one thread at a
/// time; must not throw. An empty function means that nobody listens.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

}  // namespace espalier
