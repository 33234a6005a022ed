#include "common/io/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/base/units.h"
#include "common/base/value.h"
#include "common/io/config_file.h"
#include "common/io/config_values.h"

namespace millrace {
namespace {

constexpr const char* kMask = "********";

std::string environment_name(const ConfigOption& option) {
  if (option.environment == "-") return {};
  if (!option.environment.empty()) return option.environment;
  std::string name = "MILLRACE_" + option.name;
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

std::string metavar(const ConfigOption& option) {
  if (!option.metavar.empty()) return option.metavar;
  switch (option.type) {
    case OptionType::kString: return "TEXT";
    case OptionType::kInteger:
    case OptionType::kNumber: return "N";
    case OptionType::kBoolean: return "";
    case OptionType::kDuration: return "DURATION";
    case OptionType::kSize: return "SIZE";
    case OptionType::kKeyValue: return "KEY=VALUE";
  }
  return "";
}

std::string join(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += between;
    out += word;
  }
  return out;
}

// Of a URL only what stands before its host is secret.
std::string shown(const ConfigOption& option, const std::string& value) {
  if (!option.secret) return value;
  const std::size_t scheme = value.find("://");
  if (scheme == std::string::npos) return kMask;
  const std::size_t at = value.rfind('@');
  return at == std::string::npos ? value : value.substr(0, scheme + 3) + kMask + value.substr(at);
}

std::string help_line(const ConfigOption& option) {
  std::string text = option.help;
  if (!option.choices.empty()) text += " (" + join(option.choices, "|") + ")";
  if (option.repeated) text += "; may be repeated";
  if (!option.default_value.empty()) text += " [default: " + shown(option, option.default_value) + "]";
  if (const std::string name = environment_name(option); !name.empty()) text += " [env: " + name + "]";
  return text;
}

}  // namespace

// Collects values from the four places, and every problem of each.
class ConfigReader {
 public:
  ConfigReader(const ConfigProgram& program, const Environment& environment)
      : program_(program), environment_(environment) {}

  ConfigOutcome read(int argc, const char* const* argv) {
    for (const ConfigOption& option : program_.options) config_.entries_.push_back({option, {}, "default"});
    flags_.resize(program_.options.size());
    if (std::optional<ConfigOutcome> early = read_flags(argc, argv)) return std::move(*early);
    read_file();
    for (std::size_t i = 0; i < config_.entries_.size(); ++i) choose(i);
    if (!problems_.empty()) return usage_error(join(problems_, "\n"));
    ConfigOutcome outcome;
    if (print_config_) {
      outcome.out = config_.print();
    } else {
      outcome.config = std::move(config_);
    }
    return outcome;
  }

 private:
  ConfigOutcome usage_error(const std::string& text) const {
    ConfigOutcome outcome;
    outcome.exit_code = 2;
    for (std::size_t from = 0; from <= text.size();) {
      const std::size_t end = std::min(text.find('\n', from), text.size());
      outcome.err += program_.name + ": " + text.substr(from, end - from) + "\n";
      from = end + 1;
    }
    outcome.err += "Try '" + program_.name + " --help'.\n";
    return outcome;
  }

  void declare_flags(CLI::App& app) {
    app.set_version_flag("--version", program_.name + " " + program_.version);
    app.set_help_flag("-h,--help", "print this and exit");
    app.add_option("--config", config_path_, "YAML file with any of these options [env: MILLRACE_CONFIG]")
        ->type_name("FILE");
    app.add_flag("--print-config", print_config_, "print every option with its value, source and default, and exit");
    for (std::size_t i = 0; i < program_.options.size(); ++i) {
      const ConfigOption& option = program_.options[i];
      CLI::Option* flag = nullptr;
      if (option.type == OptionType::kBoolean) {
        flag = app.add_flag("--" + option.name, flags_[i], help_line(option));
      } else {
        flag = app.add_option("--" + option.name, flags_[i], help_line(option))->type_name(metavar(option));
        flag->expected(1)->allow_extra_args(false)->multi_option_policy(
            option.repeated ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::Throw);
      }
      if (option.hidden) flag->group("");
    }
  }

  // An outcome where the flags already settle it: --help, --version, a mistake.
  std::optional<ConfigOutcome> read_flags(int argc, const char* const* argv) {
    CLI::App app(program_.summary, program_.name);
    declare_flags(app);
    try {
      app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      ConfigOutcome outcome;
      outcome.out = app.help();
      return outcome;
    } catch (const CLI::CallForVersion& e) {
      ConfigOutcome outcome;
      outcome.out = std::string(e.what()) + "\n";
      return outcome;
    } catch (const CLI::ParseError& e) { return usage_error(e.what()); }
    return std::nullopt;
  }

  const char* from_environment(const std::string& name) const {
    return name.empty() ? nullptr : environment_(name.c_str());
  }

  void read_file() {
    if (config_path_.empty()) {
      if (const char* path = from_environment("MILLRACE_CONFIG")) config_path_ = path;
    }
    if (config_path_.empty()) return;
    file_ = read_config_file(config_path_, program_.options);
    problems_ = file_.problems;
  }

  // The value of one option from the first place that has it.
  void choose(std::size_t i) {
    Config::Entry& entry = config_.entries_[i];
    const ConfigOption& option = entry.option;
    const std::string variable = environment_name(option);
    if (!flags_[i].empty()) {
      take(entry, flags_[i], "flag", "--" + option.name);
    } else if (const char* text = from_environment(variable)) {
      take(entry, option.repeated ? split_list(text) : std::vector<std::string>{text}, "environment " + variable,
           variable);
    } else if (const auto found = file_.values.find(option.name); found != file_.values.end()) {
      take(entry, found->second.values, "file " + found->second.where, found->second.where + ": " + option.name);
    } else if (!option.default_value.empty()) {
      entry.values = option.repeated ? split_list(option.default_value) : std::vector{option.default_value};
    }
  }

  void take(Config::Entry& entry, std::vector<std::string> values, std::string source, const std::string& where) {
    for (const std::string& value : values) {
      const std::optional<std::string> wrong = check_value(entry.option, value);
      if (!wrong) continue;
      problems_.push_back(where + ": " + *wrong + (entry.option.secret ? "" : ", not \"" + value + "\""));
    }
    entry.values = std::move(values);
    entry.source = std::move(source);
  }

  const ConfigProgram& program_;
  const Environment& environment_;
  Config config_;
  std::vector<std::vector<std::string>> flags_;
  std::string config_path_;
  bool print_config_ = false;
  ConfigFile file_;
  std::vector<std::string> problems_;
};

ConfigOutcome read_config(const ConfigProgram& program, int argc, const char* const* argv,
                          const Environment& environment) {
  const Environment chosen =
      environment ? environment : Environment([](const char* name) { return std::getenv(name); });
  return ConfigReader(program, chosen).read(argc, argv);
}

Config read_config_or_exit(const ConfigProgram& program, int argc, const char* const* argv) {
  ConfigOutcome outcome = read_config(program, argc, argv);
  std::fputs(outcome.out.c_str(), stdout);
  std::fputs(outcome.err.c_str(), stderr);
  if (!outcome.config) std::exit(outcome.exit_code);
  return std::move(*outcome.config);
}

// ---------------------------------------------------------------- reading a config

const Config::Entry& Config::entry(std::string_view name) const {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.option.name == name; });
  assert(found != entries_.end() && "no such option");
  return *found;
}

const std::string& Config::text(std::string_view name) const {
  static const std::string kNone;
  const Entry& e = entry(name);
  return e.values.empty() ? kNone : e.values.back();
}

std::int64_t Config::integer(std::string_view name) const {
  assert(entry(name).option.type == OptionType::kInteger);
  return parse_integer(text(name)).value_or(0);
}
double Config::number(std::string_view name) const { return parse_number(text(name)).value_or(0); }
bool Config::boolean(std::string_view name) const {
  assert(entry(name).option.type == OptionType::kBoolean);
  return parse_boolean(text(name)).value_or(false);
}
Duration Config::duration(std::string_view name) const {
  assert(entry(name).option.type == OptionType::kDuration);
  const Result<Duration> duration = parse_duration(text(name));
  return duration.ok() ? *duration : Duration::zero();
}
std::uint64_t Config::size(std::string_view name) const {
  assert(entry(name).option.type == OptionType::kSize);
  const Result<std::uint64_t> size = parse_size(text(name));
  return size.ok() ? *size : 0;
}
const std::vector<std::string>& Config::list(std::string_view name) const { return entry(name).values; }

std::map<std::string, std::string> Config::key_values(std::string_view name) const {
  std::map<std::string, std::string> out;
  for (const std::string& value : list(name)) {
    const std::size_t equals = value.find('=');
    out[value.substr(0, equals)] = value.substr(equals + 1);
  }
  return out;
}

bool Config::given(std::string_view name) const { return entry(name).source != "default"; }

std::string Config::print() const {
  std::string out;
  auto quote = [](const ConfigOption& option, const std::string& value) {
    std::string text;
    append_json_string(text, shown(option, value));
    return text;
  };
  for (const Entry& e : entries_) {
    out += e.option.name + ":";
    if (e.values.empty()) out += " null";
    else if (!e.option.repeated) out += " " + quote(e.option, e.values.back());
    out += "  # from " + e.source;
    if (e.source != "default") {
      out += ", default " + (e.option.default_value.empty() ? "none" : quote(e.option, e.option.default_value));
    }
    out += "\n";
    if (!e.option.repeated) continue;
    for (const std::string& value : e.values) out += "  - " + quote(e.option, value) + "\n";
  }
  return out;
}

}  // namespace millrace
