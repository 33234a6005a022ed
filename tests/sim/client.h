// Client: submits one run with its key until it is acknowledged, perhaps cancels it, and waits until it is told its
// end. Whatever gets no answer is asked again, of the other coordinator if there is one.
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
  void act_on_waits();

  Context& context_;
  int number_;
  Order order_;
  int coordinators_;
  Ask ask_;
  int coordinator_ = 0;
  std::uint64_t asked_ = 0;     // requests, all told
  std::uint64_t answered_ = 0;  // the latest request that has its answer
  bool with_definition_ = false;
  bool cancel_due_ = false;
  std::uint32_t acts_ = 0;
  RunId run_;
  bool ended_ = false;
};

}  // namespace millrace::sim
