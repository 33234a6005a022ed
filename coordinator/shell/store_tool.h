// Store tool: what an operator does to the store itself, beside the coordinators: check it, repair it, back it up,
// restore it. The one way into Redis for the command line (docs/adr/0013).
//
// Promises: check and backup only read, and are consistent on a live cluster: a run is judged by what one MULTI saw of
// it, a partition is backed up as it was at one commit. repair takes a damaged partition by epoch before it touches it,
// looks at it again, and gives it back to the owner it had; sound partitions are not touched. Where a living owner
// still has in memory what the store has lost of a live run, the partition is left to it unless told otherwise. restore
// writes nothing where there is something, or where a coordinator lives. Threads: blocks; one at a time. Fails: the
// Error names the server, the file or the partition.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace {

struct StoreFinding {  // something damaged
  std::optional<std::uint16_t> partition;
  std::string kind;  // run, index, events, key, definition, value, owner, shelf, cluster
  std::optional<RunId> run;
  std::string key;  // in Redis
  std::string what;
  std::string entry = {};  // in that key: a run, a field, the id of a stream entry
  bool live = false;       // touches a run that is listed as live: its owner may have it in memory
};

struct StoreCheck {
  std::uint16_t partitions = 0;
  std::uint64_t runs = 0;
  std::uint64_t runs_live = 0;
  std::uint64_t tasks = 0;   // records
  std::uint64_t events = 0;  // durable ones that are kept
  std::uint64_t definitions = 0;
  std::uint64_t values = 0;
  std::vector<StoreFinding> findings;
};

struct StoreAction {  // of a repair
  StoreFinding finding;
  std::string action;    // listed, unlisted, set_aside, removed, left
  std::string why = {};  // it was left
};
struct StoreRepair {
  std::vector<StoreAction> actions;
  std::uint64_t left = 0;  // findings that remain
};

struct StoreCopy {  // of a backup or a restore
  std::uint16_t partitions = 0;
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;  // of the file
};

constexpr std::uint32_t kBackupFormat = 1;

class StoreTool {
 public:
  static Result<std::unique_ptr<StoreTool>> open(const std::string& url, Duration timeout);
  virtual ~StoreTool() = default;
  virtual Result<StoreCheck> check() = 0;
  // `take`: also partitions whose living owner has damaged live runs in memory; those runs are given up.
  virtual Result<StoreRepair> repair(bool take) = 0;
  virtual Result<StoreCopy> backup(const std::string& file) = 0;
  virtual Result<StoreCopy> restore(const std::string& file, bool force) = 0;
  virtual std::string where() const = 0;  // without credentials
};

}  // namespace millrace
