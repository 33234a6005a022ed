// Verb: one command of `millrace`: its syntax, its help and what it does. To add one: a file in cli/verbs, a line in
// verbs/all.h and in the table of app.cc, a golden of its output.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"
#include "cli/console.h"
#include "common/io/config.h"

namespace millrace {

struct CommandContext {
  const Console& console;
  const Environment& environment;
};

struct Verb {
  std::string_view name;
  std::string_view summary;      // one line
  std::string_view description;  // more of it, for `millrace VERB --help`
  std::vector<std::string_view> examples;
  Syntax syntax;
  // An exit code, or an error that run_app() prints and turns into one.
  Result<int> (*run)(const CommandContext& context, const Arguments& arguments) = nullptr;
};

std::string help_of(const Verb& verb);
std::string help_of_all(std::span<const Verb> verbs);

}  // namespace millrace
