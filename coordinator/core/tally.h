// Tally: what a partition counts of its runs and tasks, from the moment it is held. The counts add up between steps:
// accepted + restored = every end + live (invariant I10, for one owner).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/model/task_state.h"

namespace millrace {

struct Tally {
  std::uint64_t accepted = 0;
  std::uint64_t restored = 0;             // live runs that came from the store when the partition was taken
  std::array<std::uint64_t, 9> ended{};   // by RunState
  std::array<std::uint64_t, 10> tasks{};  // of runs in memory, by TaskState

  std::uint64_t& of(RunState state) { return ended[static_cast<std::size_t>(state)]; }
  std::uint64_t of(RunState state) const { return ended[static_cast<std::size_t>(state)]; }
  std::uint64_t& of(TaskState state) { return tasks[static_cast<std::size_t>(state)]; }
  std::uint64_t of(TaskState state) const { return tasks[static_cast<std::size_t>(state)]; }
  std::uint64_t live() const {
    std::uint64_t over = 0;
    for (std::uint64_t count : ended) over += count;
    return accepted + restored - over;
  }
  void add(const Tally& other) {
    accepted += other.accepted;
    restored += other.restored;
    for (std::size_t i = 0; i < ended.size(); ++i) ended[i] += other.ended[i];
    for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i] += other.tasks[i];
  }
};

}  // namespace millrace
