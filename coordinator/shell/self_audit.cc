// Loop: the audit (core/audit.h) in slices, and on demand together with how everything is.
#include <algorithm>

#include "common/wire/frame.h"
#include "coordinator/core/audit.h"
#include "coordinator/shell/diagnose.h"
#include "coordinator/shell/loop_state.h"
#include "coordinator/shell/redis_commit.h"

namespace millrace {
namespace {

constexpr std::size_t kSlice = 2'048;         // tasks of one partition a second
constexpr std::size_t kOnDemand = 2'000'000;  // tasks, when somebody asks
constexpr std::uint32_t kUnofferedTwice = 2;  // offers may be on their way once
constexpr Duration kNobodyFor = 10s;          // longer than any take-over
constexpr std::size_t kLinesMax = 20;         // of the log, a second

}  // namespace

// After ready tasks were matched with slots: then every one of them waits there.
bool Loop::State::audit(Time now) {
  if (!options.audit || now < house.audit_at || stopping) return false;
  house.audit_at = now + kAuditEvery;
  std::vector<AuditFinding> findings;
  const Audit::World world{[this](WorkerId worker) { return placement.find(worker) != nullptr; }};
  audit_offers(now, findings);  // before anything is made ready below
  house.audited = (house.audited + 1) % shares.size();
  for (Share* one : cores) {
    Share& share = *one;
    if (!share.serving()) continue;
    Audit audit(*share.core);
    share.house.audited = audit.look(now, share.house.audited, kSlice, world, findings);
    if (share.id.value == house.audited) audit.count(findings);
    house.counts.audit_looked += audit.looked();
  }
  audit_partitions(now, findings);
  tell_findings(findings);
  return !findings.empty();
}

// Every ready task waits for a slot. Only where all partitions are at rest can that be seen.
void Loop::State::audit_offers(Time now, std::vector<AuditFinding>& findings) {
  std::uint64_t ready = 0;
  for (Share* one : cores) {
    const Share& share = *one;
    if (!share.ours()) continue;
    if (!share.serving() || share.adopting || share.core->next_deadline() == Time{}) {
      house.unoffered = 0;
      return;
    }
    ready += Audit(*share.core).ready();
  }
  if (placement.offers() >= ready || !unsent.empty()) {
    house.unoffered = 0;
    return;
  }
  if (++house.unoffered < kUnofferedTwice) return;
  house.unoffered = 0;
  findings.push_back({AuditKind::kOffer,
                      {},
                      {},
                      std::to_string(ready - placement.offers()) + " of " + std::to_string(ready) +
                          " ready tasks were not offered to workers: all are offered again",
                      true});
  for (Share& share : shares) {
    if (share.serving()) Audit(*share.core).offer_all(now);
  }
}

void Loop::State::audit_partitions(Time now, std::vector<AuditFinding>& findings) {
  if (!store.ready()) return house.nobody.clear();  // nobody can take one then
  for (Share& share : shares) {
    const bool served = share.ours() || share.phase == Share::Phase::kReleasing || share.served_elsewhere();
    if (served) {
      house.nobody.erase(share.id);
      continue;
    }
    Time& since = house.nobody.try_emplace(share.id, now).first->second;
    if (now < since + kNobodyFor) continue;
    since = now;
    findings.push_back({AuditKind::kPartition,
                        {},
                        {},
                        "partition " + std::to_string(share.id.value) + " has been nobody's for 10 s: looked at again",
                        true});
    look_at(share, now);
    plan_dirty = true;
  }
}

void Loop::State::tell_findings(const std::vector<AuditFinding>& findings) {
  std::size_t lines = 0;
  for (const AuditFinding& finding : findings) {
    ++house.counts.audit_found[static_cast<std::size_t>(finding.kind)];
    if (finding.repaired) ++house.counts.audit_repaired[static_cast<std::size_t>(finding.kind)];
    if (lines++ < kLinesMax) options.note(LoopNote::kError, "audit: " + finding.what);
  }
  if (lines > kLinesMax)
    options.note(LoopNote::kError, "audit: and " + std::to_string(lines - kLinesMax) + " more of that kind");
}

// ---------------------------------------------------------------- on demand

CoordinatorHealth Loop::State::health(const ServerFacts* stored, Duration answered,
                                      std::vector<AuditFinding> found) const {
  const LoopSnapshot now = snapshot();
  CoordinatorHealth h;
  h.name = options.name;
  h.version = options.version;
  h.endpoint = options.endpoint;
  h.protocol = kProtocolVersion;
  h.function_version = kFunctionVersion;
  h.format = kStoreFormat;
  h.now = now.now;
  h.store_up = stored != nullptr;
  if (stored != nullptr) h.store = *stored;
  h.store.answered = answered;
  h.store.durability = store.health().durability;
  h.partitions = now.partitions;
  h.owned = static_cast<std::uint32_t>(now.owned.size());
  h.awaited = now.partitions_awaited;
  h.runs_live = now.runs_live;
  h.ready = now.ready();
  h.running = now.running();
  h.slots = now.slots;
  h.workers_ready = now.workers_ready;
  h.workers_draining = now.workers_draining;
  h.workers_silent = now.workers_silent;
  h.limits = {{"runs", now.runs_live, options.runs_max},
              {"tasks", now.tasks_live, options.tasks_max},
              {"bytes", now.bytes_live, options.bytes_max}};
  h.audit.looked = house.counts.audit_looked;
  for (std::uint64_t count : house.counts.audit_found) h.audit.found += count;
  for (std::uint64_t count : house.counts.audit_repaired) h.audit.repaired += count;
  diagnose(h);
  for (AuditFinding& one : found)
    h.findings.push_back({one.repaired ? "warning" : "error", "audit", to_string(one.run), std::move(one.what),
                          "it was put right; please report it with the lines `audit:` of the coordinator's log"});
  std::ranges::move(losses_found(), std::back_inserter(h.findings));
  std::ranges::move(pauses_found(), std::back_inserter(h.findings));
  if (store.health().replicas_short)
    h.findings.push_back({"error", "store", "redis",
                          "too few replicas have what was written: effects of '" + options.name + "' wait for them",
                          "start the replicas again, or lower --durability-replicas"});
  if (membership.has_twin())
    h.findings.push_back({"error", "configuration", options.name,
                          "another coordinator publishes itself under the same name", "give one of them another --id"});
  sort_by_severity(h.findings);
  return h;
}

void Loop::State::on_examine(Time now, Routed& one) {
  std::vector<AuditFinding> findings;
  if (options.audit) {
    const Audit::World world{[this](WorkerId worker) { return placement.find(worker) != nullptr; }};
    std::size_t left = kOnDemand;
    for (Share& share : shares) {
      if (!share.serving() || left == 0) continue;
      Audit audit(*share.core);
      (void)audit.look(now, {}, left, world, findings);
      audit.count(findings);
      house.counts.audit_looked += audit.looked();
      left -= std::min<std::size_t>(left, audit.looked());
    }
    tell_findings(findings);
  }
  auto body = std::make_shared<Routed>(std::move(one));
  auto found = std::make_shared<std::vector<AuditFinding>>(std::move(findings));
  ask(ExamineStore{}, [this, body, found, asked_at = clock.now()](Time at, StoreAnswer&& answer) {
    const auto* stored = std::get_if<HealthAnswer>(&answer);
    HealthReply ours{{health(stored == nullptr ? nullptr : &stored->health, clock.now() - asked_at, *found)}};
    if (body->hops == 0) gather(at, body->request, body->body, std::move(ours));
    else reply(body->request, std::move(ours));
  });
}

}  // namespace millrace
