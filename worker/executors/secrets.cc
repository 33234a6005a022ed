#include "worker/executors/secrets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "worker/executors/spawn.h"

namespace millrace {
namespace {

// Empty: there is no such file. Symbolic links are followed: that is how Kubernetes mounts them.
Result<std::optional<std::string>> read(std::string_view name, const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::optional<std::string>();
  if (!fd) return secret_error(Code::kInvalid, name, "cannot be read from " + path + ": " + std::strerror(errno));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return secret_error(Code::kInvalid, name, "cannot be read: " + path + " is no file");
  std::string text(kSecretMax + 2, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return secret_error(Code::kInvalid, name, "cannot be read from " + path + ": " + std::strerror(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  if (text.ends_with('\n')) text.pop_back();
  return std::optional(std::move(text));
}

Result<std::string> checked(std::string_view name, std::string value) {
  if (Status good = check_secret_value(name, value); !good.ok()) return good.error();
  return value;
}

}  // namespace

Result<std::string> Secrets::find(std::string_view name) const {
  if (Status named = check_secret_name(name); !named.ok()) return named.error();
  const std::string variable = kSecretPrefix + std::string(name);
  if (const char* value = std::getenv(variable.c_str())) return checked(name, value);
  std::string looked = variable;
  for (const std::string& directory : directories_) {
    const std::string path = directory + "/" + std::string(name);
    Result<std::optional<std::string>> found = read(name, path);
    if (!found.ok()) return found.error();
    if (*found) return checked(name, std::move(**found));
    looked += ", " + path;
  }
  if (source_) {
    if (std::optional<std::string> found = source_->find(name)) return checked(name, std::move(*found));
    looked += ", " + source_->place;
  }
  return secret_error(Code::kNotFound, name, "is not known to this worker (looked for: " + looked + ")");
}

}  // namespace millrace
