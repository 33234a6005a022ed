// Bindings: turns an assignment into what an executor sees: renders the templated fields from the values that came with
// it, and hands code the values themselves.
//
// Expressions see `inputs`, `nodes`, `run` ({id, attempt, workflow, trace_id}), `item` and `index` of a mapped node,
// and `secrets`, each of which is read anew for every attempt and named in TaskContext::secrets; `env` is an error.
// JSON is parsed only where an expression reads it; code gets the bytes, of what `foreach` goes over only where it
// reads that (worker/shell/code_reads.h). Of a list reference (common/model/composed.h) expressions read the elements
// that they name; python gets what it is put together from and asks for the rest as it goes, all others the whole.
// Templates are compiled once a NodeSpec. Fields that are not templated (code) stay as written. Threads: one. Fails:
// what cannot be rendered is kInvalid; the message names the field and quotes the expression.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "common/expr/expression.h"
#include "common/model/worker_messages.h"
#include "worker/executors/executor.h"
#include "worker/shell/code_reads.h"
#include "worker/shell/value_cache.h"

namespace millrace {

// Where values held by reference are found once they were fetched.
class ValueSource {
 public:
  virtual ~ValueSource() = default;
  virtual SharedText value(const Hash128& hash) const = 0;  // null: not here; never for what references() named
};

// One item of a mapped node.
struct ItemBinding {
  std::uint32_t index = 0;
  std::string_view json;
};

class Bindings {
 public:
  explicit Bindings(const Secrets* secrets = nullptr) : secrets_(secrets) {}  // null: there are none

  static constexpr std::size_t kWholesBytes = 32 * 1024 * 1024;
  static constexpr std::size_t kSpecsMax = 4096;  // compiled ones kept; beyond it, all are forgotten

  // The values that must be fetched before render(), each once.
  std::vector<Hash128> references(const Assignment& assignment);
  // Parts of lists that are needed and are not here are added to `missing`; then the result does not count.
  Result<TaskContext> render(const Assignment& assignment, const ValueSource& values, std::vector<Hash128>& missing,
                             const ItemBinding* item = nullptr);
  // What is kept of an item's output, as the node's `collect` says; without one the output itself.
  Result<Payload> collect(const Assignment& assignment, const ItemBinding& item, Payload output);

  class Found;  // the values of one rendering

  // Larger values that expressions have read, parsed, so that each item of an attempt finds what the one before read.
  class Parsed {
   public:
    static constexpr std::size_t kBytesMin = 1024;             // of JSON; smaller ones are parsed anew
    static constexpr std::size_t kBytesMax = 4 * 1024 * 1024;  // of all of them
    std::shared_ptr<const Value> find(const Payload& payload) const;
    void keep(const Payload& payload, std::size_t bytes, std::shared_ptr<const Value> value);

   private:
    struct One {
      Payload of;
      std::size_t bytes;
      std::shared_ptr<const Value> value;
    };
    std::vector<One> values_;  // the oldest first
    std::size_t bytes_ = 0;
  };

 private:
  struct Compiled {
    std::shared_ptr<const NodeSpec> spec;  // keeps its address from being given to another
    const ExecutorFields* executor = nullptr;
    expr::Template templated;  // of the templated fields
    std::optional<expr::Template> collect;
    bool literal = true;   // nothing to render
    bool bare = false;     // no fields, and no code that would see values
    bool code = false;     // sees all values
    bool streams = false;  // and reads lists as it goes
    bool reads_inputs = false;
    bool reads_all_nodes = false;
    bool reads_variables = false;
    std::vector<std::string> reads_nodes;
    UnreadByCode unread;
    std::string problem;  // why it cannot be rendered; empty: it can
    bool hands_over(const std::string& node) const;
    bool reads(const std::string& node) const;
  };

  const Compiled& compiled(const std::shared_ptr<const NodeSpec>& spec);
  static Compiled compile(const std::shared_ptr<const NodeSpec>& spec);
  static void look_at_references(Compiled& compiled);
  Result<Value> fields(const Compiled& compiled, const Assignment& assignment, Found& found, const ItemBinding* item,
                       std::vector<std::string>& secrets);
  Result<TaskContext> render(const Assignment& assignment, Found& found, const ItemBinding* item);
  SharedText inputs_for_code(const Compiled& compiled, const Payload& inputs, Found& found);

  const Secrets* secrets_;
  std::unordered_map<const NodeSpec*, Compiled> compiled_;
  Payload parsed_inputs_of_;  // the latest run's inputs, parsed
  std::shared_ptr<const Value> parsed_inputs_;
  const Compiled* trimmed_for_ = nullptr;  // the latest inputs without what its code does not read
  Payload trimmed_of_;
  SharedText trimmed_;
  Parsed parsed_;
  ValueCache wholes_{kWholesBytes};  // lists that were put together, by the name of what they are put together from
};

}  // namespace millrace
