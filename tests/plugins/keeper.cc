// A plug-in whose executors hand over files and read secrets: `keep` one of `with` letters, and a file of its own;
// `whisper` the secret that `with` names.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "millrace_plugin.h"

namespace {

std::string argument(const millrace_api* api, millrace_task* task) {
  size_t size = 0;
  const char* json = api->with_json(task, &size);
  return {json, size};
}

void succeed(const millrace_api* api, millrace_task* task, const std::string& json) {
  api->succeed(task, json.data(), json.size());
}

void keep(const millrace_api* api, millrace_task* task) {
  const std::string letters(std::stoul(argument(api, task)), 'k');
  if (api->artifact(task, "letters.txt", "text/plain", letters.data(), letters.size()) == 0)
    throw std::runtime_error(api->problem(task));
  char path[] = "/tmp/millrace-keeper-XXXXXX";
  const int fd = mkstemp(path);
  if (fd < 0 || write(fd, "of a file", 9) != 9) throw std::runtime_error("no file");
  close(fd);
  const int taken = api->artifact_file(task, path, "file", nullptr);
  unlink(path);
  if (taken == 0) throw std::runtime_error(api->problem(task));
  if (api->artifact_file(task, "/nowhere/x", nullptr, nullptr) != 0)
    throw std::runtime_error("it took what is not there");
  const std::string missing = api->problem(task);
  if (api->artifact(task, "../x", nullptr, "", 0) != 0) throw std::runtime_error("it took a path for a name");
  succeed(api, task, "[\"" + missing + "\",\"" + api->problem(task) + "\"]");
}

void whisper(const millrace_api* api, millrace_task* task) {
  const std::string name = argument(api, task);
  size_t size = 0;
  const char* secret = api->secret(task, name.substr(1, name.size() - 2).c_str(), &size);
  if (secret == nullptr) throw std::runtime_error(api->problem(task));
  std::printf("it is %s\n", secret);
  succeed(api, task, "{\"size\":" + std::to_string(size) + ",\"secret\":\"" + secret + "\"}");
}

const millrace_executor kExecutors[] = {{"keep", keep}, {"whisper", whisper}};
const millrace_plugin kPlugin = {MILLRACE_PLUGIN_ABI, kExecutors, 2};

}  // namespace

extern "C" const millrace_plugin* millrace_plugin_describe(void) { return &kPlugin; }
