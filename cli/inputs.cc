#include "cli/inputs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "common/model/payload.h"
#include "common/spec/suggest.h"
#include "common/spec/yaml_value.h"

namespace millrace {
namespace {

Error file_error(const std::string& path, const std::string& why) {
  return Error{
      Code::kInvalid, "cannot read " + (path == "-" ? "standard input" : "'" + path + "'") + ": " + why, {}, ""};
}

class Gatherer {
 public:
  Gatherer(const std::vector<InputSpec>& declared, const InputFiles& files) : declared_(declared), files_(files) {}

  void assign(const std::string& text) {
    std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      problem("-i " + text + ": no name and value", "NAME=VALUE");
      return;
    }
    std::string name = text.substr(0, equals);
    keep(name, [&](const InputSpec* input) {
      InputType type = input == nullptr ? InputType::kAny : input->type;
      return type == InputType::kFile ? path_value(name, text.substr(equals + 1))
                                      : flag_value(name, type, text.substr(equals + 1));
    });
  }

  void document(const std::string& path) {
    Result<std::string> text = read(path);
    if (!text.ok()) return problem("--inputs " + path + ": " + text.error().what);
    bool yaml = path.ends_with(".yaml") || path.ends_with(".yml");
    Result<Value> value = yaml ? parse_yaml_value(*text, path) : Value::parse(*text);
    if (!value.ok()) {
      for (const Problem& one : value.error().details) problems_.push_back(one);
      if (value.error().details.empty()) problem("--inputs " + path + ": " + value.error().what, "a JSON object");
    } else if (!value->is_object()) {
      problem("--inputs " + path + ": not an object but of kind " + value->kind_name(), "a JSON object of inputs");
    } else {
      for (Value::Member& one : value->as_object()) {
        keep(one.first, [&](const InputSpec* input) -> std::optional<Value> {
          bool is_path = input != nullptr && input->type == InputType::kFile && one.second.is_string();
          return is_path ? path_value(one.first, one.second.as_string()) : std::optional<Value>(std::move(one.second));
        });
      }
    }
  }

  Result<Value> finish() && {
    // What already has a problem is not told a second time as missing.
    std::vector<InputSpec> sound;
    std::ranges::copy_if(declared_, std::back_inserter(sound),
                         [&](const InputSpec& i) { return !bad_.contains(i.name); });
    Result<Value> bound = bind_inputs(sound, given_);
    if (!bound.ok()) {
      for (const Problem& one : bound.error().details) add_bound(one);
    }
    if (problems_.empty()) return bound;
    std::string what = "the inputs do not fit the workflow";
    if (problems_.size() == 1) what += ": " + problems_[0].message;
    return Error{Code::kInvalid, std::move(what), std::move(problems_), ""};
  }

 private:
  void problem(std::string message, std::string expected = "", std::string hint = "") {
    problems_.push_back({"", 0, 0, std::move(message), std::move(expected), std::move(hint)});
  }

  // bind_inputs() does not know which names come close.
  void add_bound(Problem one) {
    for (const auto& [name, value] : given_.as_object()) {
      if (one.message != "unknown input '" + name + "'" || !one.hint.empty()) continue;
      std::vector<std::string_view> names;
      for (const InputSpec& input : declared_) names.push_back(input.name);
      one.hint = did_you_mean(name, names);
    }
    problems_.push_back(std::move(one));
  }

  // Later flags win; a mistake in an earlier one is told all the same.
  template <class Make>
  void keep(const std::string& name, const Make& make) {
    auto input = std::ranges::find(declared_, name, &InputSpec::name);
    std::optional<Value> value = make(input == declared_.end() ? nullptr : &*input);
    if (value) given_.set(name, std::move(*value));
    else bad_.insert(name);
  }

  Result<std::string> read(const std::string& path) {
    if (path == "-" && std::exchange(stdin_read_, true)) return file_error(path, "it has been read by another flag");
    return files_.read(path);
  }

  std::optional<Value> path_value(const std::string& name, std::string_view text) {
    if (text.starts_with("@")) text.remove_prefix(1);  // `@@x` is the path `@x`, `@x` and `x` are the path `x`
    Result<std::string> path = files_.absolute_path(std::string(text));
    if (path.ok()) return Value(std::move(*path));
    problem("input '" + name + "': " + path.error().what, "the path of a file that exists");
    return std::nullopt;
  }

  std::optional<Value> flag_value(const std::string& name, InputType type, std::string_view text) {
    if (type == InputType::kSecret) return utf8(name, text);  // a name; files hold secrets themselves
    bool is_text = type == InputType::kString || type == InputType::kAny;
    if (text.starts_with("@@")) return typed(name, type, text.substr(1));
    if (!text.starts_with("@")) return typed(name, type, text);
    std::string path(text.substr(1));
    Result<std::string> content = read(path);
    if (!content.ok()) {
      problem("input '" + name + "': " + content.error().what, "", "'@@' starts a text with an @");
      return std::nullopt;
    }
    if (!is_text) return typed(name, type, *content);
    return utf8(name, *content);
  }

  std::optional<Value> typed(const std::string& name, InputType type, std::string_view text) {
    if (type == InputType::kString) return utf8(name, text);
    Result<Value> value = Value::parse(text);
    if (type == InputType::kAny) return value.ok() ? std::move(*value) : utf8(name, text);
    if (value.ok()) return std::move(*value);  // whether it is of the declared type, bind_inputs() says
    std::string shown = text.size() > 60 ? std::string(text.substr(0, 60)) + "..." : std::string(text);
    problem("input '" + name + "' does not parse: " + to_valid_utf8(shown),
            std::string("a value of type ") + to_string(type));
    return std::nullopt;
  }

  std::optional<Value> utf8(const std::string& name, std::string_view text) {
    if (to_valid_utf8(text) == text) return Value(text);
    problem("input '" + name + "' is not UTF-8 text", "text in UTF-8",
            "an input of type file is handed over as a path");
    return std::nullopt;
  }

  const std::vector<InputSpec>& declared_;
  const InputFiles& files_;
  Value given_ = Value::Object{};
  std::set<std::string> bad_;
  std::vector<Problem> problems_;
  bool stdin_read_ = false;
};

Result<std::string> absolute_path(const std::string& path) {
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (path.empty() || error) return file_error(path, "not a path");
  if (!std::filesystem::exists(absolute, error)) return file_error(path, "no such file");
  return absolute.lexically_normal().string();
}

}  // namespace

InputFiles files_on_disk() { return {read_file, absolute_path}; }

Result<std::string> read_file(const std::string& path) {
  int fd = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return file_error(path, std::strerror(errno));
  auto close = [](const int* f) { ::close(*f); };
  std::unique_ptr<int, decltype(close)> closer(&fd, close);
  std::string text;
  char buffer[64 * 1024];
  for (;;) {
    ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error(path, std::strerror(errno));
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > kValueMax) return file_error(path, "larger than " + std::to_string(kValueMax >> 20) + " MiB");
  }
}

Result<Value> gather_inputs(const std::vector<InputSpec>& declared, std::span<const InputFlag> flags,
                            const InputFiles& files) {
  Gatherer gatherer(declared, files);
  for (const InputFlag& flag : flags) {
    if (flag.kind == InputFlag::Kind::kAssign) gatherer.assign(flag.text);
    else gatherer.document(flag.text);
  }
  return std::move(gatherer).finish();
}

}  // namespace millrace
