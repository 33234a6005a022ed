#include "coordinator/shell/redis_find.h"

#include <algorithm>
#include <charconv>
#include <deque>

#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_run.h"
#include "coordinator/shell/run_filter.h"

namespace millrace {
namespace {

using Commands = std::vector<RedisCommand>;
using Replies = std::vector<RedisReply>;

constexpr std::size_t kChunk = 64;          // ids of one partition
constexpr std::size_t kChunkPrefix = 4096;  // when most of them will not match
constexpr std::size_t kHeadersBatch = 256;

// A list that cannot be made: the loop refuses what does not compile before it asks.
class NoRead : public RedisRead {
 public:
  explicit NoRead(Error error) : error_(std::move(error)) {}
  std::optional<StoreAnswer> step(Replies&, Commands&) override { return ReadFailed{error_}; }

 private:
  Error error_;
};

class FindRead : public RedisRead {
 public:
  FindRead(const FindRuns& find, RunFilter filter, std::uint16_t partitions, std::optional<RunPosition> before)
      : find_(find),
        filter_(std::move(filter)),
        limit_(std::min(find.query.limit, kListLimitMax)),
        sources_(partitions) {
    const std::size_t chunk = find.prefix.empty() ? kChunk : kChunkPrefix;
    for (Source& source : sources_) {
      source.before = before;
      source.asked = chunk;
    }
    scan_max_ = find.prefix.empty() ? kListScanMax : kPrefixScanMax;
  }

  std::optional<StoreAnswer> step(Replies& replies, Commands& commands) override {
    if (!asked_sources_.empty()) take_chunks(replies);
    else if (!candidates_.empty()) take_headers(replies);
    if (answer_.runs.size() == limit_ || scanned_ >= scan_max_) return finish();
    if (ask_chunks(commands)) return std::nullopt;
    merge();
    if (!candidates_.empty()) {
      for (const RunPosition& candidate : candidates_) commands.push_back(header_command(*parse_run_id(candidate.id)));
      return std::nullopt;
    }
    if (scanned_ >= scan_max_ || std::ranges::all_of(sources_, &Source::finished)) return finish();
    ask_chunks(commands);
    return std::nullopt;
  }

 private:
  struct Source {  // one partition
    std::optional<RunPosition> before;
    std::size_t asked = 0;
    std::deque<RunPosition> heads;  // newest first
    bool exhausted = false;
    bool finished() const { return exhausted && heads.empty(); }
  };

  // Every partition must show its newest before heads can be compared.
  bool ask_chunks(Commands& commands) {
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      Source& source = sources_[i];
      if (source.exhausted || !source.heads.empty()) continue;
      asked_sources_.push_back(i);
      std::string from = source.before.has_value() ? std::to_string(source.before->score) : "+inf";
      std::string key = partition_key(PartitionId{static_cast<std::uint16_t>(i)}, "runs");
      commands.push_back(
          {"ZREVRANGEBYSCORE", key, from, "-inf", "WITHSCORES", "LIMIT", "0", std::to_string(source.asked)});
    }
    return !asked_sources_.empty();
  }

  void take_chunks(const Replies& replies) {
    for (std::size_t i = 0; i < asked_sources_.size(); ++i) {
      Source& source = sources_[asked_sources_[i]];
      const std::vector<RedisReply>& items = replies[i].items;
      for (std::size_t at = 0; at + 1 < items.size(); at += 2) {
        RunPosition position{.score = 0, .id = items[at].text};
        const std::string& score = items[at + 1].text;
        std::from_chars(score.data(), score.data() + score.size(), position.score);
        if (source.before.has_value() && position >= *source.before) continue;
        if (parse_run_id(position.id).has_value()) source.heads.push_back(std::move(position));
      }
      source.exhausted = items.size() < 2 * source.asked;
      if (!source.heads.empty()) source.before = source.heads.back();
      else if (!source.exhausted) source.asked *= 2;  // more runs of one score than were asked for
    }
    asked_sources_.clear();
  }

  // Takes candidates in order as long as no partition could still show a newer one.
  void merge() {
    const std::size_t wanted = std::min(kHeadersBatch, std::max<std::size_t>(32, limit_ - answer_.runs.size()));
    while (candidates_.size() < wanted && scanned_ + candidates_.size() < scan_max_) {
      Source* newest = nullptr;
      for (Source& source : sources_) {
        if (source.heads.empty() && !source.exhausted) return;
        if (source.heads.empty()) continue;
        if (newest == nullptr || source.heads.front() > newest->heads.front()) newest = &source;
      }
      if (newest == nullptr) return;
      if (newest->heads.front().id.starts_with(find_.prefix)) {
        candidates_.push_back(std::move(newest->heads.front()));
      } else {
        last_ = newest->heads.front();
        ++scanned_;
      }
      newest->heads.pop_front();
    }
  }

  void take_headers(const Replies& replies) {
    for (std::size_t i = 0; i < candidates_.size() && answer_.runs.size() < limit_; ++i) {
      ++scanned_;
      last_ = candidates_[i];
      unseen_ = candidates_.size() - i - 1;
      auto header = read_header(*parse_run_id(candidates_[i].id), replies[i]);
      if (!header.ok() || !header->has_value()) continue;
      const auto& [info, record] = **header;
      if (!filter_.matches(info.info, record.record, record.tasks_total, record.tasks_done)) continue;
      answer_.runs.push_back(summarize(info.info, record.record, record.tasks_total, record.tasks_done));
    }
    candidates_.clear();
  }

  std::optional<StoreAnswer> finish() {
    bool more = unseen_ > 0 || !std::ranges::all_of(sources_, &Source::finished);
    if (more && last_.has_value()) answer_.next = to_token(*last_);
    return std::move(answer_);
  }

  FindRuns find_;
  RunFilter filter_;
  std::size_t limit_;
  std::size_t scan_max_ = 0;
  std::vector<Source> sources_;
  std::vector<std::size_t> asked_sources_;  // whose chunks are on their way
  std::vector<RunPosition> candidates_;     // whose headers are on their way
  std::optional<RunPosition> last_;         // looked at
  std::size_t unseen_ = 0;                  // candidates of the last batch behind `last_`
  std::size_t scanned_ = 0;
  RunsAnswer answer_;
};

}  // namespace

std::unique_ptr<RedisRead> make_find(const FindRuns& find, std::uint16_t partitions,
                                     std::optional<RunPosition> before) {
  Result<RunFilter> filter = RunFilter::compile(find.query);
  if (!filter.ok()) return std::make_unique<NoRead>(std::move(filter).error());
  return std::make_unique<FindRead>(find, std::move(filter).value(), partitions, std::move(before));
}

}  // namespace millrace
