// Small files: read whole within a bound, written whole or not at all.
//
// Threads: any. Fails: kNotFound where there is none; kInvalid where it cannot be read, written or is too large; each
// names the path. A file that must not be overwritten and is there: kConflict.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace millrace {

Result<std::string> read_small_file(const std::string& path, std::size_t bytes_max);

// With mode 0600, by way of a file beside it: a reader sees the old text or the new one. `replace` false: kConflict
// where there is one.
Status write_private_file(const std::string& path, std::string_view text, bool replace);

// Tells one version of a file from another: where it stands, its size and when it was written. Zero: no file.
struct FileMark {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t bytes = 0;
  std::int64_t written_ns = 0;
  bool operator==(const FileMark&) const = default;
};
FileMark mark_of(const std::string& path);

// Held by who reads a file, changes it and writes it back; others wait. Ends with it.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& path_within);  // of a file in the directory
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int fd_;
};

std::vector<std::string_view> words_of(std::string_view line);  // separated by blanks

}  // namespace millrace
