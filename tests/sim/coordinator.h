// CoordinatorProcess: hosts a real Loop over simulated ports. It can crash, start again (with a new nonce, over the
// same store), stand still past its lease and go on.
//
// Threads: one. Everything that comes in while it stands still waits for it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>

#include "coordinator/shell/loop.h"
#include "coordinator/shell/meter.h"
#include "tests/sim/network.h"
#include "tests/sim/store.h"
#include "tests/sim/streams.h"

namespace millrace::sim {

class CoordinatorProcess {
 public:
  struct Outside {  // where what it says goes
    std::function<bool(int coordinator, PeerId, const CoordinatorMessage&)> to_worker;
    std::function<void(int coordinator, RequestId, const OperatorReply&)> to_client;
    std::function<void(int coordinator, const std::string& endpoint, FromClient)> to_coordinator;
    std::function<void(int coordinator, int asked_by, FromPeer)> answer_coordinator;
  };

  CoordinatorProcess(Context& context, int number, std::uint16_t partitions, Outside outside);

  int number() const { return number_; }
  bool running() const { return loop_ != nullptr; }
  bool serving() const { return running() && loop_->serving(); }
  // Runs, is not told to stop, stands not still and its store is not slow; and how many partitions it serves and does
  // not give up.
  bool well() const { return running() && !then_ && context_.now() >= paused_until_ && store_->quick(); }
  std::uint32_t partitions_served() const { return loop_->snapshot().partitions_serving; }
  void start();
  void crash();
  void stop(std::function<void()> then);  // in an orderly way; `then` when it has ended
  void drain();
  void pause(Duration length);
  void resume() { paused_until_ = Time{}, wake(); }
  // A letter of some partition that it serves, and that has had a run: another such run is wanted elsewhere.
  void write_letter(Random& random, const std::string& key);
  void receive(Incoming incoming);  // from the network; lost if it does not run
  SimStore* store() { return store_.get(); }

 private:
  class Door : public Gateway, public Bus {
   public:
    explicit Door(CoordinatorProcess& process) : process_(process) {}
    void poll(std::vector<Incoming>& out, std::size_t at_most) override;
    bool send(PeerId peer, const CoordinatorMessage& message) override;
    void reply(RequestId request, const OperatorReply& reply) override;
    bool forward(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
                 const OperatorRequest& request) override;
    void publish(std::span<const Event> events) override;
    std::deque<Incoming> waiting;

   private:
    CoordinatorProcess& process_;
  };

  class OwnClock : public Clock {  // its host's, which may be hours ahead of the others' or behind
   public:
    explicit OwnClock(const Schedule& schedule) : schedule_(schedule) {}
    Time now() const override { return schedule_.now() + ahead; }
    Duration ahead{};

   private:
    const Schedule& schedule_;
  };

  void wake();  // a turn as soon as it may run
  void wake_at(Time when);
  void ask_some_back(PeerId peer, const AssignBatch& batch);
  void run();
  void audit();

  Context& context_;
  int number_;
  std::uint16_t partitions_;
  Outside outside_;
  std::string name_;
  std::uint64_t life_ = 0;      // grows with every start and crash: actions of an earlier one do nothing
  std::function<void()> then_;  // when it has stopped
  Time paused_until_{};
  Time wake_at_ = kNever;
  OwnClock clock_;
  std::unique_ptr<Door> door_;
  std::unique_ptr<SimStreams> streams_;  // in some seeds
  std::unique_ptr<SimStore> store_;
  std::unique_ptr<Loop> loop_;
  std::uint64_t runs_counted_ = 0;  // accepted or restored by this loop: never falls
};

}  // namespace millrace::sim
