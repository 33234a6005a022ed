#include "coordinator/shell/redis_store.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <iterator>

#include "coordinator/shell/redis_commit.h"
#include "coordinator/shell/redis_keys.h"

namespace millrace {
namespace {

constexpr unsigned kRedirectsMax = 16;  // of one read

// Replies after which nothing on this connection will go well: it is given up, and the cause is repaired (functions),
// found elsewhere (another primary, another node) or waited for.
bool ends_connection(std::string_view error) {
  static constexpr std::array<std::string_view, 13> kCauses = {
      "OOM",   "MISCONF", "READONLY", "LOADING",     "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN",
      "BUSY ", "NOAUTH",  "NOPERM",   "NOGOODSLAVE", "UNKILLABLE", "UNBLOCKED"};
  return error.find("Function not found") != std::string_view::npos ||
         std::ranges::any_of(kCauses, [&](std::string_view cause) { return error.starts_with(cause); });
}

}  // namespace

// ---------------------------------------------------------------- out

void RedisStore::send(std::size_t link, const RedisCommand& command, Due due) {
  Link& to = links_[link];
  if (to.due.empty()) to.heard = Steady::now();
  to.node.connection->append(command);
  to.due.push_back(due);
}

void RedisStore::commit(const TurnCommit& commit) {
  CommitOut out;
  out.outcome.turn = commit.turn;
  for (const PartitionCommit& part : commit.partitions)
    out.outcome.partitions.push_back({part.partition, CommitResult::kUnknown});
  if (!ready()) {
    out.outcome.error = "not connected: " + trouble_;
    answered_.commits.push_back(std::move(out.outcome));
    return;
  }
  const Steady::time_point now = Steady::now();
  for (const RedisCommand& command : value_commands(commit)) {
    send(link_for(key_of(command)), command, {.kind = Due::Kind::kValue, .number = commit.turn});
    ++values_out_;
    ring_.keep(now, command);
  }
  for (const RedisCommand& command : log_commands(commit)) send(link_for(key_of(command)), command, {});  // best effort
  std::vector<Call>& calls = out.calls;
  for (std::size_t i = 0; i < commit.partitions.size(); ++i) {
    const std::size_t link = on_cluster() ? link_for(partition_key(commit.partitions[i].partition)) : 0;
    auto call = std::ranges::find(calls, link, &Call::link);
    if (call == calls.end()) call = calls.insert(calls.end(), Call{link, {}});
    call->which.push_back(i);
  }
  if (calls.empty()) calls.push_back({0, {}});  // values and logs alone: its answer comes behind theirs
  out.missing = calls.size();
  out.lasts = options_.durability.mode == DurabilityMode::kReplicated &&
              (!commit.values.empty() ||
               std::ranges::any_of(commit.partitions, [](const PartitionCommit& part) { return part.number != 0; }));
  commits_.push_back(std::move(out));
  for (std::size_t i = 0; i < commits_.back().calls.size(); ++i) {
    const std::vector<std::size_t>& which = commits_.back().calls[i].which;
    FormattedCommit call = format_commit(commit, which, on_cluster() && !which.empty(), call_bytes_);
    call_bytes_ = call.command.formatted().size() + call.command.formatted().size() / 8;
    // Values lie at other nodes of a Redis Cluster: what rests on them goes out when they are there.
    if (on_cluster() && (values_out_ > 0 || !stalled_.empty())) stalled_.push_back({commit.turn, i, std::move(call)});
    else send_call(commit.turn, i, std::move(call));
  }
  flush();
}

void RedisStore::send_call(std::uint64_t turn, std::size_t index, FormattedCommit call) {
  auto out = std::ranges::find(commits_, turn, [](const CommitOut& one) { return one.outcome.turn; });
  assert(out != commits_.end());
  Call& to = out->calls[index];
  send(to.link, call.command, {.kind = Due::Kind::kCommit, .number = turn, .index = index});
  ring_.keep(Steady::now(), std::move(call));
  if (!out->lasts) return;
  to.number = ++links_[to.link].calls;
  ask_replicas(to.link);
}

// One WAIT at a time is out: it is about all calls before it.
void RedisStore::ask_replicas(std::size_t link) {
  Link& one = links_[link];
  if (one.asked != 0 || one.calls == one.replicated) return;
  one.asked = one.calls;
  const Durability& wanted = options_.durability;
  send(link,
       {"WAIT", std::to_string(wanted.replicas), std::to_string(std::max<Duration::rep>(wanted.timeout / 1ms, 1))},
       {.kind = Due::Kind::kWait});
}

void RedisStore::read(std::uint64_t tag, const StoreRead& read) {
  const auto failed = [&](const std::string& why) {
    answered_.reads.push_back({.tag = tag, .answer = ReadFailed{Error{Code::kUnavailable, "store: " + why, {}, {}}}});
  };
  if (!ready()) return failed(trouble_);
  std::unique_ptr<RedisRead> machine;
  if (const auto* repair = std::get_if<RepairPartition>(&read)) {
    auto kept = ring_.repair(*repair);
    if (!kept) {
      answered_.reads.push_back({.tag = tag, .answer = RepairAnswer{repair->after}});
      return;
    }
    machine = make_repair(*repair, std::move(kept->values), std::move(kept->calls));
  } else {
    machine = make_read(read, {.partitions = options_.partitions, .positions = &positions_});
  }
  const std::uint64_t number = ++reads_made_;
  ReadOut& out = reads_[number];
  out.tag = tag;
  out.machine = std::move(machine);
  advance(number);
  flush();
}

void RedisStore::advance(std::uint64_t number) {
  ReadOut& out = reads_.at(number);
  out.commands.clear();
  std::optional<StoreAnswer> answer = out.machine->step(out.replies, out.commands);
  out.replies.clear();
  if (answer.has_value()) return finish(number, std::move(*answer));
  assert(!out.commands.empty());
  out.missing = out.commands.size();
  out.replies.resize(out.commands.size());
  for (std::size_t i = 0; i < out.commands.size(); ++i)
    send(link_for(key_of(out.commands[i])), out.commands[i], {.kind = Due::Kind::kRead, .number = number, .index = i});
  if (!on_cluster()) out.commands.clear();
}

void RedisStore::finish(std::uint64_t number, StoreAnswer answer) {
  auto found = reads_.find(number);
  answered_.reads.push_back({.tag = found->second.tag, .answer = std::move(answer)});
  reads_.erase(found);
}

// ---------------------------------------------------------------- in

void RedisStore::poll(StoreReplies& out) {
  for (std::size_t i = 0; i < links_.size() && refusal_.empty(); ++i) {
    links_[i].node.connection->flush();
    std::vector<RedisReply> replies;
    if (links_[i].node.connection->poll_replies(replies) > 0) links_[i].heard = Steady::now();
    for (RedisReply& reply : replies) {
      take(i, reply);
      if (!refusal_.empty()) break;
    }
  }
  if (ready()) answer_commits();
  look_at_links();
  std::ranges::move(answered_.commits, std::back_inserter(out.commits));
  std::ranges::move(answered_.reads, std::back_inserter(out.reads));
  answered_.commits.clear();
  answered_.reads.clear();
  if (!ready()) reconnect();
}

void RedisStore::take(std::size_t link, RedisReply& reply) {
  const Due due = links_[link].due.front();
  links_[link].due.pop_front();
  switch (due.kind) {
    case Due::Kind::kIgnored: return;
    case Due::Kind::kValue: return take_value(reply);
    case Due::Kind::kCommit: return take_commit(due, reply);
    case Due::Kind::kRead: return take_read(due, reply);
    case Due::Kind::kWait: return take_wait(link, reply);
  }
}

void RedisStore::take_value(const RedisReply& reply) {
  if (reply.is_error()) {
    refusal_ = "refused by the store: " + reply.text;
    return;
  }
  if (--values_out_ > 0) return;
  for (Stalled& call : std::exchange(stalled_, {})) send_call(call.turn, call.index, std::move(call.call));
}

void RedisStore::take_commit(const Due& due, const RedisReply& reply) {
  auto out = std::ranges::find(commits_, due.number, [](const CommitOut& one) { return one.outcome.turn; });
  if (out == commits_.end()) return;
  Call& call = out->calls[due.index];
  std::vector<PartitionId> partitions;
  for (const std::size_t i : call.which) partitions.push_back(out->outcome.partitions[i].first);
  const CommitOutcome part = read_commit_reply(due.number, partitions, reply);
  if (!part.error.empty()) {  // answered, with all that follow it, when the connection is given up
    refusal_ = part.error;
    return;
  }
  for (std::size_t i = 0; i < call.which.size(); ++i)
    out->outcome.partitions[call.which[i]].second = part.partitions[i].second;
  call.answered = true;
  --out->missing;
  attempts_ = 0;
}

void RedisStore::take_wait(std::size_t link, const RedisReply& reply) {
  if (!reply.is_integer()) {
    refusal_ = "refused by the store: WAIT: " + reply.text;
    return;
  }
  Link& one = links_[link];
  const std::uint64_t asked = std::exchange(one.asked, 0);
  const bool enough = reply.integer >= static_cast<std::int64_t>(options_.durability.replicas);
  if (enough) one.replicated = std::max(one.replicated, asked);
  if (enough == replicas_short_) {
    replicas_short_ = !enough;
    options_.note(!enough, enough ? "enough replicas have what was written: effects leave again"
                                  : one.node.address + ": " + std::to_string(reply.integer) + " of " +
                                        std::to_string(options_.durability.replicas) +
                                        " replicas have what was written: its effects wait");
  }
  ask_replicas(link);
}

// In order; but beats alone wait for nobody: they keep a partition while its turns wait for replicas.
void RedisStore::answer_commits() {
  bool before = true;
  for (auto out = commits_.begin(); out != commits_.end();) {
    const bool lasts = !out->lasts || std::ranges::all_of(out->calls, [&](const Call& call) {
      return links_[call.link].replicated >= call.number;
    });
    const bool done = out->missing == 0 && lasts && (before || !out->lasts);
    if (!done) {
      before = false;
      if (options_.durability.mode != DurabilityMode::kReplicated) return;
      ++out;
      continue;
    }
    answered_.commits.push_back(std::move(out->outcome));
    out = commits_.erase(out);
  }
}

void RedisStore::take_read(const Due& due, RedisReply& reply) {
  auto found = reads_.find(due.number);
  if (found == reads_.end()) return;  // ended early, by an error in the same batch
  ReadOut& out = found->second;
  if (reply.is_error()) {
    if (on_cluster() && follow(due, reply, out)) return;
    if (out.machine->takes_error(reply.text)) {
      out.replies[due.index] = std::move(reply);
      if (--out.missing == 0) advance(due.number);
      return;
    }
    if (ends_connection(reply.text)) refusal_ = reply.text;
    else finish(due.number, ReadFailed{Error{Code::kInternal, "store: " + reply.text, {}, {}}});
    return;
  }
  out.replies[due.index] = std::move(reply);
  if (--out.missing == 0) advance(due.number);
}

// MOVED SLOT HOST:PORT, or ASK for a key that is there already while its slot is on its way.
bool RedisStore::follow(const Due& due, const RedisReply& reply, ReadOut& out) {
  const bool moved = reply.text.starts_with("MOVED ");
  const bool ask = reply.text.starts_with("ASK ");
  if (!moved && !ask && !reply.text.starts_with("TRYAGAIN")) return false;
  const std::string_view text = reply.text;
  const RedisCommand& command = out.commands[due.index];
  const std::size_t space = text.rfind(' ');
  auto link = std::ranges::find(links_, text.substr(space + 1), [](const Link& one) { return one.node.address; });
  // A call finds what it needs where the slot is, or not at all: half of its keys may be elsewhere.
  const bool is_call = command.formatted().starts_with("$5\r\nFCALL");
  if ((!moved && (is_call || !ask)) || ++out.redirects > kRedirectsMax) {
    finish(due.number, ReadFailed{Error{Code::kUnavailable, "store: " + reply.text, {}, {}}});
    return true;
  }
  if (link == links_.end()) {
    refusal_ = reply.text;  // a node that we do not know
    return true;
  }
  const auto to = static_cast<std::size_t>(link - links_.begin());
  if (moved) slots_[redis_slot(key_of(command))] = static_cast<std::uint16_t>(to);
  else send(to, {"ASKING"}, {});
  send(to, command, due);
  return true;
}

StoreHealth RedisStore::health() const {
  StoreHealth health;
  health.kind = to_string(options_.target.kind);
  health.durability = to_string(options_.durability.mode);
  health.weaker = weaker_;
  health.replicas_short = replicas_short_;
  health.connections = connections_;
  health.ring_bytes = ring_.bytes();
  return health;
}

}  // namespace millrace
