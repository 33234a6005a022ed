// The issue's own measure of failover.
#include "tests/process/failover.h"

namespace millrace::test {
namespace {

TEST(Failover, AThousandLiveRunsWithAHundredThousandOpenTasksAreServedAgainInThreeSeconds) {
  kill_one_of_two(1'000, 98);
}

}  // namespace
}  // namespace millrace::test
