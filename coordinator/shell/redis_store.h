// RedisStore: the Store of production, over one pipelined connection.
//
// Promises: the Store contract (ports.h). No call blocks; only open() does. When the connection is lost, or Redis
// refuses to write (out of memory, disk full, read-only replica, loading, function library missing), every commit that
// was out is answered kUnknown once, every read ReadFailed(kUnavailable), and poll() connects anew in the background,
// 50 ms to 2 s apart with jitter; a new connection is used only after its cluster was checked and its functions loaded.
// Threads: one; connecting runs on a thread of its own that touches nothing of this object.
// Fails: open() names what does not fit. Later trouble is in the outcomes and in trouble().
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "common/io/redis.h"
#include "coordinator/shell/ports.h"
#include "coordinator/shell/redis_reads.h"

namespace millrace {

struct RedisStoreOptions {
  RedisUrl url;
  std::uint16_t partitions = 16;
  Duration connect_timeout = 2s;
  Duration silence_max = 10s;  // no reply for so long while some are due: the connection counts as lost
  Duration backoff_min = 50ms;
  Duration backoff_max = 2s;
  std::uint64_t jitter_seed = 1;
};

class RedisStore : public Store {
 public:
  static Result<std::unique_ptr<RedisStore>> open(RedisStoreOptions options);

  bool ready() const override { return connection_ != nullptr; }
  void commit(const TurnCommit& commit) override;
  void read(std::uint64_t tag, const StoreRead& read) override;
  void poll(StoreReplies& out) override;

  // For the shell's poller: wait for readability of fd() (-1: not connected), for writability while wants_write(), and
  // call poll() at the latest after wake_in().
  int fd() const { return connection_ == nullptr ? -1 : connection_->fd(); }
  bool wants_write() const { return connection_ != nullptr && connection_->wants_write(); }
  std::optional<Duration> wake_in() const;
  const std::string& trouble() const { return trouble_; }  // why the last connection was given up; for logs

 private:
  using Steady = std::chrono::steady_clock;
  using Connected = Result<std::unique_ptr<Redis>>;

  struct Due {  // what the next reply belongs to
    enum class Kind : std::uint8_t { kValue, kLog, kCommit, kRead };
    Kind kind = Kind::kLog;
    std::uint64_t read = 0;  // number of the read
  };
  struct CommitOut {
    std::uint64_t turn = 0;
    std::vector<PartitionId> partitions;
  };
  struct ReadOut {
    std::uint64_t tag = 0;
    std::unique_ptr<RedisRead> machine;
    std::vector<RedisReply> replies;  // of the batch that is out
    std::size_t missing = 0;          // of that batch
  };

  RedisStore(RedisStoreOptions options, std::unique_ptr<Redis> connection);
  static Connected connect(const RedisStoreOptions& options);

  void send(const RedisCommand& command, Due due);
  void advance(std::uint64_t number);  // a read whose batch is complete
  void take(RedisReply& reply, StoreReplies& out);
  void take_commit(const RedisReply& reply, StoreReplies& out);
  void take_read(std::uint64_t number, RedisReply& reply);
  void finish(std::uint64_t number, StoreAnswer answer);
  void give_up(std::string why);
  void reconnect();
  Duration backoff() const;

  RedisStoreOptions options_;
  std::unique_ptr<Redis> connection_;  // null: none stands
  std::future<Connected> connecting_;
  Steady::time_point retry_at_;
  unsigned attempts_ = 0;  // connections in a row that brought nothing
  Steady::time_point heard_;
  std::string refusal_;  // set: the connection is to be given up
  std::string trouble_;

  std::deque<Due> due_;
  std::deque<CommitOut> commits_;
  std::unordered_map<std::uint64_t, ReadOut> reads_;
  std::uint64_t reads_made_ = 0;
  EventPositions positions_;
  StoreReplies answered_;  // for the next poll
};

}  // namespace millrace
