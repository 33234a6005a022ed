#include "worker/executors/stream.h"

#include <unistd.h>

#include <array>
#include <cerrno>

namespace millrace {
namespace {
constexpr std::size_t kReadSize = 64 * 1024;
// A pipe holds 64 KiB unless its writer made it larger; somebody who escaped and still writes is not waited for.
constexpr int kDrainReadsMax = 64;
}  // namespace

Stream::Stream(Reactor& reactor, Fd fd, Sink sink) : reactor_(reactor), fd_(std::move(fd)), sink_(std::move(sink)) {
  reactor_.watch(fd_.get(), Reactor::kRead, [this](std::uint32_t) { read_once(); });
}

void Stream::close() {
  if (!fd_) return;
  reactor_.forget(fd_.get());
  fd_.reset();
}

bool Stream::read_once() {
  static thread_local std::array<char, kReadSize> buffer;
  ssize_t n = ::read(fd_.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (n <= 0) {
    close();
    return false;
  }
  auto size = static_cast<std::size_t>(n);
  std::size_t room = taken_ < kStreamMax ? kStreamMax - taken_ : 0;
  taken_ += size;
  if (room > 0) sink_({buffer.data(), std::min(size, room)});
  return true;
}

void Stream::drain() {
  for (int i = 0; i < kDrainReadsMax && fd_ && read_once(); ++i) {}
}

}  // namespace millrace
