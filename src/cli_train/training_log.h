#pragma once

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "cli/options.h"
#include "espalier/base/progress.h"
#include "espalier/train/train.h"

namespace espalier::cli {

/// What a person sees of a training: a bar on a terminal, a line an epoch, a CSV file.
class TrainingLog {
 public:
  /// @param path    CSV file, lines are added at its end; empty: none.
  /// @throws Error  kWriteFailed.
  TrainingLog(const std::string& path, const CommonOptions& common, const Streams& streams);

  void Step(const train::TrainFigures& figures);
  void Epoch(const train::TrainFigures& figures);
  void Corrupt(std::string_view reason);
  void Finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  void Write(const std::string& line);

  const CommonOptions& common_;
  const Streams& streams_;
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  bool terminal_ = false;
  std::optional<std::int64_t> first_step_;  // done before this process began
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace espalier::cli
