#include "common/model/executor_fields.h"

#include <array>

namespace millrace {
namespace {

constexpr std::array<FieldSpec, 12> kContainer = {{
    {"image", FieldKind::kString, true, "the image, as the container engine names it"},
    {"command", FieldKind::kStringList, true, "argv inside the container; else the image's own"},
    {"script", FieldKind::kString, false, "shell source, run by /bin/sh -e inside the container; runs as written"},
    {"args", FieldKind::kStringList, true, "positional parameters of `script`, or further arguments"},
    {"env", FieldKind::kStringMap, true, "environment variables inside the container"},
    {"stdin", FieldKind::kAny, true, "text for standard input; a value that is not text is written as JSON"},
    {"cwd", FieldKind::kString, true, "working directory inside the container"},
    {"network", FieldKind::kString, true, "a network of the engine; none unless said otherwise"},
    {"pull", FieldKind::kString, true, "when the image is fetched: missing (default), always or never"},
    {"user", FieldKind::kString, true, "user, or user:group, inside the container"},
    {"exit_codes", FieldKind::kAny, false, "what exit codes mean: a mapping of codes to success, retry or fail"},
    {"outputs", FieldKind::kString, false, "what the output is: all (default), text, lines or json of stdout"},
}};
constexpr std::array<FieldSpec, 1> kCustom = {{
    {"with", FieldKind::kAny, true, "what the executor is given: any value"},
}};
constexpr std::array<FieldSpec, 12> kHttp = {{
    {"url", FieldKind::kString, true, "where to: http or https"},
    {"method", FieldKind::kString, true, "GET (default), HEAD, POST, PUT, PATCH, DELETE or OPTIONS"},
    {"headers", FieldKind::kStringMap, true, "headers of the request"},
    {"query", FieldKind::kAny, true, "names and values that are added to the URL; a list repeats its name"},
    {"body", FieldKind::kAny, true,
     "text, or one of {json: ...}, {form: {...}}, {multipart: [{name, data, filename, type}]}, {raw: ...}"},
    {"auth", FieldKind::kAny, true,
     "one of {basic: {user, password}}, {bearer: TOKEN}, {api_key: {name, value, in: header|query}}"},
    {"follow", FieldKind::kBoolean, true, "whether redirects are followed; true unless said otherwise"},
    {"success", FieldKind::kAny, false,
     "statuses that are a result: 404, 4xx, any, or a list; 2xx unless said otherwise"},
    {"retry_on", FieldKind::kAny, false,
     "statuses that the node's `retry` tries again, as in `success`; without it all that are no success"},
    {"response", FieldKind::kString, true,
     "how the answer's body is read: auto (default: JSON or text by its type), json, text or base64"},
    {"save", FieldKind::kString, true,
     "the artifact that the body of a good answer becomes, instead of standing in the output"},
    {"response_max", FieldKind::kString, true, "the largest body that is taken, like 10MiB (default)"},
}};
constexpr std::array<FieldSpec, 8> kJavascript = {{
    {"script", FieldKind::kString, false, "javascript source; runs as written"},
    {"file", FieldKind::kString, false,
     "a file beside the workflow with the source, which is packed with it; instead of `script`"},
    {"function", FieldKind::kString, false,
     "module:function to call, of a module beside the workflow, which is packed with it, or of an installed one; "
     "instead of `script`"},
    {"isolation", FieldKind::kString, false,
     "process (a confined Node.js process of its own; default), namespaces, container or none (in a warm one that "
     "tasks "
     "share)"},
    {"network", FieldKind::kBoolean, false,
     "whether a task in namespaces of its own has the network; false unless said otherwise"},
    {"limits", FieldKind::kAny, false, "what it may use: {memory, cpu, processes, files, file_size, output}"},
    {"env", FieldKind::kStringMap, true, "environment variables"},
    {"cwd", FieldKind::kString, true, "working directory"},
}};
constexpr std::array<FieldSpec, 14> kLlm = {{
    {"prompt", FieldKind::kString, true, "what the user says; short for one message"},
    {"system", FieldKind::kString, true, "the system message before `prompt`"},
    {"messages", FieldKind::kAny, true, "the conversation: a list of {role, content}; instead of `prompt`"},
    {"model", FieldKind::kString, true, "which model; else the provider's own"},
    {"provider", FieldKind::kString, true, "a provider of the worker's configuration; `openai` unless said otherwise"},
    {"base_url", FieldKind::kString, true, "an OpenAI-compatible endpoint like https://host/v1, instead of a provider"},
    {"api_key", FieldKind::kString, true, "its key: `{{ secrets.NAME }}` and nothing else"},
    {"parameters", FieldKind::kAny, true, "temperature, max_tokens and their like, passed on as they are"},
    {"schema", FieldKind::kAny, true, "a JSON Schema that the answer must fit; the answer is then also parsed"},
    {"tools", FieldKind::kAny, true, "tools that the model may call, passed on as they are"},
    {"tool_choice", FieldKind::kAny, true, "passed on as it is"},
    {"stream", FieldKind::kBoolean, true, "whether tokens come while they are made (default), as events"},
    {"retries", FieldKind::kInteger, true,
     "how often one target is asked again after 429, 5xx and broken connections; 2 unless said otherwise"},
    {"fallbacks", FieldKind::kAny, true, "models or {provider, model} to ask when the first has failed"},
}};
constexpr std::array<FieldSpec, 1> kNoop = {{
    {"delay", FieldKind::kDuration, true, "how long the task takes"},
}};
constexpr std::array<FieldSpec, 10> kPython = {{
    {"script", FieldKind::kString, false, "python source; runs as written"},
    {"file", FieldKind::kString, false,
     "a file beside the workflow with the source, which is packed with it; instead of `script`"},
    {"function", FieldKind::kString, false,
     "module:function to call, of a module beside the workflow, which is packed with it, or of an installed one; "
     "instead of `script`"},
    {"venv", FieldKind::kString, true, "a virtual environment of the worker whose interpreter runs it"},
    {"requirements", FieldKind::kStringOrList, false,
     "packages, each NAME==VERSION, that the worker installs in an environment for them; or a file of the worker with "
     "such lines"},
    {"isolation", FieldKind::kString, false,
     "process (a confined fork of a warm interpreter; default), namespaces, container or none (inside a warm "
     "interpreter)"},
    {"network", FieldKind::kBoolean, false,
     "whether a task in namespaces of its own has the network; false unless said otherwise"},
    {"limits", FieldKind::kAny, false, "what it may use: {memory, cpu, processes, files, file_size, output}"},
    {"env", FieldKind::kStringMap, true, "environment variables"},
    {"cwd", FieldKind::kString, true, "working directory"},
}};
constexpr std::array<FieldSpec, 12> kShell = {{
    {"script", FieldKind::kString, false,
     "shell source, run by /bin/sh -e unless `shell` says otherwise; runs as written"},
    {"command", FieldKind::kStringList, true, "argv, run without a shell"},
    {"shell", FieldKind::kString, false, "the interpreter of `script`"},
    {"args", FieldKind::kStringList, true, "positional parameters of `script`"},
    {"env", FieldKind::kStringMap, true, "environment variables"},
    {"stdin", FieldKind::kAny, true, "text for standard input; a value that is not text is written as JSON"},
    {"cwd", FieldKind::kString, true, "working directory"},
    {"exit_codes", FieldKind::kAny, false, "what exit codes mean: a mapping of codes to success, retry or fail"},
    {"outputs", FieldKind::kString, false,
     "what the output is: all (default), text, lines or json of stdout, or the file that $MILLRACE_OUTPUT names"},
    {"isolation", FieldKind::kString, false, "process (confined; default), namespaces, container or none"},
    {"network", FieldKind::kBoolean, false,
     "whether a task in namespaces of its own has the network; false unless said otherwise"},
    {"limits", FieldKind::kAny, false, "what it may use: {memory, cpu, processes, files, file_size, output}"},
}};
constexpr std::array<FieldSpec, 6> kTemplate = {{
    {"template", FieldKind::kString, false, "Jinja2 source; runs as written"},
    {"file", FieldKind::kString, false,
     "a file beside the workflow with the source instead; what it includes is packed with it"},
    {"vars", FieldKind::kAny, true, "further variables of the template: a mapping"},
    {"strict", FieldKind::kBoolean, false, "whether an unknown variable is an error (default) or empty"},
    {"outputs", FieldKind::kString, false, "what the output is: text (default), or json that the text is read as"},
    {"isolation", FieldKind::kString, false,
     "none (in a warm interpreter; default where the worker's least is none), process, namespaces or container"},
}};

constexpr std::array<std::string_view, 1> kContainerRequired = {"image"};
constexpr std::array<std::string_view, 1> kHttpRequired = {"url"};
constexpr std::array<std::string_view, 3> kJavascriptRequired = {"script", "file", "function"};
constexpr std::array<std::string_view, 2> kLlmRequired = {"prompt", "messages"};
constexpr std::array<std::string_view, 3> kPythonRequired = {"script", "file", "function"};
constexpr std::array<std::string_view, 2> kShellRequired = {"script", "command"};
constexpr std::array<std::string_view, 2> kTemplateRequired = {"template", "file"};

const std::array<ExecutorFields, 8> kTable = {{
    {"container", SlotClass::kCpu, false, "a command in a container", kContainer, kContainerRequired},
    {"http", SlotClass::kIo, false, "an HTTP request", kHttp, kHttpRequired},
    {"javascript", SlotClass::kCpu, true, "javascript code in a warm Node.js process", kJavascript,
     kJavascriptRequired},
    {"llm", SlotClass::kIo, false, "a chat completion of an OpenAI-compatible endpoint", kLlm, kLlmRequired},
    {"noop", SlotClass::kCpu, false, "does nothing, after an optional delay", kNoop, {}},
    {"python", SlotClass::kCpu, true, "python code in a warm interpreter", kPython, kPythonRequired},
    {"shell", SlotClass::kCpu, false, "a shell script or a command", kShell, kShellRequired},
    {"template", SlotClass::kCpu, true, "a text by a Jinja2 template", kTemplate, kTemplateRequired},
}};

}  // namespace

std::span<const ExecutorFields> executor_table() { return kTable; }

const ExecutorFields* find_executor(std::string_view name) {
  for (const ExecutorFields& row : kTable) {
    if (row.executor == name) return &row;
  }
  return nullptr;
}

const ExecutorFields& fields_of_executor(std::string_view name) {
  static constexpr ExecutorFields kOwn{
      "custom", SlotClass::kCpu, true, "an executor of your own, declared in `executors`", kCustom, {}};
  const ExecutorFields* known = find_executor(name);
  return known == nullptr ? kOwn : *known;
}

}  // namespace millrace
