// Internal to yaml_source: drives the YAML library and builds the tree, counting as it goes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/spec/yaml_source.h"

namespace millrace {

struct YamlRefusal {
  Problem problem;
  std::string limit;  // the named limit; empty: not YAML
};

// Parses the source into the document's nodes. Empty: done.
std::optional<YamlRefusal> build_yaml(YamlDocument& document, std::string_view source, const YamlLimits& limits);

}  // namespace millrace
