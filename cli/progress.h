// Progress: what a person sees of a run while it is waited for, on standard error: a live tree on a terminal, one line
// a change elsewhere, or nothing.
//
// Threads: that of the command. Times are those of the monotonic clock, read inside. Fails: never.
#pragma once

#include <memory>
#include <string>

#include "cli/console.h"
#include "cli/tree.h"
#include "common/model/event.h"
#include "common/model/run_view.h"

namespace millrace {

class Progress {
 public:
  virtual ~Progress() = default;
  virtual bool wants_every_event() const { return false; }  // in order and without a hole, to the last
  virtual bool wants_snapshots() const { return false; }
  virtual void snapshot(const RunView&) {}
  virtual void event(const Event&) {}
  virtual void tick() {}                            // called at least ten times a second
  virtual void finish(const RunView&) {}            // the run has ended
  virtual void aside(const std::string& line) = 0;  // a note of ours, without tearing the picture
};

enum class ProgressKind { kNone, kAuto };  // kAuto: a tree on a terminal, lines elsewhere

// `spec`: for the shape of the tree; may be null.
std::unique_ptr<Progress> make_progress(ProgressKind kind, const Console& console, RunId run,
                                        const std::string& workflow, const WorkflowSpec* spec);

// The line of an event: "12:00:00.123  clean_data  retrying  attempt 1  error"; empty for what is no change of a state.
// `error`: the run's, at its end: which task a run that fails fast fails of, and why; may be null.
std::string progress_line(const Event& event, const RunError* error = nullptr);

}  // namespace millrace
