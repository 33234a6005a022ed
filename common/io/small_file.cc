#include "common/io/small_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace millrace {
namespace {

Error failed(const std::string& attempted, int number) {
  const Code code = number == ENOENT ? Code::kNotFound : number == EEXIST ? Code::kConflict : Code::kInvalid;
  return {code, attempted + ": " + std::strerror(number), {}, ""};
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return fsync(fd) == 0;
}

void sync_directory(const std::string& path) {
  const int fd = open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

}  // namespace

Result<std::string> read_small_file(const std::string& path, std::size_t bytes_max) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not hold us up
  if (fd < 0) return failed("read " + path, errno);
  std::string text(bytes_max + 1, '\0');  // at once, so that growing leaves no copy of a secret behind
  std::size_t size = 0;
  ssize_t got = 0;
  while (size < text.size() && (got = read(fd, text.data() + size, text.size() - size)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;
    size += static_cast<std::size_t>(got);
  }
  const int number = errno;
  close(fd);
  if (got < 0) return failed("read " + path, number);
  if (size > bytes_max) {
    return Error{Code::kInvalid, "read " + path + ": larger than " + std::to_string(bytes_max) + " bytes", {}, ""};
  }
  text.resize(size);
  return text;
}

Status write_private_file(const std::string& path, std::string_view text, bool replace) {
  std::string beside = path + ".XXXXXX";
  const int fd = mkostemp(beside.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) return failed("write " + path, errno);
  const bool written = write_all(fd, text);
  const int number = errno;
  close(fd);
  const bool placed =
      written && (replace ? rename(beside.c_str(), path.c_str()) : link(beside.c_str(), path.c_str())) == 0;
  const Error error = failed("write " + path, written ? errno : number);
  if (!placed || !replace) (void)unlink(beside.c_str());
  if (!placed) return error;
  sync_directory(path);
  return Done{};
}

FileMark mark_of(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {static_cast<std::uint64_t>(info.st_dev), static_cast<std::uint64_t>(info.st_ino),
          static_cast<std::uint64_t>(info.st_size),
          static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
}

DirectoryLock::DirectoryLock(const std::string& path_within)
    : fd_(open(directory_of(path_within).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ < 0) return;  // what comes next fails by itself
  while (flock(fd_, LOCK_EX) != 0 && errno == EINTR) {}
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) close(fd_);
}

std::vector<std::string_view> words_of(std::string_view line) {
  static constexpr std::string_view kBlanks = " \t\r";
  std::vector<std::string_view> words;
  for (;;) {
    const std::size_t begin = line.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const std::size_t end = std::min(line.find_first_of(kBlanks), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

}  // namespace millrace
