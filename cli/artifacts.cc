#include "cli/artifacts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "cli/text.h"

namespace millrace {
namespace {

constexpr std::size_t kReadBack = 1024 * 1024;  // at once

Error trouble(const std::string& path, const char* what) {
  return Error{Code::kFailed, path + ": cannot " + what + ": " + std::strerror(errno), {}, "file"};
}

class File {
 public:
  File(const std::string& path, int flags)
      : path_(path), fd_(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0644)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return fd_ >= 0; }

  // All of it, part after part.
  template <class Take>
  Status read(Take take) const {
    std::string bytes(kReadBack, '\0');
    for (off_t at = 0;;) {
      const ssize_t n = pread(fd_, bytes.data(), bytes.size(), at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return trouble(path_, "read it");
      if (n == 0) return Done{};
      take(std::string_view(bytes).substr(0, static_cast<std::size_t>(n)));
      at += n;
    }
  }
  Status write(std::uint64_t from, std::string_view bytes) const {
    if (from == 0 && ftruncate(fd_, 0) != 0) return trouble(path_, "write it");
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t n = pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(from + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return trouble(path_, "write it");
      done += static_cast<std::size_t>(n);
    }
    return Done{};
  }

 private:
  std::string path_;
  int fd_;
};

// A node of a sub-graph stands in the directory of the sub-graph; every step has to be a plain name.
std::optional<std::filesystem::path> place_of(const RunArtifact& one) {
  std::filesystem::path place;
  for (std::size_t from = 0; from <= one.node.size();) {
    const std::size_t to = std::min(one.node.find('/', from), one.node.size());
    const std::string step = one.node.substr(from, to - from);
    if (!artifact_name_problem(step).empty()) return std::nullopt;
    place /= step;
    from = to + 1;
  }
  if (!artifact_name_problem(one.artifact.name).empty()) return std::nullopt;
  return place;
}

Result<bool> is_same(const std::string& path, const Artifact& artifact) {
  const File there(path, O_RDONLY);
  if (!there.is_open()) return trouble(path, "open it");
  HashStream sum;
  Status read = there.read([&](std::string_view bytes) { sum.add(bytes); });
  if (!read.ok()) return read.error();
  return sum.sum128() == artifact.hash;
}

// Into a file beside it, which takes its name when it is whole.
Status fetch(Client& client, const std::string& path, const std::string& part, const Artifact& artifact,
             Duration timeout) {
  PartsIn parts(artifact.hash);
  const File file(part, O_RDWR | O_CREAT);
  if (!file.is_open()) return trouble(part, "open it");
  std::error_code failure;
  if (std::filesystem::file_size(part, failure) >= artifact.size && artifact.size > 0) {
    if (Status cut = file.write(0, ""); !cut.ok()) return cut;
  }
  if (Status had = file.read([&](std::string_view bytes) { parts.had(bytes); }); !had.ok()) return had;
  Status came = client.fetch(artifact.hash, parts, timeout,
                             [&](std::uint64_t from, std::string_view bytes) { return file.write(from, bytes); });
  if (!came.ok()) return came;
  if (rename(part.c_str(), path.c_str()) != 0) return trouble(path, "name it so");
  return Done{};
}

}  // namespace

std::vector<RunArtifact> artifacts_of(const RunView& view) {
  std::vector<RunArtifact> all;
  for (const NodeView& node : view.nodes) {
    if (node.artifacts == nullptr) continue;
    for (const Artifact& one : *node.artifacts) all.push_back({node.id, one});
  }
  return all;
}

Result<std::vector<RunArtifact>> chosen(std::vector<RunArtifact> all, std::span<const std::string> names) {
  if (names.empty()) return all;
  std::vector<bool> wanted(all.size());
  for (const std::string& name : names) {
    bool found = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (name != all[i].artifact.name && name != all[i].node + "/" + all[i].artifact.name) continue;
      wanted[i] = found = true;
    }
    if (found) continue;
    std::string there;
    for (const RunArtifact& one : all) there += (there.empty() ? "" : ", ") + one.node + "/" + one.artifact.name;
    return Error{Code::kNotFound,
                 "no task of the run has handed over '" + name + "'; there is: " + (there.empty() ? "nothing" : there),
                 {},
                 "no_artifact"};
  }
  std::vector<RunArtifact> out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (wanted[i]) out.push_back(std::move(all[i]));
  }
  return out;
}

Status download(Client& client, const std::string& directory, bool force, Duration timeout,
                std::vector<RunArtifact>& artifacts) {
  for (RunArtifact& one : artifacts) {
    const std::optional<std::filesystem::path> place = place_of(one);
    if (!place)
      return Error{Code::kRefused,
                   "an artifact of node '" + one.node + "' has a name that is no plain one: not written",
                   {},
                   "artifact_name"};
    const std::filesystem::path folder = std::filesystem::path(directory) / *place;
    std::error_code failure;
    std::filesystem::create_directories(folder, failure);
    if (failure) return Error{Code::kFailed, folder.string() + ": cannot make it: " + failure.message(), {}, "file"};
    one.file = (folder / one.artifact.name).string();
    if (std::filesystem::symlink_status(one.file, failure).type() != std::filesystem::file_type::not_found) {
      Result<bool> same = is_same(one.file, one.artifact);
      if (same.ok() && *same) continue;
      if (!force)
        return Error{Code::kConflict,
                     one.file + " is there already, and is another file; --force overwrites it",
                     {},
                     "file_exists"};
    }
    const std::string part =
        (folder / ("." + one.artifact.name + "." + to_string(one.artifact.hash).substr(0, 8) + ".part")).string();
    if (Status came = fetch(client, one.file, part, one.artifact, timeout); !came.ok()) {
      Error why = came.error();
      why.what = "artifact " + one.node + "/" + one.artifact.name + ": " + why.what;
      return why;
    }
    one.fresh = true;
  }
  return Done{};
}

Value artifact_json(const RunArtifact& one) {
  Value row = Value::Object{{"node", one.node},
                            {"name", one.artifact.name},
                            {"content_type", one.artifact.type.empty() ? Value() : Value(one.artifact.type)},
                            {"bytes", one.artifact.size},
                            {"hash", to_string(one.artifact.hash)}};
  if (!one.file.empty()) {
    row.set("file", one.file);
    row.set("downloaded", one.fresh);
  }
  return row;
}

}  // namespace millrace
