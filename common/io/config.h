// Config: the settings of a program, from four places: flag > environment > file > default.
//
// Promises: one table of options gives flags, environment variables, file keys, `--help` and `--print-config`. What is
// unknown is refused: flags by name, keys of the file with file:line:column. Every problem of a source is told at once.
// Secrets are masked wherever they are printed. Adds to each table: --help, --version, --config FILE, --print-config.
// Threads: a plain value. Fails: as an exit code with a text; usage errors are exit 2.
//
// Durations and sizes are written with units, as common/base/units.h reads them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace {

enum class OptionType : std::uint8_t { kString, kInteger, kNumber, kBoolean, kDuration, kSize, kKeyValue };

struct ConfigOption {
  std::string name;                       // "listen": flag --listen, MILLRACE_LISTEN, file key listen
  OptionType type = OptionType::kString;  // kBoolean: --flag, --flag=false; kKeyValue: k=v
  std::string default_value = {};         // as text; empty: none
  std::string help = {};
  std::string metavar = {};               // in --help: "ENDPOINT"; empty: from the type
  bool repeated = false;                  // may be given many times; in the environment separated by commas
  bool secret = false;                    // masked when printed
  bool hidden = false;                    // not in --help
  bool nested = false;                    // kKeyValue: in the file a value may be a mapping; it is handed on as JSON
  std::vector<std::string> choices = {};  // of a string; empty: any
  std::string environment = {};           // empty: MILLRACE_<NAME>; "-": none
};

struct ConfigProgram {
  std::string name;     // "millrace-worker"
  std::string summary;  // first line of --help
  std::string version;
  std::vector<ConfigOption> options;
};

class Config {
 public:
  // Each asks for an option of the table by name and with its type: anything else is our own mistake. An option without
  // value and default reads as empty or zero.
  const std::string& text(std::string_view name) const;
  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  bool boolean(std::string_view name) const;
  Duration duration(std::string_view name) const;
  std::uint64_t size(std::string_view name) const;
  const std::vector<std::string>& list(std::string_view name) const;           // repeated ones
  std::map<std::string, std::string> key_values(std::string_view name) const;  // repeated kKeyValue; later wins
  bool given(std::string_view name) const;                                     // from anywhere but the default

  // Every option with its value, source and default, as YAML in the form of --config (secrets masked).
  std::string print() const;

 private:
  friend class ConfigReader;
  struct Entry {
    ConfigOption option;
    std::vector<std::string> values;
    std::string source;  // "default", "flag", "environment MILLRACE_X", "file a.yaml:3"
  };
  const Entry& entry(std::string_view name) const;
  std::vector<Entry> entries_;
};

// Either a config, or a text and an exit code: 0 for --help, --version, --print-config (on stdout); 2 otherwise.
struct ConfigOutcome {
  std::optional<Config> config;
  int exit_code = 0;
  std::string out;
  std::string err;
};

using Environment = std::function<const char*(const char* name)>;  // std::getenv, or a test's
ConfigOutcome read_config(const ConfigProgram& program, int argc, const char* const* argv,
                          const Environment& environment = {});
// For main(): prints what is to be printed and exits where the outcome says so.
Config read_config_or_exit(const ConfigProgram& program, int argc, const char* const* argv);

}  // namespace millrace
