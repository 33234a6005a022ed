// The JSON Schema for editors and the parser say the same: same keys, same examples accepted, same bad files refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "common/model/executor_fields.h"
#include "common/spec/keys.h"
#include "common/spec/parse.h"
#include "common/spec/report.h"
#include "common/spec/yaml_value.h"
#include "tests/unit/spec/schema_checker.h"

namespace millrace {

const Value& SchemaChecker::resolve(const std::string& reference) const {
  EXPECT_TRUE(reference.starts_with("#/$defs/")) << reference;
  const Value* found = root_.find("$defs")->find(reference.substr(8));
  EXPECT_NE(found, nullptr) << reference;
  return found == nullptr ? root_ : *found;
}

std::string SchemaChecker::check(const Value& schema, const Value& value, const std::string& at) {
  for (const auto& [word, rule] : schema.as_object()) {
    std::string wrong = keyword(word, rule, schema, value, at);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

std::string SchemaChecker::keyword(const std::string& word, const Value& rule, const Value& schema, const Value& value,
                                   const std::string& at) {
  static const std::set<std::string> notes = {"$schema", "$id", "title", "description", "$defs"};
  static const std::set<std::string> object = {"properties",    "additionalProperties", "required",
                                               "propertyNames", "minProperties",        "maxProperties"};
  static const std::set<std::string> scalar = {"type",      "enum",      "const",   "pattern",
                                               "minLength", "maxLength", "minimum", "maximum"};
  static const std::set<std::string> combined = {"anyOf", "oneOf", "not", "items", "$ref"};
  if (notes.contains(word)) return "";
  if (object.contains(word)) return value.is_object() ? check_object(word, rule, schema, value, at) : "";
  if (scalar.contains(word)) return check_scalar(word, rule, value, at);
  if (combined.contains(word)) return check_combined(word, rule, value, at);
  unknown_.insert(word);
  return "";
}

std::string SchemaChecker::check_object(const std::string& word, const Value& rule, const Value& schema,
                                        const Value& value, const std::string& at) {
  const Value::Object& members = value.as_object();
  if (word == "minProperties") return std::ssize(members) < rule.as_int() ? at + " has too few members" : "";
  if (word == "maxProperties") return std::ssize(members) > rule.as_int() ? at + " has too many members" : "";
  if (word == "required") {
    for (const Value& key : rule.as_array()) {
      if (value.find(key.as_string()) == nullptr) return at + " lacks " + key.as_string();
    }
    return "";
  }
  for (const auto& [key, member] : members) {
    const std::string below = at + "." + key;
    const Value* properties = schema.find("properties");
    const bool listed = properties != nullptr && properties->find(key) != nullptr;
    std::string wrong;
    if (word == "propertyNames") wrong = check(rule, Value(key), below + " (name)");
    if (word == "properties" && listed) wrong = check(*properties->find(key), member, below);
    if (word == "additionalProperties" && !listed) {
      wrong = rule.is_bool() ? (rule.as_bool() ? "" : below + " is not a known key") : check(rule, member, below);
    }
    if (!wrong.empty()) return wrong;
  }
  return "";
}

std::string SchemaChecker::check_scalar(const std::string& word, const Value& rule, const Value& value,
                                        const std::string& at) {
  const std::string wrong = at + " breaks " + word + " " + rule.dump();
  if (word == "type") {
    const auto is = [&](const Value& type) {
      if (type.as_string() == "number") return value.is_number();
      return type.as_string() == value.kind_name();
    };
    const bool fits = rule.is_array() ? std::ranges::any_of(rule.as_array(), is) : is(rule);
    return fits ? "" : wrong;
  }
  if (word == "enum") return std::ranges::count(rule.as_array(), value) == 0 ? wrong : "";
  if (word == "const") return value == rule ? "" : wrong;
  if (word == "minimum") return value.is_number() && value.to_double() < rule.to_double() ? wrong : "";
  if (word == "maximum") return value.is_number() && value.to_double() > rule.to_double() ? wrong : "";
  if (!value.is_string()) return "";
  if (word == "minLength") return std::ssize(value.as_string()) < rule.as_int() ? wrong : "";
  if (word == "maxLength") return std::ssize(value.as_string()) > rule.as_int() ? wrong : "";
  return std::regex_search(value.as_string(), std::regex(rule.as_string())) ? "" : wrong;  // pattern
}

std::string SchemaChecker::check_combined(const std::string& word, const Value& rule, const Value& value,
                                          const std::string& at) {
  if (word == "$ref") return check(resolve(rule.as_string()), value, at);
  if (word == "not") return check(rule, value, at).empty() ? at + " is excluded" : "";
  if (word == "items") {
    if (!value.is_array()) return "";
    for (const Value& item : value.as_array()) {
      std::string wrong = check(rule, item, at + "[]");
      if (!wrong.empty()) return wrong;
    }
    return "";
  }
  int fitting = 0;
  std::string why;
  for (const Value& choice : rule.as_array()) {
    const std::string wrong = check(choice, value, at);
    if (wrong.empty()) ++fitting;
    else why += "; " + wrong;
  }
  const bool fits = word == "anyOf" ? fitting > 0 : fitting == 1;
  return fits ? "" : at + " fits " + std::to_string(fitting) + " of " + word + why;
}

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

const Value& schema() {
  static const Value value =
      Value::parse(read_file(fs::path(MILLRACE_SOURCE_DIR) / "docs/workflow.schema.json")).value();
  return value;
}

struct Named {
  std::string name;
  std::string text;
};

std::vector<Named> example_files() {
  std::vector<Named> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(MILLRACE_SOURCE_DIR) / "examples")) {
    if (entry.path().extension() == ".yaml") found.push_back({entry.path().filename(), read_file(entry.path())});
  }
  std::ranges::sort(found, {}, &Named::name);
  return found;
}

// Every ```yaml block of the document that is a whole workflow.
std::vector<Named> doc_snippets() {
  std::vector<Named> found;
  const std::string text = read_file(fs::path(MILLRACE_SOURCE_DIR) / "docs/workflow.md");
  constexpr std::string_view kOpen = "```yaml\n";
  for (std::size_t at = text.find(kOpen); at != std::string::npos; at = text.find(kOpen, at)) {
    at += kOpen.size();
    const std::size_t end = text.find("\n```", at);
    const std::string block = text.substr(at, end + 1 - at);
    const auto line = std::ranges::count(text.substr(0, at), '\n') + 1;
    if (("\n" + block).find("\nnodes:") != std::string::npos) {
      found.push_back({"workflow.md:" + std::to_string(line), block});
    }
    at = end;
  }
  return found;
}

std::string parser_says(const Named& file) {
  const Result<WorkflowSpec> spec = parse_workflow(file.text, file.name);
  if (spec.ok()) return "";
  std::string lines;
  for (const Problem& problem : spec.error().details) lines += format(problem) + "\n";
  return lines.empty() ? spec.error().what : lines;
}

std::string schema_says(const Named& file) {
  const Result<Value> value = parse_yaml_value(file.text, file.name);
  if (!value.ok()) return value.error().what;
  SchemaChecker checker(schema());
  std::string wrong = checker.check(*value);
  EXPECT_TRUE(checker.unknown_keywords().empty()) << *checker.unknown_keywords().begin();
  return wrong;
}

std::set<std::string> keys_of(const Value& definition) {
  std::set<std::string> keys;
  for (const auto& [key, value] : definition.find("properties")->as_object()) keys.insert(key);
  return keys;
}

template <class Range>
std::set<std::string> set_of(const Range& words) {
  return {std::begin(words), std::end(words)};
}

TEST(Schema, AndParserAcceptEveryExample) {
  const std::vector<Named> files = example_files();
  EXPECT_GE(files.size(), 5U);
  for (const Named& file : files) {
    EXPECT_EQ(parser_says(file), "") << file.name;
    EXPECT_EQ(schema_says(file), "") << file.name;
  }
}

TEST(Schema, AndParserAcceptEveryWorkflowInTheDocumentation) {
  const std::vector<Named> snippets = doc_snippets();
  EXPECT_GE(snippets.size(), 8U);
  for (const Named& snippet : snippets) {
    EXPECT_EQ(parser_says(snippet), "") << snippet.name;
    EXPECT_EQ(schema_says(snippet), "") << snippet.name;
  }
}

TEST(Schema, AndParserRefuseTheSameBadFiles) {
  const std::vector<std::string> bad = {
      "name: x",
      "nodes: {}",
      "nodes: [a]",
      "name: ''\nnodes: {a: {executor: noop}}",
      "name: ' x'\nnodes: {a: {executor: noop}}",
      "name: 5\nnodes: {a: {executor: noop}}",
      "nodez: {}\nnodes: {a: {executor: noop}}",
      "fail_fast: yes\nnodes: {a: {executor: noop}}",
      "timeout: 30\nnodes: {a: {executor: noop}}",
      "timeout: 30 s\nnodes: {a: {executor: noop}}",
      "priority: high\nnodes: {a: {executor: noop}}",
      "outputs: [x]\nnodes: {a: {executor: noop}}",
      "inputs: {'a b': string}\nnodes: {a: {executor: noop}}",
      "inputs: {a: text}\nnodes: {a: {executor: noop}}",
      "inputs: {a: {typ: string}}\nnodes: {a: {executor: noop}}",
      "inputs: {a: {required: 1}}\nnodes: {a: {executor: noop}}",
      "inputs: [a]\nnodes: {a: {executor: noop}}",
      "nodes: {item: {executor: noop}}",
      "nodes: {'a b': {executor: noop}}",
      "nodes: {" + std::string(65, 'a') + ": {executor: noop}}",
      "nodes: {a: noop}",
      "nodes: {a: {}}",
      "nodes: {a: {executor: bash, script: x}}",
      "executors: resize\nnodes: {a: {executor: noop}}",
      "executors: ['a b']\nnodes: {a: {executor: noop}}",
      "executors: [shell]\nnodes: {a: {executor: noop}}",
      "executors: [resize]\nnodes: {a: {executor: resize, width: 3}}",
      "nodes: {a: {executor: noop, value: 1}}",
      "nodes: {a: {executor: noop, script: x}}",
      "nodes: {a: {value: 1, retry: {}}}",
      "nodes: {a: {executor: python}}",
      "nodes: {a: {executor: python, script: 5}}",
      "nodes: {a: {executor: shell, env: {}}}",
      "nodes: {a: {executor: shell, command: echo}}",
      "nodes: {a: {executor: shell, command: [[x]]}}",
      "nodes: {a: {executor: shell, command: [x], env: {A: null}}}",
      "nodes: {a: {executor: shell, script: x, cwd: 1}}",
      "nodes: {a: {executor: noop, delay: 5}}",
      "nodes: {a: {executor: noop, depends_on: {b: 1}}}",
      "nodes: {a: {executor: noop, depends_on: [item]}}",
      "nodes: {a: {executor: noop, retry: 3}}",
      "nodes: {a: {executor: noop, retry: {max_attempts: 0}}}",
      "nodes: {a: {executor: noop, retry: {tries: 2}}}",
      "nodes: {a: {executor: noop, retry: {backoff: {factor: 0.5}}}}",
      "nodes: {a: {executor: noop, retry: {backoff: {initial: soon}}}}",
      "nodes: {a: {executor: noop, on_loss: maybe}}",
      "nodes: {a: {executor: noop, queue: ''}}",
      "nodes: {a: {executor: noop, when: inputs.x}}",
      "nodes: {a: {executor: noop, when: 'x {{ true }}'}}",
      "nodes: {a: {executor: noop, when: 5}}",
      "nodes: {a: {executor: noop, join: some}}",
      "nodes: {a: {executor: noop, join: 0}}",
      "nodes: {a: {executor: noop, on_upstream_failure: go}}",
      "nodes: {a: {executor: noop, fallback: 5}}",
      "nodes: {a: {executor: noop, timeout: {}}}",
      "nodes: {a: {executor: noop, timeout: {run: 5s}}}",
      "deadline: soon\nnodes: {a: {executor: noop}}",
      "nodes: {g: {nodes: {}}}",
      "nodes: {g: {nodes: {a: {executor: noop}}, retry: {max_attempts: 2}}}",
      "nodes: {g: {nodes: {a: {executor: noop}}, loop: {until: true}}}",
      "nodes: {a: {executor: noop, fallback: {}}}",
      "nodes: {a: {executor: noop, fallback: {value: 1, node: b}}, b: {executor: noop}}",
      "nodes: {a: {value: 1, fallback: {value: 2}}}",
      "nodes: {a: {set: {}}}",
      "nodes: {a: {set: {'1x': 1}}}",
      "nodes: {a: {set: {x: 1}, retry: {max_attempts: 2}}}",
      "nodes: {vars: {value: 1}}",
      "nodes: {a: {branch: 5}}",
      "nodes: {a: {wait: 5}}",
      "nodes: {a: {executor: noop, on_failure: {}}}",
      "nodes: {a: {executor: noop, compensate: [b, c]}, b: {executor: noop}, c: {executor: noop}}",
      "nodes: {a: {executor: noop}}\nfinally: {b: {}}",
      "nodes: {a: {executor: noop}}\nfinally: 5.5",
      "nodes: {a: {executor: noop, retry: {on: []}}}",
      "nodes: {a: {executor: noop, retry: {on: ['']}}}",
      "nodes: {a: {executor: noop, retry: {backoff: {jitter: 2}}}}",
      "nodes: {a: {wait: {}}}",
      "nodes: {a: {wait: {for: 1s, until: '2026-01-31T08:00:00Z'}}}",
      "nodes: {a: {wait: {until: tomorrow}}}",
      "nodes: {a: {wait: 1s, timeout: 5s}}",
      "nodes: {a: {signal: 'a b'}}",
      "nodes: {a: {executor: workflow}}",
      "nodes: {a: {executor: workflow, workflow: w, with: 5}}",
      "nodes: {a: {executor: workflow, workflow: w, on_loss: fail}}",
      "nodes: {a: {executor: workflow, workflow: '{{ inputs.w }}'}}",
      "nodes: {a: {executor: workflow, workflow: w, foreach: [1], chunk: 2}}",
      "nodes: {a: {executor: workflow, workflow: w, foreach: [1], collect: '{{ output }}'}}",
      "executors: [workflow]\nnodes: {a: {value: 1}}",
      "nodes: {a: {signal: {timeout: 1s}}}",
      "nodes: {a: {signal: go, timeout: soon}}",
      "nodes: {a: {approval: boss}}",
      "nodes: {a: {approval: {deadline: 1d, default: maybe}}}",
      "nodes: {a: {approval: {role: boss}}}",
      "nodes: {a: {branch: {}}}",
      "nodes: {a: {branch: [{to: b}]}, b: {executor: noop}}",
      "nodes: {a: {branch: [{when: true}]}, b: {executor: noop}}",
      "nodes: {a: {branch: [{when: true, to: b}], retry: {}}, b: {executor: noop}}",
      "nodes: {a: {branch: {cases: [{when: true, to: b}], choose: one}}, b: {executor: noop}}",
      "nodes: {a: {executor: noop, requires: gpu}}",
      "nodes: {a: {executor: noop, requires: {gpu: null}}}",
      "nodes: {a: {executor: noop, requires: {gpu: {is: a100}}}}",
      "nodes: {a: {executor: noop, requires: {gpu: {}}}}",
      "nodes: {a: {executor: noop, requires: {gpu: [[a]]}}}",
      "nodes: {a: {executor: noop, requires: {'a=b': c}}}",
      "nodes: {a: {executor: noop, resources: 2}}",
      "nodes: {a: {executor: noop, resources: {cpu: 0}}}",
      "nodes: {a: {executor: noop, resources: {cpu: many}}}",
      "nodes: {a: {executor: noop, resources: {memory: 4}}}",
      "nodes: {a: {executor: noop, resources: {memory: 4 gigs}}}",
      "nodes: {a: {executor: noop, resources: {license: 0.5}}}",
      "nodes: {a: {executor: noop, resources: {'a b': 1}}}",
      "nodes: {a: {executor: noop, affinity: x}}",
      "nodes: {a: {executor: noop, affinity: {near: x}}}",
      "nodes: {a: {executor: noop, affinity: {sticky: ''}}}",
      "nodes: {a: {executor: noop, anti_affinity: {sticky: x}}}",
      "nodes: {a: {executor: noop, anti_affinity: [1]}}",
      "nodes: {a: {executor: noop, description: [x]}}",
      "nodes: {a: {executor: http}}",
      "nodes: {a: {executor: http, url: example.org}}",
      "nodes: {a: {executor: http, url: 'http://x', method: FETCH}}",
      "nodes: {a: {executor: http, url: 'http://x', auth: {token: x}}}",
      "nodes: {a: {executor: http, url: 'http://x', body: {json: 1, raw: x}}}",
      "nodes: {a: {executor: http, url: 'http://x', success: 999}}",
      "nodes: {a: {executor: http, url: 'http://x', retry_on: [7xx]}}",
      "nodes: {a: {executor: http, url: 'http://x', response: xml}}",
      "nodes: {a: {executor: http, url: 'http://x', response_max: many}}",
      "nodes: {a: {executor: http, url: 'http://x', follow: maybe}}",
      "nodes: {a: {executor: http, url: 'http://x', headers: {A: [x]}}}",
      "nodes: {a: {executor: python, script: x, limits: {cpus: 1}}}",
      "nodes: {a: {executor: shell, script: x, limits: {files: 0}}}",
      "nodes: {a: {executor: python, script: x, file: y}}",
      "nodes: {a: {executor: python, function: main}}",
      "nodes: {a: {executor: python, script: x, requirements: 5}}",
      "nodes: {a: {executor: python, script: x, requirements: [numpy]}}",
      "nodes: {a: {executor: python, script: x, requirements: ['numpy>=1']}}",
      "nodes: {a: {executor: python, script: x, requirements: ['numpy==1 --index-url http://x']}}",
      "nodes: {a: {executor: container, command: [x]}}",
      "nodes: {a: {executor: javascript}}",
      "nodes: {a: {executor: shell, script: x, outputs: xml}}",
      "nodes: {a: {executor: shell, script: x, exit_codes: {0: fine}}}",
      "nodes: {a: {executor: shell, script: x, exit_codes: {256: fail}}}",
      "nodes: {a: {executor: template}}",
      "nodes: {a: {executor: template, template: x, file: y}}",
      "nodes: {a: {executor: template, template: x, outputs: lines}}",
      "nodes: {a: {executor: llm, model: m}}",
      "nodes: {a: {executor: llm, messages: []}}",
      "nodes: {a: {executor: llm, prompt: x, api_key: sk-1}}",
      "nodes: {a: {executor: llm, prompt: x, retries: 11}}",
      "nodes: {a: {executor: llm, prompt: x, schema: [x]}}",
      "nodes: {a: {executor: llm, prompt: x, parameters: 5}}",
      "nodes: {a: {executor: llm, prompt: x, fallbacks: m}}",
      "nodes: {a: {executor: noop}}\ntriggers: [a]",
      "nodes: {a: {executor: noop}}\ntriggers: {'a b': {schedule: '@daily'}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: '@daily'}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: '0 2 * *'}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: 5}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: {timezone: UTC}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: {cron: '@daily', timezone: ''}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: {cron: '@daily', jitter: 5}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: {cron: '@daily', overlap: wait}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: {cron: '@daily', catch_up: some}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: {cron: '@daily', catch_up: all, catch_up_limit: 0}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: '@daily', inputs: 5}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: '@daily', when: 5}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: '@daily', run_end: w}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {run_end: {statuses: failed}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {run_end: {workflow: w, statuses: []}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {run_end: {workflow: w, statuses: [running]}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {run_end: w, filter: yes}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {run_end: w, filter: event.run}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: {}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {stream: {redis: r}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {keyspace: {redis: r}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {keyspace: {redis: r, pattern: p, events: []}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {stream: {redis: 'redis://x:y@z', key: k}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {stream: {redis: r, key: k, start: 5}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {stream: {redis: r, key: ''}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: 'a b'}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: S, run_end: w}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: {secret: S, auth: basic}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: {secret: S, auth: bearer, signature: X-Sig}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: {secret: S, signature: 'X Sig'}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: {secret: S, headers: X}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: {secret: S, path: /x}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: S, debounce: 5}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: S, debounce: {longest: 5s}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: S, batch: {max: 5}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: S, batch: {max: 0, window: 5s}}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {webhook: S, batch: {max: 2, window: 5s}, debounce: 5s}}",
      "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: '@daily', debounce: 5s}}",
  };
  for (const std::string& text : bad) {
    EXPECT_NE(parser_says({"bad", text}), "") << text;
    EXPECT_NE(schema_says({"bad", text}), "") << text;
  }
}

TEST(Schema, AndParserAcceptEveryWayToSayWhatIsRun) {
  for (const std::string& node : std::vector<std::string>{
           "executor: python, script: x",
           "executor: python, file: x.py",
           "executor: python, function: 'm:f', venv: /v",
           "executor: python, script: x, requirements: requirements.txt",
           "executor: python, script: x, requirements: ['numpy==1.26.4', 'a[b,c] == 1; python_version > \"3\"']",
           "executor: python, script: x, requirements: ['x==1 --hash=sha256:0a']",
           "executor: shell, script: x",
           "executor: shell, command: [x]",
           "executor: template, template: x",
           "executor: template, file: x",
           "executor: llm, prompt: x",
           "executor: llm, messages: [{role: user, content: x}]",
       }) {
    const Named file{"good", "nodes: {a: {" + node + "}}"};
    EXPECT_EQ(parser_says(file), "") << node;
    EXPECT_EQ(schema_says(file), "") << node;
  }
}

TEST(Schema, HasTheParsersKeys) {
  const Value& defs = *schema().find("$defs");
  EXPECT_EQ(keys_of(schema()), set_of(keys::kWorkflow));
  EXPECT_EQ(keys_of(*defs.find("valueNode")), set_of(keys::kValueNode));
  EXPECT_EQ(keys_of(*defs.find("setNode")), set_of(keys::kSetNode));
  EXPECT_EQ(keys_of(*defs.find("branchNode")), set_of(keys::kBranchNode));
  EXPECT_EQ(keys_of(*defs.find("waitNode")), set_of(keys::kWaitNode));
  EXPECT_EQ(keys_of(*defs.find("signalNode")), set_of(keys::kSignalNode));
  EXPECT_EQ(keys_of(*defs.find("approvalNode")), set_of(keys::kApprovalNode));
  EXPECT_EQ(keys_of(*defs.find("childNode")), set_of(keys::kChildNode));
  EXPECT_EQ(keys_of(*defs.find("groupNode")), set_of(keys::kGroupNode));
  EXPECT_EQ(keys_of(*defs.find("groupNode")->find("properties")->find("loop")), set_of(keys::kLoop));
  const auto inside = [&](const char* node, const char* key) {
    return *defs.find(node)->find("properties")->find(key);
  };
  EXPECT_EQ(keys_of(inside("waitNode", "wait").find("anyOf")->as_array().at(1)), set_of(keys::kWait));
  EXPECT_EQ(keys_of(inside("signalNode", "signal").find("anyOf")->as_array().at(1)), set_of(keys::kSignal));
  EXPECT_EQ(keys_of(inside("approvalNode", "approval")), set_of(keys::kApproval));
  EXPECT_EQ(keys_of(defs.find("fallback")->find("anyOf")->as_array().at(1)), set_of(keys::kFallback));
  EXPECT_EQ(keys_of(*defs.find("cache")), set_of(keys::kCache));
  EXPECT_EQ(keys_of(*defs.find("retry")), set_of(keys::kRetry));
  EXPECT_EQ(keys_of(defs.find("timeout")->find("anyOf")->as_array().at(1)), set_of(keys::kTimeout));
  EXPECT_EQ(keys_of(*defs.find("retry")->find("properties")->find("backoff")), set_of(keys::kBackoff));
  EXPECT_EQ(keys_of(defs.find("input")->find("anyOf")->as_array().at(2)), set_of(keys::kInput));
  EXPECT_EQ(keys_of(*defs.find("trigger")), set_of(keys::kTrigger));
  const Value schedule = defs.find("trigger")->find("properties")->find("schedule")->find("anyOf")->as_array().at(1);
  EXPECT_EQ(keys_of(schedule), set_of(keys::kSchedule));
  const Value run_end = defs.find("trigger")->find("properties")->find("run_end")->find("anyOf")->as_array().at(1);
  EXPECT_EQ(keys_of(run_end), set_of(keys::kRunEnd));
  const Value& trigger = *defs.find("trigger")->find("properties");
  EXPECT_EQ(keys_of(trigger.find("webhook")->find("anyOf")->as_array().at(1)), set_of(keys::kWebhook));
  EXPECT_EQ(keys_of(trigger.find("debounce")->find("anyOf")->as_array().at(1)), set_of(keys::kDebounce));
  EXPECT_EQ(keys_of(*trigger.find("stream")), set_of(keys::kStream));
  EXPECT_EQ(keys_of(*trigger.find("keyspace")), set_of(keys::kKeyspace));
  EXPECT_EQ(keys_of(*trigger.find("batch")), set_of(keys::kBatch));
  std::set<std::string> types;
  for (const Value& type : defs.find("inputType")->find("enum")->as_array()) types.insert(type.as_string());
  EXPECT_EQ(types, set_of(keys::kInputTypes));
}

TEST(Schema, HasTheFieldsOfAnExecutorOfYourOwn) {
  const Value& node = *schema().find("$defs")->find("customNode");
  std::set<std::string> keys = set_of(keys::kNode);
  for (const FieldSpec& field : fields_of_executor("resize").fields) {
    keys.insert(std::string(field.name));
    EXPECT_EQ(node.find("properties")->find(field.name)->find("description")->as_string(), field.description);
  }
  EXPECT_EQ(keys_of(node), keys);
}

TEST(Schema, HasEveryExecutorWithItsFields) {
  const Value& defs = *schema().find("$defs");
  std::set<std::string> nodes = {"#/$defs/approvalNode", "#/$defs/childNode",  "#/$defs/groupNode",
                                 "#/$defs/setNode",      "#/$defs/customNode", "#/$defs/branchNode",
                                 "#/$defs/signalNode",   "#/$defs/valueNode",  "#/$defs/waitNode"};
  for (const ExecutorFields& executor : executor_table()) {
    const std::string name = std::string(executor.executor) + "Node";
    nodes.insert("#/$defs/" + name);
    ASSERT_NE(defs.find(name), nullptr) << name;
    std::set<std::string> keys = set_of(keys::kNode);
    for (const FieldSpec& field : executor.fields) {
      keys.insert(std::string(field.name));
      const Value* described = defs.find(name)->find("properties")->find(field.name);
      ASSERT_NE(described, nullptr) << field.name;
      EXPECT_EQ(described->find("description")->as_string(), field.description);
    }
    EXPECT_EQ(keys_of(*defs.find(name)), keys);
  }
  std::set<std::string> listed;
  for (const Value& choice : defs.find("node")->find("oneOf")->as_array()) {
    listed.insert(choice.find("$ref")->as_string());
  }
  EXPECT_EQ(listed, nodes);
}

// The goldens are what a coordinator says: tests/unit/coordinator_shell/operators_test.cc and hooks_test.cc.
TEST(HttpSchemas, DescribeWhatACoordinatorSaysAndNothingElse) {
  const fs::path top = MILLRACE_SOURCE_DIR;
  for (const std::string name : {"scale.json", "hook.json"}) {
    const Value schema = Value::parse(read_file(top / "docs/http-schemas" / name)).value();
    const Value said = Value::parse(read_file(top / "tests/unit/coordinator_shell/golden" / name)).value();
    SchemaChecker checker(schema);
    EXPECT_EQ(checker.check(said), "") << name;
    EXPECT_EQ(checker.unknown_keywords(), std::set<std::string>());
    for (const Value::Member& member : said.as_object()) {
      Value::Object less = said.as_object();
      std::erase_if(less, [&](const Value::Member& one) { return one.first == member.first; });
      EXPECT_NE(checker.check(Value(less)), "") << name << " without " << member.first;
    }
  }
}

TEST(Keys, OfInputTypesAreTheModels) {
  for (std::string_view word : keys::kInputTypes) EXPECT_TRUE(parse_input_type(word).has_value()) << word;
}

}  // namespace
}  // namespace millrace
