#include "coordinator/shell/redis_parts.h"

#include <algorithm>

#include "coordinator/shell/packing.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/run_codec.h"

namespace millrace {
namespace {

constexpr std::uint64_t kReadBack = 4 * 1024 * 1024;  // at once

RedisCommand bytes_of(const std::string& key, std::uint64_t from, std::uint64_t count) {
  const std::uint64_t first = kSealBytes + from;
  return {"GETRANGE", key, std::to_string(first), std::to_string(first + count - 1)};
}

class PartRead : public RedisRead {
 public:
  explicit PartRead(const LoadValue& read) : read_(read) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    if (!replies.empty()) return take(replies);
    const std::string key = blob_key(read_.hash);
    commands.push_back({"STRLEN", key});
    commands.push_back({"GETRANGE", key, "0", std::to_string(kSealBytes - 1)});
    commands.push_back(bytes_of(key, read_.from, read_.max));
    return std::nullopt;
  }

 private:
  ReadAnswer take(RedisReplies& replies) const {
    const auto length = static_cast<std::uint64_t>(std::max<std::int64_t>(replies[0].integer, 0));
    if (length == 0) return ValueAnswer{read_.hash, std::nullopt};
    if (const std::string newer = newer_version(kContentVersion, replies[1].text); !newer.empty())
      return ReadFailed{{Code::kRefused, "content " + to_string(read_.hash) + " " + newer, {}, "newer_version"}};
    if (length < kSealBytes || replies[1].text.front() < static_cast<char>(kRunFormatVersion))
      return ReadFailed{{Code::kInternal, "content " + to_string(read_.hash) + ": wrong version", {}, "damaged"}};
    return ValueAnswer{read_.hash, std::move(replies[2].text), length - kSealBytes};
  }

  LoadValue read_;
};

class PartWrite : public RedisRead {
 public:
  explicit PartWrite(const StorePart& part) : part_(part), sum_(content_stream(part.hash)) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    switch (stage_) {
      case Stage::kAppend: return append(commands);
      case Stage::kCount: return count(replies, commands);
      case Stage::kReadBack: return read_back(replies, commands);
      case Stage::kNeed: return keep(commands);
      case Stage::kKeep: return kept(replies[0].integer == 1);
      case Stage::kDrop: return PartTaken{part_.hash, 0, false, true};
    }
    return std::nullopt;
  }

 private:
  enum class Stage : std::uint8_t { kAppend, kCount, kReadBack, kNeed, kKeep, kDrop };

  ReadAnswer append(RedisCommands& commands) {
    commands.push_back({"FCALL", "millrace_put_part", "2", parts_key(part_.hash), blob_key(part_.hash),
                        std::to_string(kSealBytes), std::to_string(part_.size), std::to_string(part_.from), part_.bytes,
                        std::to_string(kPartsLife / 1s)});
    part_.bytes.clear();
    stage_ = Stage::kCount;
    return std::nullopt;
  }

  ReadAnswer count(const RedisReplies& replies, RedisCommands& commands) {
    have_ = replies[0].integer;
    if (have_ < 0) return need(commands);
    if (static_cast<std::uint64_t>(have_) < part_.size)
      return PartTaken{part_.hash, static_cast<std::uint64_t>(have_), false, false};
    return read_more(commands);
  }

  ReadAnswer read_more(RedisCommands& commands) {
    const auto all = static_cast<std::uint64_t>(have_);
    if (read_ == all) return sum_.sum128() == part_.hash ? need(commands) : drop(commands);
    commands.push_back(bytes_of(parts_key(part_.hash), read_, std::min(kReadBack, all - read_)));
    stage_ = Stage::kReadBack;
    return std::nullopt;
  }

  ReadAnswer read_back(const RedisReplies& replies, RedisCommands& commands) {
    if (replies[0].text.empty())
      return PartTaken{part_.hash, 0, false, false};  // somebody else has kept it, or it went
    sum_.add(replies[0].text);
    read_ += replies[0].text.size();
    return read_more(commands);
  }

  // Written down before it is there: then nobody takes it for a value that no run needs.
  ReadAnswer need(RedisCommands& commands) {
    commands.push_back(
        {"ZADD", partition_key(partition_of(part_.run), "needs"), "0", need_member(part_.hash, part_.run)});
    stage_ = Stage::kNeed;
    return std::nullopt;
  }

  ReadAnswer keep(RedisCommands& commands) {
    if (have_ < 0) return kept(true);
    commands.push_back({"FCALL", "millrace_keep_value", "2", parts_key(part_.hash), blob_key(part_.hash),
                        content_envelope(sum_), std::to_string(kSealBytes + static_cast<std::uint64_t>(have_))});
    stage_ = Stage::kKeep;
    return std::nullopt;
  }

  ReadAnswer kept(bool there) const { return PartTaken{part_.hash, there ? part_.size : 0, there, false}; }

  ReadAnswer drop(RedisCommands& commands) {
    commands.push_back({"UNLINK", parts_key(part_.hash)});
    stage_ = Stage::kDrop;
    return std::nullopt;
  }

  StorePart part_;
  HashStream sum_;
  Stage stage_ = Stage::kAppend;
  std::int64_t have_ = 0;
  std::uint64_t read_ = 0;
};

}  // namespace

std::unique_ptr<RedisRead> make_part_read(const LoadValue& read) { return std::make_unique<PartRead>(read); }
std::unique_ptr<RedisRead> make_part_write(const StorePart& part) { return std::make_unique<PartWrite>(part); }

}  // namespace millrace
