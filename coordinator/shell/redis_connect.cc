// RedisStore: its connections: made in the background, watched, given up, made again.
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "coordinator/shell/redis_commit.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_store.h"

namespace millrace {
namespace {

constexpr Duration kLookAgain = 10ms;  // for a connection being made
constexpr unsigned kBackoffDoublingsMax = 16;
constexpr Duration kBackoffElsewhere = 500ms;  // at most, where another master is being chosen
constexpr Duration kSilenceOfNode = 3s;        // of a Redis Cluster: another may have its slots by then
constexpr Duration kOverdue = 500ms;           // an answer: the Sentinels may know of another master
constexpr Duration kAskSentinels = 1s;         // at most so often then
constexpr Duration kAskSentinelsIdle = 5s;

}  // namespace

RedisStore::Connected RedisStore::connect(const RedisStoreOptions& options) {
  Result<RedisNet> net = connect_net(options.target, options.connect_timeout);
  if (!net.ok()) return net.error();
  Status fits = check_cluster(*net->nodes[net->node_for(kMetaKey)].connection, options.partitions);
  if (!fits.ok()) return fits.error();
  Made made{std::move(*net), {}};
  for (RedisNode& node : made.net.nodes) {
    Status loaded = load_functions(*node.connection);
    if (!loaded.ok()) return loaded.error();
    Result<RedisFacts> facts = read_facts(*node.connection, node.address, options.connect_timeout);
    if (!facts.ok()) return facts.error();
    std::ranges::move(weaker_than(options.durability, *facts), std::back_inserter(made.weaker));
  }
  return made;
}

Result<std::unique_ptr<RedisStore>> RedisStore::open(RedisStoreOptions options) {
  Connected connection = connect(options);
  if (!connection.ok()) return connection.error();
  std::unique_ptr<RedisStore> store(new RedisStore(std::move(options)));
  store->use(std::move(*connection));
  return store;
}

RedisStore::RedisStore(RedisStoreOptions options) : options_(std::move(options)) {}

RedisStore::~RedisStore() {
  if (epoll_ >= 0) close(epoll_);
}

void RedisStore::use(Made made) {
  const Steady::time_point now = Steady::now();
  ++connections_;
  slots_ = std::move(made.net.slots);
  for (RedisNode& node : made.net.nodes) {
    Link link;
    link.node = std::move(node);
    link.heard = now;
    links_.push_back(std::move(link));
  }
  look_at_ = now + kAskSentinelsIdle;
  if (made.weaker != weaker_) {
    weaker_ = std::move(made.weaker);
    for (const std::string& finding : weaker_) {
      options_.note(true, "Redis gives less than --durability " + std::string(to_string(options_.durability.mode)) +
                              ": " + finding);
    }
    if (weaker_.empty()) options_.note(false, "Redis gives what --durability asks for");
  }
  if (links_.size() < 2) return;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  for (std::size_t i = 0; i < links_.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, links_[i].node.connection->fd(), &event);
  }
}

int RedisStore::fd() const {
  if (!ready()) return -1;
  return epoll_ >= 0 ? epoll_ : links_[0].node.connection->fd();
}

bool RedisStore::wants_write() const {
  return ready() && epoll_ < 0 && links_[0].node.connection->wants_write();  // several wake by themselves
}

void RedisStore::flush() {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    const bool left = link.node.connection->flush();
    if (epoll_ < 0 || left == link.wants_write) continue;
    link.wants_write = left;
    epoll_event event{};
    event.events = left ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, link.node.connection->fd(), &event);
  }
}

// Half to whole of the doubled delay, by a hash of the seed and the attempt.
Duration RedisStore::backoff() const {
  if (attempts_ == 0) return Duration{0};
  const bool elsewhere = options_.target.kind != RedisTarget::Kind::kStandalone;
  const Duration most = elsewhere ? std::min(options_.backoff_max, kBackoffElsewhere) : options_.backoff_max;
  Duration::rep doubled = options_.backoff_min.count() << std::min(attempts_ - 1, kBackoffDoublingsMax);
  Duration::rep delay = std::min(doubled, most.count());
  std::string_view attempt(reinterpret_cast<const char*>(&attempts_), sizeof attempts_);
  auto jitter = static_cast<Duration::rep>(hash64(attempt, options_.jitter_seed) % 1024);
  return Duration{delay / 2 + delay * jitter / 2048};
}

Duration RedisStore::silence_max() const {
  return on_cluster() ? std::min(options_.silence_max, kSilenceOfNode) : options_.silence_max;
}

void RedisStore::give_up(std::string why) {  // a copy: it may be refusal_
  if (why != trouble_ || attempts_ == 0) options_.note(true, "the store's connection is given up: " + why);
  trouble_ = why;
  links_.clear();
  slots_.clear();
  if (epoll_ >= 0) close(std::exchange(epoll_, -1));
  refusal_.clear();
  values_out_ = 0;
  stalled_.clear();
  for (CommitOut& commit : commits_) {
    for (auto& [partition, result] : commit.outcome.partitions) result = CommitResult::kUnknown;
    commit.outcome.error = why;
    answered_.commits.push_back(std::move(commit.outcome));
  }
  commits_.clear();
  std::vector<std::uint64_t> numbers;
  for (const auto& entry : reads_) numbers.push_back(entry.first);
  std::ranges::sort(numbers);
  for (std::uint64_t number : numbers) finish(number, ReadFailed{Error{Code::kUnavailable, "store: " + why, {}, {}}});
  retry_at_ = Steady::now() + backoff();
  ++attempts_;
}

void RedisStore::reconnect() {
  if (connecting_.valid()) {
    if (connecting_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    Connected made = connecting_.get();
    if (made.ok()) return use(std::move(*made));
    if (made.error().what != trouble_) options_.note(true, "no connection to the store: " + made.error().what);
    trouble_ = made.error().what;
    retry_at_ = Steady::now() + backoff();
    ++attempts_;
  }
  if (Steady::now() < retry_at_) return;
  connecting_ = std::async(std::launch::async, [options = options_] { return connect(options); });
}

void RedisStore::look_at_links() {
  if (!ready()) return;
  const Steady::time_point now = Steady::now();
  if (!refusal_.empty()) return give_up(refusal_);
  for (const Link& link : links_) {
    if (link.node.connection->broken()) return give_up(link.node.connection->error().what);
    if (!link.due.empty() && now - link.heard > silence_max())
      return give_up(link.node.address + ": no answer for " + std::to_string(silence_max() / 1s) + " s");
  }
  flush();  // what reads asked for next
  if (options_.target.kind == RedisTarget::Kind::kSentinel) look_for_master();
}

// A master that is silent, or cut off from the others while we still reach it, has perhaps been replaced.
void RedisStore::look_for_master() {
  const Steady::time_point now = Steady::now();
  const Link& link = links_[0];
  if (master_.valid()) {
    if (master_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    const Result<RedisUrl> master = master_.get();
    look_at_ = now + kAskSentinelsIdle;
    if (!master.ok()) return;
    const std::string address = master->host + ":" + std::to_string(master->port);
    if (address != link.node.address)
      return give_up("the Sentinels name another master: " + address + ", not " + link.node.address);
    return;
  }
  const bool overdue = !link.due.empty() && now - link.heard > kOverdue;
  if (now < look_at_ && (!overdue || now < look_at_ - kAskSentinelsIdle + kAskSentinels)) return;
  master_ = std::async(std::launch::async, [target = options_.target] { return ask_sentinels(target, kAskSentinels); });
}

std::optional<Duration> RedisStore::wake_in() const {
  if (!answered_.commits.empty() || !answered_.reads.empty()) return Duration{0};
  auto until = [](Steady::time_point at) {
    return std::max(Duration{0}, std::chrono::ceil<Duration>(at - Steady::now()));
  };
  if (!ready()) return connecting_.valid() ? kLookAgain : until(retry_at_);
  const bool sentinel = options_.target.kind == RedisTarget::Kind::kSentinel;
  std::optional<Duration> wake;
  const auto sooner = [&](Duration left) { wake = wake ? std::min(*wake, left) : left; };
  if (sentinel && master_.valid()) sooner(kLookAgain);
  for (const Link& link : links_) {
    if (!link.due.empty()) sooner(sentinel ? kOverdue : until(link.heard + silence_max()));
  }
  return wake;
}

}  // namespace millrace
