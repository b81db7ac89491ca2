#include <csignal>
#include <iostream>

#include "cli/finish_output.h"
#include "cli/training_options.h"

int main(int argc, char** argv) {
  using namespace espalier::cli;
  // A file size limit then shows as a failed write, which is reported and leaves nothing behind.
  std::signal(SIGXFSZ, SIG_IGN);
  std::ios::sync_with_stdio(false);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto train = [&](const TrainingOptions&, const CommonOptions&, const Streams&) -> int {
    StartTraining(arguments);
  };
  return FinishOutput(RunProgram(arguments, {std::cout, std::cerr}, train));
}
