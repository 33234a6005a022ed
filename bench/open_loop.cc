#include "bench/open_loop.h"

#include <sys/prctl.h>

#include <algorithm>
#include <thread>

#include "bench/scenarios.h"
#include "common/wire/codec.h"

namespace millrace::bench {
namespace {

using Steady = std::chrono::steady_clock;
constexpr Nanos kSilenceMax = std::chrono::seconds(60);
constexpr std::uint64_t kSendsBetweenLooks = 32;  // then answers are read, so that their times are true
constexpr std::size_t kAnswersBetweenSends = 256;
constexpr std::uint32_t kPage = 1'000;
// At high rates sends and answers are taken in such steps: waking for each would cost the client, and so the cluster
// beside it, more than all its other work. What it adds to a latency is counted as if the cluster had taken it.
constexpr Nanos kStep = std::chrono::microseconds(200);

double ms(Steady::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }
double seconds(Steady::duration d) { return std::chrono::duration<double>(d).count(); }

// Sleeps end when they should, not up to 50 us later. Only while it lives: child processes would inherit it.
class PreciseSleep {
 public:
  PreciseSleep() { prctl(PR_SET_TIMERSLACK, 1UL); }
  ~PreciseSleep() { prctl(PR_SET_TIMERSLACK, 0UL); }  // the default
  PreciseSleep(const PreciseSleep&) = delete;
  PreciseSleep& operator=(const PreciseSleep&) = delete;
};

class OpenLoop {
 public:
  OpenLoop(RawClient& client, std::uint32_t tasks, const OpenLoopOptions& options)
      : client_(client), tasks_(tasks), options_(options), schedule_(options.rate, options.length) {
    answered_.assign(schedule_.total(), false);
    out_.latencies_ms.reserve(schedule_.total());
    out_.late_ms.reserve(schedule_.total());
    out_.runs.reserve(schedule_.total());
  }

  Result<OpenLoopResult> run() {
    PreciseSleep precise;
    begin_ = heard_ = Steady::now();
    while (answers_ < schedule_.total()) {
      const bool sent = send_due();
      Result<bool> heard = hear();
      if (!heard.ok()) return heard.error();
      if (sent || *heard) continue;
      if (Status waited = wait(); !waited.ok()) return waited.error();
    }
    out_.answered_s = seconds(heard_ - begin_);
    out_.sending_s = seconds(out_.sent_last - begin_);
    std::ranges::sort(out_.latencies_ms);
    std::ranges::sort(out_.late_ms);
    return std::move(out_);
  }

 private:
  bool send_due() {
    const std::uint64_t due = std::min(schedule_.due(Steady::now() - begin_), out_.sent + kSendsBetweenLooks);
    if (out_.sent == due) return false;
    while (out_.sent < due) {
      const std::uint64_t number = client_.ask(client_.submission(options_.to_result));
      if (out_.sent == 0) first_number_ = number;
      const auto now = Steady::now();
      out_.late_ms.push_back(ms(now - begin_ - schedule_.at(out_.sent)));
      if (++out_.sent == schedule_.total()) out_.sent_last = now;
    }
    return true;
  }

  Result<bool> hear() {
    for (std::size_t i = 0; i < kAnswersBetweenSends; ++i) {
      auto reply = client_.next(Duration::zero());
      if (!reply.ok() && reply.error().code == Code::kTimeout) return i > 0;
      if (!reply.ok()) return reply.error();
      heard_ = Steady::now();
      if (Status taken = take(reply->first, reply->second); !taken.ok()) return taken.error();
    }
    return true;
  }

  Status take(std::uint64_t number, const OperatorReply& reply) {
    const std::uint64_t send = number - first_number_;
    if (out_.sent == 0 || send >= out_.sent || answered_[send]) return failure("an answer to nothing that was asked");
    answered_[send] = true;
    ++answers_;
    if (auto* refused = std::get_if<ErrorReply>(&reply)) {
      if (!options_.may_be_refused || refused->error.name != "queue_full") return refused->error;
      ++out_.refused;
      return Done{};
    }
    if (auto* accepted = std::get_if<SubmitReply>(&reply); accepted != nullptr && !options_.to_result) {
      if (accepted->existing) return failure("a new submission was taken for an earlier one");
      out_.runs.push_back(accepted->run);
    } else {
      if (Status fine = check_run(reply, tasks_); !fine.ok()) return fine;
      out_.runs.push_back(std::get<RunReply>(reply).view.info.run);
    }
    ++out_.accepted;
    out_.latencies_ms.push_back(ms(heard_ - begin_ - schedule_.at(send)));
    return Done{};
  }

  Status wait() {
    const auto now = Steady::now();
    if (now - heard_ > kSilenceMax) return Error{Code::kTimeout, "submissions are not answered", {}, ""};
    Nanos left = std::chrono::seconds(1);
    const bool sending = out_.sent < schedule_.total();
    if (sending && schedule_.at(1) < kStep) {
      std::this_thread::sleep_for(kStep);
      return Done{};
    }
    if (sending) left = std::min(left, schedule_.at(out_.sent) - (now - begin_));
    client_.wait(std::max(std::chrono::ceil<Duration>(left), Duration::zero()));
    return Done{};
  }

  RawClient& client_;
  std::uint32_t tasks_;
  OpenLoopOptions options_;
  RateSchedule schedule_;
  OpenLoopResult out_;
  std::vector<bool> answered_;
  std::uint64_t first_number_ = 0;
  std::uint64_t answers_ = 0;
  Steady::time_point begin_;
  Steady::time_point heard_;
};

}  // namespace

Result<OpenLoopResult> open_loop(RawClient& client, const WorkflowSpec& spec, const OpenLoopOptions& options) {
  client.use(encode_definition(spec));
  return OpenLoop(client, spec.node_count(), options).run();
}

Status wait_for_newest(RawClient& client, const std::vector<RunId>& runs, std::size_t newest, Duration timeout) {
  const auto until = Steady::now() + timeout;
  const std::size_t count = std::min(newest, runs.size());
  for (std::size_t i = runs.size() - count; i < runs.size(); ++i) {
    client.ask(WaitRun{{to_string(runs[i]), "bench"}, 0});
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto left = std::chrono::duration_cast<Duration>(until - Steady::now());
    auto reply = client.next(std::max(left, Duration::zero()));
    if (!reply.ok()) return reply.error();
    if (auto* refused = std::get_if<ErrorReply>(&reply->second)) return refused->error;
  }
  return Done{};
}

Status check_all_executed(RawClient& client, std::vector<RunId> runs, std::size_t others, std::size_t& live) {
  live = 0;
  std::vector<RunId> listed;
  ListRuns query;
  query.limit = kPage;
  do {
    Result<OperatorReply> reply = client.call(query, 30s);
    if (!reply.ok()) return reply.error();
    auto* page = std::get_if<ListReply>(&*reply);
    if (page == nullptr) return failure("an answer of another kind");
    for (const RunSummary& run : page->runs) {
      listed.push_back(run.run);
      if (!is_terminal(run.state)) ++live;
      else if (run.state != RunState::kSucceeded || run.tasks_done != run.tasks_total)
        return failure("run " + to_string(run.run) + " ended as " + std::string(to_string(run.state)));
    }
    query.page = std::move(page->next_page);
  } while (!query.page.empty());
  std::ranges::sort(runs);
  std::ranges::sort(listed);
  if (std::ranges::adjacent_find(runs) != runs.end()) return failure("two submissions were given one run");
  if (std::ranges::adjacent_find(listed) != listed.end()) return failure("a run is listed twice");
  if (!std::ranges::includes(listed, runs)) return failure("an acknowledged run is not there");
  if (listed.size() != runs.size() + others) {
    return failure("there are " + std::to_string(listed.size()) + " runs, " + std::to_string(runs.size() + others) +
                   " were acknowledged");
  }
  return Done{};
}

}  // namespace millrace::bench
