// Inputs: from `-i k=v` and `--inputs FILE` to the JSON object that a run is given.
//
// The rules (docs/cli.md): a declared string is taken as written; other declared types must parse; an input of type any
// is JSON if it parses, else text. `k=@FILE` takes the file's text (any, string) or its JSON; `@@` starts a literal @;
// `@-` is standard input. An input of type file is an existing path, made absolute. Later flags win.
// Fails: kInvalid with every problem of all inputs at once. Threads: any; the reader is the only way to the disk.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"
#include "common/model/workflow.h"

namespace millrace {

struct InputFlag {
  enum class Kind { kAssign, kDocument };
  Kind kind = Kind::kAssign;
  std::string text;  // "k=v", or the name of a JSON or YAML file, "-" for standard input
};

struct InputFiles {
  std::function<Result<std::string>(const std::string& path)> read;           // "-": standard input
  std::function<Result<std::string>(const std::string& path)> absolute_path;  // of a file that exists
};
InputFiles files_on_disk();

Result<Value> gather_inputs(const std::vector<InputSpec>& declared, std::span<const InputFlag> flags,
                            const InputFiles& files);

// A whole file, or standard input for "-". At most kValueMax bytes. Errors: kInvalid, naming the path.
Result<std::string> read_file(const std::string& path);

}  // namespace millrace
