#include "common/io/log.h"

#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace millrace {
namespace {

constexpr std::size_t kPieceMax = 4096;  // a pipe that polls as writable takes this much without blocking

// Writes whole lines to a descriptor whose reader may stall. Not a thread and a queue: lines stay in order with what
// the process does, none is lost in a crash, and fork() is safe.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  // `describe_loss` makes the line that tells how many were dropped.
  LineSink(int fd, std::function<std::string(std::uint64_t)> describe_loss)
      : fd_(fd), describe_loss_(std::move(describe_loss)) {}
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    if (unreported_ > 0 && room(Duration::zero()) && put(describe_loss_(unreported_) + '\n')) unreported_ = 0;
    line_.assign(msg.payload.data(), msg.payload.size());
    line_.push_back('\n');
    if (put(line_)) return;
    ++unreported_;
    dropped_.fetch_add(1, std::memory_order_relaxed);
  }
  void flush_() override {}

 private:
  bool room(Duration patience) {
    pollfd waiting{fd_, POLLOUT, 0};
    return poll(&waiting, 1, static_cast<int>(patience.count() / 1000)) > 0 && (waiting.revents & POLLOUT) != 0;
  }

  bool put(std::string_view line) {
    if (torn_) line = torn_line_.assign("\n").append(line);  // ends what a stall cut off
    const std::string_view whole = line;
    while (!line.empty()) {
      // After one stall there is no more patience until the reader reads again.
      const bool ready = room(stalled_ ? Duration::zero() : kLogStallMax);
      stalled_ = !ready;
      if (!ready) break;
      const ssize_t wrote = write(fd_, line.data(), std::min(line.size(), kPieceMax));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) break;
      line.remove_prefix(static_cast<std::size_t>(wrote));
    }
    if (line.empty()) torn_ = false;
    else if (line.size() < whole.size()) torn_ = true;
    return line.empty();
  }

  const int fd_;
  const std::function<std::string(std::uint64_t)> describe_loss_;
  bool stalled_ = false;
  bool torn_ = false;
  std::uint64_t unreported_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
  std::string line_;
  std::string torn_line_;
};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kError: return spdlog::level::err;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kDebug: return spdlog::level::debug;
  }
  return spdlog::level::info;
}

struct Destination {
  std::shared_ptr<LineSink> sink;
  std::shared_ptr<spdlog::logger> logger;
  std::string service;
  bool json = true;
  bool colour = false;

  explicit Destination(const LogOptions& options)
      : sink(std::make_shared<LineSink>(
            options.fd,
            [this](std::uint64_t lines) {
              return format(LogLevel::kWarn, "log lines dropped: the reader stalled", {{"lines", lines}});
            })),
        logger(std::make_shared<spdlog::logger>(options.service, sink)),
        service(options.service) {
    logger->set_level(to_spdlog(options.level));
    const bool terminal = isatty(options.fd) != 0;
    json = options.format == LogFormat::kJson || (options.format == LogFormat::kAuto && !terminal);
    const char* no_colour = std::getenv("NO_COLOR");
    colour = terminal && (no_colour == nullptr || *no_colour == '\0');
  }
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;

  std::string format(LogLevel level, std::string_view message, LogFields fields) const {
    const Time now =
        from_us(std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()).count());
    return json ? format_log_json(now, level, service, message, fields)
                : format_log_text(now, level, message, fields, colour);
  }
};

// Replaced by set_log, never destroyed: another thread may be in the middle of a line, until the process ends.
std::atomic<Destination*>& destination() {
  static std::atomic<Destination*> current{new Destination(LogOptions{})};
  return current;
}

}  // namespace

void set_log(const LogOptions& options) {
  static std::mutex mutex;
  static auto* kept = new std::vector<Destination*>;  // still reachable, for leak checkers
  const std::lock_guard lock(mutex);
  kept->push_back(destination().exchange(new Destination(options)));
}

bool log_enabled(LogLevel level) { return destination().load()->logger->should_log(to_spdlog(level)); }

std::uint64_t log_lines_dropped() { return destination().load()->sink->dropped(); }

void log(LogLevel level, std::string_view message, LogFields fields) {
  Destination& to = *destination().load();
  if (!to.logger->should_log(to_spdlog(level))) return;
  const std::string line = to.format(level, message, fields);
  to.logger->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace millrace
