// Shapes that several protocols share (common.proto, NodeSpec, EventGroup), between the model and protobuf.
// `read_` functions report what is wrong to their Reader and return a harmless value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common.pb.h"
#include "common/base/hash.h"
#include "common/base/result.h"
#include "common/model/event.h"
#include "common/model/payload.h"
#include "common/model/records.h"
#include "common/model/worker_messages.h"
#include "common/wire/codec.h"
#include "common/wire/columns.h"
#include "definition.pb.h"
#include "event.pb.h"

namespace millrace {

namespace pb = millrace::wire;

// The last of each enumeration that travels by number: a new value moves its line.
constexpr TaskState kTaskStateLast = TaskState::kCancelled;
constexpr RunState kRunStateLast = RunState::kCancelled;
constexpr EventType kEventTypeLast = EventType::kRunResumed;
constexpr Answer kAnswerLast = Answer::kRefused;
constexpr Code kCodeLast = Code::kInternal;
constexpr InputType kInputTypeLast = InputType::kSecret;
constexpr OnLoss kOnLossLast = OnLoss::kFail;
constexpr OnUpstreamFailure kOnUpstreamFailureLast = OnUpstreamFailure::kRun;
constexpr WaitKind kWaitKindLast = WaitKind::kChild;
constexpr ApprovalDefault kApprovalDefaultLast = ApprovalDefault::kReject;
constexpr ForeachKind kForeachKindLast = ForeachKind::kRange;
constexpr OnItemError kOnItemErrorLast = OnItemError::kDrop;
constexpr Overlap kOverlapLast = Overlap::kCancel;
constexpr TriggerAct kTriggerActLast = TriggerAct::kResume;
constexpr HookAuth kHookAuthLast = HookAuth::kBearer;
constexpr EventFate kEventFateLast = EventFate::kFailed;
constexpr CatchUp kCatchUpLast = CatchUp::kAll;
constexpr ResumeScope kResumeScopeLast = ResumeScope::kAll;

constexpr std::size_t kCursorMax = 64;
constexpr std::size_t kWhyMax = kErrorMessageMax;

void write(const Hash128& hash, pb::Hash* out);
Hash128 read_hash(const pb::Hash& in);

void write(const Artifact& artifact, pb::Artifact* out);
Artifact read_artifact(Reader& in, pb::Artifact* artifact);

// ValueRequest and GetValue; the place of a part, in ValueReply and ValueFound.
template <class Wanted>
void write_wanted(const Wanted& wanted, pb::ValueWanted* out) {
  out->set_high(wanted.hash.high);
  out->set_low(wanted.hash.low);
  out->set_from(wanted.from);
  out->set_max(wanted.max);
}
template <class Wanted>
Wanted read_wanted(const pb::ValueWanted& in) {
  return {Hash128{in.high(), in.low()}, in.from(), in.max()};
}
template <class Message>
void write_place(const PartPlace& place, Message* out) {
  out->set_size(place.size);
  out->set_from(place.from);
  out->set_check(place.check);
}
template <class Message>
PartPlace read_place(const Message& in) {
  return {in.size(), in.from(), in.check()};
}

void write(const Payload& payload, pb::Payload* out);
Payload read_payload(Reader& in, pb::Payload* payload);  // takes the JSON out of it

void write_labels(const Labels& labels, google::protobuf::RepeatedPtrField<pb::Label>* out);
Labels read_labels(const google::protobuf::RepeatedPtrField<pb::Label>& in);

void write_resources(const Resources& resources, google::protobuf::RepeatedPtrField<pb::Resource>* out);
Resources read_resources(Reader& in, const google::protobuf::RepeatedPtrField<pb::Resource>& resources);

void write(const Error& error, pb::Error* out);
Error read_error(Reader& in, const pb::Error& error);

void write(const NodeSpec& spec, pb::NodeSpec* out);
NodeSpec read_node_spec(Reader& in, const pb::NodeSpec& spec);
void write(const RunEndSpec& runs, pb::RunEnd* out);
RunEndSpec read_run_end(Reader& in, const pb::RunEnd& runs);

void write_events(std::span<const Event> events, pb::Events* out);
std::vector<Event> read_events(Reader& in, const pb::Events& events);

// Payloads of one message, each sent once however often it is named. Numbers: 0 is null, i + 1 the i-th.
class PayloadTable {
 public:
  using Field = google::protobuf::RepeatedPtrField<pb::Payload>;
  explicit PayloadTable(Field* out) : out_(out) {}
  std::uint32_t number(const Payload& payload);

 private:
  Field* out_;
  const void* last_identity_ = nullptr;
  std::uint32_t last_number_ = 0;
  std::unordered_map<const void*, std::uint32_t> numbers_;
};
std::vector<Payload> read_payloads(Reader& in, PayloadTable::Field* field);
inline const Payload& payload_at(Reader& in, const std::vector<Payload>& table, std::uint32_t number) {
  static const Payload kNull;
  if (number == 0 || !in.require(number <= table.size(), "a payload index is out of range")) return kNull;
  return table[number - 1];
}

// Calls fn(first, count) for each stretch of neighbours for which same(a, b) holds.
template <class Items, class Same, class Fn>
void for_each_stretch(const Items& items, Same same, Fn fn) {
  for (std::size_t first = 0; first < items.size();) {
    std::size_t end = first + 1;
    while (end < items.size() && same(items[first], items[end])) ++end;
    fn(first, end - first);
    first = end;
  }
}
inline bool same_group(const AttemptId& a, const AttemptId& b) { return a.run == b.run && a.epoch == b.epoch; }

// Attempts of one run and epoch: get(i) is the i-th.
template <class Get>
void write_attempts(std::size_t count, Get get, pb::AttemptGroup* out) {
  out->set_run(get(0).run.value);
  out->set_epoch(get(0).epoch);
  auto* deltas = out->mutable_task_deltas();
  deltas->Reserve(static_cast<int>(count));
  std::uint32_t previous = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t task = get(i).task.value;
    deltas->AddAlreadyReserved(static_cast<std::int32_t>(task - previous));
    previous = task;
  }
  write_column<std::uint32_t>(out->mutable_numbers(), count, 1, [&](std::size_t i) { return get(i).number; });
}
// Calls fn(i, attempt) for each.
template <class Fn>
void read_attempts(Reader& in, const pb::AttemptGroup& group, Fn fn) {
  const auto count = static_cast<std::size_t>(group.task_deltas_size());
  in.require(count > 0, "an empty group");
  const Column<std::uint32_t> numbers(in, group.numbers(), count, 1);
  if (!in.ok()) return;
  std::uint32_t task = 0;
  for (std::size_t i = 0; i < count; ++i) {
    task += static_cast<std::uint32_t>(group.task_deltas(static_cast<int>(i)));
    fn(i, AttemptId{RunId{group.run()}, TaskIndex{task}, group.epoch(), numbers[i]});
  }
}
// How many entries a message has over all its groups; 0 where there are more than `most`.
template <class Groups, class Count>
std::size_t count_entries(Reader& in, const Groups& groups, std::size_t most, Count count) {
  std::size_t total = 0;
  for (const auto& group : groups) total += static_cast<std::size_t>(count(group));
  return in.require(total <= most, "too many entries") ? total : 0;
}

// Lists of (task, version): list_of(i) for each of `count` owners with task task_of(i).
// make() gives where they go; it is not called when there are none.
template <class TaskOf, class ListOf, class Make>
void write_versions(std::size_t count, TaskOf task_of, ListOf list_of, Make make) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += list_of(i).size();
  if (total == 0) return;
  pb::VersionLists* out = make();
  write_column<std::uint32_t>(out->mutable_counts(), count, 0,
                              [&](std::size_t i) { return static_cast<std::uint32_t>(list_of(i).size()); });
  std::vector<std::uint32_t> versions;
  versions.reserve(total);
  out->mutable_task_deltas()->Reserve(static_cast<int>(total));
  for (std::size_t i = 0; i < count; ++i) {
    for (const auto& entry : list_of(i)) {
      out->mutable_task_deltas()->AddAlreadyReserved(static_cast<std::int32_t>(task_of(i) - entry.task.value));
      versions.push_back(entry.version);
    }
  }
  write_column<std::uint32_t>(out->mutable_versions(), total, 0, [&](std::size_t i) { return versions[i]; });
}

// Reads them in order: next_count(i) entries belong to owner i, each given by next(task of the owner).
class VersionReader {
 public:
  VersionReader(Reader& in, const pb::VersionLists& lists, std::size_t owners);
  std::size_t total() const { return total_; }
  std::size_t count(std::size_t owner) const { return total_ == 0 ? 0 : counts_[owner]; }
  UpstreamVersion next(TaskIndex owner) {
    const std::size_t i = at_++;
    const auto delta = static_cast<std::uint32_t>(lists_.task_deltas(static_cast<int>(i)));
    return {TaskIndex{owner.value - delta}, versions_[i]};
  }
  std::vector<UpstreamVersion> list(std::size_t owner, TaskIndex task) {
    std::vector<UpstreamVersion> out;
    const std::size_t n = count(owner);
    out.reserve(n);
    for (std::size_t i = 0; i < n; ++i) out.push_back(next(task));
    return out;
  }

 private:
  const pb::VersionLists& lists_;
  Column<std::uint32_t> counts_;
  Column<std::uint32_t> versions_;
  std::size_t total_ = 0;
  std::size_t at_ = 0;
};

}  // namespace millrace
