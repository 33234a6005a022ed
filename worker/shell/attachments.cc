#include "worker/shell/attachments.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace millrace {
namespace {

std::string temporary_directory() {
  const char* named = std::getenv("TMPDIR");
  return named == nullptr || *named == '\0' ? "/tmp" : named;
}

int open_nameless() {
  const std::string directory = temporary_directory();
  const int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
  std::string name = directory + "/millrace-artifact-XXXXXX";  // a file system without such files
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) unlink(name.c_str());
  return named;
}

std::string trouble(const char* what) { return std::string("the worker cannot ") + what + ": " + std::strerror(errno); }

}  // namespace

SpoolFile::~SpoolFile() {
  if (fd_ >= 0) close(fd_);
}

SpoolFile::SpoolFile(SpoolFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(other.size_), sum_(std::move(other.sum_)) {}

SpoolFile& SpoolFile::operator=(SpoolFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  std::swap(sum_, other.sum_);
  return *this;
}

std::string SpoolFile::add(std::string_view bytes) {
  if (fd_ < 0) fd_ = open_nameless();
  if (fd_ < 0) return trouble("make a file for an artifact");
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(size_ + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return trouble("write an artifact");
    done += static_cast<std::size_t>(n);
  }
  sum_.add(bytes);
  size_ += bytes.size();
  return "";
}

std::string SpoolFile::read(std::uint64_t from, std::size_t max) const {
  std::string bytes(std::min<std::uint64_t>(max, size_ - std::min(from, size_)), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = pread(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(from + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // what comes is not what its hash says then, and that is found out
    done += static_cast<std::size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

void Attachments::forget(std::string_view name, bool whole) {
  const auto at = std::ranges::find_if(held_, [&](const Held& one) { return one.whole == whole && one.name == name; });
  if (at == held_.end()) return;
  bytes_ -= at->file.size();
  held_.erase(at);
}

std::string Attachments::begin(const ArtifactPart& part) {
  if (std::string wrong = artifact_name_problem(part.name); !wrong.empty()) return wrong;
  if (std::string wrong = artifact_type_problem(part.type); !wrong.empty()) return wrong;
  if (!held_.empty() && !held_.back().whole) forget(std::string(held_.back().name), false);  // its end never came
  const bool again = std::ranges::any_of(held_, [&](const Held& one) { return one.name == part.name; });
  if (!again && held_.size() >= kArtifactsMax)
    return "a task hands over at most " + std::to_string(kArtifactsMax) + " artifacts";
  Held& held = held_.emplace_back();
  held.name = part.name;
  held.type = part.type;
  return "";
}

std::string Attachments::take_in(const ArtifactPart& part) {
  std::string problem;
  if (part.first) problem = begin(part);
  else if (held_.empty() || held_.back().whole || held_.back().name != part.name)
    problem = "a part without a beginning";
  if (!problem.empty()) return problem;
  Held& held = held_.back();
  const std::string name = held.name;
  if (held.file.size() + part.bytes.size() > kArtifactMax)
    problem = "the artifact '" + name + "' is larger than " + std::to_string(kArtifactMax >> 20) + " MiB";
  else if (bytes_ + part.bytes.size() > kArtifactsRunMax)
    problem = "the artifacts of the task are larger than " + std::to_string(kArtifactsRunMax >> 20) + " MiB together";
  else problem = held.file.add(part.bytes);
  if (!problem.empty()) return forget(name, false), problem;
  bytes_ += part.bytes.size();
  if (!part.last) return "";
  if (!part.type.empty() && artifact_type_problem(part.type).empty()) held.type = part.type;  // some know it at the end
  forget(name, true);
  held_.back().whole = true;
  return "";
}

Artifacts Attachments::take(std::vector<SpoolFile>& files) {
  std::erase_if(held_, [](const Held& one) { return !one.whole; });
  std::ranges::sort(held_, {}, &Held::name);
  if (held_.empty()) return nullptr;
  std::vector<Artifact> artifacts;
  for (Held& one : held_) {
    artifacts.push_back({std::move(one.name), std::move(one.type), one.file.hash(), one.file.size()});
    files.push_back(std::move(one.file));
  }
  held_.clear();
  return std::make_shared<const std::vector<Artifact>>(std::move(artifacts));
}

}  // namespace millrace
