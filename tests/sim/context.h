// Context: what all parts of one simulation share: schedule, generator, trace, faults, the store's truth, the checker.
#pragma once

#include <string>
#include <vector>

#include "coordinator/shell/memory_cluster.h"
#include "tests/sim/checker.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

namespace millrace::sim {

// Bugs that are planted to see that they are caught. Test-only.
enum class Plant {
  kNone,
  kNoFencing,
  kOpenEarly,
  kForgetLost,
  kForgetSuffix,
  kForgetReclaimed,
  kNoPatience,
  kTakeTwice,
  kForgetFirings,
  kComputeTwice,
  kStartPaused
};

struct Settings {
  bool net = false;     // messages are lost, repeated, delayed, overtaken; pairs are cut off from each other
  bool store = false;   // commits fail before or after they are applied, are slow; connections break
  bool loss = false;    // the store fails over to a replica that is behind: a suffix of commits is lost
  bool crash = false;   // coordinators and workers crash, stand still and come back; two coordinators contend
  bool narrow = false;  // lines to and from workers take seconds, in order; nothing is lost by that
  Plant plant = Plant::kNone;
  int workers = 0;       // 0: as the seed says
  int runs = 0;          // 0: as the seed says
  bool keep_few = true;  // in some seeds finished runs are deleted as soon as there are more than one or two
};

struct Context {
  Context(std::uint64_t seed, const Settings& s, bool print)
      : settings(s), random(seed), trace(print), checker(cluster) {
    if (!settings.net && !settings.crash) checker.nothing_is_lost(settings.narrow);
    const std::uint64_t dice = hash64(std::to_string(seed));  // not of `random`, whose row stays as it is
    if (settings.keep_few && settings.plant == Plant::kNone && dice % 10 < 3) kept = 1 + dice / 10 % 2;
    if (kept > 0) checker.definitions_go();
    triggers = settings.plant == Plant::kForgetFirings || (settings.plant == Plant::kNone && dice / 60 % 4 == 0);
    cache = settings.plant == Plant::kComputeTwice || (settings.plant == Plant::kNone && dice / 240 % 3 == 0);
    lists = settings.plant == Plant::kNone && dice / 720 % 3 == 0;
    pauses = settings.plant == Plant::kStartPaused || (settings.plant == Plant::kNone && dice / 2160 % 4 == 0);
    letters = settings.plant == Plant::kTakeTwice || (settings.plant == Plant::kNone && dice / 20 % 3 == 0);
  }
  Context(const Context&) = delete;

  Time now() const { return schedule.now(); }
  void note(const std::string& text) { trace.line(schedule.now(), text); }
  // The clock on the wall, on which a minute takes three seconds.
  Time wall() const { return now() + 19 * (now() - from_us(1'700'000'000'000'000)) + wall_set; }
  // Faults happen until the world is healed.
  bool net_faults() const { return settings.net && !healed; }
  bool store_faults() const { return settings.store && !healed && !failing_over; }

  Settings settings;
  Schedule schedule;
  Random random;
  Trace trace;
  MemoryCluster cluster;
  Checker checker;
  bool healed = false;
  bool failing_over = false;  // and nothing else happens to store and coordinators: what was lost can be repaired
  bool letters = false;       // partitions send each other letters
  bool triggers = false;      // a trigger starts runs
  bool lists = false;         // outputs of fan-outs are list references, and others go over them
  bool pauses = false;        // workflows and queues are paused
  bool cache = false;         // values are kept under keys
  std::vector<std::string> entries = {};  // ids of a stream that a trigger follows
  Duration wall_set{};                    // what the clock on the wall was set by
  std::uint64_t kept = 0;                 // finished runs of each workflow; zero: all
};

}  // namespace millrace::sim
