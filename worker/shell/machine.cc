#include "worker/shell/machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

namespace millrace {
namespace {

std::optional<std::uint64_t> number_in(const char* path) {
  std::ifstream in(path);
  std::uint64_t number = 0;
  if (!(in >> number)) return std::nullopt;  // "max", or not there
  return number;
}

std::uint64_t memory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long size = sysconf(_SC_PAGE_SIZE);
  std::uint64_t bytes =
      pages > 0 && size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size) : 0;
  for (const char* limit : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (const auto most = number_in(limit); most && *most > 0) bytes = std::min(bytes, *most);
  }
  return bytes;
}

void add(Resources& resources, const char* name, std::uint64_t amount) {
  const auto at = std::ranges::lower_bound(resources, name, {}, &Resource::name);
  if (amount == 0 || (at != resources.end() && at->name == name)) return;
  resources.insert(at, {name, std::min(amount, kAmountMax)});
}

}  // namespace

void add_machine_resources(Resources& resources) {
  add(resources, "cpu", std::uint64_t{std::thread::hardware_concurrency()} * 1000);
  add(resources, "memory", memory());
}

}  // namespace millrace
