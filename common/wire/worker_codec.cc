// Worker -> coordinator.
#include <string>
#include <utility>
#include <vector>

#include "common/wire/attempt_lists.h"
#include "common/wire/codec.h"
#include "common/wire/scratch.h"

namespace millrace {

void write(const std::vector<AttemptId>& attempts, pb::AttemptList* out) {
  for_each_stretch(attempts, same_group, [&](std::size_t first, std::size_t count) {
    write_attempts(
        count, [&](std::size_t i) { return attempts[first + i]; }, out->add_groups());
  });
}

std::vector<AttemptId> read_attempt_list(Reader& in, const pb::AttemptList& list) {
  std::vector<AttemptId> attempts;
  attempts.reserve(count_entries(in, list.groups(), kBatchMax,
                                 [](const pb::AttemptGroup& group) { return group.task_deltas_size(); }));
  for (const pb::AttemptGroup& group : list.groups()) {
    if (!in.ok()) break;
    read_attempts(in, group, [&](std::size_t, const AttemptId& attempt) { attempts.push_back(attempt); });
  }
  return attempts;
}

namespace {

// ---------------------------------------------------------------- hello

void write_held(std::span<const HeldAttempt> held, pb::HeldGroup* out) {
  const std::size_t n = held.size();
  write_attempts(
      n, [&](std::size_t i) { return held[i].attempt; }, out->mutable_attempts());
  write_column<bool>(out->mutable_started(), n, false, [&](std::size_t i) { return held[i].started; });
  write_versions(
      n, [&](std::size_t i) { return held[i].attempt.task.value; },
      [&](std::size_t i) -> const auto& { return held[i].rests_on; }, [&] { return out->mutable_rests_on(); });
  write_column<std::uint32_t>(out->mutable_items(), n, 0, [&](std::size_t i) { return held[i].items; });
}

void read_held(Reader& in, const pb::HeldGroup& group, std::vector<HeldAttempt>& out) {
  const auto n = static_cast<std::size_t>(group.attempts().task_deltas_size());
  const Column<bool> started(in, group.started(), n, false);
  const Column<std::uint32_t> items(in, group.items(), n, 0);
  VersionReader rests_on(in, group.rests_on(), n);
  read_attempts(in, group.attempts(), [&](std::size_t i, const AttemptId& attempt) {
    out.push_back({attempt, started[i], rests_on.list(i, attempt.task), items[i]});
  });
}

void write(const WorkerHello& hello, pb::WorkerHello* out) {
  out->set_incarnation(hello.incarnation);
  out->set_name(hello.name);
  out->set_version(hello.version);
  out->set_host(hello.host);
  out->set_pid(hello.pid);
  out->set_slots(hello.slots);
  out->set_io_slots(hello.io_slots);
  write_labels(hello.labels, out->mutable_labels());
  for (const std::string& executor : hello.executors) *out->add_executors() = executor;
  for_each_stretch(hello.held, kSameGroup, [&](std::size_t first, std::size_t count) {
    write_held(std::span(hello.held).subspan(first, count), out->add_held());
  });
  out->set_draining(hello.draining);
  out->set_answers(hello.answers);
  for (const PartitionEpoch& epoch : hello.epochs) {
    pb::PartitionEpoch* e = out->add_epochs();
    e->set_partition(epoch.partition.value);
    e->set_epoch(epoch.epoch);
  }
  for (const std::string& queue : hello.queues) *out->add_queues() = queue;
  write_resources(hello.resources, out->mutable_resources());
}

WorkerHello read(Reader& in, const pb::WorkerHello& hello) {
  WorkerHello out;
  out.incarnation = hello.incarnation();
  out.name = hello.name();
  out.version = hello.version();
  out.host = hello.host();
  out.pid = hello.pid();
  out.slots = hello.slots();
  out.io_slots = hello.io_slots();
  out.labels = read_labels(hello.labels());
  out.executors.assign(hello.executors().begin(), hello.executors().end());
  out.held.reserve(count_entries(in, hello.held(), kBatchMax, kCountAttempts));
  count_entries(in, hello.held(), kBindingsMax, kCountRestsOn);
  for (const pb::HeldGroup& group : hello.held()) {
    if (in.ok()) read_held(in, group, out.held);
  }
  out.draining = hello.draining();
  out.queues.assign(hello.queues().begin(), hello.queues().end());
  out.resources = read_resources(in, hello.resources());
  out.answers = hello.answers();
  in.require(hello.epochs_size() <= kPartitionsMax, "too many partitions");
  if (!in.ok()) return out;
  for (const pb::PartitionEpoch& epoch : hello.epochs()) {
    in.require(epoch.partition() < kPartitionsMax, "a partition out of range");
    out.epochs.push_back({PartitionId{static_cast<std::uint16_t>(epoch.partition())}, epoch.epoch()});
  }
  return out;
}

// ---------------------------------------------------------------- reports

constexpr std::uint32_t pack_result(const Outcome& outcome) {
  return 2 * static_cast<std::uint32_t>(outcome.reason) + (outcome.success ? 1 : 0);
}

void write(const ItemsOutcome& items, pb::ItemsOutcome* out) {
  out->set_count(items.count);
  out->set_done(items.done);
  for (const ItemFailure& failure : items.failures) {
    pb::ItemFailure* one = out->add_failures();
    one->set_offset(failure.offset);
    one->set_reason(static_cast<std::uint32_t>(failure.reason));
    one->mutable_error()->set_message(failure.error.message);
    one->mutable_error()->set_traceback(failure.error.traceback);
  }
}

// Its failures ascend and lie within what was done, what was done within its count.
std::shared_ptr<const ItemsOutcome> read(Reader& in, pb::ItemsOutcome* items) {
  auto out = std::make_shared<ItemsOutcome>();
  out->count = items->count();
  out->done = items->done();
  if (!in.require(out->count > 0 && out->count <= kChunkMax && out->done <= out->count, "items out of range"))
    return out;
  std::uint32_t next = 0;
  for (pb::ItemFailure& failure : *items->mutable_failures()) {
    if (!in.require(failure.offset() >= next && failure.offset() < out->done, "a failed item out of range")) break;
    next = failure.offset() + 1;
    out->failures.push_back({failure.offset(),
                             in.to_enum(failure.reason(), kReasonLast, "unknown reason"),
                             {std::move(*failure.mutable_error()->mutable_message()),
                              std::move(*failure.mutable_error()->mutable_traceback())}});
  }
  return out;
}

void write_reports(std::span<const AttemptReport> reports, PayloadTable& payloads, pb::AttemptReports* message) {
  const std::size_t n = reports.size();
  pb::ReportGroup* out = message->add_groups();
  write_attempts(
      n, [&](std::size_t i) { return reports[i].attempt; }, out->mutable_attempts());
  write_column<std::uint32_t>(out->mutable_results(), n, 0,
                              [&](std::size_t i) { return pack_result(reports[i].outcome); });
  write_column<std::int64_t>(out->mutable_waited_us(), n, 0,
                             [&](std::size_t i) { return reports[i].outcome.waited.count(); });
  write_column<std::int64_t>(out->mutable_ran_us(), n, 0,
                             [&](std::size_t i) { return reports[i].outcome.ran.count(); });
  write_column<std::uint32_t>(out->mutable_outputs(), n, 0,
                              [&](std::size_t i) { return payloads.number(reports[i].outcome.output); });
  write_column<bool>(out->mutable_has_error(), n, false,
                     [&](std::size_t i) { return reports[i].outcome.error != ErrorInfo{}; });
  for (const AttemptReport& report : reports) {
    if (report.outcome.error == ErrorInfo{}) continue;
    pb::ErrorInfo* error = message->add_errors();
    error->set_message(report.outcome.error.message);
    error->set_traceback(report.outcome.error.traceback);
  }
  write_versions(
      n, [&](std::size_t i) { return reports[i].attempt.task.value; },
      [&](std::size_t i) -> const auto& { return reports[i].rests_on; }, [&] { return out->mutable_rests_on(); });
  std::vector<std::uint32_t> artifacts;  // none in most messages
  for (std::size_t i = 0; i < n; ++i) {
    const Artifacts& own = reports[i].outcome.artifacts;
    if (own == nullptr) continue;
    artifacts.resize(n);
    artifacts[i] = static_cast<std::uint32_t>(own->size());
    for (const Artifact& one : *own) write(one, message->add_artifacts());
  }
  write_column<std::uint32_t>(out->mutable_artifacts(), artifacts.size(), 0,
                              [&](std::size_t i) { return artifacts[i]; });
  std::vector<std::uint32_t> items;  // likewise
  for (std::size_t i = 0; i < n; ++i) {
    if (reports[i].outcome.items == nullptr) continue;
    items.resize(n);
    write(*reports[i].outcome.items, message->add_items());
    items[i] = static_cast<std::uint32_t>(message->items_size());
  }
  write_column<std::uint32_t>(out->mutable_items(), items.size(), 0, [&](std::size_t i) { return items[i]; });
}

void write(const AttemptReports& reports, pb::AttemptReports* out) {
  PayloadTable payloads(out->mutable_payloads());
  for_each_stretch(reports.reports, kSameGroup, [&](std::size_t first, std::size_t count) {
    write_reports(std::span(reports.reports).subspan(first, count), payloads, out);
  });
}

// The errors of a message in the order in which its reports take them, each once.
class Errors {
 public:
  explicit Errors(google::protobuf::RepeatedPtrField<pb::ErrorInfo>* field) : field_(field) {}
  ErrorInfo take(Reader& in) {
    if (!in.require(at_ < field_->size(), "an error is missing")) return {};
    pb::ErrorInfo* error = field_->Mutable(at_++);
    return {std::move(*error->mutable_message()), std::move(*error->mutable_traceback())};
  }
  bool all_taken() const { return at_ == field_->size(); }

 private:
  google::protobuf::RepeatedPtrField<pb::ErrorInfo>* field_;
  int at_ = 0;
};

// Likewise the artifacts.
class ArtifactsIn {
 public:
  explicit ArtifactsIn(google::protobuf::RepeatedPtrField<pb::Artifact>* field) : field_(field) {}
  Artifacts take(Reader& in, std::uint32_t count) {
    if (count == 0) return nullptr;
    const auto left = static_cast<std::size_t>(field_->size() - at_);
    if (!in.require(count <= kArtifactsMax && count <= left, "artifacts are missing, or too many")) return nullptr;
    std::vector<Artifact> own;
    for (; count > 0; --count) own.push_back(read_artifact(in, field_->Mutable(at_++)));
    return std::make_shared<const std::vector<Artifact>>(std::move(own));
  }

 private:
  google::protobuf::RepeatedPtrField<pb::Artifact>* field_;
  int at_ = 0;
};

void read_reports(Reader& in, const pb::ReportGroup& group, const std::vector<Payload>& payloads, Errors& errors,
                  ArtifactsIn& artifacts, const std::vector<std::shared_ptr<const ItemsOutcome>>& items,
                  std::vector<AttemptReport>& out) {
  const auto n = static_cast<std::size_t>(group.attempts().task_deltas_size());
  const Column<std::uint32_t> results(in, group.results(), n, 0);
  const Column<std::int64_t> waited(in, group.waited_us(), n, 0);
  const Column<std::int64_t> ran(in, group.ran_us(), n, 0);
  const Column<std::uint32_t> outputs(in, group.outputs(), n, 0);
  const Column<bool> has_error(in, group.has_error(), n, false);
  const Column<std::uint32_t> artifact_counts(in, group.artifacts(), n, 0);
  const Column<std::uint32_t> item_numbers(in, group.items(), n, 0);
  VersionReader rests_on(in, group.rests_on(), n);
  read_attempts(in, group.attempts(), [&](std::size_t i, const AttemptId& attempt) {
    AttemptReport& report = out.emplace_back();
    report.attempt = attempt;
    report.outcome.success = (results[i] & 1) != 0;
    report.outcome.reason = in.to_enum(results[i] / 2, kReasonLast, "unknown reason");
    if (has_error[i]) report.outcome.error = errors.take(in);
    report.outcome.artifacts = artifacts.take(in, artifact_counts[i]);
    report.outcome.output = payload_at(in, payloads, outputs[i]);
    report.outcome.waited = Duration{waited[i]};
    report.outcome.ran = Duration{ran[i]};
    report.rests_on = rests_on.list(i, attempt.task);
    if (item_numbers[i] > 0 && in.require(item_numbers[i] <= items.size(), "items are missing"))
      report.outcome.items = items[item_numbers[i] - 1];
  });
}

AttemptReports read(Reader& in, pb::AttemptReports* message) {
  AttemptReports out;
  const std::vector<Payload> payloads = read_payloads(in, message->mutable_payloads());
  Errors errors(message->mutable_errors());
  ArtifactsIn artifacts(message->mutable_artifacts());
  std::vector<std::shared_ptr<const ItemsOutcome>> items;
  in.require(static_cast<std::size_t>(message->items_size()) <= kBatchMax, "too many items");
  for (pb::ItemsOutcome& one : *message->mutable_items()) {
    if (in.ok()) items.push_back(read(in, &one));
  }
  out.reports.reserve(count_entries(in, message->groups(), kBatchMax, kCountAttempts));
  count_entries(in, message->groups(), kBindingsMax, kCountRestsOn);
  for (const pb::ReportGroup& group : message->groups()) {
    if (in.ok()) read_reports(in, group, payloads, errors, artifacts, items, out.reports);
  }
  in.require(errors.all_taken(), "more errors than reports with one");
  return out;
}

// ---------------------------------------------------------------- the rest

void write(const TaskLog& log, pb::TaskLog* out) {
  out->set_run(log.attempt.run.value);
  out->set_task(log.attempt.task.value);
  out->set_epoch(log.attempt.epoch);
  out->set_number(log.attempt.number);
  out->set_stderr_stream(log.stderr_stream);
  out->set_text(log.text);
  if (log.item) out->set_item(*log.item + 1);
}

TaskLog read(pb::TaskLog* log) {
  return {AttemptId{RunId{log->run()}, TaskIndex{log->task()}, log->epoch(), log->number()}, log->stderr_stream(),
          std::move(*log->mutable_text()),
          log->item() == 0 ? std::nullopt : std::optional<std::uint32_t>(log->item() - 1)};
}

void write(const TaskNews& news, pb::TaskNews* out) {
  out->set_run(news.attempt.run.value);
  out->set_task(news.attempt.task.value);
  out->set_epoch(news.attempt.epoch);
  out->set_number(news.attempt.number);
  out->set_type(static_cast<std::uint32_t>(news.type));
  out->set_json(news.json);
}

TaskNews read(Reader& in, pb::TaskNews* news) {
  in.require(news->json().size() <= kEventDataMax, "a task's news are too long");
  return {AttemptId{RunId{news->run()}, TaskIndex{news->task()}, news->epoch(), news->number()},
          in.to_enum(news->type(), kEventTypeLast, "unknown event type"), std::move(*news->mutable_json())};
}

void write(const PutPart& put, pb::PutPart* out) {
  out->set_high(put.hash.high);
  out->set_low(put.hash.low);
  out->set_size(put.size);
  out->set_run(put.run.value);
  out->set_from(put.from);
  out->set_check(put.check);
  out->set_part(put.bytes);
}

PutPart read(Reader& in, pb::PutPart* put) {
  in.require(put->size() <= kValueMax, "a value is too large");
  in.require(put->part().size() <= kPartMax, "a part is too large");
  in.require(put->from() <= put->size() && put->part().size() <= put->size() - put->from(),
             "a part lies outside its value");
  return {Hash128{put->high(), put->low()}, put->size(), RunId{put->run()}, put->from(), put->check(),
          std::move(*put->mutable_part())};
}

struct WriteWorkerMessage {
  pb::WorkerMessage& out;
  void operator()(const WorkerHello& m) { write(m, out.mutable_hello()); }
  void operator()(const WorkerBeat& m) {
    out.mutable_beat()->set_incarnation(m.incarnation);
    out.mutable_beat()->set_running(m.running);
    out.mutable_beat()->set_queued(m.queued);
  }
  void operator()(const CreditUpdate& m) {
    out.mutable_credit()->set_cpu(m.cpu);
    out.mutable_credit()->set_io(m.io);
  }
  void operator()(const AttemptsStarted& m) { write(m.attempts, out.mutable_started()); }
  void operator()(const AttemptReports& m) { write(m, out.mutable_reports()); }
  void operator()(const AttemptsReclaimed& m) { write(m.attempts, out.mutable_reclaimed()); }
  void operator()(const TaskLog& m) { write(m, out.mutable_log()); }
  void operator()(const TaskNews& m) { write(m, out.mutable_news()); }
  void operator()(const ValueRequest& m) { write_wanted(m, out.mutable_value_request()); }
  void operator()(const PutPart& m) { write(m, out.mutable_put_part()); }
  void operator()(const WorkerDraining&) { out.set_draining(true); }
  void operator()(const WorkerBye&) { out.set_bye(true); }
};

WorkerMessage read(Reader& in, pb::WorkerMessage* m) {
  switch (m->kind_case()) {
    case pb::WorkerMessage::kHello: return read(in, m->hello());
    case pb::WorkerMessage::kBeat: return WorkerBeat{m->beat().incarnation(), m->beat().running(), m->beat().queued()};
    case pb::WorkerMessage::kCredit: return CreditUpdate{m->credit().cpu(), m->credit().io()};
    case pb::WorkerMessage::kStarted: return AttemptsStarted{read_attempt_list(in, m->started())};
    case pb::WorkerMessage::kReports: return read(in, m->mutable_reports());
    case pb::WorkerMessage::kReclaimed: return AttemptsReclaimed{read_attempt_list(in, m->reclaimed())};
    case pb::WorkerMessage::kLog: return read(m->mutable_log());
    case pb::WorkerMessage::kValueRequest: return read_wanted<ValueRequest>(m->value_request());
    case pb::WorkerMessage::kDraining: return WorkerDraining{};
    case pb::WorkerMessage::kBye: return WorkerBye{};
    case pb::WorkerMessage::kNews: return read(in, m->mutable_news());
    case pb::WorkerMessage::kPutPart: return read(in, m->mutable_put_part());
    case pb::WorkerMessage::KIND_NOT_SET: break;
  }
  in.require(false, "unknown message");
  return WorkerBye{};
}

}  // namespace

std::string encode(const WorkerMessage& message) {
  Scratch<pb::WorkerMessage> out;
  std::visit(WriteWorkerMessage{*out}, message);
  return out.serialize();
}

Result<WorkerMessage> decode_worker_message(std::string_view bytes) {
  Reader in("worker message");
  Scratch<pb::WorkerMessage> parsed;
  if (!in.require(parsed.parse(bytes), "malformed")) return in.error();
  WorkerMessage message = read(in, &*parsed);
  if (!in.ok()) return in.error();
  return message;
}

static std::size_t items_size(const Outcome& outcome) {
  std::size_t size = 0;
  if (outcome.items == nullptr) return size;
  for (const ItemFailure& failure : outcome.items->failures)
    size += 16 + failure.error.message.size() + failure.error.traceback.size();
  return size + 16;
}

std::size_t wire_size(const AttemptReport& report) {
  const Outcome& outcome = report.outcome;
  const std::size_t value = outcome.output.is_inline() && !outcome.output.is_null() ? outcome.output.size() : 24;
  const std::size_t artifacts = outcome.artifacts == nullptr ? 0 : 320 * outcome.artifacts->size();
  return 48 + artifacts + value + outcome.error.message.size() + outcome.error.traceback.size() +
         8 * report.rests_on.size() + items_size(outcome);
}

}  // namespace millrace
