#include "common/wire/scratch.h"

#include <cstddef>
#include <memory>

namespace millrace::scratch {
namespace {

constexpr std::size_t kKept = 256 * 1024;
constexpr std::size_t kBlockMax = 1024 * 1024;

struct ThreadArena {
  std::unique_ptr<char[]> block{new char[kKept]};
  google::protobuf::Arena arena{options(block.get())};
  int depth = 0;

  static google::protobuf::ArenaOptions options(char* block) {
    google::protobuf::ArenaOptions o;
    o.initial_block = block;
    o.initial_block_size = kKept;
    o.start_block_size = kKept;
    o.max_block_size = kBlockMax;
    return o;
  }
};

ThreadArena& mine() {
  thread_local ThreadArena arena;
  return arena;
}

}  // namespace

google::protobuf::Arena& enter() {
  ThreadArena& a = mine();
  ++a.depth;
  return a.arena;
}

void leave() {
  ThreadArena& a = mine();
  if (--a.depth == 0) a.arena.Reset();
}

}  // namespace millrace::scratch
