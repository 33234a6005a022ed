// zmq_poll waits in whole milliseconds; a coordinator's turn is shorter. So: look at the sockets' own state, then wait
// with ppoll on their wake-up descriptors. Those are edge-triggered, which is why the state is looked at first each
// time.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <zmq.hpp>

#include "common/io/zmq_socket.h"

namespace millrace {
namespace {

using SteadyClock = std::chrono::steady_clock;

bool has_message(void* socket) {
  int events = 0;
  std::size_t size = sizeof events;
  return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

int wake_up_descriptor(void* socket) {
  int fd = -1;
  std::size_t size = sizeof fd;
  zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
  return fd;
}

short wanted_events(bool want_read, bool want_write) {
  return static_cast<short>((want_read ? POLLIN : 0) | (want_write ? POLLOUT : 0));
}

}  // namespace

Poller::Slot Poller::add(const ZmqSocket& socket) {
  const Slot slot = add_fd(wake_up_descriptor(socket.handle()), true);
  items_[slot].socket = socket.handle();
  return slot;
}

Poller::Slot Poller::add_fd(int fd, bool want_read, bool want_write) {
  const auto free = std::find_if(items_.begin(), items_.end(), [](const Item& item) { return !item.used; });
  const auto slot = static_cast<Slot>(free - items_.begin());
  if (free == items_.end()) items_.emplace_back();
  items_[slot] = Item{};
  items_[slot].used = true;
  set_fd(slot, fd, want_read, want_write);
  return slot;
}

void Poller::set_fd(Slot slot, int fd, bool want_read, bool want_write) {
  items_[slot].fd = fd;
  items_[slot].wanted = wanted_events(want_read, want_write);
}

void Poller::remove(Slot slot) { items_[slot] = Item{}; }

void Poller::listen_to(Slot slot, bool wanted) { items_[slot].heard = wanted; }

bool Poller::look_at_sockets() {
  bool ready = false;
  for (Item& item : items_) {
    if (item.socket == nullptr || !item.heard || !has_message(item.socket)) continue;
    item.got = POLLIN;
    ready = true;
  }
  return ready;
}

// Whether any socket's descriptor woke: which may be for something else than a message.
bool Poller::look_at_descriptors(Duration left) {
  std::vector<pollfd> waiting(items_.size());
  for (std::size_t i = 0; i < items_.size(); ++i)
    waiting[i] = {items_[i].heard ? items_[i].fd : -1, items_[i].wanted, 0};
  timespec time{};
  time.tv_sec = static_cast<std::time_t>(left.count() / 1'000'000);
  time.tv_nsec = static_cast<long>(left.count() % 1'000'000) * 1000;
  const bool for_ever = left < Duration::zero();
  if (ppoll(waiting.data(), waiting.size(), for_ever ? nullptr : &time, nullptr) <= 0) return false;
  bool sockets_woken = false;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (waiting[i].revents == 0) continue;
    if (items_[i].socket != nullptr) {
      sockets_woken = true;
    } else {
      items_[i].got = waiting[i].revents;
    }
  }
  return sockets_woken;
}

int Poller::wait(Duration timeout) {
  const auto start = SteadyClock::now();
  for (;;) {
    for (Item& item : items_) item.got = 0;
    Duration left = timeout;
    if (look_at_sockets()) {
      left = Duration::zero();  // still look at the descriptors, so that busy sockets do not starve them
    } else if (timeout > Duration::zero()) {
      left = std::max(timeout - std::chrono::duration_cast<Duration>(SteadyClock::now() - start), Duration::zero());
    }
    const bool sockets_woken = look_at_descriptors(left);
    if (sockets_woken) look_at_sockets();
    const auto ready = std::count_if(items_.begin(), items_.end(), [](const Item& item) { return item.got != 0; });
    if (ready > 0 || left == Duration::zero() || !sockets_woken) return static_cast<int>(ready);
  }
}

bool Poller::readable(Slot slot) const { return (items_[slot].got & (POLLIN | POLLHUP)) != 0; }
bool Poller::writable(Slot slot) const { return (items_[slot].got & POLLOUT) != 0; }
bool Poller::failed(Slot slot) const { return (items_[slot].got & (POLLERR | POLLHUP | POLLNVAL)) != 0; }

}  // namespace millrace
