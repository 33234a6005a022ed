// millrace-bench-fleet: many simulated workers in one process, against a real coordinator. They speak the worker
// protocol (Hello, beats, credits, reports) and end every attempt at once with success; they run nothing and keep no
// books. It shows what a large fleet costs the coordinator. Ends by SIGTERM.
#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "common/base/version.h"
#include "common/io/zmq_socket.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace {

using namespace millrace;
using Steady = std::chrono::steady_clock;

constexpr std::uint32_t kSocketsAContext = 250;  // libzmq allows 1,023
constexpr std::size_t kMessagesATurn = 64;       // of one worker, so that none starves

volatile std::sig_atomic_t stopping = 0;

class SimulatedWorker {
 public:
  SimulatedWorker(ZmqContext& context, std::uint64_t incarnation, std::uint32_t number, std::uint32_t credit)
      : socket_(context), credit_(credit) {
    hello_.incarnation = incarnation;
    hello_.name = "sim-" + std::to_string(number);
    hello_.version = kVersion;
    hello_.slots = credit;
    hello_.executors = {"noop"};
  }
  const ZmqSocket& socket() const { return socket_; }
  Status connect(const std::string& endpoint) {
    Status connected = socket_.connect(endpoint);
    if (connected.ok()) say(hello_);
    return connected;
  }
  void beat() { say(WorkerBeat{hello_.incarnation, 0}); }

  void hear() {
    for (std::size_t i = 0; i < kMessagesATurn && socket_.receive(frames_); ++i) {
      Result<std::string_view> body = open_frame(frames_.views(), FrameKind::kCoordinator);
      if (!body.ok()) continue;
      Result<CoordinatorMessage> message = decode_coordinator_message(*body, specs_);
      if (message.ok()) answer(*message);
      else say(hello_);  // the two sides have lost step
    }
  }

 private:
  void answer(const CoordinatorMessage& message) {
    if (auto* refused = std::get_if<WorkerRefused>(&message)) {
      std::fprintf(stderr, "millrace-bench-fleet: %s\n", refused->message.c_str());
    } else if (std::holds_alternative<WorkerWelcome>(message)) {
      say(CreditUpdate{credit_, 0});
    } else if (std::holds_alternative<SayHello>(message)) {
      say(hello_);
    } else if (auto* assigned = std::get_if<AssignBatch>(&message)) {
      AttemptReports reports;
      reports.reports.reserve(assigned->assignments.size());
      for (const Assignment& assignment : assigned->assignments) {
        AttemptReport report;
        report.attempt = assignment.attempt();
        report.outcome.success = true;
        reports.reports.push_back(std::move(report));
      }
      say(std::move(reports));
    }
  }
  void say(WorkerMessage message) { socket_.send(envelope(FrameKind::kWorker), encode(message)); }

  DealerSocket socket_;
  WorkerHello hello_;
  std::uint32_t credit_;
  SpecCache specs_;
  Frames frames_;
};

int run(const std::string& endpoint, std::uint32_t workers, std::uint32_t credit) {
  std::random_device random;
  const std::uint64_t first = (std::uint64_t{random()} << 32) + 1;
  std::vector<std::unique_ptr<ZmqContext>> contexts;
  std::deque<SimulatedWorker> fleet;
  Poller poller;
  for (std::uint32_t i = 0; i < workers; ++i) {
    if (i % kSocketsAContext == 0) contexts.push_back(std::make_unique<ZmqContext>());
    fleet.emplace_back(*contexts.back(), first + i, i, credit);
    if (Status connected = fleet.back().connect(endpoint); !connected.ok()) {
      std::fprintf(stderr, "millrace-bench-fleet: %s\n", connected.error().what.c_str());
      return 1;
    }
    (void)poller.add(fleet.back().socket());  // slots are 0, 1, 2 ...
  }
  // Beats are spread over the second.
  const Steady::duration between = std::chrono::duration_cast<Steady::duration>(kBeatEvery) / workers;
  auto beat_at = Steady::now() + between;
  for (std::uint32_t next = 0; stopping == 0;) {
    const auto left = std::chrono::duration_cast<Duration>(beat_at - Steady::now());
    poller.wait(std::max(left, Duration::zero()));
    for (std::uint32_t i = 0; i < workers; ++i) {
      if (poller.readable(i)) fleet[i].hear();
    }
    for (; Steady::now() >= beat_at; beat_at += between) {
      fleet[next].beat();
      next = (next + 1) % workers;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string endpoint;
  std::uint32_t workers = 1;
  std::uint32_t credit = 8;
  CLI::App app{"Many simulated workers in one process, for millrace-bench --simulated-workers."};
  app.add_option("--coordinator", endpoint, "tcp://HOST:PORT")->required();
  app.add_option("--workers", workers, "how many")->default_val(1)->check(CLI::Range(1U, 10'000U));
  app.add_option("--credit", credit, "attempts that may be out at each")
      ->default_val(8)
      ->check(CLI::Range(1U, 65'536U));
  CLI11_PARSE(app, argc, argv);
  struct sigaction action {};
  action.sa_handler = [](int) { stopping = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  return run(endpoint, workers, credit);
}
