#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/graph/graph.h"
#include "runtime/environment.h"
#include "runtime/op.h"
#include "runtime/value.h"

namespace espalier::runtime {

/// A named place for one value of a scope.
struct Slot {
  std::string name;
  Value value;               ///< As it is now; data null if nothing made it yet.
  int constant = -1;         ///< Index in Graph::constants; -1 if the value is made while running.
  bool made = false;         ///< By a run before the first plan.
  bool fixed = false;        ///< The same in every run with these input shapes: made once, kept.
  bool shape_fixed = false;  ///< Its dimensions are.
  int view_of = -1;          ///< Slot whose bytes it shares; -1 if it has its own.
  std::size_t view_offset = 0;
  AlignedBuffer heap;        ///< Where it lives if there is no place for it in the arena.
  Value planned;             ///< Its place in the arena and the type and shape that it is for.
  int planned_view_of = -1;  ///< The slot whose life the plan makes long enough for this view.
};

/// A node, ready to run.
struct Step {
  const Node* node = nullptr;
  std::unique_ptr<Op> op;
  std::vector<int> inputs;  ///< Slots; -1 for one left out. Then what its subgraphs read from here.
  std::vector<int> outputs;
  bool skip = false;   ///< All outputs are fixed.
  int group = -1;      ///< Of stripes that the step runs in; -1 if it runs alone.
  double seconds = 0;  ///< Of the last run with timing.
};

struct StripeGroup;

/// Memory on the heap for the slot's value, as its type and dimensions say.
/// @throws Error  kUnsupported if the memory runs out, or for a type or shape that nothing holds.
void PlaceOnHeap(Slot& slot);

/// Names that the nodes of `scope` (and of scopes inside it) read but do not make, in byte order;
/// without constants. These are what an If, Loop or Scan reads beyond its inputs.
std::vector<std::string> CapturedNames(const Graph& graph, int scope);

/// The nodes of one scope as steps. The first run finds out types and shapes; Plan() then gives
/// each value a place in one arena, so that later runs with the same shapes allocate nothing. A
/// value whose shape depends on data and turns out otherwise lives on the heap for that run.
class Program {
 public:
  /// Keeps references to the graph and the environment.
  /// @throws Error  kUnsupported for an operator, or a use of one, that the runtime does not know.
  Program(const Graph& graph, int scope, const Environment& environment);
  ~Program();

  /// Copies a value into input `i` of the scope.
  void SetInput(std::size_t i, const Value& value);
  /// Lets a captured value stand for the name, without a copy.
  void SetCaptured(std::size_t i, const Value& value);

  /// Runs the steps. Errors name the node.
  void Run();
  /// The same, and takes each step's time.
  void RunTimed();

  const Value& output(std::size_t i) const;
  std::size_t OutputCount() const { return outputs_.size(); }
  std::size_t InputCount() const { return inputs_.size(); }
  const std::vector<std::string>& captured() const { return captured_; }

  /// Plans memory from what the last run made. Values that depend on shapes alone are kept and
  /// their steps left out.
  void Plan();

  /// Lets layers run together in stripes, where the session's options, timing or the cost model say
  /// so, and plans again.
  /// @param feed  Sets the inputs before each run that is timed.
  void ChooseStripes(const std::function<void()>& feed);

  /// Of every step that runs, in order.
  std::vector<StepReport> Reports() const;

  std::span<const Step> steps() const { return steps_; }
  const Slot& slot(int i) const { return slots_[static_cast<std::size_t>(i)]; }
  std::size_t arena_bytes() const { return arena_.size(); }

 private:
  friend class ProgramContext;

  int SlotOf(std::string_view name);
  int AddSlot(const std::string& name);
  void AddStep(const Node& node);
  void RunStep(Step& step);
  void RunSteps(bool timed);
  bool RunGroup(StripeGroup& group, bool timed);
  void SetGroups(std::vector<StripeGroup> groups);
  std::vector<double> TimeGroups(const std::vector<StripeGroup>& groups,
                                 const std::function<void()>& feed);
  StepReport ReportOf(const Step& step) const;
  void LoadOutputs();
  void MarkFixed(const Step& step);

  const Graph& graph_;
  int scope_;
  const Environment& environment_;
  ConstantIndex constants_;
  std::vector<Slot> slots_;
  std::map<std::string, int, std::less<>> by_name_;
  std::vector<Step> steps_;
  std::vector<int> inputs_;
  std::vector<int> outputs_;
  Step reader_;  // of the outputs, for those that no step makes
  std::vector<std::string> captured_;
  std::vector<int> captured_slots_;
  AlignedBuffer arena_;
  AlignedBuffer scratch_;
  std::vector<StripeGroup> groups_;  // in use
  bool planned_ = false;
};

}  // namespace espalier::runtime
