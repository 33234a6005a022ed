#include "common/model/pause.h"

namespace millrace {

std::string describe(const PauseName& what) {
  std::string text = what.kind == PauseKind::kWorkflow ? "workflow '" : "queue '";
  text += what.name + "'";
  if (!what.tenant.empty() && what.tenant != "default") text += " of tenant '" + what.tenant + "'";
  return text;
}

std::string describe(const Pause& pause) {
  std::string text = describe(pause.what) + " is paused";
  if (!pause.caller.empty()) text += " by " + pause.caller;
  return pause.why.empty() ? text : text + ": " + pause.why;
}

}  // namespace millrace
