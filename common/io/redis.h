// Redis: one connection, pipelined and non-blocking. Only redis.cc sees hiredis.h.
//
// Promises: replies come in the order of the commands. append, flush and poll_replies never block. Arguments and
// replies are binary safe. Credentials never appear in an error or in safe().
// Threads: one at a time; owned by whoever made it.
// Fails: once the connection is lost or its protocol broken the object stays broken (error() says why) and what was
// appended has an unknown outcome: make a new one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"

struct redisContext;

namespace millrace {

// redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] or unix:///PATH[?db=N]. %XX in user and password is decoded.
struct RedisUrl {
  std::string host;  // empty: unix socket
  std::uint16_t port = 6379;
  std::string path;  // of the unix socket
  std::uint32_t db = 0;
  std::string user;
  std::string password;

  static Result<RedisUrl> parse(std::string_view text);
  std::string safe() const;  // for logs: without credentials
  bool operator==(const RedisUrl&) const = default;
};

struct RedisReply {
  enum class Kind : std::uint8_t { kNil, kStatus, kError, kInteger, kString, kArray };
  Kind kind = Kind::kNil;
  std::int64_t integer = 0;
  std::string text;  // of kStatus, kError, kString
  std::vector<RedisReply> items;

  bool is_nil() const { return kind == Kind::kNil; }
  bool is_error() const { return kind == Kind::kError; }
  bool is_integer() const { return kind == Kind::kInteger; }
  bool is_string() const { return kind == Kind::kString; }
  bool is_array() const { return kind == Kind::kArray; }
  bool operator==(const RedisReply&) const = default;
};

// One command, formatted as it goes over the wire while its arguments are added: one buffer, however many they are.
class RedisCommand {
 public:
  RedisCommand() = default;
  RedisCommand(std::initializer_list<std::string_view> args) {
    for (std::string_view arg : args) push_back(arg);
  }
  void push_back(std::string_view arg);
  void push_number(std::uint64_t arg);                            // in decimal
  void append_raw(std::string_view formatted, std::size_t args);  // of another command
  std::size_t size() const { return args_; }
  const std::string& formatted() const { return formatted_; }  // without the count
  void reserve(std::size_t bytes) { formatted_.reserve(bytes); }
  std::size_t capacity() const { return formatted_.capacity(); }

 private:
  std::size_t args_ = 0;
  std::string formatted_;
};

class Redis {
 public:
  // Connects, authenticates and selects the database. Blocks, at most about `timeout`.
  static Result<std::unique_ptr<Redis>> connect(const RedisUrl& url, Duration timeout);
  ~Redis();
  Redis(const Redis&) = delete;
  Redis& operator=(const Redis&) = delete;

  // Queues one command. Nothing is sent before flush().
  void append(std::span<const std::string_view> args);
  void append(const RedisCommand& command);
  void append(std::initializer_list<std::string_view> args) { append(std::span(args.begin(), args.size())); }

  // Writes what the socket takes. True: bytes are left, wait for writability and call again.
  bool flush();
  bool wants_write() const;
  // Reads what has arrived and appends complete replies. Returns how many.
  std::size_t poll_replies(std::vector<RedisReply>& replies);
  void listen() { listening_ = true; }  // what subscriptions bring comes as replies that nothing asked for
  std::size_t replies_due() const { return replies_due_; }

  // Sends one command and waits for its reply: for start-up and tests, with nothing else in flight. A reply that is an
  // error is a reply.
  Result<RedisReply> command(std::span<const std::string_view> args, Duration timeout);
  Result<RedisReply> command(std::initializer_list<std::string_view> args, Duration timeout = 5s) {
    return command(std::span(args.begin(), args.size()), timeout);
  }
  // Sends all of them and waits for all replies, likewise. `timeout` is how long it may be silent.
  Result<std::vector<RedisReply>> commands(std::span<const RedisCommand> commands, Duration timeout);
  // FUNCTION LOAD REPLACE. An error reply is an Error.
  Status load_function(std::string_view library, Duration timeout = 5s);

  int fd() const;
  bool broken() const { return broken_; }
  const Error& error() const { return error_; }  // of a broken one

 private:
  Redis(redisContext* context, std::string name);
  Status log_in(const RedisUrl& url, Duration timeout);
  void fail(const std::string& why);
  bool take_replies(std::vector<RedisReply>& replies);

  redisContext* context_;
  std::string name_;  // safe
  std::size_t replies_due_ = 0;
  std::string unsent_;  // after the first `sent_` bytes of it
  std::size_t sent_ = 0;
  bool broken_ = false;
  bool listening_ = false;
  Error error_;
};

}  // namespace millrace
