#include "coordinator/shell/segments.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "coordinator/shell/packing.h"

namespace millrace {
namespace {

// Which fields of a record follow. Written to Redis: append only.
enum Field : std::uint32_t {
  kReason = 1U << 0,
  kWorker = 1U << 1,
  kEnded = 1U << 2,
  kDispatched = 1U << 3,
  kReady = 1U << 4,
  kQueued = 1U << 5,
  kRan = 1U << 6,
  kOutput = 1U << 7,
  kError = 1U << 8,
  kCounters = 1U << 9,  // failures and losses
  kTries = 1U << 10,    // other than 1
  kEpoch = 1U << 11,    // other than the base
  kDue = 1U << 12,
  kVersion = 1U << 13,    // other than 1
  kItems = 1U << 15,      // items, items_failed: since version 2 of segments
  kCause = 1U << 16,      // since version 3 of segments
  kLosses = 1U << 17,     // of the error: since version 4
  kArtifacts = 1U << 18,  // since version 5
  kClaim = 1U << 19,      // since version 6
  kAllFields = ((1U << 14) - 1) | kItems | kCause | kLosses | kArtifacts | kClaim,
};

constexpr std::size_t kRecordBytesMin = 3;  // distance, state, fields

std::uint32_t fields_of(const TaskRecord& r, std::uint32_t base_epoch) {
  std::uint32_t fields = 0;
  auto add = [&](bool present, Field field) {
    if (present) fields |= field;
  };
  add(r.reason != Reason::kNone, kReason);
  add(r.worker != nullptr, kWorker);
  add(r.ended != Time{}, kEnded);
  add(r.dispatched != Time{}, kDispatched);
  add(r.ready != Time{}, kReady);
  add(r.queued != Duration{}, kQueued);
  add(r.ran != Duration{}, kRan);
  add(!r.output.is_null(), kOutput);
  add(r.error != nullptr, kError);
  add(r.failures != 0 || r.losses != 0, kCounters);
  add(r.tries != 1, kTries);
  add(r.epoch != base_epoch, kEpoch);
  add(r.due != Time{}, kDue);
  add(r.version != 1, kVersion);
  add(r.items != 0, kItems);
  add(r.cause != Reason::kNone, kCause);
  add(r.error != nullptr && !r.error->losses.empty(), kLosses);
  add(r.artifacts != nullptr, kArtifacts);
  add(r.claim != nullptr, kClaim);
  return fields;
}

// The state of the two directions of the codec: what a record is a distance from.
struct Base {
  Time time{};
  std::uint32_t epoch = 0;
};

Time reference_time(const TaskRecord& r) { return r.ended != Time{} ? r.ended : r.ready; }

// The workers' names of a segment. Few as a rule, and interned: the same pointer is the same name.
class Names {
 public:
  void add(const SharedName& name) {
    if (name == nullptr || name.get() == last_) return;
    last_ = name.get();
    if (find(*name) == all_.size()) all_.push_back(name.get());
  }
  std::size_t number(const SharedName& name) const {
    return !all_.empty() && all_.front() == name.get() ? 0 : find(*name);
  }
  const std::vector<const std::string*>& all() const { return all_; }

 private:
  std::size_t find(std::string_view name) const {
    if (all_.size() > kSearched) {
      if (numbers_.size() < all_.size()) {
        for (std::size_t i = numbers_.size(); i < all_.size(); ++i) numbers_.emplace(*all_[i], i);
      }
      auto found = numbers_.find(name);
      return found == numbers_.end() ? all_.size() : found->second;
    }
    auto found = std::ranges::find_if(all_, [&](const std::string* one) { return *one == name; });
    return static_cast<std::size_t>(found - all_.begin());
  }
  static constexpr std::size_t kSearched = 16;  // more are found by a map
  std::vector<const std::string*> all_;
  mutable std::map<std::string_view, std::size_t> numbers_;
  const std::string* last_ = nullptr;
};

void pack(Packer& out, const TaskRecord& r, const Base& base, const Names& names) {
  const std::uint32_t fields = fields_of(r, base.epoch);
  out.byte(static_cast<std::uint8_t>(r.state));
  out.number(fields);
  Time near = base.time;
  auto time = [&](Field field, Time value) {
    if ((fields & field) == 0) return;
    out.time(value, near);
    near = value;
  };
  if (fields & kReason) out.byte(static_cast<std::uint8_t>(r.reason));
  if (fields & kWorker) out.number(names.number(r.worker));
  time(kEnded, r.ended);
  time(kDispatched, r.dispatched);
  time(kReady, r.ready);
  if (fields & kQueued) out.duration(r.queued);
  if (fields & kRan) out.duration(r.ran);
  if (fields & kOutput) out.payload(r.output);
  if (fields & kError) {
    out.text(r.error->message);
    out.text(r.error->traceback);
  }
  if (fields & kCounters) {
    out.number(r.failures);
    out.number(r.losses);
  }
  if (fields & kTries) out.number(r.tries);
  if (fields & kEpoch) out.number(r.epoch);
  time(kDue, r.due);
  if (fields & kVersion) out.number(r.version);
  if (fields & kItems) {
    out.number(r.items);
    out.number(r.items_failed);
  }
  if (fields & kCause) out.byte(static_cast<std::uint8_t>(r.cause));
  if (fields & kLosses) {
    out.number(r.error->losses.size());
    for (const LostAttempt& loss : r.error->losses) {
      out.number(loss.attempt);
      out.text(loss.worker);
      out.time(loss.dispatched, base.time);
      out.time(loss.lost, loss.dispatched);
      out.text(loss.how);
    }
  }
  if (fields & kClaim) {
    out.hash(r.claim->key);
    out.byte(r.claim->has_old ? 1 : 0);
    if (r.claim->has_old) out.payload(r.claim->old);
  }
  if ((fields & kArtifacts) == 0) return;
  out.number(r.artifacts->size());
  for (const Artifact& one : *r.artifacts) {
    out.text(one.name);
    out.text(one.type);
    out.hash(one.hash);
    out.number(one.size);
  }
}

// The lowest version that knows all fields of the records, so that earlier programs read what they can.
std::uint8_t version_for(std::span<const TaskEntry> entries, const std::vector<std::size_t>& order) {
  std::uint8_t version = kSegmentVersion;
  for (std::size_t i : order) {
    const TaskRecord& r = entries[i].second;
    if (r.claim != nullptr) return kSegmentVersionLast;
    if (r.artifacts != nullptr) version = std::max(version, kSegmentVersionArtifacts);
    if (r.error != nullptr && !r.error->losses.empty()) version = kSegmentVersionLosses;
    else if (r.cause != Reason::kNone) version = std::max(version, kSegmentVersionCause);
    else if (r.items != 0) version = std::max(version, kSegmentVersionItems);
  }
  return version;
}

std::uint16_t number16(Unpacker& in) {
  std::uint32_t value = in.number32();
  if (value > UINT16_MAX) in.fail();
  return static_cast<std::uint16_t>(value);
}

void unpack_losses(Unpacker& in, const Base& base, TaskRecord& r) {
  ErrorInfo error = r.error == nullptr ? ErrorInfo{} : *r.error;
  for (std::size_t i = in.count(5); i > 0 && !in.failed(); --i) {
    LostAttempt& loss = error.losses.emplace_back();
    loss.attempt = in.number32();
    loss.worker = in.text();
    loss.dispatched = in.time(base.time);
    loss.lost = in.time(loss.dispatched);
    loss.how = in.text();
  }
  if (r.error == nullptr || error.losses.empty() || error.losses.size() > kLostAttemptsKept) in.fail();
  r.error = std::make_shared<const ErrorInfo>(std::move(error));
}

void unpack_claim(Unpacker& in, TaskRecord& r) {
  CacheClaim claim;
  claim.key = in.hash();
  claim.has_old = in.byte() != 0;
  if (claim.has_old) claim.old = in.payload();
  r.claim = std::make_shared<const CacheClaim>(std::move(claim));
}

void unpack_artifacts(Unpacker& in, TaskRecord& r) {
  std::vector<Artifact> artifacts;
  for (std::size_t i = in.count(19); i > 0 && !in.failed(); --i) {
    Artifact& one = artifacts.emplace_back();
    one.name = in.text();
    one.type = in.text();
    one.hash = in.hash();
    one.size = in.number();
    if (!artifact_name_problem(one.name).empty() || one.size > kArtifactMax) in.fail();
  }
  if (artifacts.empty() || artifacts.size() > kArtifactsMax) in.fail();
  r.artifacts = std::make_shared<const std::vector<Artifact>>(std::move(artifacts));
}

TaskRecord unpack(Unpacker& in, const Base& base, const std::vector<SharedName>& names) {
  TaskRecord r{};
  std::uint8_t state = in.byte();
  const std::uint32_t fields = in.number32();
  if (state > static_cast<std::uint8_t>(TaskState::kCancelled) || (fields & ~kAllFields) != 0) in.fail();
  r.state = static_cast<TaskState>(state);
  Time near = base.time;
  auto time = [&](Field field) { return (fields & field) == 0 ? Time{} : (near = in.time(near)); };
  if (fields & kReason) r.reason = static_cast<Reason>(in.byte());
  if (r.reason > kReasonLast) in.fail();
  if (fields & kWorker) {
    std::uint64_t name = in.number();
    if (name < names.size()) r.worker = names[name];
    else in.fail();
  }
  r.ended = time(kEnded);
  r.dispatched = time(kDispatched);
  r.ready = time(kReady);
  if (fields & kQueued) r.queued = in.duration();
  if (fields & kRan) r.ran = in.duration();
  if (fields & kOutput) r.output = in.payload();
  if (fields & kError) {
    ErrorInfo error;
    error.message = in.text();
    error.traceback = in.text();
    r.error = std::make_shared<const ErrorInfo>(std::move(error));
  }
  if (fields & kCounters) {
    r.failures = number16(in);
    r.losses = number16(in);
  }
  r.tries = (fields & kTries) ? in.number32() : 1;
  r.epoch = (fields & kEpoch) ? in.number32() : base.epoch;
  r.due = time(kDue);
  r.version = (fields & kVersion) ? in.number32() : 1;
  if (fields & kItems) {
    r.items = in.number32();
    r.items_failed = in.number32();
    if (r.items == 0) in.fail();  // then the field is not written
  }
  if (fields & kCause) {
    r.cause = static_cast<Reason>(in.byte());
    if (r.cause == Reason::kNone || r.cause > kReasonLast) in.fail();  // none is not written
  }
  if (fields & kLosses) unpack_losses(in, base, r);
  if (fields & kClaim) unpack_claim(in, r);
  if (fields & kArtifacts) unpack_artifacts(in, r);
  return r;
}

// Indices of the entries to write: by task, the highest version of each.
std::vector<std::size_t> latest(std::span<const TaskEntry> entries) {
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  auto before = [&](std::size_t a, std::size_t b) {
    return std::pair(entries[a].first, entries[a].second.version) <
           std::pair(entries[b].first, entries[b].second.version);
  };
  if (!std::ranges::is_sorted(order, before)) std::ranges::stable_sort(order, before);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    bool last = i + 1 == order.size() || entries[order[i]].first != entries[order[i + 1]].first;
    if (last) order[kept++] = order[i];
  }
  order.resize(kept);
  return order;
}

}  // namespace

SharedName NamePool::share(std::string_view name) {
  auto found = names_.find(name);
  if (found != names_.end()) return *found;
  return *names_.insert(std::make_shared<const std::string>(name)).first;
}

void encode_segment(RunId run, std::uint64_t commit, std::span<const TaskEntry> entries, Packer& out) {
  const std::vector<std::size_t> order = latest(entries);
  Base base;
  if (!order.empty()) {
    const TaskRecord& first = entries[order.front()].second;
    base = {.time = reference_time(first), .epoch = first.epoch};
  }
  Names names;
  for (std::size_t i : order) names.add(entries[i].second.worker);

  const std::uint8_t version = version_for(entries, order);
  const std::size_t opened = out.open(version);
  out.time(base.time, Time{});
  out.number(base.epoch);
  out.number(names.all().size());
  for (const std::string* name : names.all()) out.text(*name);
  out.number(order.size());
  std::uint64_t next = 0;  // the lowest index that the next record can have
  for (std::size_t i : order) {
    out.number(entries[i].first.value - next);
    next = std::uint64_t{entries[i].first.value} + 1;
    pack(out, entries[i].second, base, names);
  }
  out.close(opened, version, place_of(run.value, commit));
}

std::string encode_segment(RunId run, std::uint64_t commit, std::span<const TaskEntry> entries) {
  Packer out;
  encode_segment(run, commit, entries, out);
  return out.take();
}

Result<std::vector<TaskEntry>> decode_segment(RunId run, std::uint64_t commit, std::string_view bytes,
                                              NamePool& names) {
  auto damaged = [&](const char* why) {
    return Error{Code::kInternal,
                 "segment of run " + to_string(run) + ", commit " + std::to_string(commit) + ": " + why,
                 {},
                 "damaged"};
  };
  auto body = unseal(kSegmentVersion, place_of(run.value, commit), bytes);
  for (std::uint8_t newer = kSegmentVersion + 1; !body.has_value() && newer <= kSegmentVersionLast; ++newer)
    body = unseal(newer, place_of(run.value, commit), bytes);
  if (!body.has_value()) {
    const std::string newer = newer_version(kSegmentVersionLast, bytes);
    if (newer.empty()) return damaged("wrong version or checksum");
    return Error{Code::kRefused,
                 "segment of run " + to_string(run) + ", commit " + std::to_string(commit) + " " + newer,
                 {},
                 "newer_version"};
  }
  Unpacker in(*body);
  Base base;
  base.time = in.time(Time{});
  base.epoch = in.number32();
  std::vector<SharedName> dictionary(in.count(1));
  for (SharedName& name : dictionary) name = names.share(in.text());
  std::size_t count = in.count(kRecordBytesMin);
  std::vector<TaskEntry> entries;
  entries.reserve(count);
  std::uint64_t next = 0;
  for (std::size_t i = 0; i < count && !in.failed(); ++i) {
    next += in.number32();
    if (next > UINT32_MAX) in.fail();
    TaskIndex task{static_cast<std::uint32_t>(next++)};
    entries.push_back({task, unpack(in, base, dictionary)});
  }
  if (!in.done()) return damaged("does not parse");
  return entries;
}

void keep_latest(std::vector<TaskEntry>& entries) {
  const std::vector<std::size_t> order = latest(entries);
  std::vector<TaskEntry> kept;
  kept.reserve(order.size());
  for (std::size_t i : order) kept.push_back(std::move(entries[i]));
  entries = std::move(kept);
}

Result<Compacted> compact(RunId run, std::span<const Segment> segments) {
  NamePool names;
  std::vector<TaskEntry> all;
  Compacted result;
  for (const Segment& segment : segments) {
    auto entries = decode_segment(run, segment.commit, segment.bytes, names);
    if (!entries.ok()) return entries.error();
    std::ranges::move(*entries, std::back_inserter(all));
    result.commit = std::max(result.commit, segment.commit);
  }
  const std::size_t before = all.size();
  keep_latest(all);
  result.records = all.size();
  result.dead = before - all.size();
  if (segments.size() > 1 && result.dead * 2 >= before) result.bytes = encode_segment(run, result.commit, all);
  return result;
}

}  // namespace millrace
