// Outbox and Inbox: letters on their way from one partition to others, and how far those of others have been taken.
//
// Promises of Outbox: a letter is sent until it is said to be taken; those to one receiver go in order, a batch always
// begins with the oldest that is not known to be taken, and one batch is out at a time. So a receiver that has taken
// letter n has taken all before it, and one number a sender tells it what is new (ADR 17).
// Promises of Inbox: of each letter take() is true once.
// Threads: values, owned by a Partition. Fails: never. Bounded: a batch has at most kLettersAtOnce letters.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "common/base/time.h"
#include "coordinator/core/letter.h"

namespace millrace {

constexpr std::size_t kLettersAtOnce = 64;
constexpr Duration kLettersAgain = 1s;  // what is not said to be taken goes again

struct SendLetters {  // to one receiver, in order
  PartitionId to;
  std::vector<SharedLetter> letters;
};

class Outbox {
 public:
  void add(SharedLetter letter);  // one that is decided now, or stood in the store
  void open() { open_ = true; }   // what stood in the store is here: letters may go
  bool is_open() const { return open_; }
  // The receiver has taken all up to `until`: which ones leave.
  std::vector<std::uint64_t> taken(PartitionId to, std::uint64_t until);
  void due(Time now, std::vector<SendLetters>& out);
  Time next_deadline() const;  // of due(); kNever without a reason
  std::size_t size() const { return size_; }

 private:
  struct Line {
    std::map<std::uint64_t, SharedLetter> waiting;
    std::uint64_t sent = 0;  // the highest number of the batch that is out; zero: none is
    Time again{};            // then: when it goes again
  };
  std::map<PartitionId, Line> lines_;
  std::size_t size_ = 0;
  bool open_ = false;
};

class Inbox {
 public:
  // False: it was taken before. `again`: then, too (a planted bug).
  bool take(PartitionId from, std::uint64_t number, bool again = false);
  bool has(PartitionId from, std::uint64_t number) const { return number <= mark(from).number; }
  Mark mark(PartitionId from) const;
  void restore(PartitionId from, const Mark& mark) { marks_[from] = mark; }

 private:
  std::map<PartitionId, Mark> marks_;
};

}  // namespace millrace
