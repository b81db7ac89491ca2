#include <csignal>
#include <iostream>

#include "cli/finish_output.h"
#include "cli_train/train_command.h"

int main(int argc, char** argv) {
  using namespace espalier::cli;
  // A file size limit then shows as a failed write, which is reported and leaves nothing behind.
  std::signal(SIGXFSZ, SIG_IGN);
  std::ios::sync_with_stdio(false);
  return FinishOutput(RunProgram({argv + 1, argv + argc}, {std::cout, std::cerr}, RunTraining));
}
