// Streams: the port by which the loop reads what stream and key-space triggers await.
//
// What is to be followed is told whole; what comes is taken batch by batch, in order. A reader goes on by itself from
// where its last batch ended, kBatchesAhead batches ahead of who takes them and no further: what is not taken waits in
// Redis. Nothing is acknowledged here: who takes a batch commits how far it goes, and who follows the stream next
// begins there.
// Threads: all calls come from the loop's thread, none blocks. Fails: never; errors are batches.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/time.h"

namespace millrace {

constexpr std::size_t kStreamBatchMax = 500;  // entries of one batch
constexpr std::size_t kStreamBatchBytes = 256 << 10;
constexpr std::size_t kBatchesAhead = 4;

struct FollowedStream {
  std::string token;  // tells those apart that begin anew
  std::string redis;  // its name among those that are configured
  std::string key;
  std::string after;        // id of the last entry that is not wanted; empty: those that come from now on
  std::uint64_t added = 0;  // entries that had been added to it up to that one; zero: not known
  bool keyspace = false;    // no stream: what happens to keys that `key` matches is heard of, and not read again
  std::vector<std::string> events = {};  // of a key-space: which; none: all
  bool operator==(const FollowedStream&) const = default;
};

struct StreamEntry {
  std::string id;
  std::vector<std::pair<std::string, std::string>> fields;
};

struct StreamBatch {
  std::string token;
  std::string after;        // where it begins
  std::uint64_t added = 0;  // up to there
  std::string until;        // id of its last entry; the same as `after` where nothing but an error or a gap is told
  std::vector<StreamEntry> entries = {};
  std::string trouble = {};  // an error, or a gap: entries that had gone before they were read
};

class Streams {
 public:
  virtual ~Streams() = default;
  virtual bool knows(const std::string& redis) const = 0;
  virtual void follow(std::vector<FollowedStream> all) = 0;
  virtual const StreamBatch* front() = 0;  // a loan until pop(); null: nothing has come
  virtual void pop() = 0;
};

}  // namespace millrace
