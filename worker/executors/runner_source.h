// The text of runners/python_runner.py, compiled into the binary.
#pragma once

#include <string_view>

namespace millrace {

std::string_view python_runner_source();

}  // namespace millrace
