// A plug-in with three executors: `words` counts the words of its argument's JSON text, `place` says which item of a
// fan-out it runs for, `crash` is a bad neighbour.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "millrace_plugin.h"

namespace {

void words(const millrace_api* api, millrace_task* task) {
  size_t size = 0;
  const char* json = api->with_json(task, &size);
  const std::string text(json, size);
  if (text.size() < 2 || text.front() != '"') throw std::invalid_argument("`with` must be a text");
  std::size_t count = 0;
  bool inside = false;
  for (const char c : text.substr(1, text.size() - 2)) {
    if (c != ' ' && !inside) ++count;
    inside = c != ' ';
  }
  const std::string half = "{\"done\":1,\"total\":2}";
  api->progress(task, half.data(), half.size());
  std::printf("counted %zu words\n", count);
  const std::string output = "{\"words\":" + std::to_string(count) + "}";
  api->succeed(task, output.data(), output.size());
}

void place(const millrace_api* api, millrace_task* task) {
  size_t size = 0;
  const char* item = api->item_json(task, &size);
  const std::string output = item == nullptr ? "null" : "[" + std::to_string(api->index(task)) + "," + item + "]";
  api->succeed(task, output.data(), output.size());
}

void crash(const millrace_api*, millrace_task*) { std::abort(); }

const millrace_executor kExecutors[] = {{"words", words}, {"place", place}, {"crash", crash}};
const millrace_plugin kPlugin = {MILLRACE_PLUGIN_ABI, kExecutors, 3};

}  // namespace

extern "C" const millrace_plugin* millrace_plugin_describe(void) { return &kPlugin; }
