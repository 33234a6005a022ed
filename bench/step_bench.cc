// The pure core alone: completions a second through Partition and Placement, no sockets, no store. Medians of three.
#include <cstdio>
#include <cstdlib>

#include "bench/arithmetic.h"
#include "bench/core_drive.h"
#include "bench/graphs.h"

namespace {

using namespace millrace;
using namespace millrace::bench;

double median_of_three(const WorkflowSpec& spec, std::uint32_t runs) {
  const auto plan = plan_of(spec);
  std::vector<double> rates;
  for (int i = 0; i < 3; ++i) rates.push_back(drive_core(plan, {.runs = runs}).per_s());
  return median(rates);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint32_t tasks = argc > 1 ? static_cast<std::uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 200'000;
  std::printf("core fan-in  %u tasks: %.0f completions/s\n", tasks, median_of_three(fan_in(tasks), 1));
  std::printf("core diamonds %u runs: %.0f completions/s\n", tasks / 4, median_of_three(diamond(), tasks / 4));
  std::printf("core random  %u tasks: %.0f completions/s\n", tasks, median_of_three(random_dag(tasks, 1), 1));
  return 0;
}
