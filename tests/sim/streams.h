// SimStreams: a stream that outlives everybody, as one coordinator reads it: batches of few entries, some ahead.
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/shell/streams.h"

namespace millrace::sim {

class SimStreams final : public Streams {
 public:
  explicit SimStreams(const std::vector<std::string>& ids) : ids_(ids) {}  // of its entries, ascending; grows

  bool knows(const std::string&) const override { return true; }
  void follow(std::vector<FollowedStream> all) override {
    std::vector<Reader> next;
    for (FollowedStream& one : all) {
      const auto known = std::ranges::find(readers_, one.token, &Reader::token);
      next.push_back(known != readers_.end() ? *known : Reader{one.token, one.after});
    }
    readers_ = std::move(next);
    std::erase_if(batches_, [&](const StreamBatch& batch) {
      return std::ranges::find(readers_, batch.token, &Reader::token) == readers_.end();
    });
  }
  const StreamBatch* front() override {
    for (Reader& reader : readers_) {
      if (batches_.size() < kBatchesAhead) read(reader);
    }
    return batches_.empty() ? nullptr : &batches_.front();
  }
  void pop() override { batches_.pop_front(); }

 private:
  static constexpr std::size_t kEntries = 3;
  struct Reader {
    std::string token;
    std::string position;
  };
  static std::uint64_t number(const std::string& id) { return std::stoull(id.substr(id.find('-') + 1)); }
  void read(Reader& reader) {
    StreamBatch batch{reader.token, reader.position, 0, reader.position};
    for (const std::string& id : ids_) {
      if (number(id) <= number(reader.position) || batch.entries.size() == kEntries) continue;
      batch.entries.push_back({id, {{"id", id}}});
      batch.until = id;
    }
    if (batch.entries.empty()) return;
    reader.position = batch.until;
    batches_.push_back(std::move(batch));
  }

  const std::vector<std::string>& ids_;
  std::vector<Reader> readers_;
  std::deque<StreamBatch> batches_;
};

}  // namespace millrace::sim
