#include "worker/shell/worker.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>
#include <utility>

#include "common/io/fault.h"
#include "common/io/log.h"
#include "common/io/zmq_socket.h"
#include "worker/core/agent.h"
#include "worker/core/directory.h"
#include "worker/executors/reactor.h"
#include "worker/shell/beats.h"
#include "worker/shell/clock.h"
#include "worker/shell/host.h"
#include "worker/shell/link.h"
#include "worker/shell/machine.h"
#include "worker/shell/settings.h"
#include "worker/shell/worker_meter.h"

namespace millrace {
namespace {

constexpr std::size_t kMessagesPerRound = 256;  // of one link
constexpr std::size_t kStartsPerRound = 4096;   // then what has ended is reported before more is started
constexpr Duration kRetrySending = 5ms;         // what a full socket did not take
constexpr Duration kLookAtLinks = 1s;           // whether anybody answers; and whoever asks whether we live
constexpr rlim_t kDescriptorsWanted = 16'384;
constexpr Duration kEndTasksMax = 5s;  // at the very end; then their processes are killed with the executors

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return gethostname(name.data(), HOST_NAME_MAX) == 0 ? std::string(name.data()) : "localhost";
}

// io tasks hold a connection each.
void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, kDescriptorsWanted);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

class WakeUp {  // an eventfd: rung from any thread and from signal handlers
 public:
  WakeUp() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { assert(fd_ >= 0); }
  ~WakeUp() { close(fd_); }
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;
  int fd() const { return fd_; }
  void ring() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(fd_, &one, sizeof one);  // full means it rings already
  }
  void quiet() const {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto taken = read(fd_, &count, sizeof count);
  }

 private:
  int fd_;
};

class WorkerProcess final : public Worker {
 public:
  WorkerProcess(ZmqContext& context, WorkerOptions options, const ExecutorOptions& executors,
                std::uint64_t incarnation);

  Status connect();
  const Housing& housing() const { return host_.housing(); }
  void change_links(const std::vector<Directory::Change>& changes);
  void send(LinkId link, const WorkerMessage& message);
  Status run() override;
  void drain() override {
    drains_.fetch_add(1);
    wake_.ring();
  }

 private:
  static AgentOptions agent_options(const WorkerOptions& options, std::uint64_t incarnation,
                                    std::vector<std::string> executors);
  void tell(AgentInput input) { agent_.step(now_, std::move(input), effects_); }
  void hear();
  void heard(std::size_t link, CoordinatorMessage&& message);
  void welcomed(std::size_t link, const WorkerWelcome& welcome);
  bool watch_keys();
  void heed_drains();
  void work();
  void take_in_ends();
  void say();
  void sleep();
  void end_tasks();
  Status open_http();
  std::shared_ptr<const WorkerState> state() const;

  ZmqContext& context_;
  WorkerOptions options_;
  SteadyClock clock_;
  Time now_ = clock_.now();
  WakeUp wake_;
  Reactor reactor_;
  Host host_;
  Agent agent_;
  Directory directory_;
  std::vector<std::unique_ptr<CoordinatorLink>> links_;  // by LinkId; null: none
  std::vector<std::string> welcomed_by_;                 // in step with links_: the last name, for the log
  Beats beats_;
  Poller poller_;
  std::vector<std::array<Poller::Slot, 2>> link_slots_;  // a link's socket and its watch; in step with links_
  std::optional<Error> no_entry_;                        // keys stand between us and all coordinators
  std::atomic<int> drains_ = 0;
  int drains_heeded_ = 0;
  WorkerCounts counts_;
  std::unique_ptr<OperatorHttp> http_;
  bool more_ = false;  // something was left for the next round
  Time look_at_links_{};
  AgentEffects effects_;
  std::vector<AgentInput> inputs_;  // reused from round to round, as are the next two
  std::vector<CoordinatorMessage> messages_;
  std::vector<ToCoordinator> requests_;
};

WorkerProcess::WorkerProcess(ZmqContext& context, WorkerOptions options, const ExecutorOptions& executors,
                             std::uint64_t incarnation)
    : context_(context),
      options_(std::move(options)),
      host_(executors, reactor_),
      agent_(agent_options(options_, incarnation, host_.executors())),
      directory_(options_.coordinators),
      beats_(context, options_.curve, incarnation, wake_.fd()) {
  poller_.add_fd(wake_.fd(), true);
  poller_.add_fd(reactor_.fd(), true);
}

AgentOptions WorkerProcess::agent_options(const WorkerOptions& options, std::uint64_t incarnation,
                                          std::vector<std::string> executors) {
  AgentOptions out;
  out.hello.incarnation = incarnation;
  out.hello.name = options.name;
  out.hello.version = kWorkerVersion;
  out.hello.host = host_name();
  out.hello.pid = static_cast<std::uint32_t>(getpid());
  out.hello.slots = options.slots;
  out.hello.io_slots = kIoSlots;
  out.hello.labels = options.labels;
  out.hello.queues = options.queues;
  out.hello.resources = options.resources;
  out.hello.executors = std::move(executors);
  out.prefetch_max = options.prefetch_max;
  return out;
}

Status WorkerProcess::connect() {
  for (const std::string& endpoint : options_.coordinators) {
    if (Status good = check_connect_endpoint(endpoint); !good.ok()) return good;
  }
  change_links(directory_.begin(now_));
  if (Status listening = open_http(); !listening.ok()) return listening;
  beats_.start();
  return Done{};
}

void WorkerProcess::change_links(const std::vector<Directory::Change>& changes) {
  for (const Directory::Change& change : changes) {
    const std::uint32_t i = change.link.value;
    if (i >= links_.size()) {
      links_.resize(i + 1);
      link_slots_.resize(i + 1);
      welcomed_by_.resize(i + 1);
      counts_.welcomed.resize(i + 1);
    }
    if (!change.open) {
      if (links_[i] == nullptr) continue;
      log_info("coordinator left", {{"worker", options_.name}, {"endpoint", change.endpoint}});
      tell(LinkDown{change.link});
      host_.takes_parts(change.link, false);
      for (const Poller::Slot slot : link_slots_[i]) poller_.remove(slot);
      links_[i].reset();
      counts_.welcomed[i] = false;
      beats_.close(i);
      continue;
    }
    Result<std::unique_ptr<CoordinatorLink>> link = CoordinatorLink::connect(context_, change.endpoint, options_.curve);
    if (!link.ok()) {
      log_warn("coordinator's address is no good", {{"endpoint", change.endpoint}, {"error", link.error().what}});
      continue;
    }
    links_[i] = std::move(link).value();
    link_slots_[i] = {poller_.add(links_[i]->socket()), poller_.add(links_[i]->watch())};
    welcomed_by_[i].clear();
    beats_.open(i, change.endpoint);
    tell(LinkUp{change.link});
  }
}

Status WorkerProcess::open_http() {
  if (options_.http.empty()) return Done{};
  OperatorHttpOptions http;
  http.listen = options_.http;
  http.token = options_.http_token;
  http.insecure_listen = options_.insecure_listen;
  http.version = kWorkerVersion;
  Result<std::unique_ptr<OperatorHttp>> opened = OperatorHttp::start(http, [this] { wake_.ring(); });
  if (!opened.ok()) return opened.error();
  http_ = std::move(opened).value();
  return Done{};
}

std::shared_ptr<const WorkerState> WorkerProcess::state() const {
  auto state = std::make_shared<WorkerState>();
  state->name = options_.name;
  state->slots = options_.slots;
  state->running = agent_.running();
  state->queued = agent_.queued();
  state->draining = drains_.load() > 0;
  state->counts = counts_;
  state->executors = host_.counts();
  state->log_bytes = host_.logs().bytes();
  state->log_bytes_dropped = host_.logs().bytes_dropped();
  return state;
}

Status WorkerProcess::run() {
  for (;;) {
    now_ = clock_.now();
    more_ = false;
    hear();
    host_.pass(now_);
    reactor_.run(Duration::zero());
    heed_drains();
    if (now_ >= agent_.next_deadline()) tell(AgentTick{});
    work();
    agent_.flush(now_, effects_);
    say();
    if (effects_.refused_for_good || effects_.leave || !watch_keys()) break;
    beats_.tell_load(agent_.running(), agent_.queued());
    if (http_ != nullptr) http_->pass([this] { return state(); });
    sleep();
  }
  end_tasks();
  if (no_entry_) return *no_entry_;
  if (!effects_.refused_for_good) {
    log_info("drained", {{"worker", options_.name}});
    return Done{};
  }
  return Error{Code::kRefused,
               "worker " + options_.name + ": " + effects_.refusal + ": " + effects_.refusal_message,
               {},
               effects_.refusal};
}

// What coordinators say.
void WorkerProcess::hear() {
  for (std::uint32_t i = 0; i < links_.size(); ++i) {
    if (links_[i] == nullptr) continue;
    messages_.clear();
    if (links_[i]->receive(messages_, kMessagesPerRound) == kMessagesPerRound) more_ = true;
    for (CoordinatorMessage& message : messages_) heard(i, std::move(message));
    if (links_[i] == nullptr) continue;  // what it said was that it is another's double
    if (beats_.take_hello(i)) tell(CoordinatorSaid{LinkId{i}, SayHello{}});
    if (!links_[i]->pass(now_)) continue;
    for (const Poller::Slot slot : link_slots_[i]) poller_.remove(slot);
    link_slots_[i] = {poller_.add(links_[i]->socket()), poller_.add(links_[i]->watch())};
    beats_.reopen(i);
    counts_.welcomed[i] = false;
    ++counts_.reopened;
    tell(LinkUp{LinkId{i}});
  }
  if (now_ < look_at_links_) return;
  look_at_links_ = now_ + kLookAtLinks;
  change_links(directory_.pass(now_));
}

void WorkerProcess::heard(std::size_t link, CoordinatorMessage&& message) {
  if (auto* reply = std::get_if<ValueReply>(&message)) host_.value_came(now_, std::move(*reply));
  else if (const auto* taken = std::get_if<PartTaken>(&message)) host_.part_taken(now_, *taken);
  else if (const auto* welcome = std::get_if<WorkerWelcome>(&message); welcome != nullptr && links_[link] != nullptr)
    welcomed(link, *welcome);
  const LinkId id{static_cast<std::uint32_t>(link)};
  const std::vector<Directory::Change> changes = directory_.heard(now_, id, message);
  tell(CoordinatorSaid{id, std::move(message)});
  change_links(changes);
}

void WorkerProcess::welcomed(std::size_t link, const WorkerWelcome& welcome) {
  counts_.welcomed[link] = true;
  host_.takes_parts(LinkId{static_cast<std::uint32_t>(link)}, welcome.takes_parts);
  const std::string by = welcome.coordinator + "/" + std::to_string(welcome.worker.value);
  if (std::exchange(welcomed_by_[link], by) == by) return;
  log_info("connected", {{"worker", options_.name},
                         {"coordinator", welcome.coordinator},
                         {"endpoint", links_[link]->endpoint()},
                         {"slots", options_.slots}});
}

// False: there is no coordinator left that we could work for. One that refuses us is tried again while another takes
// us.
bool WorkerProcess::watch_keys() {
  std::optional<Error> fault;
  for (const auto& link : links_) {
    if (link == nullptr) continue;
    if (!link->fault()) return true;
    fault = link->fault();
  }
  no_entry_ = std::move(fault);
  return !no_entry_;
}

void WorkerProcess::heed_drains() {
  const int asked = drains_.load();
  if (asked == drains_heeded_) return;
  if (drains_heeded_ == 0) {
    log_info("draining", {{"worker", options_.name}, {"running", agent_.running()}});
    tell(DrainRequested{});
    reactor_.after(options_.drain_grace, [this] { tell(KillRequested{}); });
  }
  if (asked > 1) tell(KillRequested{});
  drains_heeded_ = asked;
}

// Starts what fits; tasks that end at once make room for the next.
void WorkerProcess::work() {
  more_ |= host_.go_on(now_);
  take_in_ends();
  for (std::size_t started = 0; started < kStartsPerRound;) {
    agent_.start(now_, effects_);
    if (effects_.starts.empty() && effects_.kills.empty()) return;
    started += effects_.starts.size();
    counts_.started += effects_.starts.size();
    if (!effects_.starts.empty()) fault_point(FaultPoint::kTaskBeforeStart);
    for (StartTask& start : effects_.starts) host_.start(now_, std::move(start));
    if (!effects_.starts.empty()) fault_point(FaultPoint::kTaskRunning);
    effects_.starts.clear();
    for (const KillTask& kill : effects_.kills) host_.kill(kill.attempt, kill.why);
    effects_.kills.clear();
    more_ |= host_.go_on(now_);
    take_in_ends();
  }
  more_ = true;
}

void WorkerProcess::take_in_ends() {
  host_.take_inputs(inputs_);
  for (AgentInput& input : inputs_) {
    if (const auto* end = std::get_if<TaskEnded>(&input)) counts_.ended(end->outcome);
    tell(std::move(input));
  }
  inputs_.clear();
}

void WorkerProcess::say() {
  host_.take_requests(requests_);
  for (const ToCoordinator& request : requests_) send(request.link, request.message);
  requests_.clear();
  for (const ToCoordinator& to : effects_.messages) {
    if (directory_.is_open(to.link)) send(to.link, to.message);
    if (faults_armed() && std::holds_alternative<AttemptReports>(to.message)) fault_point(FaultPoint::kResultSent);
  }
  effects_.messages.clear();
}

// A value may be asked of any coordinator when the one that sent the task is gone.
void WorkerProcess::send(LinkId link, const WorkerMessage& message) {
  CoordinatorLink* to = link.value < links_.size() ? links_[link.value].get() : nullptr;
  for (std::size_t i = 0; to == nullptr && i < links_.size(); ++i) to = links_[i].get();
  if (to != nullptr) to->send(now_, message);
}

void WorkerProcess::sleep() {
  if (more_) return;
  const Time wake = std::min(agent_.next_deadline(), host_.next_deadline());
  Duration wait = std::min<Duration>(reactor_.next_timer(), kLookAtLinks);
  if (wake != kNever) wait = std::min(wait, wake - clock_.now());
  for (const auto& link : links_) {
    if (link != nullptr && link->congested()) wait = std::min(wait, kRetrySending);
  }
  poller_.wait(std::max(wait, Duration::zero()));
  wake_.quiet();
}

// Nothing that was started outlives the worker.
void WorkerProcess::end_tasks() {
  host_.kill_all(Reason::kLost);
  for (const Time until = clock_.now() + kEndTasksMax; host_.tasks() > 0 && clock_.now() < until;) {
    reactor_.run(50ms);
    host_.go_on(clock_.now());
  }
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(ZmqContext& context, WorkerOptions options) {
  if (options.coordinators.empty()) return Error{Code::kInvalid, "worker: no coordinator to connect to", {}, {}};
  if (options.slots == 0) options.slots = std::max(1U, std::thread::hardware_concurrency());
  add_machine_resources(options.resources);
  if (options.name.empty()) options.name = host_name() + "-" + std::to_string(getpid());
  std::random_device random;
  const std::uint64_t incarnation = (std::uint64_t{random()} << 32 | random()) | 1U;
  Result<ExecutorOptions> executors = executor_options(options);
  if (!executors.ok()) return executors.error();
  if (Status told = tell_isolation(options, executors->housing); !told.ok()) return told.error();
  allow_many_descriptors();
  auto worker = std::make_unique<WorkerProcess>(context, std::move(options), *executors, incarnation);
  if (Status housed = check_housing(executors->housing, worker->housing()); !housed.ok()) return housed.error();
  if (Status connected = worker->connect(); !connected.ok()) return connected.error();
  return Result<std::unique_ptr<Worker>>(std::move(worker));
}

}  // namespace millrace
