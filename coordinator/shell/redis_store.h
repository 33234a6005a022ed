// RedisStore: the Store of production, over one pipelined connection; over one to each master of a Redis Cluster.
//
// Promises: the Store contract (ports.h). No call blocks; only open() does. When a connection is lost, or Redis refuses
// to write (out of memory, disk full, read-only replica, loading, function library missing, a slot that moved), every
// commit that was out is answered kUnknown once, every read ReadFailed(kUnavailable), and poll() connects anew in the
// background, 50 ms to 2 s apart with jitter, to the master that Sentinel or the Cluster names then; new connections
// are used only after the cluster was checked and functions loaded on every master. With Durability::kReplicated a
// commit is answered only when enough replicas have it: one WAIT behind the calls of a turn; a short count is asked
// again and is never a failed write. Beats alone do not wait. Threads: one; connecting runs on a thread of its own that
// touches nothing of this object. Fails: open() names what does not fit. Later trouble is in the outcomes, in trouble()
// and told to `note`.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "common/io/redis_net.h"
#include "coordinator/shell/durability.h"
#include "coordinator/shell/ports.h"
#include "coordinator/shell/redis_reads.h"
#include "coordinator/shell/redis_ring.h"

namespace millrace {

struct RedisStoreOptions {
  RedisTarget target;
  std::uint16_t partitions = 16;
  Durability durability;
  Duration connect_timeout = 2s;
  Duration silence_max = 10s;  // no reply for so long while some are due: the connection counts as lost
  Duration backoff_min = 50ms;
  Duration backoff_max = 2s;
  std::uint64_t jitter_seed = 1;
  std::function<void(bool warn, const std::string&)> note = [](bool, const std::string&) {};  // for the log
};

class RedisStore : public Store {
 public:
  static Result<std::unique_ptr<RedisStore>> open(RedisStoreOptions options);
  ~RedisStore() override;

  bool ready() const override { return !links_.empty(); }
  void commit(const TurnCommit& commit) override;
  void read(std::uint64_t tag, const StoreRead& read) override;
  void poll(StoreReplies& out) override;
  StoreHealth health() const override;

  // For the shell's poller: wait for readability of fd() (-1: not connected), for writability while wants_write(), and
  // call poll() at the latest after wake_in().
  int fd() const;
  bool wants_write() const;
  std::optional<Duration> wake_in() const;
  const std::string& trouble() const { return trouble_; }  // why the last connection was given up; for logs

 private:
  using Steady = std::chrono::steady_clock;
  struct Made {  // a set of connections, and what its servers tell of themselves
    RedisNet net;
    std::vector<std::string> weaker;
  };
  using Connected = Result<Made>;

  struct Due {  // what the next reply belongs to
    enum class Kind : std::uint8_t { kIgnored, kValue, kCommit, kRead, kWait };
    Kind kind = Kind::kIgnored;
    std::uint64_t number = 0;  // of the turn or the read
    std::size_t index = 0;     // of the call in its turn, of the command in its batch
  };
  struct Link {  // one connection
    RedisNode node;
    std::deque<Due> due;
    Steady::time_point heard;
    std::uint64_t calls = 0;       // that replicas should have
    std::uint64_t replicated = 0;  // of them, how many enough replicas have
    std::uint64_t asked = 0;       // how many the WAIT that is out is about; zero: none is out
    bool wants_write = false;      // as the poller knows it
  };
  struct Call {  // the partitions of a turn that live at one node
    std::size_t link = 0;
    std::vector<std::size_t> which;
    std::uint64_t number = 0;  // among the calls of the link
    bool answered = false;
  };
  struct CommitOut {
    CommitOutcome outcome;
    std::vector<Call> calls;
    std::size_t missing = 0;  // answers
    bool lasts = false;       // is to be replicated
  };
  struct Stalled {  // a call that waits for the values before it
    std::uint64_t turn = 0;
    std::size_t index = 0;
    FormattedCommit call;
  };
  struct ReadOut {
    std::uint64_t tag = 0;
    std::unique_ptr<RedisRead> machine;
    std::vector<RedisCommand> commands;  // that are out; kept where they may be sent elsewhere
    std::vector<RedisReply> replies;     // of the batch that is out
    std::size_t missing = 0;             // of that batch
    unsigned redirects = 0;
  };

  explicit RedisStore(RedisStoreOptions options);
  static Connected connect(const RedisStoreOptions& options);
  void use(Made made);

  bool on_cluster() const { return !slots_.empty(); }
  std::size_t link_for(std::string_view key) const { return on_cluster() ? slots_[redis_slot(key)] : 0; }
  void send(std::size_t link, const RedisCommand& command, Due due);
  void send_call(std::uint64_t turn, std::size_t index, FormattedCommit call);
  void ask_replicas(std::size_t link);
  void flush();
  void advance(std::uint64_t number);  // a read whose batch is complete
  void take(std::size_t link, RedisReply& reply);
  void take_value(const RedisReply& reply);
  void take_commit(const Due& due, const RedisReply& reply);
  void take_wait(std::size_t link, const RedisReply& reply);
  void take_read(const Due& due, RedisReply& reply);
  bool follow(const Due& due, const RedisReply& reply, ReadOut& out);
  void answer_commits();
  void finish(std::uint64_t number, StoreAnswer answer);
  void give_up(std::string why);
  void reconnect();
  void look_for_master();
  void look_at_links();
  Duration backoff() const;
  Duration silence_max() const;

  RedisStoreOptions options_;
  std::vector<Link> links_;           // none: not connected
  std::vector<std::uint16_t> slots_;  // of a Redis Cluster: slot -> link
  int epoll_ = -1;                    // over several links
  std::future<Connected> connecting_;
  std::future<Result<RedisUrl>> master_;  // as the Sentinels know it
  Steady::time_point look_at_;            // when they are asked again
  Steady::time_point retry_at_;
  unsigned attempts_ = 0;  // connections in a row that brought nothing
  std::uint64_t connections_ = 0;
  std::string refusal_;  // set: the connections are to be given up
  std::string trouble_;
  std::vector<std::string> weaker_;
  bool replicas_short_ = false;

  CommitRing ring_;
  std::size_t call_bytes_ = 0;  // of the latest call
  std::deque<CommitOut> commits_;
  std::size_t values_out_ = 0;
  std::deque<Stalled> stalled_;
  std::unordered_map<std::uint64_t, ReadOut> reads_;
  std::uint64_t reads_made_ = 0;
  EventPositions positions_;
  StoreReplies answered_;  // for the next poll
};

}  // namespace millrace
