#include "common/model/trigger.h"

#include <array>

namespace millrace {

std::string_view to_string(EventFate fate) {
  static constexpr std::array<std::string_view, 6> kWords = {"fired",    "waits",  "duplicate",
                                                             "filtered", "paused", "failed"};
  return kWords[static_cast<std::size_t>(fate)];
}

}  // namespace millrace
