// Codec: messages of the model as bytes, and back. The only code that sees *.pb.h.
//
// Promises: total and bounded. decode(encode(m)) == m; whatever bytes arrive, decoding returns a message whose enums,
// counts and indices are valid, or an Error (kInvalid; kNotFound where said), and never throws. JSON travels as bytes
// untouched and is parsed only where the model holds a Value. encode() trusts its caller: it is given what the model
// allows (Assignment: a context, a node spec, and one name a binding).
// Threads: any; scratch memory is thread-local. Units: times and durations travel as microseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/model/event.h"
#include "common/model/operator_messages.h"
#include "common/model/worker_messages.h"
#include "common/model/workflow.h"

namespace millrace {

// Limits of one message (DESIGN rule 7). Whoever batches splits before them; who receives more refuses it.
constexpr std::size_t kBatchMax = 65'536;                   // assignments, reports, answers, attempts, events
constexpr std::size_t kBindingsMax = 1U << 20;              // bindings, or upstream versions, of a whole batch
constexpr std::uint64_t kEdgesMax = 64ULL * 1024 * 1024;    // of one definition
constexpr std::size_t kMembersMax = 4'096;                  // coordinators that a message names
constexpr std::size_t kBatchBytesTarget = 4 * 1024 * 1024;  // where a sender closes a batch, by the sizes below

// Roughly what one more of these adds to a batch, for splitting batches: at least the values it carries itself. What
// the tasks of a run share (inputs) is not counted.
std::size_t wire_size(const Assignment& assignment);
std::size_t wire_size(const AttemptReport& report);

// ---------------------------------------------------------------- definitions

// Same spec, same bytes: a definition is named by the hash128 of them.
std::string encode_definition(const WorkflowSpec& spec);
// Checked: at most kTasksMax nodes and kEdgesMax edges, rows ascending without repeats, every target and spec index in
// range, ids valid and unique. Not checked: that the graph has no cycle.
Result<WorkflowSpec> decode_definition(std::string_view bytes);

// ---------------------------------------------------------------- worker protocol

// The node specs that one peer has been sent: the sender's half of the agreement. A fresh or cleared one makes the next
// AssignBatch tell the receiver to forget, so clear() is always safe and costs only sending specs again. Clear it when
// the worker says Hello, and when an encoded AssignBatch was not sent after all.
class SentSpecs {
 public:
  static constexpr std::size_t kMax = 16'384;  // beyond it, it starts over by itself
  void clear() {
    keys_.clear();
    fresh_ = true;
  }
  std::size_t size() const { return keys_.size(); }

  // For the codec: whether the receiver must forget before a batch of `more` assignments; and whether a key is new.
  bool begin_batch(std::size_t more) {
    if (keys_.size() + more > kMax) clear();
    return std::exchange(fresh_, false);
  }
  bool insert(const SpecKey& key) { return keys_.insert(key).second; }

 private:
  std::set<SpecKey> keys_;
  bool fresh_ = true;
};

// The node specs that one coordinator has sent us: the receiver's half. Holds at most SentSpecs::kMax + kBatchMax.
class SpecCache {
 public:
  void clear() { specs_.clear(); }
  std::size_t size() const { return specs_.size(); }
  void put(const SpecKey& key, std::shared_ptr<const NodeSpec> spec) { specs_[key] = std::move(spec); }
  std::shared_ptr<const NodeSpec> find(const SpecKey& key) const {
    auto it = specs_.find(key);
    return it == specs_.end() ? nullptr : it->second;
  }

 private:
  std::map<SpecKey, std::shared_ptr<const NodeSpec>> specs_;
};

std::string encode(const WorkerMessage& message);
Result<WorkerMessage> decode_worker_message(std::string_view bytes);

// `sent` is that of the peer the bytes go to.
std::string encode(const CoordinatorMessage& message, SentSpecs& sent);
// kNotFound: an assignment names a node spec that `cache` does not hold (the two sides lost step): say Hello again.
Result<CoordinatorMessage> decode_coordinator_message(std::string_view bytes, SpecCache& cache);

// ---------------------------------------------------------------- operator protocol

// `number` is the client's: the reply carries it back. `hops`: how many coordinators have forwarded the request; said
// between coordinators only.
std::string encode_request(std::uint64_t number, const OperatorRequest& request, std::uint32_t hops = 0);
Result<std::pair<std::uint64_t, OperatorRequest>> decode_request(std::string_view bytes, std::uint32_t* hops = nullptr);
std::string encode_reply(std::uint64_t number, const OperatorReply& reply);
Result<std::pair<std::uint64_t, OperatorReply>> decode_reply(std::string_view bytes);

// ---------------------------------------------------------------- events

std::string encode_events(std::span<const Event> events);
Result<std::vector<Event>> decode_events(std::string_view bytes);

}  // namespace millrace
