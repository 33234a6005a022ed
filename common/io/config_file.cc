#include "common/io/config_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "common/base/value.h"

namespace millrace {
namespace {

constexpr int kNestingMax = 8;

class FileReader {
 public:
  FileReader(const std::string& path, const std::vector<ConfigOption>& options) : path_(path), options_(options) {}

  ConfigFile read() {
    std::ifstream in(path_, std::ios::binary);
    if (!in) return problem(path_ + ": " + std::strerror(errno));
    std::string text(kConfigBytesMax + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > kConfigBytesMax) return problem(path_ + ": larger than 1 MiB");
    try {
      read_mapping(YAML::Load(text));
    } catch (const YAML::Exception& e) { problem(place(e.mark) + ": " + e.msg); }
    return std::move(file_);
  }

 private:
  ConfigFile problem(std::string text) {
    file_.problems.push_back(std::move(text));
    return file_;
  }
  std::string place(const YAML::Mark& mark) const {
    return path_ + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
  }

  void read_mapping(const YAML::Node& root) {
    if (root.IsNull()) return;
    if (!root.IsMap()) {
      problem(place(root.Mark()) + ": a mapping from option names to values expected");
      return;
    }
    for (const auto& member : root) read_member(member.first, member.second);
  }

  void read_member(const YAML::Node& key, const YAML::Node& node) {
    const std::string where = place(key.Mark());
    const std::string name = key.IsScalar() ? key.Scalar() : "";
    const auto option = std::ranges::find(options_, name, &ConfigOption::name);
    if (option == options_.end()) {
      problem(where + ": unknown option \"" + name + "\"");
    } else if (file_.values.contains(name)) {
      problem(where + ": \"" + name + "\" stands twice");
    } else {
      file_.values[name] = {read_values(*option, node, where), where};
    }
  }

  std::vector<std::string> read_values(const ConfigOption& option, const YAML::Node& node, const std::string& where) {
    std::vector<std::string> values;
    if (node.IsScalar()) {
      values.push_back(node.Scalar());
    } else if (node.IsSequence() && option.repeated) {
      for (const YAML::Node& item : node) {
        if (item.IsScalar()) values.push_back(item.Scalar());
        else problem(place(item.Mark()) + ": a single value expected");
      }
    } else if (node.IsMap() && option.repeated && option.type == OptionType::kKeyValue) {
      for (const auto& member : node) {
        if (member.first.IsScalar() && member.second.IsScalar()) {
          values.push_back(member.first.Scalar() + "=" + member.second.Scalar());
        } else if (member.first.IsScalar() && option.nested) {
          values.push_back(member.first.Scalar() + "=" + to_json(member.second, 0).dump());
        } else {
          problem(place(member.first.Mark()) + ": a single value expected");
        }
      }
    } else if (!node.IsNull()) {
      problem(where + ": \"" + option.name + "\" takes " + (option.repeated ? "one or more values" : "a single value"));
    }
    return values;
  }

  // What a nested option holds, as JSON. Scalars that are quoted are text.
  Value to_json(const YAML::Node& node, int depth) {
    if (depth > kNestingMax) {
      problem(place(node.Mark()) + ": nested too deep");
      return nullptr;
    }
    if (node.IsMap()) {
      Value out = Value::Object{};
      for (const auto& member : node) out.set(member.first.Scalar(), to_json(member.second, depth + 1));
      return out;
    }
    if (node.IsSequence()) {
      Value out = Value::Array{};
      for (const YAML::Node& item : node) out.push_back(to_json(item, depth + 1));
      return out;
    }
    if (node.IsNull()) return nullptr;
    Result<Value> plain = node.Tag() == "!" ? Result<Value>(Error{}) : Value::parse(node.Scalar());
    return plain.ok() && !plain->is_string() ? std::move(*plain) : Value(node.Scalar());
  }

  const std::string& path_;
  const std::vector<ConfigOption>& options_;
  ConfigFile file_;
};

}  // namespace

ConfigFile read_config_file(const std::string& path, const std::vector<ConfigOption>& options) {
  return FileReader(path, options).read();
}

}  // namespace millrace
