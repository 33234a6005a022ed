// Client: submits one run with its key until it is acknowledged, perhaps cancels it, and waits until it is told its
// end; then, perhaps, has it run again. Whatever gets no answer is asked again, of the other coordinator if there is
// one.
#pragma once

#include <functional>

#include "tests/sim/context.h"
#include "tests/sim/workload.h"

namespace millrace::sim {

class Client {
 public:
  using Ask = std::function<void(const Client&, int coordinator, RequestId, const OperatorRequest&)>;

  Client(Context& context, int number, Order order, int coordinators, Ask ask);

  int number() const { return number_; }
  RunId run() const { return run_; }
  bool done() const { return ended_; }
  void start();
  void receive(RequestId request, const OperatorReply& reply);
  static int number_of(RequestId request) { return static_cast<int>(request.value >> 32); }
  std::string what_is_missing() const;

 private:
  void submit(bool with_definition);
  void cancel();
  void wait();
  void ask(const OperatorRequest& request);
  void again(std::uint64_t asked);
  void act(const OperatorRequest& request);  // of which no answer is waited for
  void resume();
  void over();  // the run has ended: what is next?
  bool gives_up(const Error& error) const;
  SubmitRun submission() const;
  void act_on_waits();

  Context& context_;
  int number_;
  Order order_;
  int coordinators_;
  Ask ask_;
  int coordinator_ = 0;
  std::uint64_t asked_ = 0;     // requests, all told
  std::uint64_t answered_ = 0;  // the latest request that has its answer
  std::string key_;             // of the run that is asked for now
  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const std::string> definition_;
  std::size_t agains_ = 0;   // of order_.again, begun
  std::uint64_t begun_ = 0;  // the latest request of what came before
  RunId before_;             // the run that is run again
  std::string key_before_;
  bool with_definition_ = false;
  bool cancel_due_ = false;
  std::uint32_t acts_ = 0;
  RunId run_;
  bool ended_ = false;
};

}  // namespace millrace::sim
