#include "cli/arguments.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/base/units.h"
#include "common/spec/suggest.h"

namespace millrace {

class ArgumentReader {
 public:
  ArgumentReader(const Syntax& syntax, std::string_view verb, std::span<const std::string> words)
      : syntax_(syntax), verb_(verb), words_(words) {
    result_.syntax_ = &syntax;
  }

  Result<Arguments> read() {
    while (at_ < words_.size()) {
      std::string_view word = words_[at_++];
      if (only_operands_ || word == "-" || !word.starts_with("-")) result_.operands_.emplace_back(word);
      else if (word == "--") only_operands_ = true;
      else if (word.starts_with("--")) read_long(word.substr(2));
      else read_letters(word.substr(1));
    }
    if (result_.help_) return std::move(result_);
    check_operands();
    if (problems_.empty()) return std::move(result_);
    std::string what = "millrace " + std::string(verb_) + ": ";
    what += problems_.size() == 1 ? problems_[0].message : std::to_string(problems_.size()) + " mistakes";
    return Error{Code::kInvalid, std::move(what), std::move(problems_), "usage"};
  }

 private:
  void problem(std::string message, std::string expected = "", std::string hint = "") {
    problems_.push_back({"", 0, 0, std::move(message), std::move(expected), std::move(hint)});
  }

  void read_long(std::string_view word) {
    std::size_t equals = word.find('=');
    std::string_view name = word.substr(0, equals);
    if (name == "help") {
      result_.help_ = true;
      return;
    }
    auto option = std::ranges::find(syntax_.options, name, &Option::name);
    if (option == syntax_.options.end()) {
      std::vector<std::string_view> names = {"help"};
      for (const Option& known : syntax_.options) names.push_back(known.name);
      std::string_view near = closest(name, names);
      unknown_ = true;
      problem("unknown option '--" + std::string(name) + "'", "",
              near.empty() ? "see millrace " + std::string(verb_) + " --help"
                           : "did you mean '--" + std::string(near) + "'?");
      return;
    }
    if (equals == std::string_view::npos) take(*option, std::nullopt);
    else take(*option, word.substr(equals + 1));
  }

  void read_letters(std::string_view letters) {
    while (!letters.empty()) {
      char letter = letters[0];
      letters.remove_prefix(1);
      if (letter == 'h') {
        result_.help_ = true;
        continue;
      }
      auto option = std::ranges::find(syntax_.options, letter, &Option::letter);
      if (option == syntax_.options.end()) {
        unknown_ = true;
        problem(std::string("unknown option '-") + letter + "'", "", "see millrace " + std::string(verb_) + " --help");
        return;
      }
      if (option->takes == Takes::kNothing) {
        take(*option, std::nullopt);
      } else {
        if (letters.starts_with("=")) letters.remove_prefix(1);
        if (letters.empty()) take(*option, std::nullopt);
        else take(*option, letters);
        return;
      }
    }
  }

  void take(const Option& option, std::optional<std::string_view> value) {
    std::string name = "--" + std::string(option.name);
    if (option.takes == Takes::kNothing) {
      if (value) problem(name + " takes no value");
      result_.given_.push_back({option.name, ""});
      return;
    }
    if (!value) {
      if (at_ == words_.size()) return problem(name + " needs a value", std::string(option.metavar));
      value = words_[at_++];
    }
    check(option, name, *value);
    result_.given_.push_back({option.name, std::string(*value)});
  }

  void check(const Option& option, const std::string& name, std::string_view value) {
    std::string shown = name + " " + std::string(value);
    if (option.takes == Takes::kNumber) {
      std::int64_t number = 0;
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (error != std::errc{} || end != value.data() + value.size())
        problem(shown + ": not a number", "a whole number");
    } else if (option.takes == Takes::kDuration) {
      Result<Duration> duration = parse_duration(value);
      if (!duration.ok()) problem(shown + ": not a duration", "a number with a unit: 500ms, 30s, 5m");
    } else {
      check_choice(option.choices, shown, value);
    }
  }

  void check_choice(const std::vector<std::string_view>& choices, const std::string& shown, std::string_view value) {
    if (choices.empty() || std::ranges::find(choices, value) != choices.end()) return;
    problem(shown + ": no such choice", "one of " + list_words(choices), did_you_mean(value, choices));
  }

  void check_operands() {
    std::size_t given = result_.operands_.size();
    std::size_t index = 0;
    for (const Operand& operand : syntax_.operands) {
      if (index >= given && operand.required)
        problem(std::string(operand.name) + " is missing", std::string(operand.help));
      std::size_t last = operand.many ? given : std::min(index + 1, given);
      for (; index < last; ++index) {
        check_choice(operand.choices, "'" + result_.operands_[index] + "'", result_.operands_[index]);
      }
    }
    // After an unknown option its value looks like an operand too many.
    for (; index < given && !unknown_; ++index) problem("unexpected argument '" + result_.operands_[index] + "'");
  }

  const Syntax& syntax_;
  std::string_view verb_;
  std::span<const std::string> words_;
  std::size_t at_ = 0;
  bool only_operands_ = false;
  bool unknown_ = false;
  Arguments result_;
  std::vector<Problem> problems_;
};

Result<Arguments> read_arguments(const Syntax& syntax, std::string_view verb, std::span<const std::string> words) {
  return ArgumentReader(syntax, verb, words).read();
}

const std::string* Arguments::last(std::string_view option) const {
  assert(std::ranges::find(syntax_->options, option, &Option::name) != syntax_->options.end());
  for (std::size_t i = given_.size(); i-- > 0;) {
    if (given_[i].option == option) return &given_[i].value;
  }
  return nullptr;
}

bool Arguments::given(std::string_view option) const { return last(option) != nullptr; }

std::string Arguments::text(std::string_view option, std::string_view otherwise) const {
  const std::string* value = last(option);
  return value == nullptr ? std::string(otherwise) : *value;
}

std::vector<std::string> Arguments::list(std::string_view option) const {
  std::vector<std::string> values;
  for (const Given& one : given_) {
    if (one.option == option) values.push_back(one.value);
  }
  return values;
}

std::optional<std::int64_t> Arguments::number(std::string_view option) const {
  const std::string* value = last(option);
  if (value == nullptr) return std::nullopt;
  std::int64_t number = 0;
  std::from_chars(value->data(), value->data() + value->size(), number);
  return number;
}

std::optional<Duration> Arguments::duration(std::string_view option) const {
  const std::string* value = last(option);
  if (value == nullptr) return std::nullopt;
  return parse_duration(*value).value();
}

std::string Arguments::operand(std::size_t index, std::string_view otherwise) const {
  return index < operands_.size() ? operands_[index] : std::string(otherwise);
}

}  // namespace millrace
