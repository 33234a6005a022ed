#include "cli/sources.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/zones/zones.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

Result<std::string> read_source(const fs::path& path) {
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (status.type() == fs::file_type::not_found) return Error{Code::kNotFound, "there is no such file", {}, ""};
  if (status.type() != fs::file_type::regular)
    return Error{Code::kInvalid, failure ? failure.message() : "it is not a file", {}, ""};
  std::ifstream in(path, std::ios::binary);
  std::string text(kSourceFileMax + 1, '\0');
  if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad()) return Error{Code::kInvalid, std::strerror(errno), {}, ""};
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

bool is_source(const fs::path& path) {
  const std::string kind = path.extension().string();
  return kind == ".py" || kind == ".js" || kind == ".json";
}

std::vector<std::string> list_sources(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code failure;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, failure);
  for (; !failure && at != fs::recursive_directory_iterator() && files.size() <= kSourceFilesMax;
       at.increment(failure)) {
    const std::string name = at->path().filename().string();
    std::error_code unknown;
    if (at->is_directory(unknown)) {
      if (name.starts_with('.') || name == "__pycache__") at.disable_recursion_pending();
    } else if (!name.starts_with('.') && is_source(name) && at->is_regular_file(unknown)) {
      files.push_back(at->path().lexically_relative(folder).generic_string());
    }
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

Outside outside_of(const std::string& workflow_file) {
  const fs::path beside = workflow_file == "-" ? fs::path() : fs::path(workflow_file).parent_path();
  return {zone_exists, zone_names, [beside](const std::string& path) { return read_source(beside / path); },
          [beside](const std::string& folder) { return list_sources(beside / folder); }};
}

}  // namespace millrace
