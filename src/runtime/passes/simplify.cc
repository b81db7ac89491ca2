#include "runtime/passes/passes.h"

namespace espalier::runtime {
namespace {

using Pass = bool (*)(Graph&, int);

// Each pass opens ways for those before it; models in the wild are stable after three rounds.
constexpr int kMaxRounds = 16;
constexpr Pass kPasses[] = {RemoveUnused, RemoveIdentities, FoldConstants,
                            FoldAffine,   FuseResiduals,    FuseActivations};

}  // namespace

Graph Simplify(Graph graph) {
  for (int round = 0; round < kMaxRounds; ++round) {
    bool changed = false;
    for (const Pass pass : kPasses) {
      for (std::size_t scope = 0; scope < graph.scopes.size(); ++scope) {
        if (graph.scopes[scope].kind == Scope::Kind::kFunction) continue;
        changed = pass(graph, static_cast<int>(scope)) || changed;
      }
    }
    if (!changed) break;
  }
  return graph;
}

}  // namespace espalier::runtime
