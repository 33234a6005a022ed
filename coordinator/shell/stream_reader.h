// StreamReader: Streams of production: a thread for each Redis that is configured, which reads the streams of it that
// are followed with XREAD, and one that hears its key-space events (keyspace_reader.cc).
//
// Promises: never reads further than kBatchesAhead batches ahead; a connection that is lost is made again, and reading
// goes on where it was; what a stream has lost meanwhile is told. Errors never show credentials.
// Threads: see Streams; its own threads share one mutex with it, held for moments. Fails: never.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/result.h"
#include "common/io/redis.h"
#include "coordinator/shell/streams.h"

namespace millrace {

class StreamReader final : public Streams {
 public:
  // NAME=URL each. `wake` makes the loop's thread look soon. Fails: kInvalid.
  // `nonce`: random per process.
  static Result<std::unique_ptr<StreamReader>> open(const std::vector<std::string>& sources, std::uint64_t nonce,
                                                    std::function<void()> wake,
                                                    std::function<void(const std::string&)> warn);
  ~StreamReader() override;

  bool knows(const std::string& redis) const override { return sources_.contains(redis); }
  void follow(std::vector<FollowedStream> all) override;
  const StreamBatch* front() override;
  void pop() override;

 private:
  struct Followed {
    FollowedStream stream;
    std::string position;          // the next read begins after it; empty: to be found out
    std::size_t ahead = 0;         // batches that are not taken
    std::uint64_t added = 0;       // see FollowedStream
    std::int64_t checked_at = 0;   // whether something is missing behind it; microseconds, zero: not yet
    std::int64_t rests_until = 0;  // after an error; microseconds
  };
  struct Source {
    std::string name;
    RedisUrl url;
    std::thread thread;
    std::thread listener;
  };
  StreamReader(std::uint64_t nonce, std::function<void()> wake, std::function<void(const std::string&)> warn)
      : nonce_(std::to_string(nonce)), wake_(std::move(wake)), warn_(std::move(warn)) {}

  void work(const Source& source);
  void listen(const Source& source);
  std::set<std::string> patterns(const std::string& source);
  void heard(const Source& source, const std::string& prefix, const std::vector<RedisReply>& replies);
  void warn_if_off(const Source& source, Redis& redis);
  Status pass(const Source& source, Redis& redis);
  Status begin(Redis& redis, const Followed& one);
  Status read(Redis& redis, const std::vector<Followed>& due, bool patient);
  void look_again(const std::string& source);
  void take(const Followed& one, const RedisReply& entries);
  std::vector<Followed> due(const std::string& source);
  void put(const Followed& one, StreamBatch batch);
  void trouble(const Followed& one, const std::string& what);
  bool wait(Duration length);  // false: it stops

  std::string nonce_;
  std::function<void()> wake_;
  std::function<void(const std::string&)> warn_;
  std::mutex mutex_;  // of what follows, but for sources_, which stay as they were made
  std::condition_variable changed_;
  std::map<std::string, Followed> followed_;  // by token
  std::deque<StreamBatch> batches_;
  bool stopping_ = false;
  std::uint64_t events_heard_ = 0;
  std::map<std::string, Source> sources_;
};

}  // namespace millrace
