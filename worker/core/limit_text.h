// What the error of an attempt says that was stopped by its time limit.
#pragma once

#include <string>

#include "common/base/units.h"

namespace millrace {

inline std::string too_long_text(Duration timeout) {
  return "timed out: an attempt may take " + format_duration(timeout) + " (timeout)";
}

}  // namespace millrace
