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
#include "tests/sim/network.h"
#include "tests/sim/store.h"

namespace millrace::sim {

class CoordinatorProcess {
 public:
  struct Outside {  // where what it says goes
    std::function<bool(int coordinator, PeerId, const CoordinatorMessage&)> to_worker;
    std::function<void(int coordinator, RequestId, const OperatorReply&)> to_client;
  };

  CoordinatorProcess(Context& context, int number, std::uint16_t partitions, Outside outside);

  int number() const { return number_; }
  bool running() const { return loop_ != nullptr; }
  bool serving() const { return running() && loop_->serving(); }
  void start();
  void crash();
  void pause(Duration length);
  void resume() { paused_until_ = Time{}, wake(); }
  void receive(Incoming incoming);  // from the network; lost if it does not run
  SimStore* store() { return store_.get(); }

 private:
  class Door : public Gateway, public Bus {
   public:
    explicit Door(CoordinatorProcess& process) : process_(process) {}
    void poll(std::vector<Incoming>& out, std::size_t at_most) override;
    bool send(PeerId peer, const CoordinatorMessage& message) override;
    void reply(RequestId request, const OperatorReply& reply) override;
    void publish(std::span<const Event> events) override;
    std::deque<Incoming> waiting;

   private:
    CoordinatorProcess& process_;
  };

  void wake();  // a turn as soon as it may run
  void wake_at(Time when);
  void run();
  void audit();

  Context& context_;
  int number_;
  std::uint16_t partitions_;
  Outside outside_;
  std::string name_;
  std::uint64_t life_ = 0;  // grows with every start and crash: actions of an earlier one do nothing
  Time paused_until_{};
  Time wake_at_ = kNever;
  std::unique_ptr<Door> door_;
  std::unique_ptr<SimStore> store_;
  std::unique_ptr<Loop> loop_;
  std::uint64_t runs_counted_ = 0;  // accepted or restored by this loop: never falls
};

}  // namespace millrace::sim
