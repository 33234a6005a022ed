// Loop: what operators ask about the cluster itself: its coordinators, its partitions, and who should own them.
#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

Error no_coordinator(const std::string& name) { return {Code::kNotFound, "no coordinator '" + name + "'", {}, ""}; }

Error not_answering(const std::string& name) {
  return {Code::kUnavailable, "coordinator '" + name + "' does not answer", {}, "unreachable"};
}

}  // namespace

// True: the request was one of these.
bool Loop::State::answer_about_cluster(Time now, Routed& one) {
  const bool from_client = one.hops == 0;
  if (std::holds_alternative<ListWorkers>(one.body)) {
    WorkersReply ours{placement.view(now)};
    if (from_client) gather(now, one.request, one.body, std::move(ours));
    else reply(one.request, std::move(ours));
  } else if (std::holds_alternative<ListPartitions>(one.body)) {
    if (from_client) gather(now, one.request, one.body, partitions_view());
    else reply(one.request, partitions_view());
  } else if (const auto* list = std::get_if<ListWorkflows>(&one.body)) {
    if (from_client) gather(now, one.request, one.body, workflows_here(list->tenant));
    else reply(one.request, workflows_here(list->tenant));
  } else if (std::holds_alternative<ListCoordinators>(one.body)) {
    reply(one.request, coordinators_view());
  } else if (const auto* move = std::get_if<MovePartition>(&one.body)) {
    on_move(now, one, *move);
  } else if (std::holds_alternative<ExamineCluster>(one.body)) {
    on_examine(now, one);
  } else if (std::holds_alternative<DrainCoordinator>(one.body)) {
    on_drain(now, one);
  } else {
    return false;
  }
  return true;
}

PartitionsReply Loop::State::partitions_view() const {
  PartitionsReply rows;
  for (const Share& share : shares) {
    PartitionView& row = rows.partitions.emplace_back();
    row.partition = share.id.value;
    row.state = "free";
    if (share.ours() || share.phase == Share::Phase::kReleasing) {
      row.owner = options.name;
      row.epoch = share.epoch.counter;
      row.since = share.taken;
      row.runs_live = share.core->runs_live();
      row.state = !share.open() ? "moving" : share.serving() ? "serving" : "loading";
    } else if (share.seen) {
      row.owner = share.seen->owner;
      row.epoch = share.seen->epoch.counter;
      if (!row.owner.empty()) {
        row.since = share.seen->since;
        row.state = share.silent ? "silent" : "serving";
      }
    }
  }
  return rows;
}

CoordinatorsReply Loop::State::coordinators_view() const {
  CoordinatorsReply rows;
  auto add = [&](const MemberRecord& member, const char* state) {
    CoordinatorView row{member.name,  member.endpoint, member.events,     state,        0, 0,
                        member.since, member.version,  member.durability, member.weaker};
    for (const Share& share : shares) {
      const bool here = member.name == options.name && share.ours();
      const bool there = member.name != options.name && share.served_elsewhere() && share.seen->owner == member.name;
      if (!here && !there) continue;
      ++row.partitions;
      row.epoch = std::max(row.epoch, here ? share.epoch.counter : share.seen->epoch.counter);
    }
    rows.coordinators.push_back(std::move(row));
  };
  add(membership.self(), membership.self().draining ? "draining" : "ready");
  for (const auto& [name, other] : membership.others()) {
    const bool lives = other.state == Membership::State::kAlive;
    add(other.record, !lives ? "silent" : other.record.draining ? "draining" : "ready");
  }
  std::ranges::sort(rows.coordinators, {}, &CoordinatorView::name);
  return rows;
}

// From a client: its owner gives the partition up. From a coordinator: it was given up for us, or we are its owner.
void Loop::State::on_move(Time now, Routed& one, const MovePartition& move) {
  if (move.partition >= shares.size()) {
    return refuse(one.request, {Code::kNotFound, "no partition " + std::to_string(move.partition), {}, ""});
  }
  Share& share = this->share(PartitionId{static_cast<std::uint16_t>(move.partition)});
  if (!share.serving()) {
    if (move.to == options.name && share.phase == Share::Phase::kWatching) look_at(share, now);
    return refuse(one.request, not_serving(share.id));
  }
  if (move.to == options.name) return reply(one.request, MoveReply{move.partition, options.name, options.name});
  const MemberRecord* heir = membership.alive(move.to);
  if (heir == nullptr)
    return refuse(one.request, membership.find(move.to) != nullptr ? not_answering(move.to) : no_coordinator(move.to));
  if (heir->draining) {
    return refuse(
        one.request,
        {Code::kRefused, "coordinator '" + move.to + "' is draining and takes no partitions", {}, "draining"});
  }
  share.stays_until = Time{};
  leave(now, share, move.to);
  reply(one.request, MoveReply{move.partition, options.name, move.to});
}

void Loop::State::on_drain(Time now, Routed& one) {
  const std::string name = std::get<DrainCoordinator>(one.body).name;
  if (name == options.name) {
    membership.drain();
    plan_dirty = true;
    meet_at = now;  // the others should know
    const auto ours = std::ranges::count_if(shares, [](const Share& share) { return share.ours(); });
    options.note(LoopNote::kInfo, "draining: " + std::to_string(ours) + " partitions go to others");
    return reply(one.request, DrainCoordinatorReply{name, static_cast<std::uint32_t>(ours)});
  }
  const MemberRecord* peer = membership.alive(name);
  if (peer == nullptr)
    return refuse(one.request, membership.find(name) != nullptr ? not_answering(name) : no_coordinator(name));
  const RequestId request = one.request;
  if (!forward_to(now, *peer, kNoPartition, one, 0)) refuse(request, not_answering(name));
}

}  // namespace millrace
