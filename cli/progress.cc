#include "cli/progress.h"

#include <chrono>
#include <optional>

#include "cli/text.h"

namespace millrace {
namespace {

constexpr Duration kRedraw = 100ms;

Time now() { return Time(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())); }

class Silent : public Progress {
 public:
  explicit Silent(const Console& console) : console_(console) {}
  void aside(const std::string& line) override { console_.err(line + "\n"); }

 private:
  const Console& console_;
};

class Lines : public Progress {
 public:
  explicit Lines(const Console& console) : console_(console) {}
  bool wants_every_event() const override { return true; }
  void event(const Event& event) override {
    if (is_run_end(event.type) && event.reason == Reason::kFailFast) {
      end_ = event;
      return;
    }
    std::string line = progress_line(event);
    if (!line.empty()) console_.err(line + "\n");
  }
  void finish(const RunView& view) override {
    if (end_) console_.err(progress_line(*end_, view.record.error.get()) + "\n");
    end_.reset();
  }
  void aside(const std::string& line) override { console_.err(line + "\n"); }

 private:
  const Console& console_;
  std::optional<Event> end_;  // says that the run has failed, not why: told with what finish() knows
};

class LiveTree : public Progress {
 public:
  LiveTree(const Console& console, RunId run, const std::string& workflow, const WorkflowSpec* spec)
      : console_(console), tree_(run, workflow, now()) {
    if (spec != nullptr) tree_.shape(*spec);
  }
  bool wants_every_event() const override { return true; }
  bool wants_snapshots() const override { return true; }
  void snapshot(const RunView& view) override { tree_.snapshot(view, now()); }
  void event(const Event& event) override { tree_.apply(event, now()); }
  void tick() override {
    if (now() - drawn_at_ >= kRedraw) draw();
  }
  void finish(const RunView& view) override {
    tree_.snapshot(view, now());
    draw();
  }
  void aside(const std::string& line) override {
    console_.err(erase() + line + "\n");
    drawn_lines_ = 0;
    draw();
  }

 private:
  std::string erase() const { return drawn_lines_ == 0 ? "" : "\x1b[" + std::to_string(drawn_lines_) + "A\r\x1b[J"; }

  void draw() {
    Console::Size size = console_.size();
    --size.columns;  // a line that touches the edge may wrap
    std::string text = erase();
    drawn_lines_ = 0;
    for (const std::string& line : tree_.lines(now(), size, console_.colour)) {
      text += line + "\n";
      ++drawn_lines_;
    }
    console_.err(text);
    drawn_at_ = now();
  }

  const Console& console_;
  Tree tree_;
  std::size_t drawn_lines_ = 0;
  Time drawn_at_{};
};

}  // namespace

std::string progress_line(const Event& event, const RunError* error) {
  if (event.type == EventType::kTaskDispatched || (event.type >= EventType::kOwnerChanged && !is_durable(event.type)))
    return "";
  std::string what = is_task_event(event.type) ? printable(event.node) : "run " + to_string(event.run);
  std::string line = clock_time(event.time) + "  " + what + "  " + std::string(status_word(event.type));
  if (event.attempt > 1 || event.type == EventType::kTaskRetrying) line += "  attempt " + std::to_string(event.attempt);
  if (is_run_end(event.type) && event.reason == Reason::kFailFast && error != nullptr && !error->node.empty())
    return line + "  " + printable(error->node) + ": " + printable(error->code);
  if (event.reason != Reason::kNone) line += "  " + std::string(to_string(event.reason));
  return line;
}

std::unique_ptr<Progress> make_progress(ProgressKind kind, const Console& console, RunId run,
                                        const std::string& workflow, const WorkflowSpec* spec) {
  if (kind == ProgressKind::kNone) return std::make_unique<Silent>(console);
  if (!console.err_terminal) return std::make_unique<Lines>(console);
  return std::make_unique<LiveTree>(console, run, workflow, spec);
}

}  // namespace millrace
