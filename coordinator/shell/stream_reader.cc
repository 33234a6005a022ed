#include "coordinator/shell/stream_reader.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

namespace millrace {
namespace {

constexpr Duration kConnectWithin = 2s;
constexpr Duration kAnswerWithin = 5s;
constexpr Duration kBlock = 100ms;  // of one XREAD: what is followed may have changed meanwhile
constexpr Duration kRest = 1s;      // of a stream after an error
constexpr Duration kCheckEvery = 5s;
constexpr Duration kNothingToDo = 50ms;
constexpr char kBeginning[] = "0-0";

std::int64_t now_us() {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_id(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  std::uint64_t parts[2] = {};
  const std::string_view words[2] = {text.substr(0, dash), text.substr(dash + 1)};
  for (int i = 0; i < 2; ++i) {
    const auto [end, error] = std::from_chars(words[i].data(), words[i].data() + words[i].size(), parts[i]);
    if (words[i].empty() || error != std::errc{} || end != words[i].data() + words[i].size()) return std::nullopt;
  }
  return std::pair{parts[0], parts[1]};
}

bool is_later(std::string_view a, std::string_view b) {
  const auto left = parse_id(a);
  const auto right = parse_id(b);
  return left && right && *left > *right;
}

template <class Job>
std::thread named_thread(const char* name, Job job) {
  return std::thread([name, job] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are the main thread's
    pthread_setname_np(pthread_self(), name);
    job();
  });
}

// What XINFO STREAM tells in its flat list of names and values.
struct StreamFacts {
  std::string last = "0-0";
  std::string first = "0-0";
  std::string deleted = "0-0";  // the latest that was deleted; what was trimmed is not among them
  std::uint64_t added = 0;      // ever
  std::uint64_t length = 0;
};

StreamFacts facts_of(const RedisReply& info) {
  StreamFacts facts;
  for (std::size_t i = 0; i + 1 < info.items.size(); i += 2) {
    const std::string& name = info.items[i].text;
    const RedisReply& value = info.items[i + 1];
    if (name == "last-generated-id") facts.last = value.text;
    else if (name == "recorded-first-entry-id") facts.first = value.text;
    else if (name == "max-deleted-entry-id") facts.deleted = value.text;
    else if (name == "entries-added") facts.added = static_cast<std::uint64_t>(value.integer);
    else if (name == "length") facts.length = static_cast<std::uint64_t>(value.integer);
  }
  return facts;
}

// What of a stream is missing behind a place in it, of which `added` entries had been added; empty: nothing. Sets
// `added` to what it must have been.
std::string missing(const StreamFacts& stream, const std::string& key, const std::string& position,
                    std::uint64_t& added) {
  const std::uint64_t gone = stream.added - std::min(stream.length, stream.added);  // deleted or trimmed, ever
  if (stream.added < added || is_later(position, stream.last)) {
    added = gone;
    return "stream_gap: " + key + " was deleted and made anew";
  }
  if (stream.length > 0 && !is_later(stream.first, position)) {
    if (!is_later(stream.deleted, position)) return "";
    return "stream_gap: entries of " + key + " up to " + stream.deleted + " were deleted before they were read";
  }
  const std::uint64_t before = std::exchange(added, std::max(added, gone));
  if (gone <= before || (before == 0 && position == kBeginning)) return "";
  return "stream_gap: " + std::to_string(gone - before) + " entries of " + key + " after " + position +
         " were deleted or trimmed before they were read";
}

}  // namespace

Result<std::unique_ptr<StreamReader>> StreamReader::open(const std::vector<std::string>& sources, std::uint64_t nonce,
                                                         std::function<void()> wake,
                                                         std::function<void(const std::string&)> warn) {
  std::unique_ptr<StreamReader> reader(new StreamReader(nonce, std::move(wake), std::move(warn)));
  for (const std::string& text : sources) {
    const std::size_t equal = text.find('=');
    if (equal == 0 || equal == std::string::npos)
      return Error{Code::kInvalid, "--stream-redis: NAME=URL expected", {}, "usage"};
    const std::string name = text.substr(0, equal);
    Result<RedisUrl> url = RedisUrl::parse(std::string_view(text).substr(equal + 1));
    if (!url.ok()) return Error{url.error().code, "--stream-redis " + name + ": " + url.error().what, {}, "usage"};
    if (!reader->sources_.emplace(name, Source{name, std::move(*url), {}, {}}).second)
      return Error{Code::kInvalid, "--stream-redis " + name + " stands twice", {}, "usage"};
  }
  for (auto& [name, source] : reader->sources_) {
    source.thread = named_thread("streams", [raw = reader.get(), s = &source] { raw->work(*s); });
    source.listener = named_thread("keyspace", [raw = reader.get(), s = &source] { raw->listen(*s); });
  }
  return reader;
}

StreamReader::~StreamReader() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& [name, source] : sources_) source.thread.join(), source.listener.join();
}

void StreamReader::follow(std::vector<FollowedStream> all) {
  {
    std::lock_guard lock(mutex_);
    std::map<std::string, Followed> next;
    for (FollowedStream& stream : all) {
      const auto known = followed_.find(stream.token);
      if (known != followed_.end()) {  // it goes on where it is
        next.emplace(stream.token, std::move(known->second));
        continue;
      }
      Followed fresh;
      fresh.position = stream.after;
      fresh.added = stream.added;
      fresh.stream = std::move(stream);
      next.emplace(fresh.stream.token, std::move(fresh));
    }
    followed_ = std::move(next);
    std::erase_if(batches_, [&](const StreamBatch& batch) { return !followed_.contains(batch.token); });
  }
  changed_.notify_all();
}

const StreamBatch* StreamReader::front() {
  std::lock_guard lock(mutex_);
  return batches_.empty() ? nullptr : &batches_.front();  // others only append behind it
}

void StreamReader::pop() {
  bool reads_on = false;
  {
    std::lock_guard lock(mutex_);
    const auto followed = followed_.find(batches_.front().token);
    if (followed != followed_.end()) reads_on = followed->second.ahead-- >= kBatchesAhead;
    batches_.pop_front();
  }
  if (reads_on) changed_.notify_all();
}

bool StreamReader::wait(Duration length) {
  std::unique_lock lock(mutex_);
  if (!stopping_) changed_.wait_for(lock, length);
  return !stopping_;
}

// Those of a source that may be read now.
std::vector<StreamReader::Followed> StreamReader::due(const std::string& source) {
  std::lock_guard lock(mutex_);
  std::vector<Followed> all;
  const std::int64_t now = now_us();
  for (const auto& [token, one] : followed_) {
    if (one.stream.redis == source && !one.stream.keyspace && one.ahead < kBatchesAhead && one.rests_until <= now)
      all.push_back(one);
  }
  return all;
}

void StreamReader::work(const Source& source) {
  std::unique_ptr<Redis> redis;
  bool warned = false;
  while (wait(Duration::zero())) {
    if (due(source.name).empty()) {
      if (!wait(kNothingToDo)) return;
      continue;
    }
    if (redis == nullptr) {
      Result<std::unique_ptr<Redis>> made = Redis::connect(source.url, kConnectWithin);
      if (made.ok()) redis = std::move(*made);
      if (!made.ok() && !warned) warn_("streams of " + source.name + ": " + made.error().what);
      warned = !made.ok();
      if (!made.ok() && !wait(kRest)) return;
      continue;
    }
    const Status passed = pass(source, *redis);
    if (!passed.ok()) {
      warn_("streams of " + source.name + ": " + passed.error().what);
      redis.reset();
      look_again(source.name);
      if (!wait(kRest)) return;
    }
  }
}

// Fails: the connection is broken.
Status StreamReader::pass(const Source& source, Redis& redis) {
  std::vector<Followed> ready;
  for (const Followed& one : due(source.name)) {
    if (one.checked_at != 0 && now_us() < one.checked_at + kCheckEvery.count()) ready.push_back(one);
    else if (Status begun = begin(redis, one); !begun.ok()) return begun;
  }
  // Two triggers may follow one stream: a call names each stream once.
  for (bool first = true; !ready.empty(); first = false) {
    std::vector<Followed> round;
    std::vector<Followed> rest;
    for (Followed& one : ready) {
      const bool twice = std::ranges::any_of(round, [&](const Followed& r) { return r.stream.key == one.stream.key; });
      (twice ? rest : round).push_back(std::move(one));
    }
    ready = std::move(rest);
    if (Status done = read(redis, round, first && ready.empty()); !done.ok()) return done;
  }
  return Done{};
}

// After a connection was lost: each of them is looked at again.
void StreamReader::look_again(const std::string& source) {
  std::lock_guard lock(mutex_);
  for (auto& [token, one] : followed_) {
    if (one.stream.redis == source) one.checked_at = 0;
  }
}

// Where it begins, and whether entries behind that have gone before anybody read them.
Status StreamReader::begin(Redis& redis, const Followed& one) {
  Result<RedisReply> info = redis.command({"XINFO", "STREAM", one.stream.key}, kAnswerWithin);
  if (!info.ok()) return info.error();
  const bool none = info->is_error() && info->text.find("no such key") != std::string::npos;
  if (info->is_error() && !none) return trouble(one, info->text), Status(Done{});
  const StreamFacts facts = none ? StreamFacts{} : facts_of(*info);
  StreamBatch batch{one.stream.token, one.position, one.added, one.position};
  if (one.position.empty()) batch.until = facts.last, batch.added = facts.added;
  else batch.trouble = missing(facts, one.stream.key, one.position, batch.added);
  const bool told = batch.after != batch.until || !batch.trouble.empty();
  {
    std::lock_guard lock(mutex_);
    const auto followed = followed_.find(one.stream.token);
    if (followed == followed_.end()) return Done{};
    followed->second.position = batch.until;
    followed->second.added = batch.added;
    followed->second.checked_at = now_us();
  }
  if (told) put(one, std::move(batch));
  return Done{};
}

Status StreamReader::read(Redis& redis, const std::vector<Followed>& due, bool patient) {
  std::vector<std::string> words = {"XREAD", "COUNT", std::to_string(kStreamBatchMax)};
  if (patient) words.insert(words.end(), {"BLOCK", std::to_string(kBlock / 1ms)});
  words.emplace_back("STREAMS");
  for (const Followed& one : due) words.push_back(one.stream.key);
  for (const Followed& one : due) words.push_back(one.position);
  const std::vector<std::string_view> views(words.begin(), words.end());
  Result<RedisReply> reply = redis.command(views, kAnswerWithin);
  if (!reply.ok()) return reply.error();
  if (reply->is_error()) {  // one of them is no stream: which one?
    for (const Followed& one : due) {
      const Result<RedisReply> alone =
          redis.command({"XREAD", "COUNT", "1", "STREAMS", one.stream.key, one.position}, kAnswerWithin);
      if (!alone.ok()) return alone.error();
      if (alone->is_error()) trouble(one, alone->text);
    }
    return Done{};
  }
  for (const RedisReply& stream : reply->items) {
    if (stream.items.size() != 2) continue;
    const auto one = std::ranges::find(due, stream.items[0].text, [](const Followed& f) { return f.stream.key; });
    if (one != due.end()) take(*one, stream.items[1]);
  }
  return Done{};
}

void StreamReader::take(const Followed& one, const RedisReply& entries) {
  StreamBatch batch{one.stream.token, one.position, one.added, one.position};
  std::size_t bytes = 0;
  for (const RedisReply& entry : entries.items) {
    if (entry.items.size() != 2 || !is_later(entry.items[0].text, batch.until)) continue;
    StreamEntry one_entry{entry.items[0].text, {}};
    const std::vector<RedisReply>& fields = entry.items[1].items;
    std::size_t size = 0;
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
      size += fields[i].text.size() + fields[i + 1].text.size();
      one_entry.fields.emplace_back(fields[i].text, fields[i + 1].text);
    }
    if (!batch.entries.empty() && bytes + size > kStreamBatchBytes) break;
    bytes += size;
    batch.until = one_entry.id;
    batch.entries.push_back(std::move(one_entry));
    ++batch.added;
  }
  if (!batch.entries.empty()) put(one, std::move(batch));
}

void StreamReader::put(const Followed& one, StreamBatch batch) {
  {
    std::lock_guard lock(mutex_);
    const auto followed = followed_.find(one.stream.token);
    if (followed == followed_.end()) return;
    followed->second.position = batch.until;
    followed->second.added = batch.added;
    ++followed->second.ahead;
    batches_.push_back(std::move(batch));
  }
  wake_();
}

void StreamReader::trouble(const Followed& one, const std::string& what) {
  StreamBatch batch{one.stream.token, one.position, one.added, one.position, {}, one.stream.key + ": " + what};
  {
    std::lock_guard lock(mutex_);
    const auto followed = followed_.find(one.stream.token);
    if (followed == followed_.end()) return;
    followed->second.rests_until = now_us() + kRest.count();
    ++followed->second.ahead;
    batches_.push_back(std::move(batch));
  }
  wake_();
}

}  // namespace millrace
