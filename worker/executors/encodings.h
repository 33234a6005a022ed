// Bytes as text. Pure, total.
#pragma once

#include <string>
#include <string_view>

#include "common/net/egress.h"  // percent_encoded()

namespace millrace {

std::string base64(std::string_view bytes);

}  // namespace millrace
