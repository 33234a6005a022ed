// Loop: the coordinator's engine. One turn: drain all waiting inputs, step the machines for each, commit once (group
// commit), release the effects of turns whose commit is durable, in order: sends, then events.
//
// Promises (DESIGN rules 2-4): nothing leaves before what it rests on is durable; effects leave in commit order; turns
// are pipelined up to kTurnsInFlightMax; an unknown outcome stops the pipeline, which is resent in order; an owner that
// is fenced drops that partition only. The same Loop runs in production and in simulation: everything outside is behind
// the four ports. Threads: one. Never blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/time.h"
#include "coordinator/core/partition.h"
#include "coordinator/shell/ports.h"

namespace millrace {

enum class LoopNote : std::uint8_t { kInfo, kWarn, kError };

struct LoopOptions {
  std::string name;  // of this coordinator, in owner records
  std::string version = "0";
  std::string endpoint;         // where workers, clients and other coordinators reach this one
  std::string events_endpoint;  // where live events are published
  std::uint16_t partitions = 16;
  std::uint64_t nonce = 1;        // random per process
  std::uint32_t epoch_above = 0;  // epochs are taken above this one; random where a store forgets what ids it gave out
  std::uint32_t runs_max = 1'000'000;
  std::uint64_t tasks_max = 50'000'000;
  std::uint64_t run_tasks_max = 2'000'000;  // nodes and items of one run
  std::uint64_t list_min = 1ULL << 20U;     // a larger output of a fan-out is a list reference
  std::uint64_t bytes_max = 8ULL << 30U;    // inputs and outputs of live runs
  std::uint32_t tenant_runs_max = 0;        // live runs of one tenant, here; zero: no limit of its own
  std::uint64_t tenant_tasks_max = 0;
  RetentionPolicy retention = {};
  Duration key_life = 24h;       // an idempotency key is remembered as long as its run, and at least this
  Duration value_grace = 10min;  // a value that no run needs and nobody uses stays this long
  bool audit = true;
  std::uint32_t inputs_per_turn = 4'096;
  std::optional<Duration> unplaceable_after = {};  // a task that no worker could run fails after so long; never
  bool fixed_fleet = false;                        // the first worker is the only one
  std::uint64_t placement_salt = 0;                // Placement::order_by(): different in each coordinator of a cluster
  // Told of each durable event of a run or a failed task when it leaves; the run may be gone from memory.
  std::function<void(const Event&, const Run*)> on_event;
  std::function<void(LoopNote, const std::string&)> note = [](LoopNote, const std::string&) {};  // for the log
  ZoneSource zones = {};  // of triggers; none: only those that say UTC fire
  // The value of a secret that webhooks name, or nothing; none: there are none.
  std::function<std::optional<std::string>(const std::string& name)> hook_secret = {};
  class Streams* streams = nullptr;    // outlives the loop; none: no trigger follows one
  std::function<Time()> wall = {};     // the clock on the wall, which may be set; none: the loop's own
  TestPlant plant = TestPlant::kNone;  // test-only
};

constexpr Duration kBeatOwnership = 500ms;
constexpr Duration kTakeOverAfter = 2s;         // of seeing the same beat
constexpr Duration kServeWithoutBeat = 1500ms;  // reads and empty turns leave only while the last renewal is younger
constexpr Duration kAdoptionWait = 2s;
constexpr Duration kFleetJoinsWithin = 2s;  // of our start: before, nobody says that no worker could run a task
constexpr std::size_t kTurnsInFlightMax = 8;

class Loop {
 public:
  Loop(LoopOptions options, Clock& clock, Store& store, Gateway& gateway, Bus& bus);
  ~Loop();

  bool turn();             // returns whether anything was done: call again at once
  Time next_wake() const;  // when to call turn() though nothing came in; kNever without a reason
  // Whether the next turn would take in what waits at the gateway; false: the store's answers come first.
  bool takes_input() const;
  std::uint64_t busy_tasks() const;  // ready, dispatched or running, of the runs held here
  bool serving() const;              // every partition is served, here or by another coordinator that lives
  void stop();                       // hand the partitions over; goes on with turn() until stopped()
  void drain();                      // give up all partitions to others, take none, go on forwarding
  bool stopped() const;
  // A letter of a partition that it serves; nothing where it does not. For tests.
  void post(PartitionId from, PartitionId to, LetterBody body);
  struct LoopSnapshot snapshot() const;                     // of now, between turns (coordinator/shell/meter.h)
  const Partition* partition(PartitionId partition) const;  // what it holds of it, or null; a loan, for audits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
