// A plug-in for a version of the interface that there is not yet; with SLOW, one of today whose task never ends.
#include <unistd.h>

#include "millrace_plugin.h"

namespace {

#ifdef SLOW
constexpr unsigned kAbi = MILLRACE_PLUGIN_ABI;
#else
constexpr unsigned kAbi = 99;
#endif

void forever(const millrace_api*, millrace_task*) {
  for (;;) pause();
}

const millrace_executor kExecutors[] = {{"forever", forever}};
const millrace_plugin kPlugin = {kAbi, kExecutors, 1};

}  // namespace

extern "C" const millrace_plugin* millrace_plugin_describe(void) { return &kPlugin; }
