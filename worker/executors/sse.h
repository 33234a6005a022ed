// Sse: the data of server-sent events, out of the bytes of a stream as they come.
//
// Promises: each event's `data` lines joined by newlines, in order, whatever the borders of the pieces; other fields
// and comments are dropped. An event that is longer than kEventMax ends the reading. Threads: one. Fails: feed() false.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace millrace {

class Sse {
 public:
  static constexpr std::size_t kEventMax = 4 * 1024 * 1024;
  using Sink = std::function<bool(std::string_view data)>;  // false: enough

  bool feed(std::string_view bytes, const Sink& sink) {
    for (const char c : bytes) {
      if (c != '\n') {
        line_ += c;
        if (line_.size() + data_.size() > kEventMax) return false;
        continue;
      }
      if (line_.ends_with('\r')) line_.pop_back();
      if (!take_line(sink)) return false;
      line_.clear();
    }
    return true;
  }
  // At the end of the stream: an event that no empty line ended.
  bool finish(const Sink& sink) { return feed("\n\n", sink); }

 private:
  bool take_line(const Sink& sink) {
    if (line_.empty()) {
      const bool more = !has_data_ || sink(data_);
      data_.clear();
      has_data_ = false;
      return more;
    }
    std::string_view line = line_;
    if (!line.starts_with("data:")) return true;
    line.remove_prefix(5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
    return true;
  }
  std::string line_, data_;
  bool has_data_ = false;
};

}  // namespace millrace
