#include "tests/sim/simulation.h"

#include <algorithm>
#include <memory>
#include <set>

#include "tests/sim/client.h"
#include "tests/sim/coordinator.h"
#include "tests/sim/pauser.h"
#include "tests/sim/timekeeper.h"
#include "tests/sim/worker.h"

namespace millrace::sim {
namespace {

constexpr Endpoint kWorkers = 100;
constexpr Endpoint kClients = 200;
constexpr Duration kHealedMax = 480s;     // within this, every run must have ended, also where one slot does all
constexpr Duration kCalm = 6s;            // longer than silence, and settling after it
constexpr Duration kQuiet = 2s;           // how long is looked on when all have
constexpr std::uint64_t kNobody = 9'999;  // whose requests are an operator's
constexpr std::uint64_t kActionsMax = 5'000'000;

class World {
 public:
  World(std::uint64_t seed, const Settings& settings, bool print)
      : context_(seed, settings, print),
        network_(context_),
        failovers_(seed ^ 0xFA11),
        narrows_(seed ^ 0x5A11),
        letters_(seed ^ 0x1E77),
        looks_(seed ^ 0x100C) {
    Random& random = context_.random;
    const bool several = random.chance(settings.crash ? 500 : 250);
    const auto partitions = static_cast<std::uint16_t>(several ? random.between(1, 12) : random.between(1, 4));
    const int coordinators = several ? random.between(2, 4) : 1;
    partitions_ = partitions;
    if (several) context_.cluster.page_runs(static_cast<std::size_t>(random.between(1, 3)));
    for (int i = 0; i < coordinators; ++i) {
      coordinators_.push_back(std::make_unique<CoordinatorProcess>(
          context_, i, partitions,
          CoordinatorProcess::Outside{
              [this](int from, PeerId peer, const CoordinatorMessage& message) {
                return to_worker(from, peer, message);
              },
              [this](int from, RequestId request, const OperatorReply& reply) { to_client(from, request, reply); },
              [this](int from, const std::string& endpoint, const FromClient& request) {
                const int to = std::stoi(endpoint.substr(1));
                network_.carry(from, to, [this, to, request] { at(to).receive(request); });
              },
              [this](int from, int to, const FromPeer& reply) {
                network_.carry(from, to, [this, to, reply] { at(to).receive(reply); });
              }}));
    }
    const int workers = settings.workers > 0 ? settings.workers : random.between(1, 4);
    for (int i = 0; i < workers; ++i) {
      const auto slots = static_cast<std::uint32_t>(random.between(1, 4));
      workers_.push_back(std::make_unique<WorkerProcess>(
          context_, i, slots, random.between(0, coordinators - 1),
          [this, i](int to, PeerId peer, const WorkerMessage& message) { to_coordinator(i, to, peer, message); }));
    }
    const int runs = settings.runs > 0 ? settings.runs : random.between(2, 10);
    for (int i = 0; i < runs; ++i) {
      const bool large = random.chance(3);
      clients_.push_back(std::make_unique<Client>(
          context_, i, make_order(random, i, large, {context_.letters, context_.cache, context_.lists}), coordinators,
          [this](const Client& client, int to, RequestId request, const OperatorRequest& body) {
            from_client(client, to, request, body);
          }));
    }
    context_.checker.definition(registered_.plan);
    if (context_.triggers) {
      timekeeper_ = std::make_unique<Timekeeper>(
          context_, seed, coordinators, [this](int to, RequestId request, const OperatorRequest& body) {
            network_.carry(kClients, to, [this, to, request, body] { at(to).receive(FromClient{request, body}); });
          });
    }
    if (context_.pauses) {
      pauser_ = std::make_unique<Pauser>(
          context_, seed, coordinators, [this](int to, RequestId request, const OperatorRequest& body) {
            network_.carry(kClients, to, [this, to, request, body] { at(to).receive(FromClient{request, body}); });
          });
    }
    faults_until_ = context_.now() + random.between(6s, 16s);
    fault_every_ = random.between(300ms, 3s);
    network_.loss(random.between(0, 60));
  }

  Played play(std::uint64_t seed) {
    for (auto& coordinator : coordinators_) coordinator->start();
    for (auto& worker : workers_) worker->start();
    for (auto& client : clients_) client->start();
    const Settings& settings = context_.settings;
    if (settings.net || settings.store || settings.crash) next_fault();
    if (settings.loss) next_failover();
    if (settings.narrow) next_narrow();
    if (context_.letters) next_letter();
    if (timekeeper_) timekeeper_->start();
    if (pauser_) pauser_->start();
    if (looks_.chance(200)) next_look();
    context_.schedule.at(faults_until_, [this] { heal(); });
    Time quiet_until = kNever;
    while (context_.checker.broken().empty() && context_.schedule.step()) {
      if (context_.schedule.actions() > kActionsMax) context_.checker.fail("I8: the simulation does not come to rest");
      if (quiet_until == kNever && context_.healed && all_done() && is_calm()) {
        if (coordinators_.size() > 1) context_.checker.settled();
        quiet_until = context_.now() + kQuiet;
      }
      if (context_.now() >= faults_until_ + kHealedMax) break;
      if (context_.now() < quiet_until) continue;
      if (context_.checker.all_ended()) break;
      quiet_until = kNever;  // one has come since: what started it was on its way while the store was away
    }
    if (std::string missing = unsettled(); !missing.empty()) context_.checker.fail("I6: " + missing);
    if (context_.checker.broken().empty()) context_.checker.finished();
    if (timekeeper_ && !timekeeper_->done())
      context_.checker.fail("I6: the trigger was never paused, or a delivery never taken");
    if (pauser_ && !pauser_->done()) context_.checker.fail("I6: what was paused was never told to go on");
    for (const auto& client : clients_) {
      if (std::string missing = client->what_is_missing(); !missing.empty()) context_.checker.fail("I6: " + missing);
    }
    Played played{seed,
                  context_.checker.broken(),
                  context_.trace.hash(),
                  context_.trace.lines(),
                  context_.schedule.actions(),
                  context_.checker.runs(),
                  context_.checker.ended(RunState::kSucceeded),
                  {}};
    if (!played.broken.empty()) played.last.assign(context_.trace.last().begin(), context_.trace.last().end());
    return played;
  }

 private:
  bool all_done() {
    return context_.checker.all_ended() && (!timekeeper_ || timekeeper_->done()) && (!pauser_ || pauser_->done()) &&
           std::ranges::all_of(clients_, [](const auto& c) { return c->done(); }) && all_letters_taken();
  }
  // Each of them is opened for that: not after every action.
  bool all_letters_taken() {
    if (context_.now() < look_at_letters_) return false;
    look_at_letters_ = context_.now() + 100ms;
    return context_.checker.letters_waiting() == 0;
  }

  // Whether the partitions have been where they belong for long enough: those that were away have been seen again, and
  // nobody has anything left to give up.
  bool is_calm() {
    if (coordinators_.size() == 1) return true;
    if (context_.now() < look_at_calm_) return false;
    look_at_calm_ = context_.now() + 100ms;
    if (!unsettled().empty()) calm_since_ = kNever;
    else calm_since_ = std::min(calm_since_, context_.now());
    return calm_since_ != kNever && context_.now() >= calm_since_ + kCalm;
  }

  std::string unsettled() {
    std::set<std::string> running;
    for (const auto& coordinator : coordinators_) {
      if (coordinator->running()) running.insert("c" + std::to_string(coordinator->number()));
    }
    return context_.checker.unsettled(running, static_cast<std::uint16_t>(partitions_));
  }

  // ------------------------------------------------------------ messages

  bool to_worker(int from, PeerId peer, const CoordinatorMessage& message) {
    for (auto& worker : workers_) {
      if (!worker->knows(peer)) continue;
      network_.carry(from, kWorkers + worker->number(),
                     [w = worker.get(), from, peer, message] { w->receive(from, peer, message); });
      return true;
    }
    return context_.random.chance(500);  // a closed connection may still take a message
  }
  void to_coordinator(int from, int to, PeerId peer, const WorkerMessage& message) {
    network_.carry(
        kWorkers + from, to,
        [c = coordinators_[static_cast<std::size_t>(to)].get(), peer, message] {
          c->receive(FromWorker{peer, message});
        },
        std::holds_alternative<WorkerBeat>(message));
  }
  void from_client(const Client& client, int to, RequestId request, const OperatorRequest& body) {
    network_.carry(kClients + client.number(), to,
                   [c = coordinators_[static_cast<std::size_t>(to)].get(), request, body] {
                     c->receive(FromClient{request, body});
                   });
  }
  void to_client(int from, RequestId request, const OperatorReply& reply) {
    const int number = Client::number_of(request);
    if (static_cast<std::uint64_t>(number) == kNobody) return;
    if (static_cast<std::uint64_t>(number) == Timekeeper::kNumber)
      return network_.carry(from, kClients, [this, request, reply] { timekeeper_->receive(request, reply); });
    if (static_cast<std::uint64_t>(number) == Pauser::kNumber)
      return network_.carry(from, kClients, [this, request, reply] { pauser_->receive(request, reply); });
    network_.carry(from, kClients + number,
                   [client = clients_[static_cast<std::size_t>(number)].get(), request, reply] {
                     client->receive(request, reply);
                   });
  }

  // ------------------------------------------------------------ faults

  void next_fault() {
    const Duration wait = context_.random.between(fault_every_ / 4, fault_every_ * 2);
    context_.schedule.after(wait, [this] {
      if (context_.healed) return;
      fault();
      next_fault();
    });
  }

  CoordinatorProcess& at(int coordinator) { return *coordinators_[static_cast<std::size_t>(coordinator)]; }
  CoordinatorProcess& some_coordinator_of(Random& random) { return *coordinators_[random.below(coordinators_.size())]; }
  CoordinatorProcess& some_coordinator() { return *coordinators_[context_.random.below(coordinators_.size())]; }
  WorkerProcess& some_worker() { return *workers_[context_.random.below(workers_.size())]; }

  // The store fails over to a replica that is behind by up to two seconds. While that lasts nothing else happens to it
  // and to the coordinators, and it is put off where ownership is changing: then everything lost can be brought back.
  void next_failover() {
    context_.schedule.after(failovers_.between(500ms, 4s), [this] {
      if (context_.healed) return;
      if (!context_.failing_over && is_settled()) begin_failover();
      next_failover();
    });
  }
  bool is_settled() const {
    std::uint32_t served = 0;
    for (const auto& coordinator : coordinators_) {
      if (!coordinator->well()) return false;
      served += coordinator->partitions_served();
    }
    return served == partitions_ && context_.checker.is_whole();
  }
  std::vector<Epoch> epochs() const {
    std::vector<Epoch> all;
    for (std::uint16_t i = 0; i < partitions_; ++i) all.push_back(context_.cluster.owner(PartitionId{i}).epoch);
    return all;
  }
  void begin_failover() {
    context_.failing_over = true;
    auto replica = std::make_shared<MemoryCluster>(context_.cluster);
    context_.schedule.after(failovers_.between(1ms, 2s), [this, replica, before = epochs()] {
      if (context_.healed || !is_settled() || epochs() != before) {
        context_.failing_over = false;
        return;
      }
      context_.note("the store fails over to a replica that is behind");
      for (auto& coordinator : coordinators_) coordinator->store()->fail_over(failovers_.between(1ms, 500ms));
      context_.cluster = *replica;
      context_.checker.fell_back();
      end_failover(context_.now() + 20s);
    });
  }
  void end_failover(Time at_latest) {
    context_.schedule.after(100ms, [this, at_latest] {
      if (!context_.checker.is_whole() && context_.now() < at_latest) return end_failover(at_latest);
      if (!context_.checker.is_whole()) context_.checker.fail("I4: what the store has lost does not come back");
      context_.failing_over = false;
    });
  }

  void next_letter() {
    context_.schedule.after(letters_.between(50ms, 1s), [this] {
      if (context_.healed) return;
      WorkflowRequest apply;
      apply.act = WorkflowAct::kApply;
      apply.name = kRegisteredName;
      apply.definition = registered_.plan->definition();
      apply.definition_bytes = registered_.definition;
      some_coordinator_of(letters_).receive(FromClient{RequestId{(kNobody << 32) | ++operations_}, apply, 0});
      const std::string key = "letter-" + std::to_string(++letters_written_);
      some_coordinator_of(letters_).write_letter(letters_, key);
      next_letter();
    });
  }

  void next_narrow() {
    context_.schedule.after(narrows_.between(300ms, 3s), [this] {
      if (context_.healed) return;
      const int coordinator = static_cast<int>(narrows_.below(coordinators_.size()));
      const int worker = kWorkers + static_cast<int>(narrows_.below(workers_.size()));
      const bool to_worker = narrows_.chance(600);
      const Duration slower = narrows_.between(100ms, 12s);
      const Duration length = narrows_.between(1s, 15s);
      context_.note("the line " + std::string(to_worker ? "to w" : "from w") + std::to_string(worker - kWorkers) +
                    " takes " + std::to_string(slower.count() / 1000) + " ms longer");
      if (to_worker) network_.narrow(coordinator, worker, slower, length);
      else network_.narrow(worker, coordinator, slower, length);
      next_narrow();
    });
  }
  // Somebody looks at runs all the time, beside a coordinator, so that no message is lost, and reads no answer.
  void next_look() {
    context_.schedule.after(looks_.between(5ms, 200ms), [this] {
      if (context_.healed) return;
      const Client& client = *clients_[looks_.below(clients_.size())];
      const RequestId request{(kNobody << 32) | ++operations_};
      if (client.run() != RunId{})
        at(static_cast<int>(looks_.below(coordinators_.size())))
            .receive(FromClient{request, GetRun{RunName{to_string(client.run()), ""}, 20'000}, 0});
      next_look();
    });
  }
  void fault() {
    const Settings& settings = context_.settings;
    const std::uint64_t kind = context_.random.below(3);
    if (kind == 0 && settings.net) cut();
    else if (context_.failing_over) return;
    else if (kind == 1 && settings.store) break_store();
    else if (kind == 2 && settings.crash) hit_process();
  }
  void cut() {
    const Endpoint coordinator = some_coordinator().number();
    const bool peers = coordinators_.size() > 1 && context_.random.chance(300);
    const Endpoint other = peers ? some_coordinator().number() : kWorkers + some_worker().number();
    const Duration length = context_.random.between(50ms, 8s);
    const std::uint64_t ways = context_.random.below(3);
    context_.note("cut between c" + std::to_string(coordinator) +
                  (peers ? " and c" + std::to_string(other) : " and w" + std::to_string(other - kWorkers)));
    if (ways != 1) network_.cut(coordinator, other, length);
    if (ways != 2) network_.cut(other, coordinator, length);
  }
  // Operators move partitions and drain coordinators; they send once and do not look at the answer.
  void operate() {
    CoordinatorProcess& asked = some_coordinator();
    const RequestId request{(kNobody << 32) | ++operations_};
    switch (context_.random.below(4)) {
      case 0: {
        CoordinatorProcess& stopped = some_coordinator();
        const Duration down = context_.random.between(20ms, 4s);
        return stopped.stop([this, &stopped, down] { context_.schedule.after(down, [&stopped] { stopped.start(); }); });
      }
      case 1: {
        const std::string name = "c" + std::to_string(some_coordinator().number());
        context_.note("an operator drains " + name);
        return asked.receive(FromClient{request, DrainCoordinator{name}, 0});
      }
      default: {
        const auto partition = static_cast<std::uint32_t>(context_.random.below(partitions_));
        const std::string name = "c" + std::to_string(some_coordinator().number());
        context_.note("an operator moves partition " + std::to_string(partition) + " to " + name);
        return asked.receive(FromClient{request, MovePartition{partition, name}, 0});
      }
    }
  }
  void break_store() {
    CoordinatorProcess& coordinator = some_coordinator();
    const Duration gone = context_.random.between(10ms, 5s);
    if (coordinator.store() != nullptr) coordinator.store()->break_connection(gone);
  }
  void hit_process() {
    if (coordinators_.size() > 1 && context_.random.chance(350)) return operate();
    switch (context_.random.below(5)) {
      case 0: {
        CoordinatorProcess& coordinator = some_coordinator();
        coordinator.crash();
        const Duration down = context_.random.between(20ms, 4s);
        return context_.schedule.after(down, [&coordinator] { coordinator.start(); });
      }
      case 1: {
        CoordinatorProcess& coordinator = some_coordinator();
        return coordinator.pause(context_.random.between(50ms, 6s));
      }
      case 2: {
        WorkerProcess& worker = some_worker();
        worker.crash();
        const Duration down = context_.random.between(20ms, 8s);
        return context_.schedule.after(down, [&worker] { worker.start(); });
      }
      case 3: {
        WorkerProcess& worker = some_worker();
        return worker.pause(context_.random.between(50ms, 8s));
      }
      default: {
        WorkerProcess& worker = some_worker();
        return worker.drain(context_.random.between(100ms, 5s));
      }
    }
  }

  void heal() {
    context_.note("healed");
    context_.healed = true;
    network_.heal();
    for (auto& coordinator : coordinators_) {
      coordinator->start();
      coordinator->resume();
    }
    for (auto& worker : workers_) {
      worker->start();
      worker->resume();
    }
  }

  Context context_;
  Network network_;
  std::vector<std::unique_ptr<CoordinatorProcess>> coordinators_;
  std::vector<std::unique_ptr<WorkerProcess>> workers_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<Timekeeper> timekeeper_;  // in some seeds
  std::unique_ptr<Pauser> pauser_;          // in some seeds
  Random failovers_;                        // of its own: other faults stay as the seed has them
  Random narrows_;                          // of its own: other faults stay as the seed has them
  Random letters_;                          // likewise
  std::uint64_t letters_written_ = 0;
  Random looks_;  // likewise
  Order registered_ = make_registered();
  std::uint64_t partitions_ = 0;
  std::uint64_t operations_ = 0;
  Time look_at_calm_{};
  Time look_at_letters_{};
  Time calm_since_ = kNever;
  Time faults_until_{};
  Duration fault_every_{};
};

}  // namespace

Played play(std::uint64_t seed, const Settings& settings, bool print_trace) {
  return World(seed, settings, print_trace).play(seed);
}

}  // namespace millrace::sim
