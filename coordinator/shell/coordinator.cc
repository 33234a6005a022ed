#include "coordinator/shell/coordinator.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "common/base/version.h"
#include "common/io/log.h"
#include "common/io/redis.h"
#include "common/vault/secret_file.h"
#include "common/zones/zones.h"
#include "coordinator/shell/access.h"
#include "coordinator/shell/anchored_clock.h"
#include "coordinator/shell/gateway.h"
#include "coordinator/shell/hooks.h"
#include "coordinator/shell/looking.h"
#include "coordinator/shell/loop.h"
#include "coordinator/shell/memory_store.h"
#include "coordinator/shell/operators.h"
#include "coordinator/shell/redis_store.h"
#include "coordinator/shell/stream_reader.h"
#include "coordinator/shell/zmq_bus.h"

namespace millrace {
namespace {

constexpr Duration kWaitMax = 250ms;          // so that a lost wake-up costs no more than this
constexpr std::uint64_t kLookTasksMax = 1;    // with more at once the processor is left to them
constexpr Duration kBusPause = 100ms;         // in which its old socket leaves the endpoint
constexpr std::size_t kTurnsBeforeLook = 64;  // turns in a row before the stop signal is looked at

std::uint64_t random_nonce() {
  std::uint64_t nonce = 0;
  while (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce) {}
  return nonce;
}

std::string default_name() {
  char host[256] = "localhost";
  (void)gethostname(host, sizeof host - 1);
  return std::string(host) + "-" + std::to_string(getpid());
}

// What others connect to: as configured, else where we listen; an address that stands for all of ours becomes our name.
std::string reachable(const std::string& advertised, const std::string& listening) {
  if (!advertised.empty()) return advertised;
  static constexpr std::string_view kTcp = "tcp://";
  if (!listening.starts_with(kTcp)) return listening;
  const std::size_t colon = listening.rfind(':');
  const std::string_view host = std::string_view(listening).substr(kTcp.size(), colon - kTcp.size());
  if (host != "*" && host != "0.0.0.0" && host != "[::]") return listening;
  char name[256] = "localhost";
  (void)gethostname(name, sizeof name - 1);
  return std::string(kTcp) + name + listening.substr(colon);
}

void note(LoopNote level, const std::string& text) {
  switch (level) {
    case LoopNote::kInfo: return log_info(text);
    case LoopNote::kWarn: return log_warn(text);
    case LoopNote::kError: return log_error(text);
  }
}

// One line for the start and the end of a run and for a task that failed; under load a sample, and how many were left
// out.
class RunLog {
 public:
  void operator()(const Event& event, const Run* run_now) {
    static constexpr std::uint32_t kLinesPerSecond = 200;
    std::int64_t second = to_us(event.time) / 1'000'000;
    if (second != second_) {
      if (left_out_ > 0) log_info("run events not logged", {{"count", left_out_}});
      second_ = second;
      lines_ = 0;
      left_out_ = 0;
    }
    if (++lines_ > kLinesPerSecond) {
      ++left_out_;
      return;
    }
    std::string run = to_string(event.run);
    const RunInfo* info = run_now != nullptr ? run_now->info.get() : nullptr;
    std::string_view trace = info != nullptr ? std::string_view(info->trace_id) : std::string_view();
    std::string_view workflow = info != nullptr ? std::string_view(info->workflow) : std::string_view();
    if (is_task_event(event.type)) {
      const bool known =
          run_now != nullptr && event.task.value < run_now->tasks.size();  // an item's record is not kept
      SharedName worker = known ? run_now->tasks[event.task.value].worker : nullptr;
      log_info(to_string(event.type), {{"trace_id", trace},
                                       {"run", run},
                                       {"node", event.node},
                                       {"attempt", event.attempt},
                                       {"worker", worker != nullptr ? std::string_view(*worker) : ""},
                                       {"reason", to_string(event.reason)}});
    } else {
      log_info(to_string(event.type), {{"trace_id", trace}, {"run", run}, {"workflow", workflow}});
    }
  }

 private:
  std::int64_t second_ = 0;
  std::uint32_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

class Process : public Coordinator {
 public:
  Process(ZmqContext& context, CoordinatorOptions options)
      : context_(context), options_(std::move(options)), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Process() override {
    http_.reset();
    loop_.reset();
    close(wake_);
  }

  Status open();
  Status run() override;
  void stop() override {
    stopping_.store(true);
    ring();
  }
  void reload() override {
    reload_.store(true);
    ring();
  }
  std::vector<std::string> endpoints() const override { return gateway_->endpoints(); }
  std::string events_endpoint() const override { return bus_->endpoint(); }
  std::string http_address() const override { return http_ != nullptr ? http_->address() : ""; }
  std::string public_key() const override { return access_ == nullptr ? "" : access_->public_key(); }

 private:
  Status open_access();
  Status open_store();
  Status listen();
  Status open_http();
  Status open_secrets();
  void look_at_access();
  void wait();
  bool look(Time now, Duration left);  // whether something came
  void ring() const {
    std::uint64_t one = 1;
    (void)!write(wake_, &one, sizeof one);
  }

  ZmqContext& context_;
  CoordinatorOptions options_;
  AnchoredClock clock_;
  std::unique_ptr<Access> access_;  // none: peers are not authenticated
  std::unique_ptr<ZmqGateway> gateway_;
  std::unique_ptr<ZmqBus> bus_;
  std::uint64_t hearers_revoked_ = 0;  // as when the bus was opened
  Time bus_back_at_ = kNever;
  std::unique_ptr<Store> store_;
  RedisStore* redis_ = nullptr;                // the same object, where it is one
  std::unique_ptr<Hooks> hooks_;               // none: no HTTP
  std::unique_ptr<HookGateway> hook_gateway_;  // likewise
  std::optional<SecretFile> secrets_;
  std::unique_ptr<StreamReader> streams_;  // none: no Redis is named for them
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<OperatorHttp> http_;
  Poller poller_;
  Looking looking_;
  Poller::Slot gateway_slot_ = 0;
  Poller::Slot bus_slot_ = 0;
  Poller::Slot redis_slot_ = 0;
  Poller::Slot wake_slot_ = 0;
  int wake_ = -1;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> reload_ = false;
};

// Before any socket is bound: a CURVE socket without somebody who answers its handshakes takes every key.
Status Process::open_access() {
  if (options_.curve_key.empty() != options_.curve_authorized.empty()) {
    const bool key = options_.curve_authorized.empty();
    return Error{Code::kInvalid,
                 std::string(key ? "--curve-key needs --curve-authorized: the list of the keys that may connect"
                                 : "--curve-authorized needs --curve-key: this coordinator's own secret key"),
                 {},
                 "usage"};
  }
  if (options_.curve_key.empty()) return Done{};
  Result<std::unique_ptr<Access>> opened =
      Access::open(context_, clock_, options_.curve_key, options_.curve_authorized);
  if (!opened.ok()) return opened.error();
  access_ = std::move(opened).value();
  (void)poller_.add(access_->socket());
  return Done{};
}

Status Process::listen() {
  const DoorOptions door{access_.get(), options_.insecure_listen};
  gateway_ = std::make_unique<ZmqGateway>(context_, clock_, door);
  bus_ = std::make_unique<ZmqBus>(context_, door);
  for (const std::string& endpoint : options_.listen) {
    if (Status bound = gateway_->listen(endpoint); !bound.ok()) return bound;
  }
  if (Status bound = bus_->listen(options_.events); !bound.ok()) return bound;
  if (options_.insecure_listen) {
    log_warn("--insecure-listen: who can reach this coordinator can do with it what they want",
             {{"curve", access_ != nullptr}});
  }
  return Done{};
}

// Handshakes, and what follows when the list of keys has changed.
void Process::look_at_access() {
  if (access_ == nullptr) return;
  if (reload_.exchange(false)) access_->reload();
  access_->pass();
  const Time now = clock_.now();
  if (access_->hearers_revoked() != hearers_revoked_) {
    hearers_revoked_ = access_->hearers_revoked();
    poller_.remove(bus_slot_);
    bus_->cut();
    bus_slot_ = poller_.add(bus_->socket());
    bus_back_at_ = now + kBusPause;
  }
  if (now < bus_back_at_) return;
  const Status back = bus_->listen(std::string(bus_->endpoint()));
  bus_back_at_ = back.ok() ? kNever : now + kBusPause;
  if (!back.ok()) log_warn("live events are not back yet: " + back.error().what);
}

Status Process::open_secrets() {
  if (options_.secrets_file.empty()) {
    if (options_.secrets_key_file.empty()) return Done{};
    return Error{Code::kInvalid, "--secrets-key-file needs --secrets-file", {}, "usage"};
  }
  Result<SecretFile> opened = SecretFile::open(SecretPaths::of(options_.secrets_file, options_.secrets_key_file));
  if (!opened.ok()) return opened.error();
  secrets_.emplace(std::move(*opened));
  return Done{};
}

Status Process::open_store() {
  if (options_.store == "memory") {
    store_ = std::make_unique<MemoryStore>();
    return Done{};
  }
  Result<RedisTarget> target = RedisTarget::parse(options_.redis);
  if (!target.ok()) return target.error();
  RedisStoreOptions redis;
  redis.target = std::move(target).value();
  redis.durability = options_.durability;
  redis.note = [](bool warn, const std::string& text) { note(warn ? LoopNote::kWarn : LoopNote::kInfo, text); };
  redis.partitions = options_.partitions;
  redis.jitter_seed = random_nonce();
  Result<std::unique_ptr<RedisStore>> opened = RedisStore::open(redis);
  if (!opened.ok()) return opened.error();
  redis_ = opened->get();
  store_ = std::move(opened).value();
  return Done{};
}

Status Process::open() {
  if (options_.name.empty()) options_.name = default_name();
  if (options_.listen.empty()) return Error{Code::kInvalid, "listen: no address", {}, ""};
  for (const std::string& advertised : {options_.advertise, options_.advertise_events}) {
    if (Status good = advertised.empty() ? Status(Done{}) : check_connect_endpoint(advertised); !good.ok()) return good;
  }
  if (options_.partitions == 0 || options_.partitions > kPartitionsMax) {
    return Error{Code::kInvalid, "partitions: 1 to " + std::to_string(kPartitionsMax), {}, ""};
  }
  if (Status opened = open_access(); !opened.ok()) return opened;
  if (Status opened = open_secrets(); !opened.ok()) return opened;
  if (Status opened = open_store(); !opened.ok()) return opened;
  if (Status listening = listen(); !listening.ok()) return listening;
  LoopOptions loop;
  loop.name = options_.name;
  loop.endpoint = reachable(options_.advertise, gateway_->endpoints().front());
  loop.version = kVersion;
  loop.events_endpoint = reachable(options_.advertise_events, bus_->endpoint());
  loop.partitions = options_.partitions;
  loop.nonce = random_nonce();
  // Ids hold the low bits of the epoch: runs of different processes without a lasting store differ in them.
  if (options_.store == "memory") loop.epoch_above = static_cast<std::uint32_t>(random_nonce() >> 44);
  loop.runs_max = options_.runs_max;
  loop.tasks_max = options_.tasks_max;
  loop.run_tasks_max = options_.run_tasks_max;
  loop.list_min = options_.list_min;
  loop.unplaceable_after = options_.unplaceable_after;
  loop.fixed_fleet = options_.fixed_fleet;
  loop.placement_salt = hash64(options_.name);
  loop.bytes_max = options_.bytes_max;
  loop.tenant_runs_max = options_.tenant_runs_max;
  loop.tenant_tasks_max = options_.tenant_tasks_max;
  loop.retention = options_.retention;
  loop.key_life = options_.key_life;
  loop.value_grace = options_.value_grace;
  loop.zones = zone_source();
  loop.wall = [] {
    return Time{std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())};
  };
  loop.note = note;
  loop.on_event = RunLog();
  if (!options_.stream_redis.empty()) {
    Result<std::unique_ptr<StreamReader>> streams = StreamReader::open(
        options_.stream_redis, loop.nonce, [this] { ring(); }, [](const std::string& what) { log_warn(what); });
    if (!streams.ok()) return streams.error();
    streams_ = std::move(*streams);
    loop.streams = streams_.get();
  }
  if (secrets_) loop.hook_secret = [this](const std::string& name) { return secrets_->find(name); };
  if (!options_.http.empty()) {
    hooks_ = std::make_unique<Hooks>(
        HooksOptions{.per_second = options_.hooks_per_second, .each = options_.hook_per_second}, [this] { ring(); });
    hook_gateway_ = std::make_unique<HookGateway>(*gateway_, *hooks_, clock_);
  }
  Gateway& gateway = hook_gateway_ != nullptr ? static_cast<Gateway&>(*hook_gateway_) : *gateway_;
  loop_ = std::make_unique<Loop>(loop, clock_, *store_, gateway, *bus_);
  gateway_slot_ = poller_.add(gateway_->socket());
  gateway_->lines().wake(poller_);
  bus_slot_ = poller_.add(bus_->socket());
  wake_slot_ = poller_.add_fd(wake_, true);
  redis_slot_ = poller_.add_fd(-1, false);
  return open_http();
}

Status Process::open_http() {
  if (options_.http.empty()) return Done{};
  OperatorHttpOptions http;
  http.listen = options_.http;
  http.token = options_.http_token;
  http.insecure_listen = options_.insecure_listen;
  http.version = kVersion;
  http.pages = {CoordinatorState::kScale};
  http.posts_under = Hooks::kUnder;
  http.posts = [this](const HttpRequest& request, HttpAnswer answer) { hooks_->handle(request, std::move(answer)); };
  http.post_max = kHookBodyMax;
  Result<std::unique_ptr<OperatorHttp>> opened = OperatorHttp::start(http, [this] { ring(); });
  if (!opened.ok()) return opened.error();
  http_ = std::move(opened).value();
  return Done{};
}

Status Process::run() {
  while (!loop_->stopped()) {
    if (stopping_.load()) loop_->stop();
    std::size_t turns = 0;
    while (loop_->turn() && ++turns < kTurnsBeforeLook) {}
    bus_->hear_subscriptions();
    look_at_access();
    if (http_ != nullptr) {
      http_->pass([this] {
        return std::make_shared<CoordinatorState>(loop_->snapshot(), gateway_->frames_refused(),
                                                  access_ != nullptr ? access_->refused_for() : PeersRefused{});
      });
    }
    if (turns < kTurnsBeforeLook && !loop_->stopped()) wait();
  }
  return Done{};
}

// While hardly anything runs, no processor is missed by others.
bool Process::look(Time now, Duration left) {
  if (options_.spin == Duration::zero() || left < options_.spin || loop_->busy_tasks() > kLookTasksMax) return false;
  if (!looking_.wanted()) return false;
  for (const Time until = now + options_.spin; now < until; now = clock_.now()) {
    if (poller_.wait(Duration::zero()) == 0) {
      sched_yield();  // to I/O threads, which wait for a processor that is free
      continue;
    }
    looking_.found();
    return true;
  }
  looking_.in_vain();
  return false;
}

void Process::wait() {
  Time wake = loop_->next_wake();
  Time now = clock_.now();
  Duration left = wake <= now ? Duration::zero() : wake - now > kWaitMax ? kWaitMax : wake - now;
  if (hooks_ != nullptr && hooks_->next_wake() != kNever)
    left = std::min(left, std::max(hooks_->next_wake() - now, Duration::zero()));
  if (stopping_.load()) left = std::min<Duration>(left, 5ms);
  if (redis_ != nullptr) {
    poller_.set_fd(redis_slot_, redis_->fd(), redis_->fd() >= 0, redis_->wants_write());
    if (auto redis_wake = redis_->wake_in()) left = std::min(left, *redis_wake);
  }
  poller_.listen_to(gateway_slot_, loop_->takes_input());
  if (!look(now, left)) (void)poller_.wait(left);
  if (poller_.readable(wake_slot_)) {
    std::uint64_t count = 0;
    (void)!read(wake_, &count, sizeof count);
  }
}

}  // namespace

Result<std::unique_ptr<Coordinator>> Coordinator::create(ZmqContext& context, CoordinatorOptions options) {
  auto process = std::make_unique<Process>(context, std::move(options));
  if (Status opened = process->open(); !opened.ok()) return opened.error();
  return std::unique_ptr<Coordinator>(std::move(process));
}

}  // namespace millrace
