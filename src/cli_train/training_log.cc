#include "cli_train/training_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/table.h"
#include "espalier/base/error.h"

namespace espalier::cli {
namespace {

using train::TrainFigures;

constexpr std::chrono::milliseconds kBetweenDrawings(200);

std::string Percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.2f} %", 100 * *share) : "-";
}

std::string Cell(const std::optional<double>& value) {
  return value ? fmt::format("{:.6g}", *value) : "";
}

std::string TimeText(double seconds) {
  const auto whole = static_cast<long>(seconds);
  return whole < 60 ? fmt::format("{} s", whole)
                    : fmt::format("{}:{:02} min", whole / 60, whole % 60);
}

}  // namespace

TrainingLog::TrainingLog(const std::string& path, const CommonOptions& common,
                         const Streams& streams)
    : common_(common), streams_(streams), path_(path), terminal_(isatty(STDERR_FILENO) != 0) {
  if (path.empty()) return;
  file_.reset(std::fopen(path.c_str(), "a"));
  if (!file_) {
    throw Error(ErrorCode::kWriteFailed, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  if (std::ftell(file_.get()) > 0) return;
  Write(
      "epoch,step,learning_rate,loss,accuracy,held_out_loss,held_out_accuracy,sparsity,"
      "samples_per_second,seconds\n");
}

void TrainingLog::Write(const std::string& line) {
  const bool written = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size() &&
                       std::fflush(file_.get()) == 0;
  if (!written) {
    throw Error(ErrorCode::kWriteFailed, fmt::format("{}: {}", path_, std::strerror(errno)));
  }
}

void TrainingLog::Step(const TrainFigures& figures) {
  if (!first_step_) first_step_ = figures.step - 1;
  if (common_.quiet || !terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < kBetweenDrawings) return;
  drawn_ = now;
  const auto here = static_cast<double>(figures.step - *first_step_);  // not those before --resume
  const double left = figures.seconds / here * static_cast<double>(figures.steps - figures.step);
  streams_.talk << fmt::format(
                       "\r\x1b[Kepoch {}, step {} of {}: loss {:.4f}, top-1 {}, {:.0f}/s, {} left",
                       figures.epoch, figures.step, figures.steps, figures.loss,
                       Percent(figures.accuracy), figures.samples_per_second, TimeText(left))
                << std::flush;
}

void TrainingLog::Epoch(const TrainFigures& figures) {
  Finish();
  if (!common_.quiet) {
    streams_.talk << fmt::format(
        "epoch {:3}: loss {:.4f}, top-1 {}, held-out top-1 {}, zeros {}, {:.0f} samples/s\n",
        figures.epoch, figures.loss, Percent(figures.accuracy), Percent(figures.held_out_accuracy),
        PercentText(figures.sparsity), figures.samples_per_second);
  }
  if (!file_) return;
  Write(fmt::format("{},{},{:.6g},{:.6g},{},{},{},{:.6g},{:.1f},{:.1f}\n", figures.epoch,
                    figures.step, figures.learning_rate, figures.loss, Cell(figures.accuracy),
                    Cell(figures.held_out_loss), Cell(figures.held_out_accuracy), figures.sparsity,
                    figures.samples_per_second, figures.seconds));
}

void TrainingLog::Corrupt(std::string_view reason) {
  if (common_.quiet) return;
  Finish();
  streams_.talk << "espalier: warning: skipped: " << Printable(std::string(reason)) << '\n';
}

void TrainingLog::Finish() {
  if (terminal_ && !common_.quiet) streams_.talk << "\r\x1b[K" << std::flush;
}

}  // namespace espalier::cli
