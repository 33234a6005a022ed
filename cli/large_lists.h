// LargeLists: outputs that are list references, as a command shows them.
//
// Small ones are read like any value. Of a large one people see how much it is; for programs a mark stands in what is
// rendered, and unfolding() writes the list in its place, part by part, so that it is never held. Threads: one.
// Owns nothing: the client outlives it. Fails: status() says what stopped the unfolding; what was written until then
// stays.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "cli/client.h"
#include "cli/render.h"
#include "cli/run_output.h"
#include "cli/views.h"
#include "common/model/composed.h"

namespace millrace {

constexpr std::uint64_t kListShownMax = 4ULL << 20U;  // bytes of JSON of one that is read like any value

class LargeLists {
 public:
  LargeLists(Client& client, Duration timeout, Format format);

  using Out = std::function<bool(std::string_view)>;
  ReadPayload reader();  // lives no longer than this, as does the next
  Out unfolding(Out out);
  const Status& status() const { return status_; }

 private:
  Result<Value> read(const Payload& payload);
  bool write(std::string_view text, const Out& out);
  bool write(const Composed& what, const Out& out);
  bool stop(Error error);

  Client& client_;
  Duration timeout_;
  bool for_people_;
  std::string mark_;                        // before the name
  std::map<std::string, Composed> marked_;  // by mark
  Status status_ = Done{};
};

// The end of a run as `wait` and `submit --wait` print it, and its exit code.
Result<int> print_run(const RunView& view, RunStyle style, Format format, const Console& console, Client& client,
                      Duration timeout);

}  // namespace millrace
