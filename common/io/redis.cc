#include "common/io/redis.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <utility>

namespace millrace {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kSentKept = 16 * 1024 * 1024;  // how much that was sent may stand before what was not
constexpr std::size_t kBufferKept = 4 * 1024 * 1024;
constexpr std::size_t kReadsInARow = 64;  // so that a flood of replies does not hold its thread

timeval to_timeval(Duration d) {
  return {static_cast<time_t>(d.count() / 1'000'000), static_cast<suseconds_t>(d.count() % 1'000'000)};
}

RedisReply to_reply(const redisReply& from) {
  RedisReply reply;
  switch (from.type) {
    case REDIS_REPLY_STRING:
      reply.kind = RedisReply::Kind::kString;
      reply.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_STATUS:
      reply.kind = RedisReply::Kind::kStatus;
      reply.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_ERROR:
      reply.kind = RedisReply::Kind::kError;
      reply.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_INTEGER:
      reply.kind = RedisReply::Kind::kInteger;
      reply.integer = from.integer;
      break;
    case REDIS_REPLY_ARRAY:
      reply.kind = RedisReply::Kind::kArray;
      reply.items.reserve(from.elements);
      for (std::size_t i = 0; i < from.elements; ++i) reply.items.push_back(to_reply(*from.element[i]));
      break;
    default: break;
  }
  return reply;
}

}  // namespace

Redis::Redis(redisContext* context, std::string name) : context_(context), name_(std::move(name)) {}

Redis::~Redis() { redisFree(context_); }

Result<std::unique_ptr<Redis>> Redis::connect(const RedisUrl& url, Duration timeout) {
  const std::string attempted = "connect to " + url.safe();
  redisContext* context = url.host.empty() ? redisConnectUnixWithTimeout(url.path.c_str(), to_timeval(timeout))
                                           : redisConnectWithTimeout(url.host.c_str(), url.port, to_timeval(timeout));
  if (context == nullptr) return Error{Code::kUnavailable, attempted + ": out of memory", {}, {}};
  std::unique_ptr<Redis> redis(new Redis(context, url.safe()));
  if (context->err != 0) return Error{Code::kUnavailable, attempted + ": " + context->errstr, {}, "redis_unreachable"};
  if (!url.host.empty()) redisEnableKeepAlive(context);
  fcntl(context->fd, F_SETFD, FD_CLOEXEC);
  fcntl(context->fd, F_SETFL, fcntl(context->fd, F_GETFL) | O_NONBLOCK);
  context->flags &= ~REDIS_BLOCK;
  if (Status in = redis->log_in(url, timeout); !in.ok()) return in.error();
  return redis;
}

Status Redis::log_in(const RedisUrl& url, Duration timeout) {
  auto accepted = [&](const char* step, Result<RedisReply> reply) -> Status {
    if (!reply.ok()) return reply.error();
    if (!reply->is_error()) return Done{};
    return Error{Code::kRefused, "connect to " + name_ + ": " + step + ": " + reply->text, {}, "redis_refused"};
  };
  if (!url.password.empty()) {
    Status in = url.user.empty() ? accepted("AUTH", command({"AUTH", url.password}, timeout))
                                 : accepted("AUTH", command({"AUTH", url.user, url.password}, timeout));
    if (!in.ok()) return in;
  }
  if (url.db != 0) return accepted("SELECT", command({"SELECT", std::to_string(url.db)}, timeout));
  return accepted("PING", command({"PING"}, timeout));  // a refusal for want of a password shows here, not later
}

// Formatted here and kept in a buffer of our own: hiredis's raises SIGPIPE, and moves what is left after each write.
static void put_head(std::string& out, char kind, std::size_t number) {
  char text[24];
  text[0] = kind;
  char* end = std::to_chars(text + 1, text + sizeof text - 2, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(text, end);
}

void RedisCommand::push_back(std::string_view arg) {
  ++args_;
  char text[128];  // what is small goes in at once
  if (arg.size() < 100) {
    char* end = text;
    *end++ = '$';
    if (arg.size() >= 10) *end++ = static_cast<char>('0' + arg.size() / 10);
    *end++ = static_cast<char>('0' + arg.size() % 10);
    *end++ = '\r';
    *end++ = '\n';
    end = std::copy(arg.begin(), arg.end(), end);
    *end++ = '\r';
    *end++ = '\n';
    formatted_.append(text, end);
    return;
  }
  put_head(formatted_, '$', arg.size());
  formatted_.append(arg).append("\r\n", 2);
}

void RedisCommand::push_number(std::uint64_t arg) {
  char text[24];
  push_back({text, static_cast<std::size_t>(std::to_chars(text, text + sizeof text, arg).ptr - text)});
}

void RedisCommand::append_raw(std::string_view formatted, std::size_t args) {
  formatted_.append(formatted);
  args_ += args;
}

void Redis::append(const RedisCommand& command) {
  if (broken_) return;
  put_head(unsent_, '*', command.size());
  unsent_.append(command.formatted());
  ++replies_due_;
}

void Redis::append(std::span<const std::string_view> args) {
  RedisCommand command;
  for (const std::string_view arg : args) command.push_back(arg);
  append(command);
}

bool Redis::wants_write() const { return !broken_ && unsent_.size() > sent_; }

bool Redis::flush() {
  while (wants_write()) {
    const ssize_t sent = send(context_->fd, unsent_.data() + sent_, unsent_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (sent_ > kSentKept) {
        unsent_.erase(0, sent_);
        sent_ = 0;
      }
      return true;
    }
    if (sent <= 0) {
      fail(std::strerror(errno));
      return false;
    }
    sent_ += static_cast<std::size_t>(sent);
  }
  sent_ = 0;
  unsent_.clear();
  if (unsent_.capacity() > kBufferKept) unsent_.shrink_to_fit();
  return false;
}

bool Redis::take_replies(std::vector<RedisReply>& replies) {
  for (;;) {
    void* raw = nullptr;
    if (redisReaderGetReply(context_->reader, &raw) != REDIS_OK) {
      fail(context_->reader->errstr);
      return false;
    }
    if (raw == nullptr) return true;
    const std::unique_ptr<redisReply, void (*)(void*)> reply(static_cast<redisReply*>(raw), freeReplyObject);
    if (replies_due_ == 0 && !listening_) {
      fail("a reply that nothing asked for");
      return false;
    }
    if (replies_due_ > 0) --replies_due_;
    replies.push_back(to_reply(*reply));
  }
}

std::size_t Redis::poll_replies(std::vector<RedisReply>& replies) {
  const std::size_t before = replies.size();
  char buffer[kReadBytes];
  for (std::size_t reads = 0; !broken_ && reads < kReadsInARow; ++reads) {
    const ssize_t got = read(context_->fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (got <= 0) {
      fail(got == 0 ? "the server closed the connection" : std::strerror(errno));
      break;
    }
    if (redisReaderFeed(context_->reader, buffer, static_cast<std::size_t>(got)) != REDIS_OK) {
      fail(context_->reader->errstr);
      break;
    }
    if (!take_replies(replies) || static_cast<std::size_t>(got) < sizeof buffer) break;
  }
  return replies.size() - before;
}

Result<RedisReply> Redis::command(std::span<const std::string_view> args, Duration timeout) {
  if (broken_) return error_;
  assert(replies_due_ == 0 && "command() with other commands in flight");
  const auto deadline = SteadyClock::now() + timeout;
  append(args);
  std::vector<RedisReply> replies;
  while (!broken_) {
    const bool bytes_left = flush();
    poll_replies(replies);
    if (!replies.empty()) return std::move(replies.front());
    if (broken_) break;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (left <= 0) {
      fail("no reply in time");
      return Error{Code::kTimeout, error_.what, {}, "redis_timeout"};
    }
    pollfd waiting{context_->fd, static_cast<short>(POLLIN | (bytes_left ? POLLOUT : 0)), 0};
    poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
  }
  return error_;
}

Result<std::vector<RedisReply>> Redis::commands(std::span<const RedisCommand> commands, Duration timeout) {
  if (broken_) return error_;
  assert(replies_due_ == 0 && "commands() with others in flight");
  for (const RedisCommand& command : commands) append(command);
  std::vector<RedisReply> replies;
  replies.reserve(commands.size());
  auto deadline = SteadyClock::now() + timeout;
  while (!broken_ && replies.size() < commands.size()) {
    const bool bytes_left = flush();
    if (poll_replies(replies) > 0) {
      deadline = SteadyClock::now() + timeout;
      continue;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (left <= 0) {
      fail("no reply in time");
      return Error{Code::kTimeout, error_.what, {}, "redis_timeout"};
    }
    pollfd waiting{context_->fd, static_cast<short>(POLLIN | (bytes_left ? POLLOUT : 0)), 0};
    poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
  }
  if (broken_) return error_;
  return replies;
}

Status Redis::load_function(std::string_view library, Duration timeout) {
  Result<RedisReply> reply = command({"FUNCTION", "LOAD", "REPLACE", library}, timeout);
  if (!reply.ok()) return reply.error();
  if (!reply->is_error()) return Done{};
  return Error{Code::kFailed, "load function library into " + name_ + ": " + reply->text, {}, "redis_function"};
}

int Redis::fd() const { return context_->fd; }

void Redis::fail(const std::string& why) {
  if (broken_) return;
  broken_ = true;
  error_ = Error{Code::kUnavailable, "redis " + name_ + ": " + why, {}, "redis_lost"};
}

}  // namespace millrace
