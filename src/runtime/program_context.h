#pragma once

#include "runtime/program.h"

namespace espalier::runtime {

/// The context of one step of a program.
class ProgramContext final : public OpContext {
 public:
  ProgramContext(Program& program, Step& step) : program_(program), step_(step) {}

  std::size_t InputCount() const override { return step_.inputs.size(); }
  bool HasInput(std::size_t i) const override {
    return i < step_.inputs.size() && step_.inputs[i] >= 0;
  }
  const Value& Input(std::size_t i) const override;
  bool IsConstant(std::size_t i) const override;
  std::size_t OutputCount() const override { return step_.outputs.size(); }
  bool HasOutput(std::size_t i) const override {
    return i < step_.outputs.size() && step_.outputs[i] >= 0;
  }
  Value& Output(std::size_t i, DType dtype, const Dims& dims) override;
  Value& OutputView(std::size_t i, std::size_t input, DType dtype, const Dims& dims,
                    std::size_t byte_offset) override;
  int threads() const override { return program_.environment_.options.threads; }
  std::byte* Scratch(std::size_t bytes) override { return program_.scratch_.Reserve(bytes); }

 private:
  Slot& InputSlot(std::size_t i) const;
  Slot& OutputSlot(std::size_t i) const;

  Program& program_;
  Step& step_;
};

}  // namespace espalier::runtime
