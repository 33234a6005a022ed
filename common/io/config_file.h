// The --config file: a YAML mapping from option names to scalars, lists of scalars, or (key=value options) mappings.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/io/config.h"

namespace millrace {

struct FileValue {
  std::vector<std::string> values;
  std::string where;  // "file:line:column"
};
struct ConfigFile {
  std::map<std::string, FileValue> values;
  std::vector<std::string> problems;  // each with its place
};

constexpr std::size_t kConfigBytesMax = 1024 * 1024;

ConfigFile read_config_file(const std::string& path, const std::vector<ConfigOption>& options);

}  // namespace millrace
