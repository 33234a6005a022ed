// Values of options as text: whether they fit the option's type, and what they mean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/io/config.h"

namespace millrace {

// What is wrong with a value; nothing if it fits.
std::optional<std::string> check_value(const ConfigOption& option, std::string_view value);

std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<double> parse_number(std::string_view text);
std::optional<bool> parse_boolean(std::string_view text);
std::vector<std::string> split_list(std::string_view text);  // at commas; empty pieces are left out

}  // namespace millrace
