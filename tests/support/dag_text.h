// Workflows as tests write them: "(fail_fast=false; timeout=5s) a[retry=3] b -> c -> d, a -> d".
//
// Chains are separated by commas; several names before or after an arrow stand side by side. A node's settings stand in
// brackets behind its first mention: executor, retry, losses, backoff (100ms or 100ms*2..10s), timeout, priority,
// on_loss, queue, requires (gpu=a100|h100 zone!=b ssd=*), resources (cpu:2 memory:4GiB), sticky and apart (a node or a
// key), value (JSON or text with expressions), set (likewise, of variables), when, join (any or a number),
// failures=run, fallback, branch and first (CONDITION ? x y | CONDITION ? z | w), wait (10s), until, signal (a name),
// approval (roles), child (NAME or NAME@VERSION), with, limit (of all attempts; of a signal, an approval or a child: of
// the wait), handlers (nodes that run if it fails), compensate, instead (the node that stands in for it), gate, round,
// rounds and rounds_end (of a loop), cache (a key, or *), ttl, old (fallback: cached), does (fields), on (retry.on,
// words), default (of these: JSON, approve, reject), message, foreach (JSON or text; an object with "to" is a range),
// chunk, parallel, on_item_error and collect. Settings of the workflow stand in front, in parentheses: fail_fast,
// timeout, deadline, priority, output.NAME. Nodes are numbered in the order of their first mention. What cannot be read
// fails the test that wrote it.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/units.h"
#include "common/graph/dag.h"
#include "common/model/workflow.h"

namespace millrace::test {

class DagText {
 public:
  static WorkflowSpec parse(std::string_view text) {
    DagText parser(text);
    parser.workflow_.name = "test";
    parser.skip();
    if (parser.peek() == '(') {
      for (const auto& [key, value] : parser.settings('(', ')')) parser.set_workflow(key, value);
    }
    do parser.chain();
    while (parser.take(','));
    if (parser.at_ < text.size()) parser.fail("expected a name, '->' or ','");
    const auto nodes = static_cast<std::uint32_t>(parser.workflow_.ids.size());
    parser.workflow_.upstream = make_adjacency(nodes, std::move(parser.edges_));
    return std::move(parser.workflow_);
  }

 private:
  using Settings = std::vector<std::pair<std::string, std::string>>;

  explicit DagText(std::string_view text) : text_(text) {}

  [[noreturn]] void fail(const std::string& what) const {
    std::cerr << "workflow text \"" << text_ << "\" at " << at_ << ": " << what << "\n";
    std::abort();
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip() {
    while (peek() == ' ' || peek() == '\n') ++at_;
  }
  bool take(char c) {
    skip();
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  static bool is_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '/';
  }

  void chain() {
    std::vector<std::uint32_t> before;
    while (true) {
      std::vector<std::uint32_t> here;
      for (skip(); is_name(peek()); skip()) here.push_back(node());
      if (here.empty()) fail("expected a name");
      for (std::uint32_t up : before) {
        for (std::uint32_t down : here) edges_.emplace_back(down, up);
      }
      if (peek() != '-') return;
      if (text_.substr(at_, 2) != "->") fail("expected '->'");
      at_ += 2;
      before = std::move(here);
    }
  }

  std::uint32_t node() {
    std::string id;
    while (is_name(peek())) id += text_[at_++];
    auto [it, fresh] = index_.try_emplace(id, static_cast<std::uint32_t>(workflow_.ids.size()));
    if (fresh) {
      workflow_.ids.push_back(id);
      NodeSpec spec;
      spec.executor = "noop";
      spec.fields = Value::Object{};
      workflow_.specs.push_back(std::move(spec));
    }
    if (peek() == '[') {
      for (const auto& [key, value] : settings('[', ']')) set_node(workflow_.specs[it->second], key, value);
    }
    return it->second;
  }

  Settings settings(char open, char close) {
    Settings found;
    ++at_;
    while (true) {
      skip();
      std::string key;
      while (is_name(peek())) key += text_[at_++];
      if (key.empty() || !take('=')) fail("expected key=value");
      std::string value;
      for (int depth = 0; depth > 0 || (peek() != ';' && peek() != close); value += text_[at_++]) {
        if (peek() == '\0') fail("a setting does not end");
        if (peek() == open) ++depth;
        if (peek() == close) --depth;
      }
      while (value.ends_with(' ')) value.pop_back();
      found.emplace_back(std::move(key), std::move(value));
      if (text_[at_++] == close) return found;
    }
  }

  // "CONDITION ? x y | CONDITION ? z | w": the last without a condition is the default. The edges are written as any.
  static void set_branch(NodeSpec& spec, const std::string& text, bool first) {
    spec.executor.clear();
    BranchSpec& branch = spec.flow.branch.emplace();
    branch.first = first;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, '|');) {
      const std::size_t mark = part.find('?');
      std::vector<std::string> ids;
      for_each_word(mark == std::string::npos ? part : part.substr(mark + 1),
                    [&](const std::string& id) { ids.push_back(id); });
      if (mark == std::string::npos) {
        branch.otherwise = std::move(ids);
        continue;
      }
      std::string when = part.substr(0, mark);
      while (when.ends_with(' ')) when.pop_back();
      while (when.starts_with(' ')) when.erase(0, 1);
      branch.cases.push_back({json_or_text(when), std::move(ids)});
    }
  }

  static void set_wait(NodeSpec& spec, const std::string& key, const std::string& value) {
    spec.executor.clear();
    WaitSpec& wait = spec.flow.wait.emplace();
    if (key == "child") {
      wait.kind = WaitKind::kChild;
      const std::size_t at = value.find('@');
      wait.workflow = value.substr(0, at);
      if (at != std::string::npos) wait.version = static_cast<std::uint32_t>(std::stoul(value.substr(at + 1)));
    } else if (key == "signal") {
      wait.kind = WaitKind::kSignal;
      wait.signal = value;
    } else if (key == "approval") {
      wait.kind = WaitKind::kApproval;
      for_each_word(value, [&](const std::string& role) { wait.roles.push_back(role); });
    } else {
      wait.limit = json_or_text(value);
      wait.until = key == "until";
    }
  }

  static Value json_or_text(const std::string& text) {
    Result<Value> value = Value::parse(text);
    return value.ok() ? std::move(value).value() : Value(text);
  }

  void set_node(NodeSpec& spec, const std::string& key, const std::string& value) {
    if (key == "executor") spec.executor = value;
    else if (key == "retry") spec.retry.attempts_max = static_cast<std::uint32_t>(std::stoul(value));
    else if (key == "losses") spec.retry.losses_max = static_cast<std::uint32_t>(std::stoul(value));
    else if (key == "backoff") set_backoff(spec.retry.backoff, value);
    else if (key == "timeout") spec.timeout = parse_duration(value).value();
    else if (key == "limit" && !spec.flow.wait) spec.limit = parse_duration(value).value();
    else if (key == "priority") spec.priority = std::stoi(value);
    else if (key == "on_loss") spec.on_loss = value == "fail" ? OnLoss::kFail : OnLoss::kRetry;
    else if (key == "queue") spec.queue = value;
    else if (key == "requires")
      for_each_word(value, [&](const std::string& word) { spec.labels.push_back(rule(word)); });
    else if (key == "resources") spec.resources = resources_of(value);
    else if (key == "sticky") spec.sticky.push_back({index_.contains(value), value});
    else if (key == "apart")
      for_each_word(value, [&](const std::string& word) { spec.apart.push_back({index_.contains(word), word}); });
    else if (key == "value") spec.executor.clear(), spec.value = json_or_text(value);
    else if (key == "set") spec.executor.clear(), spec.value = json_or_text(value), spec.flow.sets = true;
    else if (key == "when") spec.flow.when = json_or_text(value);
    else if (key == "join") spec.flow.join = value == "any" ? 1 : static_cast<std::uint32_t>(std::stoul(value));
    else if (key == "failures") spec.flow.on_upstream_failure = OnUpstreamFailure::kRun;
    else if (key == "foreach") set_foreach(spec, json_or_text(value));
    else if (key == "chunk") spec.flow.foreach->chunk = static_cast<std::uint32_t>(std::stoul(value));
    else if (key == "parallel") spec.flow.foreach->parallel_max = static_cast<std::uint32_t>(std::stoul(value));
    else if (key == "on_item_error")
      spec.flow.foreach->on_error = value == "drop"       ? OnItemError::kDrop
                                    : value == "continue" ? OnItemError::kContinue
                                                          : OnItemError::kFail;
    else if (key == "collect") spec.flow.foreach->collect = json_or_text(value);
    else if (key == "instead") spec.flow.stand_in = value;
    else if (key == "cache") set_cache(spec, value);
    else if (key == "ttl") spec.flow.cache.value().ttl = parse_duration(value).value();
    else if (key == "old") spec.flow.fallback_cached = true;
    else if (key == "does") spec.fields = json_or_text(value);
    else if (key == "gate") spec.flow.gate = value;
    else if (key == "round") spec.flow.round = static_cast<std::uint32_t>(std::stoul(value));
    else if (key == "rounds") spec.flow.loop = LoopSpec{static_cast<std::uint32_t>(std::stoul(value)), true};
    else if (key == "rounds_end") spec.flow.loop = LoopSpec{static_cast<std::uint32_t>(std::stoul(value)), false};
    else if (key == "fallback") spec.flow.fallback = json_or_text(value);
    else if (key == "wait" || key == "until" || key == "signal" || key == "approval" || key == "child")
      set_wait(spec, key, value);
    else if (key == "compensate") spec.flow.compensate = value;
    else if (key == "handlers")
      for_each_word(value, [&](const std::string& id) { spec.flow.on_failure.push_back(id); });
    else if (key == "on") spec.retry.on.push_back(value);
    else if (key == "with") spec.flow.wait.value().with = json_or_text(value);
    else if (key == "limit") spec.flow.wait.value().limit = json_or_text(value);
    else if (key == "message") spec.flow.wait.value().message = json_or_text(value);
    else if (key == "default") {
      WaitSpec& wait = spec.flow.wait.value();
      if (wait.kind == WaitKind::kSignal) wait.otherwise = json_or_text(value);
      else wait.decides = value == "approve" ? ApprovalDefault::kApprove : ApprovalDefault::kReject;
    } else if (key == "branch" || key == "first") set_branch(spec, value, key == "first");
    else fail("unknown setting '" + key + "' of a node");
  }
  static void set_cache(NodeSpec& spec, const std::string& key) {  // "*": of all that it sees
    CacheSpec& cache = spec.flow.cache.emplace();
    if (key != "*") cache.key = json_or_text(key);
    cache.ttl = 1h;
  }
  static void set_foreach(NodeSpec& spec, Value over) {
    ForeachSpec& foreach = spec.flow.foreach.emplace();
    if (over.is_object() && over.find("to") != nullptr)
      foreach
        .kind = ForeachKind::kRange;
    foreach
      .over = std::move(over);
  }
  template <class Take>
  static void for_each_word(const std::string& text, Take take) {
    std::istringstream in(text);
    for (std::string word; in >> word;) take(word);
  }
  static LabelRule rule(const std::string& word) {
    const std::size_t equals = word.find('=');
    LabelRule rule{word.substr(0, equals), word[equals - 1] == '!', {}};
    if (rule.negated) rule.label.pop_back();
    std::string values = word.substr(equals + 1);
    std::ranges::replace(values, '|', ' ');
    if (values != "*") for_each_word(values, [&](const std::string& value) { rule.values.push_back(value); });
    return rule;
  }

 public:
  static Resources resources_of(const std::string& text) {
    Resources out;
    for_each_word(text, [&](const std::string& word) {
      const std::string name = word.substr(0, word.find(':'));
      out.push_back({name, parse_amount(name, word.substr(name.size() + 1)).value()});
    });
    std::ranges::sort(out);
    return out;
  }

 private:
  static void set_backoff(BackoffPolicy& backoff, const std::string& text) {
    const std::size_t star = text.find('*');
    backoff.initial = parse_duration(text.substr(0, star)).value();
    if (star == std::string::npos) return;
    const std::size_t dots = text.find("..");
    backoff.factor = std::stod(text.substr(star + 1, dots - star - 1));
    if (dots != std::string::npos) backoff.max = parse_duration(text.substr(dots + 2)).value();
  }

  void set_workflow(const std::string& key, const std::string& value) {
    if (key == "fail_fast") workflow_.fail_fast = value == "true";
    else if (key == "timeout") workflow_.timeout = parse_duration(value).value();
    else if (key == "deadline") workflow_.deadline = parse_deadline(value).value();
    else if (key == "on_failure")
      for_each_word(value, [&](const std::string& id) { workflow_.on_failure.push_back(id); });
    else if (key == "finally")
      for_each_word(value, [&](const std::string& id) { workflow_.finally_run.push_back(id); });
    else if (key == "priority") workflow_.priority = std::stoi(value);
    else if (key.starts_with("output.")) {
      workflow_.outputs_declared = true;
      workflow_.outputs.emplace_back(key.substr(7), json_or_text(value));
    } else {
      fail("unknown setting '" + key + "' of the workflow");
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  WorkflowSpec workflow_;
  std::map<std::string, std::uint32_t> index_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges_;
};

}  // namespace millrace::test
