#include <csignal>
#include <iostream>

#include "cli/options.h"

int main(int argc, char** argv) {
  // A file size limit then shows as a failed write, which is reported and leaves nothing behind.
  std::signal(SIGXFSZ, SIG_IGN);
  std::ios::sync_with_stdio(false);
  const espalier::cli::Streams streams{std::cout, std::cerr};
  const int status = espalier::cli::RunProgram({argv + 1, argv + argc}, streams);
  std::cout.flush();
  if (std::cout.good()) return status;
  std::cerr << "espalier: could not write the result to standard output\n";
  return status == 0 ? espalier::cli::kCouldNotWrite : status;
}
