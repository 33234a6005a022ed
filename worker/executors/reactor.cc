#include "worker/executors/reactor.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace millrace {
namespace {

std::int64_t now_us() {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

epoll_event event_of(int fd, std::uint32_t serial, std::uint32_t interest) {
  epoll_event event{};
  if (interest & Reactor::kRead) event.events |= EPOLLIN;
  if (interest & Reactor::kWrite) event.events |= EPOLLOUT;
  event.data.u64 = (std::uint64_t{serial} << 32) | static_cast<std::uint32_t>(fd);
  return event;
}

}  // namespace

Reactor::Reactor() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ >= 0) return;
  std::perror("epoll_create1");
  std::abort();
}

Reactor::~Reactor() { close(epoll_); }

void Reactor::watch(int fd, std::uint32_t interest, std::function<void(std::uint32_t)> on_ready) {
  std::uint32_t serial = ++watches_made_;
  watches_[fd] = std::make_shared<Watch>(Watch{serial, std::move(on_ready)});
  epoll_event event = event_of(fd, serial, interest);
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0) return;
  std::perror("epoll_ctl(ADD)");
  std::abort();
}

void Reactor::change(int fd, std::uint32_t interest) {
  auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  epoll_event event = event_of(fd, found->second->serial, interest);
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Reactor::forget(int fd) {
  if (watches_.erase(fd) != 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

TimerId Reactor::after(Duration delay, std::function<void()> on_time) {
  std::uint64_t id = ++timers_made_;
  std::int64_t at = now_us() + std::max<std::int64_t>(0, delay.count());
  timers_.emplace(std::pair(at, id), std::move(on_time));
  timer_times_.emplace(id, at);
  return TimerId{id};
}

void Reactor::cancel(TimerId timer) {
  auto found = timer_times_.find(timer.value);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, timer.value});
  timer_times_.erase(found);
}

Duration Reactor::next_timer() const {
  if (timers_.empty()) return Duration::max();
  return Duration{std::max<std::int64_t>(0, timers_.begin()->first.first - now_us())};
}

// Timers that a callback adds wait for the next turn, so a timer of zero cannot keep the loop to itself.
bool Reactor::fire_timers() {
  if (timers_.empty()) return false;
  const std::pair<std::int64_t, std::uint64_t> last{now_us(), timers_made_};
  bool fired = false;
  while (!timers_.empty() && timers_.begin()->first.first <= last.first) {
    auto first = timers_.begin();
    if (first->first.second > last.second) break;
    auto on_time = std::move(first->second);
    timer_times_.erase(first->first.second);
    timers_.erase(first);
    on_time();
    fired = true;
  }
  return fired;
}

bool Reactor::run(Duration wait_max) {
  Duration wait = std::min(std::max(wait_max, Duration::zero()), next_timer());
  // Rounded up, or a timer would be polled for during its last millisecond.
  std::int64_t wait_ms = std::min<std::int64_t>((wait.count() / 1000) + (wait.count() % 1000 != 0 ? 1 : 0), 3'600'000);
  std::array<epoll_event, 64> events;
  int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), static_cast<int>(wait_ms));
  bool did = false;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    auto found = watches_.find(static_cast<int>(event.data.u64 & 0xFFFFFFFFU));
    if (found == watches_.end() || found->second->serial != event.data.u64 >> 32) continue;  // forgotten meanwhile
    std::uint32_t ready = 0;
    if (event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) ready |= kRead;
    if (event.events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) ready |= kWrite;
    std::shared_ptr<Watch> watch = found->second;  // alive even if the callback forgets it
    watch->on_ready(ready);
    did = true;
  }
  return fire_timers() || did;
}

}  // namespace millrace
