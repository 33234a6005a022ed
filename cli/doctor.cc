#include "cli/doctor.h"

#include <algorithm>
#include <set>

#include "cli/console.h"
#include "cli/text.h"

namespace millrace {
namespace {

constexpr const char* kError = "error";
constexpr const char* kWarning = "warning";
constexpr const char* kNote = "note";
constexpr const char* kChecks[] = {"configuration", "connectivity", "clock", "store", "versions", "capacity", "audit"};

Value text_or_null(std::string_view text) { return text.empty() ? Value() : Value(text); }
Value number(std::uint64_t value) { return Value(value); }

class Judge {
 public:
  Judge(const Examination& e, std::vector<Finding>& out) : e_(e), out_(out) {}

  void coordinators() {
    std::set<std::string> answered;
    for (const CoordinatorHealth& one : e_.health.coordinators) answered.insert(one.name);
    for (const CoordinatorView& one : e_.coordinators.coordinators) {
      if (answered.contains(one.name)) continue;
      const bool silent = one.state == "silent";
      add(kError, "connectivity", one.name,
          "coordinator '" + one.name + "' at " + one.endpoint + (silent ? " is silent" : " does not answer the others"),
          silent ? "start it again, or forget it: its record goes by itself when it was silent for long"
                 : "the coordinators must reach each other: look at --advertise and the network between them");
    }
  }

  void partitions() {
    for (const PartitionView& one : e_.partitions.partitions) {
      if (one.state != "free" && one.state != "silent") continue;
      add(kError, "audit", "partition " + std::to_string(one.partition),
          "partition " + std::to_string(one.partition) +
              (one.owner.empty() ? " is nobody's" : " belongs to '" + one.owner + "', which is silent"),
          "another coordinator takes it over within seconds; if it stays so: start one");
    }
  }

  void clocks() {
    const CoordinatorHealth* first = nullptr;
    const CoordinatorHealth* last = nullptr;
    for (const CoordinatorHealth& one : e_.health.coordinators) {
      if (first == nullptr || one.now < first->now) first = &one;
      if (last == nullptr || one.now > last->now) last = &one;
      Duration skew = Duration::zero();
      if (one.now < e_.asked) skew = one.now - e_.asked;
      if (one.now > e_.answered) skew = one.now - e_.answered;
      const Duration size = skew < Duration::zero() ? -skew : skew;
      if (size <= kClockSkewMax) continue;
      add(kWarning, "clock", one.name,
          "the clock of coordinator '" + one.name + "' is " + human_duration(size) +
              (skew < Duration::zero() ? " behind" : " ahead of") + " this machine's",
          "let chrony or systemd-timesyncd keep the clocks; leases do not depend on them, timestamps and schedules do");
    }
    if (first == nullptr || last->now - first->now <= kClockSkewMax + (e_.answered - e_.asked)) return;
    add(kWarning, "clock", first->name + ", " + last->name,
        "the clocks of coordinators '" + first->name + "' and '" + last->name + "' differ by " +
            human_duration(last->now - first->now),
        "let chrony or systemd-timesyncd keep the clocks");
  }

  void versions() {
    std::set<std::string> versions;
    std::set<std::uint32_t> protocols;
    std::set<std::uint32_t> formats;
    for (const CoordinatorHealth& one : e_.health.coordinators) {
      versions.insert(one.version);
      protocols.insert(one.protocol);
      formats.insert(one.format);
    }
    if (protocols.size() > 1)
      add(kError, "versions", "coordinators", "the coordinators speak different protocols", "finish the upgrade");
    if (formats.size() > 1)
      add(kWarning, "versions", "coordinators", "the coordinators write different formats of the store",
          "finish the upgrade: the older ones refuse what the newer ones have written");
    if (versions.size() > 1)
      add(kNote, "versions", "coordinators", "coordinators of versions " + list(versions) + " run side by side",
          "finish the upgrade when it suits you");
    if (versions.size() == 1 && *versions.begin() != e_.version)
      add(kNote, "versions", "millrace", "this is millrace " + e_.version + ", the cluster is " + *versions.begin(),
          "");
    std::set<std::string> workers;
    for (const WorkerView& one : e_.workers.workers) workers.insert(one.version);
    if (versions.size() == 1 && !workers.empty() && workers != versions)
      add(kNote, "versions", "workers",
          "workers are of versions " + list(workers) + ", the coordinators of " + list(versions),
          "finish the upgrade when it suits you");
  }

 private:
  static std::string list(const std::set<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
    return text;
  }
  void add(const char* severity, const char* check, std::string subject, std::string message, std::string action) {
    out_.push_back({severity, check, std::move(subject), std::move(message), std::move(action)});
  }

  const Examination& e_;
  std::vector<Finding>& out_;
};

int rank(const Finding& finding) { return finding.severity == kError ? 0 : finding.severity == kWarning ? 1 : 2; }

Value store_json(const CoordinatorHealth& one) {
  const ServerFacts& s = one.store;
  return Value::Object{{"up", Value(one.store_up)},
                       {"kind", text_or_null(s.kind)},
                       {"version", text_or_null(s.version)},
                       {"mode", text_or_null(s.mode)},
                       {"role", text_or_null(s.role)},
                       {"answered_ms", to_ms(s.answered)},
                       {"used_bytes", number(s.used_bytes)},
                       {"max_bytes", number(s.max_bytes)},
                       {"eviction", text_or_null(s.eviction)},
                       {"appendonly", text_or_null(s.appendonly)},
                       {"appendfsync", text_or_null(s.appendfsync)},
                       {"durability", text_or_null(s.durability)},
                       {"replicas", number(s.replicas)},
                       {"format", number(s.format)},
                       {"function_version", number(s.function_version)}};
}

Value coordinator_json(const CoordinatorHealth& one) {
  Value::Object limits;
  for (const LimitUse& limit : one.limits)
    limits.emplace_back(limit.name, Value::Object{{"used", number(limit.used)}, {"max", number(limit.max)}});
  return Value::Object{
      {"name", one.name},
      {"version", text_or_null(one.version)},
      {"address", text_or_null(one.endpoint)},
      {"protocol", number(one.protocol)},
      {"time", text_or_null(iso_time(one.now))},
      {"partitions",
       Value::Object{{"owned", number(one.owned)}, {"awaited", number(one.awaited)}, {"all", number(one.partitions)}}},
      {"live_runs", number(one.runs_live)},
      {"ready", number(one.ready)},
      {"running", number(one.running)},
      {"slots", number(one.slots)},
      {"workers", Value::Object{{"ready", number(one.workers_ready)},
                                {"draining", number(one.workers_draining)},
                                {"silent", number(one.workers_silent)}}},
      {"limits", std::move(limits)},
      {"audit", Value::Object{{"looked", number(one.audit.looked)},
                              {"found", number(one.audit.found)},
                              {"repaired", number(one.audit.repaired)}}},
      {"store", store_json(one)}};
}

}  // namespace

std::vector<Finding> findings_of(const Examination& examination) {
  std::vector<Finding> all;
  Judge judge(examination, all);
  judge.coordinators();
  judge.partitions();
  for (const CoordinatorHealth& one : examination.health.coordinators)
    all.insert(all.end(), one.findings.begin(), one.findings.end());
  judge.clocks();
  judge.versions();
  std::vector<Finding> each;  // what several coordinators say of the same store is said once
  for (Finding& finding : all) {
    if (std::ranges::find(each, finding) == each.end()) each.push_back(std::move(finding));
  }
  std::ranges::stable_sort(each, {}, [](const Finding& finding) { return rank(finding); });
  return each;
}

bool is_well(const std::vector<Finding>& findings) {
  return std::ranges::none_of(findings, [](const Finding& finding) { return rank(finding) < 2; });
}

Value finding_json(const Finding& finding) {
  return Value::Object{{"severity", finding.severity},
                       {"check", finding.check},
                       {"subject", text_or_null(finding.subject)},
                       {"message", finding.message},
                       {"action", text_or_null(finding.action)}};
}

Value doctor_json(const Examination& examination, const std::vector<Finding>& findings) {
  Value::Array problems;
  for (const Finding& finding : findings) problems.push_back(finding_json(finding));
  Value::Array coordinators;
  for (const CoordinatorHealth& one : examination.health.coordinators) coordinators.push_back(coordinator_json(one));
  Value::Array checks(std::begin(kChecks), std::end(kChecks));
  return Value::Object{{"healthy", Value(is_well(findings))},
                       {"problems", std::move(problems)},
                       {"checks", std::move(checks)},
                       {"coordinators", std::move(coordinators)}};
}

std::string doctor_text(const Examination& examination, const std::vector<Finding>& findings, bool colour) {
  std::string out;
  std::size_t counts[3] = {};
  for (const Finding& finding : findings) {
    ++counts[rank(finding)];
    const Tint tint = finding.severity == kError     ? Tint::kBad
                      : finding.severity == kWarning ? Tint::kBusy
                                                     : Tint::kQuiet;
    out += tinted(padded(finding.severity, 8), tint, colour) + padded(finding.check, 15) + printable(finding.message) +
           "\n";
    if (!finding.action.empty()) out += std::string(23, ' ') + "-> " + printable(finding.action) + "\n";
  }
  auto some = [](std::size_t n, const char* one) { return std::to_string(n) + " " + one + (n == 1 ? "" : "s"); };
  const std::string of = some(examination.health.coordinators.size(), "coordinator") + ", " +
                         some(examination.workers.workers.size(), "worker") + ", " +
                         some(examination.partitions.partitions.size(), "partition");
  if (is_well(findings)) out += "nothing is wrong: " + of + "\n";
  else out += some(counts[0], "error") + ", " + some(counts[1], "warning") + ": " + of + "\n";
  return out;
}

}  // namespace millrace
