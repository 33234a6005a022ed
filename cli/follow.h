// Follow: waits for the end of a run and tells a Progress what happens meanwhile.
//
// Promises: survives a restart of the coordinator; nothing but the caller's timeout, an error or the end of the run
// ends it. When `interrupted` first says so, the run is cancelled and its end is waited for. Fails: kTimeout when
// `timeout` is over; what `fault` says; what the coordinator answers (kNotFound ...).
#pragma once

#include <functional>
#include <optional>

#include "cli/client.h"
#include "cli/progress.h"

namespace millrace {

struct FollowOptions {
  RunId run;
  std::optional<Duration> timeout;
  std::function<bool()> interrupted;            // may be empty
  std::function<std::optional<Error>()> fault;  // of what the run depends on in this process; may be empty
};

Result<RunView> follow(Client& client, Progress& progress, const FollowOptions& options);

}  // namespace millrace
