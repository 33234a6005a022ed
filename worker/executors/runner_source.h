// The texts of runners/, compiled into the binary.
#pragma once

#include <string_view>

namespace millrace {

std::string_view python_runner_source();
std::string_view javascript_runner_source();
std::string_view python_environment_source();

}  // namespace millrace
