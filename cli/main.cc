#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/app.h"
#include "cli/exit_code.h"

int main(int argc, char** argv) {
  using namespace millrace;
  // A command that only reads leaves at once; `run` looks after its run first (cli/interrupts.h).
  std::signal(SIGINT, [](int) { ::_exit(kExitInterrupted); });
  Environment environment = [](const char* name) { return std::getenv(name); };
  Console console = process_console(environment);
  std::vector<std::string> words(argv + 1, argv + argc);
  return run_app({console, environment}, words);
}
