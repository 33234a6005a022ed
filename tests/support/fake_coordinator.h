// FakeCoordinator: a ROUTER socket that speaks the worker protocol, for tests of a whole Worker. Welcomes every Hello
// unless told not to; answers nothing else by itself.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/io/zmq_socket.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace millrace::test {

class FakeCoordinator {
 public:
  explicit FakeCoordinator(ZmqContext& context, const std::string& endpoint = "tcp://127.0.0.1:0")
      : router_(context, options()) {
    Status bound = router_.bind(endpoint);
    for (int tries = 0; !bound.ok() && tries < 500; ++tries) {  // a closed socket gives its port back a little later
      std::this_thread::sleep_for(10ms);
      bound = router_.bind(endpoint);
    }
    EXPECT_TRUE(bound.ok()) << (bound.ok() ? "" : bound.error().what);
    poller_.add(router_);
  }

  std::string endpoint() const { return router_.last_endpoint(); }

  // The next message of a kind; others are passed over (Hello is welcomed). Nothing: none came in time.
  template <class T>
  std::optional<T> next(Duration patience = 10s) {
    const auto until = std::chrono::steady_clock::now() + patience;
    do {
      std::optional<WorkerMessage> message = next_message(10ms);
      if (message && std::holds_alternative<T>(*message)) return std::get<T>(std::move(*message));
    } while (std::chrono::steady_clock::now() < until);
    return std::nullopt;
  }
  std::optional<AttemptReport> next_report(Duration patience = 10s) {
    if (reports_.empty()) {
      std::optional<AttemptReports> batch = next<AttemptReports>(patience);
      if (batch) reports_ = std::move(batch->reports);
    }
    if (reports_.empty()) return std::nullopt;
    AttemptReport report = std::move(reports_.front());
    reports_.erase(reports_.begin());
    return report;
  }

  void say(const CoordinatorMessage& message) { say_to(peer_, message); }
  void say_on_the_beats_line(const CoordinatorMessage& message) { say_to(beats_peer_, message); }
  void lose(const CoordinatorMessage& message) { encode(message, sent_); }  // sent, and lost on the way
  void assign(const Assignment& assignment) { say(AssignBatch{{assignment}}); }
  void answer(const AttemptId& attempt) { say(AnswerBatch{{{attempt, Answer::kRecorded, ""}}}); }

  bool welcomes = true;
  bool takes_parts = false;  // as it tells its workers
  int hellos = 0;
  std::vector<TaskLog> logs;

  std::optional<WorkerMessage> next_message(Duration patience) {
    Frames frames;
    if (!router_.receive(frames) && (poller_.wait(patience) == 0 || !router_.receive(frames))) return std::nullopt;
    const std::string from(frames[0]);
    const Result<std::string_view> body = open_frame(frames.views_from(1), FrameKind::kWorker);
    EXPECT_TRUE(body.ok());
    Result<WorkerMessage> message = decode_worker_message(*body);
    EXPECT_TRUE(message.ok());
    if (std::holds_alternative<WorkerBeat>(*message)) beats_peer_ = from;
    if (const auto* log = std::get_if<TaskLog>(&*message)) logs.push_back(*log);
    if (std::holds_alternative<WorkerHello>(*message)) {
      ++hellos;
      peer_ = from;
      sent_.clear();
      if (welcomes) say(WorkerWelcome{WorkerId{1}, "fake", {}, takes_parts});
    }
    return std::move(message).value();
  }

 private:
  static SocketOptions options() {
    SocketOptions options;
    options.message_bytes_max = static_cast<std::int64_t>(kFrameMax);
    return options;
  }
  void say_to(const std::string& peer, const CoordinatorMessage& message) {
    EXPECT_EQ(router_.send(peer, envelope(FrameKind::kCoordinator), encode(message, sent_)), SendResult::kSent);
  }

  RouterSocket router_;
  Poller poller_;
  SentSpecs sent_;
  std::string peer_;
  std::string beats_peer_;
  std::vector<AttemptReport> reports_;
};

}  // namespace millrace::test
