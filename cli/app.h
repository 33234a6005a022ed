// The `millrace` program: finds the verb, reads its arguments, runs it, prints what went wrong.
//
// Promises: with `-o json` standard output holds exactly one JSON value, on errors too. Returns an ExitCode.
#pragma once

#include <span>
#include <string>

#include "cli/verb.h"

namespace millrace {

// `words` are the arguments without the program's name.
int run_app(const CommandContext& context, std::span<const std::string> words);

std::span<const Verb> all_verbs();  // in the order of `millrace --help`

}  // namespace millrace
