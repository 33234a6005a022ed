// The process that a plug-in's code runs in. Its protocol is that of the python runner: see runners/python_runner.py.
#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <optional>

#include "common/base/value.h"
#include "common/model/executor_fields.h"
#include "common/model/workflow.h"
#include "millrace_plugin.h"
#include "worker/executors/interpreter.h"
#include "worker/executors/plugin.h"

struct millrace_task {
  std::string with, inputs, node, run;
  std::map<std::string, std::string> outputs;
  unsigned attempt = 0;
  std::optional<std::string> output, error;
  std::optional<std::string> item;
  std::size_t index = 0;
  std::map<std::string, std::string> secrets;
  std::string problem;
};

namespace millrace {
namespace {

constexpr int kChannel = 3;
constexpr std::size_t kExecutorsMax = 256;
constexpr std::size_t kArtifactPart = 1024 * 1024;

bool write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(kChannel, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool read_all(char* to, std::size_t size) {
  while (size > 0) {
    const ssize_t n = read(kChannel, to, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

bool reply(PythonReply::Kind kind, std::string_view message, std::string_view output, std::string_view more = "",
           unsigned flags = 0) {
  std::string bytes(24, '\0');  // kind, retire, flags, the sizes of message, traceback and output, no time
  bytes[0] = static_cast<char>(kind);
  bytes[2] = static_cast<char>(flags);
  const auto put = [&](std::size_t at, std::size_t size) {
    const auto size32 = static_cast<std::uint32_t>(size);
    std::memcpy(bytes.data() + at, &size32, sizeof size32);
  };
  put(4, message.size());
  put(8, more.size());
  put(12, output.size());
  return write_all(bytes.append(message).append(more).append(output));
}

// The parts of the next request, or of an answer; empty: the worker is gone.
std::vector<std::string> next_request() {
  std::uint64_t head[2] = {};
  if (!read_all(reinterpret_cast<char*>(head), sizeof head)) return {};
  std::vector<std::uint64_t> sizes(head[1]);
  if (!read_all(reinterpret_cast<char*>(sizes.data()), 8 * sizes.size())) return {};
  std::vector<std::string> parts;
  for (const std::uint64_t size : sizes) {
    if (!read_all(parts.emplace_back(size, '\0').data(), size)) return {};
  }
  return parts;
}

// What was asked for; nothing: `problem` says why not.
std::optional<std::string> answer(millrace_task* task) {
  std::vector<std::string> parts = next_request();
  task->problem = parts.size() == 2 ? "" : "the worker has gone";
  if (parts.size() == 2 && parts[0] == "1") return std::move(parts[1]);
  if (parts.size() == 2) task->problem = std::move(parts[1]);
  return std::nullopt;
}

// `read(most)` gives the next bytes, at the end none; nothing: `problem` says why it cannot.
template <class Read>
int hand_over(millrace_task* task, std::string_view name, const char* content_type, Read read) {
  task->problem.clear();
  const std::string_view type = content_type == nullptr ? "" : content_type;
  std::optional<std::string> part = read(kArtifactPart);
  for (unsigned flags = 1; part; flags &= ~1U) {
    std::optional<std::string> following = part->empty() ? part : read(kArtifactPart);
    if (!following) break;
    if (following->empty()) flags |= 2U;
    const bool said = reply(PythonReply::Kind::kArtifact, name, *part, type, flags);
    if (!said) task->problem = "the worker has gone";
    if (!said || !answer(task)) break;
    if ((flags & 2U) != 0) return 1;
    part = std::move(following);
  }
  return 0;
}

int artifact(millrace_task* task, const char* name, const char* content_type, const char* data, std::size_t size) {
  std::string_view rest(data, size);
  return hand_over(task, name, content_type, [&](std::size_t most) {
    std::optional<std::string> piece(rest.substr(0, most));
    rest.remove_prefix(piece->size());
    return piece;
  });
}

int artifact_file(millrace_task* task, const char* path, const char* name, const char* content_type) {
  std::FILE* file = std::fopen(path, "rbe");
  const std::string_view whole = path;
  const std::string_view own = name == nullptr ? whole.substr(whole.rfind('/') + 1) : name;
  const auto broken = [&] {
    task->problem = std::string(path) + ": " + std::strerror(errno);
    return std::optional<std::string>();
  };
  if (file == nullptr) return broken(), 0;
  const int taken = hand_over(task, own, content_type, [&](std::size_t most) {
    std::optional<std::string> piece(std::string(most, '\0'));
    piece->resize(std::fread(piece->data(), 1, most, file));
    return std::ferror(file) != 0 ? broken() : piece;
  });
  std::fclose(file);
  return taken;
}

const char* lend(const std::string& text, std::size_t* size) {
  if (size != nullptr) *size = text.size();
  return text.c_str();
}

const char* secret(millrace_task* task, const char* name, std::size_t* size) {
  std::optional<std::string> found;
  if (reply(PythonReply::Kind::kSecret, name, "")) found = answer(task);
  else task->problem = "the worker has gone";
  return found ? lend(task->secrets[name] = std::move(*found), size) : nullptr;
}

const millrace_api kApi = {
    MILLRACE_PLUGIN_ABI,
    [](const millrace_task* task, std::size_t* size) { return lend(task->with, size); },
    [](const millrace_task* task, std::size_t* size) { return lend(task->inputs, size); },
    [](const millrace_task* task, const char* node, std::size_t* size) -> const char* {
      const auto found = task->outputs.find(node);
      return found == task->outputs.end() ? nullptr : lend(found->second, size);
    },
    [](const millrace_task* task) { return task->node.c_str(); },
    [](const millrace_task* task) { return task->run.c_str(); },
    [](const millrace_task* task) { return task->attempt; },
    [](millrace_task*, const char* json, std::size_t size) {
      reply(PythonReply::Kind::kProgress, "", {json, size});
    },
    [](millrace_task* task, const char* json, std::size_t size) { task->output = std::string(json, size); },
    [](millrace_task* task, const char* message, std::size_t size) { task->error = std::string(message, size); },
    [](const millrace_task* task, std::size_t* size) -> const char* {
      return task->item ? lend(*task->item, size) : nullptr;
    },
    [](const millrace_task* task) { return task->index; },
    artifact,
    artifact_file,
    secret,
    [](const millrace_task* task) { return task->problem.c_str(); },
};

Result<const millrace_plugin*> open_plugin(const std::string& file) {
  const auto refuse = [&](const std::string& what) {
    return Error{Code::kInvalid, "plug-in " + file + ": " + what, {}, "plugin"};
  };
  void* library = dlopen(file.find('/') == std::string::npos ? ("./" + file).c_str() : file.c_str(), RTLD_NOW);
  if (library == nullptr) return refuse(dlerror());
  void* symbol = dlsym(library, "millrace_plugin_describe");
  if (symbol == nullptr) return refuse("it exports no millrace_plugin_describe(): not a plug-in");
  const millrace_plugin* plugin = reinterpret_cast<decltype(&millrace_plugin_describe)>(symbol)();
  if (plugin == nullptr) return refuse("it describes nothing");
  if (plugin->abi != MILLRACE_PLUGIN_ABI) {
    return refuse("made for version " + std::to_string(plugin->abi) +
                  " of the plug-in interface, this worker has version " + std::to_string(MILLRACE_PLUGIN_ABI) +
                  ": build it again with this version's millrace_plugin.h");
  }
  if (plugin->executors_count == 0 || plugin->executors_count > kExecutorsMax) return refuse("it has no executors");
  for (std::size_t i = 0; i < plugin->executors_count; ++i) {
    const std::string name = plugin->executors[i].name == nullptr ? "" : plugin->executors[i].name;
    if (!is_node_id(name)) return refuse("'" + name + "' cannot be the name of an executor");
    if (find_executor(name) != nullptr) return refuse("the executor '" + name + "' is there already");
  }
  return plugin;
}

std::string text_of_member(const Value& header, const char* name) {
  const Value* value = header.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

const millrace_executor* read_task(const millrace_plugin& plugin, std::vector<std::string>& parts,
                                   millrace_task& task) {
  const Result<Value> header = Value::parse(parts.at(0));
  if (!header.ok()) return nullptr;
  task.with = std::move(parts.at(1));
  task.inputs = std::move(parts.at(2));
  task.node = text_of_member(*header, "node");
  task.run = text_of_member(*header, "run");
  const Value* attempt = header->find("attempt");
  task.attempt = attempt == nullptr ? 0 : static_cast<unsigned>(attempt->as_int());
  const Value::Array& ids = header->find("ids")->as_array();
  for (std::size_t i = 0; i < ids.size(); ++i) task.outputs[ids[i].as_string()] = std::move(parts.at(3 + i));
  if (const Value* vars = header->find("vars"); vars != nullptr) {
    const std::size_t from = 3 + ids.size();
    for (std::size_t i = 0; i < vars->as_array().size(); ++i) {
      const std::string& name = vars->as_array()[i].as_string();
      if (name == "item") task.item = std::move(parts.at(from + i));
      else if (name == "index") task.index = std::strtoull(parts.at(from + i).c_str(), nullptr, 10);
    }
  }
  const std::string wanted = text_of_member(*header, "function");
  for (std::size_t i = 0; i < plugin.executors_count; ++i) {
    if (wanted == plugin.executors[i].name) return &plugin.executors[i];
  }
  return nullptr;
}

bool serve(const millrace_plugin& plugin, std::vector<std::string> parts) {
  millrace_task task;
  const millrace_executor* executor = read_task(plugin, parts, task);
  if (executor == nullptr) return reply(PythonReply::Kind::kError, "the plug-in has no such executor any more", "");
  try {
    executor->run(&kApi, &task);
  } catch (const std::exception& e) { task.error = e.what(); } catch (...) {
    task.error = "an exception of an unknown type";
  }
  std::fflush(nullptr);
  if (task.error) return reply(PythonReply::Kind::kError, task.error->substr(0, kErrorMessageMax), "");
  if (!task.output) return reply(PythonReply::Kind::kError, "it returned without a result", "");
  if (task.output->size() > kValueMax) return reply(PythonReply::Kind::kInvalidOutput, "the output is too large", "");
  const Result<Value> value = Value::parse(*task.output);
  if (!value.ok()) return reply(PythonReply::Kind::kInvalidOutput, "the output is " + value.error().what, "");
  return reply(PythonReply::Kind::kOk, "", *task.output);
}

}  // namespace

int plugin_host(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return 2;
  const Result<const millrace_plugin*> plugin = open_plugin(arguments[0]);
  if (!plugin.ok()) {
    std::fprintf(stderr, "%s\n", plugin.error().what.c_str());
    return 1;
  }
  if (arguments.size() > 1) {
    for (std::size_t i = 0; i < (*plugin)->executors_count; ++i) std::printf("%s\n", (*plugin)->executors[i].name);
    return 0;
  }
  for (std::vector<std::string> request = next_request(); !request.empty(); request = next_request()) {
    if (!serve(**plugin, std::move(request))) break;
  }
  return 0;
}

}  // namespace millrace
