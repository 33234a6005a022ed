// PythonEnvironments: virtual environments that are made for sets of requirements, each once, and kept on disk.
//
// An environment is a directory below RequirementsOptions::directory, named by a hash of the interpreter and of the
// set; a mark in it says that it is whole, and of what. runners/python_environment.py makes it, with pip, as the
// worker's user: wheels only, so that nothing of a package runs outside of a confined task.
//
// Promises: want() is answered exactly once, perhaps before it returns, unless it is forgotten; whoever wants what is
// being made waits for that; what has failed is not tried again for kRequirementsPause. Bounded: the time of each, how
// many stand beside each other. Threads: the Reactor's. Ending it ends what is being made.
// Fails, as the answer: kRefused where this worker makes none ("requirements_dir"), pip is not there or there are too
// many; kFailed where pip failed ("pip"), `details` hold its last lines.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/model/requirement_set.h"
#include "worker/executors/executor.h"

namespace millrace {

constexpr Duration kRequirementsPause = 10s;
constexpr std::size_t kEnvironmentsMax = 64;  // in one directory

class PythonEnvironments {
 public:
  using Answer = std::function<void(Result<std::string> directory)>;

  PythonEnvironments(RequirementsOptions options, std::string python, Housing& housing, Reactor& reactor);
  ~PythonEnvironments();

  void want(const RequirementSet& set, const AttemptId& attempt, Answer answer);
  void forget(const AttemptId& attempt);

 private:
  class Making;
  struct Failure {
    Error error;
    std::int64_t until_us = 0;
  };
  struct Key {
    std::string text;  // what it is made of
    std::string directory;
    std::string program;  // the interpreter
  };
  Result<Key> key_of(const RequirementSet& set) const;
  Result<bool> is_there(const Key& key) const;
  void made(const std::string& directory, Status status);

  RequirementsOptions options_;
  std::string python_;
  Housing& housing_;
  Reactor& reactor_;
  std::map<std::string, std::unique_ptr<Making>> makings_;  // by directory
  std::map<std::string, Failure> failures_;
};

}  // namespace millrace
