// Arguments: the table of options that each verb has, and a command line read by it.
//
// One table gives parsing, `--help` and completion. Written out by hand instead of with a library, because the order of
// flags matters here (`-i` and `--inputs`: later wins), mistakes get a "did you mean", and all are told at once.
// Promises: what is unknown is refused; `--name value`, `--name=value`, `-n value`, `-nvalue`, flags grouped as `-wf`,
// `--` ends the options; options and operands may mix. Threads: a plain value.
// Fails: kInvalid, one Problem a mistake. Asking for an option that the verb does not have is our own mistake (assert).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace {

enum class Takes : std::uint8_t { kNothing, kText, kNumber, kDuration };
enum class Completes : std::uint8_t { kNothing, kFile };

struct Option {
  std::string_view name;  // without the dashes
  char letter = 0;        // 0: no short form
  Takes takes = Takes::kNothing;
  std::string_view metavar = "";  // "FILE"
  std::string_view help = "";
  bool repeated = false;
  std::vector<std::string_view> choices = {};  // of kText; empty: any
  Completes completes = Completes::kNothing;
};

struct Operand {
  std::string_view name;  // "RUN"
  std::string_view help = "";
  bool required = true;
  bool many = false;  // takes all that are left; only the last one
  Completes completes = Completes::kNothing;
  std::vector<std::string_view> choices = {};
};

struct Syntax {
  std::vector<Operand> operands;
  std::vector<Option> options;  // --help is understood everywhere
};

class Arguments {
 public:
  struct Given {
    std::string_view option;
    std::string value;
  };

  bool given(std::string_view option) const;
  std::string text(std::string_view option, std::string_view otherwise = "") const;  // the last one given
  std::vector<std::string> list(std::string_view option) const;
  std::optional<std::int64_t> number(std::string_view option) const;
  std::optional<Duration> duration(std::string_view option) const;
  std::span<const Given> in_order() const { return given_; }  // every option with its value, as they came
  std::string operand(std::size_t index, std::string_view otherwise = "") const;
  std::span<const std::string> operands() const { return operands_; }
  bool help() const { return help_; }

 private:
  friend class ArgumentReader;
  const std::string* last(std::string_view option) const;

  const Syntax* syntax_ = nullptr;
  std::vector<Given> given_;
  std::vector<std::string> operands_;
  bool help_ = false;
};

// `syntax` outlives the result. `verb` is for the messages.
Result<Arguments> read_arguments(const Syntax& syntax, std::string_view verb, std::span<const std::string> words);

}  // namespace millrace
