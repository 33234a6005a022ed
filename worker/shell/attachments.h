// Attachments: the files that one attempt hands over, while they come and until they are sent away. Their bytes stand
// in files without a name in the temporary directory, not in memory, and go with this.
//
// Promises: what take() gives is whole; of several of one name the latest. Bounds: kArtifactsMax files, kArtifactMax
// bytes each, kArtifactsRunMax together. Threads: one. Fails: take_in() says in words for the task's author what is
// wrong with a part; the file that it belongs to is forgotten.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/hash.h"
#include "common/model/outcome.h"
#include "worker/executors/executor.h"

namespace millrace {

// A file of bytes without a name.
class SpoolFile {
 public:
  SpoolFile() = default;
  ~SpoolFile();
  SpoolFile(SpoolFile&& other) noexcept;
  SpoolFile& operator=(SpoolFile&& other) noexcept;

  std::string add(std::string_view bytes);  // "": done; else what is wrong
  std::string read(std::uint64_t from, std::size_t max) const;
  std::uint64_t size() const { return size_; }
  Hash128 hash() const { return sum_.sum128(); }

 private:
  int fd_ = -1;
  std::uint64_t size_ = 0;
  HashStream sum_;
};

class Attachments {
 public:
  std::string take_in(const ArtifactPart& part);
  // By name; null: there are none. `files` are theirs, in step.
  Artifacts take(std::vector<SpoolFile>& files);

 private:
  struct Held {
    std::string name, type;
    SpoolFile file;
    bool whole = false;
  };
  std::string begin(const ArtifactPart& part);
  void forget(std::string_view name, bool whole);

  std::vector<Held> held_;  // the one that comes now is the last
  std::uint64_t bytes_ = 0;
};

}  // namespace millrace
