#include "cli/doctor.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/verbs/all.h"
#include "common/base/version.h"

namespace millrace {
namespace {

Time wall_clock() {
  return from_us(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

// Longer than a partition is nobody's while it changes hands, be it in order or by the death of its owner.
constexpr std::chrono::milliseconds kHandOver{2'500};

Result<Examination> examine(Session& session) {
  Examination e;
  e.version = kVersion;
  Result<CoordinatorsReply> coordinators = session.call<CoordinatorsReply>(ListCoordinators{});
  if (!coordinators.ok()) return std::move(coordinators).error();
  e.coordinators = std::move(*coordinators);
  e.asked = wall_clock();
  Result<HealthReply> health = session.call<HealthReply>(ExamineCluster{});
  e.answered = wall_clock();
  if (!health.ok()) return std::move(health).error();
  e.health = std::move(*health);
  Result<PartitionsReply> partitions = session.call<PartitionsReply>(ListPartitions{});
  if (!partitions.ok()) return std::move(partitions).error();
  e.partitions = std::move(*partitions);
  Result<WorkersReply> workers = session.call<WorkersReply>(ListWorkers{});
  if (!workers.ok()) return std::move(workers).error();
  e.workers = std::move(*workers);
  return e;
}

bool changes_hands(const Examination& e) {
  return std::ranges::any_of(e.health.coordinators,
                             [](const CoordinatorHealth& one) { return one.store_up && one.awaited > 0; });
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<Examination> examined = examine(*session);
  if (examined.ok() && changes_hands(*examined)) {  // perhaps only just now
    std::this_thread::sleep_for(kHandOver);
    examined = examine(*session);
  }
  if (!examined.ok()) return std::move(examined).error();
  const Examination& e = *examined;
  const std::vector<Finding> findings = findings_of(e);
  const Console& console = context.console;
  const Format format = output_format(arguments);
  if (is_for_people(format)) {
    console.out(doctor_text(e, findings, console.out_terminal && console.colour));
  } else {
    Document document;
    document.whole = doctor_json(e, findings);
    document.name_key = "check";
    for (const Finding& finding : findings) document.rows.push_back(finding_json(finding));
    console.out(render(document, format, console));
  }
  return is_well(findings) ? kExitOk : kExitRunFailed;
}

}  // namespace

Verb doctor_verb() {
  return {"doctor",
          "what is wrong with the cluster, and what to do",
          "Lets every coordinator audit itself (tasks in nobody's hands, counts that do not add up, partitions of\n"
          "nobody) and looks at configuration, connectivity, clocks, Redis, versions and capacity. Prints what is\n"
          "wrong, worst first, each with what to do. Where partitions are nobody's it looks again 2.5 s later: they\n"
          "may have been changing hands. Exit code 0: nothing is wrong (notes are not); 1: something is;\n"
          "5: no coordinator can be reached.",
          {"millrace doctor", "millrace doctor -o json"},
          {{}, {output_option(), coordinator_option(), timeout_option()}},
          run};
}

}  // namespace millrace
