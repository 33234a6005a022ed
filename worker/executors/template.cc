#include "worker/executors/template.h"

#include "worker/executors/task_support.h"

namespace millrace {
namespace {

// What the script finds its orders under: no node can be called so.
constexpr const char* kOrders = "__template__";

constexpr const char* kScript = R"python(
import types
orders = nodes.pop("__template__")
source, file, sources = orders["template"], orders["file"], orders["sources"]
root, name = file.rpartition("/")[0], file.rpartition("/")[2]

# `shown` is its traceback: that of the template, without the lines of this script.
def problem(kind, text, line=None, lines=None, shown=None):
    quoted = ""
    if line is not None and lines is not None and 0 < line <= len(lines):
        quoted = " (line %d: %s)" % (line, lines[line - 1].strip())
    elif line is not None:
        quoted = " (line %d)" % line
    mine = property(lambda self: shown, lambda self, ours: None)
    return type(kind, (Exception,), {"__module__": "__main__", "__traceback__": mine})(text + quoted)

try:
    import jinja2, jinja2.sandbox
except ImportError:
    raise problem("NoJinja2", "jinja2 is not there for this worker's python: install python3-jinja2") from None

def place(path):
    return root + "/" + path if root else path

def load(path):
    return (sources[path], place(path), lambda: True) if path in sources else None

def environment(strict):
    kept = jinja2.__dict__.setdefault("_millrace_environments", {})
    key = (file, tuple(sources.items()), strict)
    if key not in kept:
        kept.clear() if len(kept) >= 16 else None
        kept[key] = jinja2.sandbox.SandboxedEnvironment(
            loader=jinja2.FunctionLoader(load) if file else None, keep_trailing_newline=True,
            undefined=jinja2.StrictUndefined if strict else jinja2.Undefined)
    return kept[key]

def compiled(strict):
    if file:
        return environment(strict).get_template(name)
    kept = jinja2.__dict__.setdefault("_millrace_templates", {})
    if (source, strict) not in kept:
        kept.clear() if len(kept) >= 256 else None
        kept[source, strict] = environment(strict).from_string(source)
    return kept[source, strict]

def rendered():
    texts = {place(path): text for path, text in sources.items()} if file else {"<template>": source}
    try:
        values = {**inputs, **nodes, "inputs": inputs, "nodes": nodes, "run": run, **orders["vars"]}
        values.update({name: globals()[name] for name in ("item", "index") if name in globals()})
        return compiled(orders["strict"]).render(values)
    except jinja2.TemplateSyntaxError as error:
        lines = texts.get(error.filename or file or "<template>", "").splitlines()
        failure = problem("TemplateSyntaxError", error.message, error.lineno, lines)
    except jinja2.TemplateNotFound as error:
        failure = problem("TemplateNotFound", "there is no template " + str(error.name))
    except Exception as error:
        line, lines, at, places = None, None, error.__traceback__, []
        while at is not None:
            if at.tb_frame.f_code.co_filename in texts:
                line, lines = at.tb_lineno, texts[at.tb_frame.f_code.co_filename].splitlines()
                places.append(at)
            at = at.tb_next
        shown = None
        for at in reversed(places):
            shown = types.TracebackType(shown, at.tb_frame, at.tb_lasti, at.tb_lineno)
        failure = problem(type(error).__name__, str(error), line, lines, shown)
    raise failure

output = rendered()
if orders["json"]:
    import json
    try:
        output = json.loads(output)
    except ValueError as error:
        failure = problem("NotJson", "the text is not JSON: " + str(error))
        raise failure from None
)python";

std::string first_problem(const TaskContext& task) {
  for (std::string problem : {check_string(task, "template"), check_string(task, "file"), check_string(task, "outputs"),
                              check_string(task, "isolation")}) {
    if (!problem.empty()) return problem;
  }
  const bool has_template = task.fields.find("template") != nullptr;
  if (has_template == (task.fields.find("file") != nullptr)) return "either `template` or `file` is needed";
  const Value* sources = task.fields.find("sources");
  if (const std::string file = string_field(task, "file");
      !file.empty() && (sources == nullptr || sources->find(file.substr(file.rfind('/') + 1)) == nullptr))
    return "the source of `file` " + file + " did not come with the workflow: submit it again";
  const Value* vars = task.fields.find("vars");
  if (vars != nullptr && !vars->is_null() && !vars->is_object())
    return "`vars` must be a mapping, not " + std::string(vars->kind_name());
  const Value* strict = task.fields.find("strict");
  if (strict != nullptr && !strict->is_null() && !strict->is_bool()) return "`strict` must be true or false";
  const std::string outputs = string_field(task, "outputs");
  if (!outputs.empty() && outputs != "text" && outputs != "json")
    return "`outputs` is \"" + outputs + "\"; expected text or json";
  return {};
}

class TemplateExecutor final : public Executor {
 public:
  TemplateExecutor(Executor& python, Isolation least, TaskObserver& observer)
      : python_(python), least_(least), observer_(observer) {}

  void start(TaskContext task) override {
    std::string problem = first_problem(task);
    if (!problem.empty()) return observer_.on_done(task.attempt, failed(Reason::kInvalidInput, std::move(problem)));
    const Value* vars = task.fields.find("vars");
    const Value* strict = task.fields.find("strict");
    const Value* sources = task.fields.find("sources");
    const Value orders = Value::Object{{"template", string_field(task, "template")},
                                       {"file", string_field(task, "file")},
                                       {"sources", sources == nullptr ? Value(Value::Object{}) : *sources},
                                       {"vars", vars == nullptr || vars->is_null() ? Value(Value::Object{}) : *vars},
                                       {"strict", strict == nullptr || strict->is_null() || strict->as_bool()},
                                       {"json", string_field(task, "outputs") == "json"}};
    task.nodes.emplace_back(kOrders, std::make_shared<const std::string>(orders.dump()));
    std::string isolation = string_field(task, "isolation");
    if (isolation.empty()) isolation = to_string(least_);
    Value fields = Value::Object{{"script", kScript}, {"isolation", std::move(isolation)}};
    task.fields = std::move(fields);
    python_.start(std::move(task));
  }
  void kill(const AttemptId& attempt, Reason why) override { python_.kill(attempt, why); }

 private:
  Executor& python_;
  Isolation least_;
  TaskObserver& observer_;
};

}  // namespace

std::unique_ptr<Executor> make_template_executor(Executor& python, Isolation least, TaskObserver& observer) {
  return std::make_unique<TemplateExecutor>(python, least, observer);
}

}  // namespace millrace
