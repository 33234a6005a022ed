#include "cli/places.h"

#include <filesystem>

#include "common/io/small_file.h"

namespace millrace {
namespace {

std::string variable(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string named(const Environment& environment, const Arguments& arguments, std::string_view option,
                  const char* name) {
  return arguments.given(option) ? arguments.text(option) : variable(environment, name);
}

SecretPaths named_paths(const Environment& environment, const Arguments& arguments) {
  return {named(environment, arguments, "secrets-file", "MILLRACE_SECRETS_FILE"),
          named(environment, arguments, "secrets-key-file", "MILLRACE_SECRETS_KEY_FILE")};
}

}  // namespace

std::string user_directory(const Environment& environment) {
  if (const std::string base = variable(environment, "XDG_CONFIG_HOME"); !base.empty()) return base + "/millrace";
  if (const std::string home = variable(environment, "HOME"); !home.empty()) return home + "/.config/millrace";
  return "";
}

std::string requirements_directory(const Environment& environment, const Arguments& arguments) {
  const std::string told = named(environment, arguments, "requirements-dir", "MILLRACE_REQUIREMENTS_DIR");
  if (!told.empty()) return told;
  if (const std::string cache = variable(environment, "XDG_CACHE_HOME"); !cache.empty()) return cache + "/millrace";
  if (const std::string home = variable(environment, "HOME"); !home.empty()) return home + "/.cache/millrace";
  return "";
}

Status make_private_directory(const std::string& directory) {
  std::error_code failed;
  if (std::filesystem::create_directories(directory, failed))
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all, failed);
  if (failed) return Error{Code::kInvalid, "create " + directory + ": " + failed.message(), {}, ""};
  return Done{};
}

std::vector<Option> secrets_options() {
  return {{"secrets-file",
           0,
           Takes::kText,
           "FILE",
           "the encrypted file of secrets (environment: MILLRACE_SECRETS_FILE; default: ~/.config/millrace/secrets)",
           false,
           {},
           Completes::kFile},
          {"secrets-key-file",
           0,
           Takes::kText,
           "FILE",
           "the key that opens it (environment: MILLRACE_SECRETS_KEY_FILE; default: the same with .key at its end)",
           false,
           {},
           Completes::kFile}};
}

SecretPaths secrets_paths(const Environment& environment, const Arguments& arguments) {
  SecretPaths paths = named_paths(environment, arguments);
  const std::string own = user_directory(environment);
  if (paths.file.empty() && !own.empty()) paths.file = own + "/secrets";
  return SecretPaths::of(paths.file, paths.key_file);
}

SecretPaths secrets_to_use(const Environment& environment, const Arguments& arguments) {
  const SecretPaths paths = secrets_paths(environment, arguments);
  if (named_paths(environment, arguments).file.empty() && mark_of(paths.file) == FileMark{}) return {};
  return paths;
}

}  // namespace millrace
