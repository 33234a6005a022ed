// Outbox and Inbox: letters on their way from one partition to others, and how far those of others have been taken.
//
// Promises of Outbox: a letter is sent until it is said to be taken; those to one receiver go in order, a batch always
// begins with the oldest that is not known to be taken, and one batch is out at a time. So a receiver that has taken
// letter n has taken all before it, and one number a sender tells it what is new (ADR 17). A letter that was taken is
// kept until its receiver, asked kLettersKeptFor later, still says so: one whose store has lost it is sent it again.
// Promises of Inbox: of each letter take() is true once.
// Threads: values, owned by a Partition. Fails: never. Bounded: a batch has at most kLettersAtOnce letters; of those to
// one receiver that were taken kLettersKeptMax are kept, and kLettersKeptBytes: the oldest go first.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "common/base/time.h"
#include "coordinator/core/letter.h"

namespace millrace {

constexpr std::size_t kLettersAtOnce = 64;
constexpr Duration kLettersAgain = 1s;     // what is not said to be taken goes again
constexpr Duration kLettersKeptFor = 30s;  // after they were taken; longer than commits are kept for a repair
constexpr std::size_t kLettersKeptMax = 256;
constexpr std::size_t kLettersKeptBytes = 256 * 1024;

struct SendLetters {  // to one receiver, in order; none: it is asked how far it has taken those before
  PartitionId to;
  std::vector<SharedLetter> letters;
  std::uint64_t after = 0;  // it has said that it has taken all up to this one; zero: not to this owner
};

class Outbox {
 public:
  void add(SharedLetter letter);  // one that is decided now, or stood in the store
  void open() { open_ = true; }   // what stood in the store is here: letters may go
  bool is_open() const { return open_; }
  struct Taken {
    std::vector<std::uint64_t> gone;  // leave
    std::size_t again = 0;            // had been taken before, and the receiver has lost that: they go again
    bool missing = false;             // some that it has lost are not kept any more
  };
  // The receiver has taken all up to `until`.
  Taken taken(Time now, PartitionId to, std::uint64_t until);
  void due(Time now, std::vector<SendLetters>& out);
  Time next_deadline() const;                 // of due(); kNever without a reason
  std::size_t size() const { return size_; }  // not taken

 private:
  struct Kept {
    SharedLetter letter;
    Time taken{};
  };
  struct Line {
    std::map<std::uint64_t, SharedLetter> waiting;
    std::deque<Kept> kept;  // taken, oldest first
    std::size_t kept_bytes = 0;
    std::uint64_t taken = 0;    // as far as the receiver has said
    std::uint64_t dropped = 0;  // the highest that was taken and is not kept any more
    std::uint64_t sent = 0;     // the highest number of the batch that is out; zero: none is
    Time again{};               // then, and where it was asked: when it goes again
  };
  static std::size_t take_back(Line& line, std::uint64_t until);
  static void drop_kept(Line& line, Time now, std::vector<std::uint64_t>& gone);
  static Time due_at(const Line& line);

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
