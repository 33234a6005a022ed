// Coordinator -> worker.
#include <optional>
#include <string>
#include <utility>

#include "common/wire/assign_codec.h"
#include "common/wire/attempt_lists.h"
#include "common/wire/codec.h"
#include "common/wire/scratch.h"

namespace millrace {
namespace {

void write(const CancelBatch& batch, pb::CancelBatch* message) {
  for_each_stretch(batch.cancels, kSameGroup, [&](std::size_t first, std::size_t count) {
    const auto cancels = std::span(batch.cancels).subspan(first, count);
    pb::CancelGroup* out = message->add_groups();
    write_attempts(
        count, [&](std::size_t i) { return cancels[i].attempt; }, out->mutable_attempts());
    write_column<std::uint32_t>(out->mutable_reasons(), count, 0,
                                [&](std::size_t i) { return static_cast<std::uint32_t>(cancels[i].reason); });
  });
}

CancelBatch read(Reader& in, const pb::CancelBatch& batch) {
  CancelBatch out;
  out.cancels.reserve(count_entries(in, batch.groups(), kBatchMax, kCountAttempts));
  for (const pb::CancelGroup& group : batch.groups()) {
    if (!in.ok()) break;
    const auto n = static_cast<std::size_t>(group.attempts().task_deltas_size());
    const Column<std::uint32_t> reasons(in, group.reasons(), n, 0);
    read_attempts(in, group.attempts(), [&](std::size_t i, const AttemptId& attempt) {
      out.cancels.push_back({attempt, in.to_enum(reasons[i], kReasonLast, "unknown reason")});
    });
  }
  return out;
}

std::string clip_why(const std::string& why) { return why.size() <= kWhyMax ? why : why.substr(0, kWhyMax); }

void write(const AnswerBatch& batch, pb::AnswerBatch* message) {
  for_each_stretch(batch.answers, kSameGroup, [&](std::size_t first, std::size_t count) {
    const auto answers = std::span(batch.answers).subspan(first, count);
    pb::AnswerGroup* out = message->add_groups();
    write_attempts(
        count, [&](std::size_t i) { return answers[i].attempt; }, out->mutable_attempts());
    write_column<std::uint32_t>(out->mutable_answers(), count, 0,
                                [&](std::size_t i) { return static_cast<std::uint32_t>(answers[i].answer); });
    write_text_column(
        out->mutable_whys(), count, [&](std::size_t i) { return answers[i].why.empty(); },
        [&](std::size_t i) { return clip_why(answers[i].why); });
  });
}

AnswerBatch read(Reader& in, const pb::AnswerBatch& batch) {
  AnswerBatch out;
  out.answers.reserve(count_entries(in, batch.groups(), kBatchMax, kCountAttempts));
  for (const pb::AnswerGroup& group : batch.groups()) {
    if (!in.ok()) break;
    const auto n = static_cast<std::size_t>(group.attempts().task_deltas_size());
    const Column<std::uint32_t> answers(in, group.answers(), n, 0);
    const TextColumn whys(in, group.whys(), n, kWhyMax);
    read_attempts(in, group.attempts(), [&](std::size_t i, const AttemptId& attempt) {
      ReportAnswer& answer = out.answers.emplace_back();
      answer.attempt = attempt;
      answer.answer = in.to_enum(answers[i], kAnswerLast, "unknown answer");
      if (!whys.all_default()) answer.why = whys[i];
    });
  }
  return out;
}

void write(const ValueReply& reply, pb::ValueReply* out) {
  out->set_hash_high(reply.hash.high);
  out->set_hash_low(reply.hash.low);
  out->set_found(reply.found);
  out->set_json(reply.json);
  write_place(reply.place, out);
}

void write(const PartTaken& taken, pb::PartTaken* out) {
  out->set_high(taken.hash.high);
  out->set_low(taken.hash.low);
  out->set_have(taken.have);
  out->set_kept(taken.kept);
  out->set_damaged(taken.damaged);
}

PartTaken read(const pb::PartTaken& taken) {
  return {Hash128{taken.high(), taken.low()}, taken.have(), taken.kept(), taken.damaged()};
}

ValueReply read(pb::ValueReply* reply) {
  return {Hash128{reply->hash_high(), reply->hash_low()}, reply->found(), std::move(*reply->mutable_json()),
          read_place(*reply)};
}

void write(const ClusterNews& news, pb::ClusterNews* out) {
  for (const MemberAddress& member : news.members) {
    pb::MemberAddress* m = out->add_members();
    m->set_name(member.name);
    m->set_endpoint(member.endpoint);
  }
  for (const PartitionEpoch& owned : news.owned) {
    pb::PartitionEpoch* o = out->add_owned();
    o->set_partition(owned.partition.value);
    o->set_epoch(owned.epoch);
  }
  out->set_demand(news.demand);
}

ClusterNews read(Reader& in, const pb::ClusterNews& news) {
  ClusterNews out;
  in.require(news.members_size() <= static_cast<int>(kMembersMax), "too many coordinators");
  in.require(news.owned_size() <= kPartitionsMax, "too many partitions");
  if (!in.ok()) return out;
  for (const pb::MemberAddress& member : news.members()) out.members.push_back({member.name(), member.endpoint()});
  for (const pb::PartitionEpoch& owned : news.owned()) {
    in.require(owned.partition() < kPartitionsMax, "a partition out of range");
    out.owned.push_back({PartitionId{static_cast<std::uint16_t>(owned.partition())}, owned.epoch()});
  }
  out.demand = news.demand();
  return out;
}

struct WriteCoordinatorMessage {
  pb::CoordinatorMessage& out;
  SentSpecs& sent;
  void operator()(const WorkerWelcome& m) {
    out.mutable_welcome()->set_worker(m.worker.value);
    out.mutable_welcome()->set_coordinator(m.coordinator);
    write(m.news, out.mutable_welcome()->mutable_news());
    out.mutable_welcome()->set_takes_parts(m.takes_parts);
  }
  void operator()(const WorkerRefused& m) {
    out.mutable_refused()->set_name(m.name);
    out.mutable_refused()->set_message(m.message);
  }
  void operator()(const AssignBatch& m) { write_assignments(m, sent, out.mutable_assign()); }
  void operator()(const CancelBatch& m) { write(m, out.mutable_cancel()); }
  void operator()(const AnswerBatch& m) { write(m, out.mutable_answers()); }
  void operator()(const Reclaim& m) { millrace::write(m.attempts, out.mutable_reclaim()); }
  void operator()(const ValueReply& m) { write(m, out.mutable_value()); }
  void operator()(const DrainWorker&) { out.set_drain(true); }
  void operator()(const SayHello& say) { out.set_say_hello(say.number); }
  void operator()(const ClusterNews& m) { write(m, out.mutable_news()); }
  void operator()(const PartTaken& m) { write(m, out.mutable_part_taken()); }
};

CoordinatorMessage read(Reader& in, pb::CoordinatorMessage* m, SpecCache& cache, std::optional<SpecKey>& unknown_spec) {
  switch (m->kind_case()) {
    case pb::CoordinatorMessage::kWelcome:
      return WorkerWelcome{WorkerId{m->welcome().worker()}, m->welcome().coordinator(), read(in, m->welcome().news()),
                           m->welcome().takes_parts()};
    case pb::CoordinatorMessage::kRefused: return WorkerRefused{m->refused().name(), m->refused().message()};
    case pb::CoordinatorMessage::kAssign: return read_assignments(in, m->mutable_assign(), cache, unknown_spec);
    case pb::CoordinatorMessage::kCancel: return read(in, m->cancel());
    case pb::CoordinatorMessage::kAnswers: return read(in, m->answers());
    case pb::CoordinatorMessage::kReclaim: return Reclaim{read_attempt_list(in, m->reclaim())};
    case pb::CoordinatorMessage::kValue: return read(m->mutable_value());
    case pb::CoordinatorMessage::kDrain: return DrainWorker{};
    case pb::CoordinatorMessage::kSayHello: return SayHello{m->say_hello()};
    case pb::CoordinatorMessage::kNews: return read(in, m->news());
    case pb::CoordinatorMessage::kPartTaken: return read(m->part_taken());
    case pb::CoordinatorMessage::KIND_NOT_SET: break;
  }
  in.require(false, "unknown message");
  return SayHello{};
}

}  // namespace

std::string encode(const CoordinatorMessage& message, SentSpecs& sent) {
  Scratch<pb::CoordinatorMessage> out;
  std::visit(WriteCoordinatorMessage{*out, sent}, message);
  return out.serialize();
}

Result<CoordinatorMessage> decode_coordinator_message(std::string_view bytes, SpecCache& cache) {
  Reader in("coordinator message");
  Scratch<pb::CoordinatorMessage> parsed;
  if (!in.require(parsed.parse(bytes), "malformed")) return in.error();
  std::optional<SpecKey> unknown_spec;
  CoordinatorMessage message = read(in, &*parsed, cache, unknown_spec);
  if (!in.ok()) return in.error();
  if (unknown_spec) {
    return Error{Code::kNotFound,
                 "decode coordinator message: spec " + std::to_string(unknown_spec->spec) + " of definition " +
                     to_string(unknown_spec->definition) + " was never received",
                 {},
                 "unknown_spec"};
  }
  return message;
}

}  // namespace millrace
