#include "worker/executors/completion.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr std::size_t kToolCallsMax = 256;

Error malformed(const std::string& what) {
  return Error{Code::kInvalid, "the answer is no chat completion: " + what, {}, ""};
}

std::string text_in(const Value& value, std::string_view name) {
  const Value* found = value.find(name);
  return found != nullptr && found->is_string() ? found->as_string() : std::string();
}

// The first of `choices`; null: none. An answer may also be an error with status 200.
Result<const Value*> first_choice(const Value& answer) {
  if (const Value* error = answer.find("error"); error != nullptr && !error->is_null()) {
    const std::string message = error->is_string() ? error->as_string() : text_in(*error, "message");
    return Error{Code::kFailed, message.empty() ? "the endpoint reports an error" : message, {}, ""};
  }
  const Value* choices = answer.find("choices");
  if (choices == nullptr || !choices->is_array()) return malformed("no 'choices'");
  return choices->as_array().empty() ? nullptr : &choices->as_array()[0];
}

// Lists of parts ({type: text, text}) are what some endpoints answer.
std::string content_of(const Value& message) {
  const Value* content = message.find("content");
  if (content == nullptr) return {};
  if (content->is_string()) return content->as_string();
  std::string out;
  if (content->is_array()) {
    for (const Value& part : content->as_array()) out += text_in(part, "text");
  }
  return out;
}

}  // namespace

Result<std::string> Completion::feed(std::string_view data) {
  if (data == "[DONE]") {
    done_ = true;
    return std::string();
  }
  const Result<Value> piece = Value::parse(data);
  if (!piece.ok()) return malformed(piece.error().what);
  if (std::string model = text_in(*piece, "model"); !model.empty()) model_ = std::move(model);
  if (const Value* usage = piece->find("usage"); usage != nullptr && usage->is_object()) usage_ = *usage;
  const Result<const Value*> choice = first_choice(*piece);
  if (!choice.ok()) return choice.error();
  if (*choice == nullptr) return std::string();
  if (std::string reason = text_in(**choice, "finish_reason"); !reason.empty()) finish_reason_ = std::move(reason);
  const Value* delta = (*choice)->find("delta");
  if (delta == nullptr) return std::string();
  if (const Value* calls = delta->find("tool_calls"); calls != nullptr && calls->is_array()) add_tool_calls(*calls);
  refusal_ += text_in(*delta, "refusal");
  std::string added = content_of(*delta);
  text_ += added;
  return added;
}

// Pieces of one call share an index; its arguments come bit by bit.
void Completion::add_tool_calls(const Value& deltas) {
  if (tool_calls_.is_null()) tool_calls_ = Value::Array{};
  Value::Array& calls = tool_calls_.as_array();
  for (const Value& delta : deltas.as_array()) {
    const Value* index = delta.find("index");
    const std::size_t at = index != nullptr && index->is_int() && index->as_int() >= 0
                               ? static_cast<std::size_t>(index->as_int())
                               : calls.size();
    if (at >= kToolCallsMax) continue;
    while (calls.size() <= at) {
      calls.push_back(Value::Object{
          {"id", ""}, {"type", "function"}, {"function", Value::Object{{"name", ""}, {"arguments", ""}}}});
    }
    Value& call = calls[at];
    if (std::string id = text_in(delta, "id"); !id.empty()) call.set("id", std::move(id));
    const Value* function = delta.find("function");
    if (function == nullptr) continue;
    const Value& before = *call.find("function");
    call.set("function", Value::Object{{"name", text_in(before, "name") + text_in(*function, "name")},
                                       {"arguments", text_in(before, "arguments") + text_in(*function, "arguments")}});
  }
}

Status Completion::document(std::string_view json) {
  const Result<Value> answer = Value::parse(json);
  if (!answer.ok()) return malformed(answer.error().what);
  const Result<const Value*> choice = first_choice(*answer);
  if (!choice.ok()) return choice.error();
  if (*choice == nullptr) return malformed("'choices' is empty");
  const Value* message = (*choice)->find("message");
  if (message == nullptr || !message->is_object()) return malformed("no 'message'");
  model_ = text_in(*answer, "model");
  if (const Value* usage = answer->find("usage"); usage != nullptr && usage->is_object()) usage_ = *usage;
  text_ = content_of(*message);
  refusal_ = text_in(*message, "refusal");
  finish_reason_ = text_in(**choice, "finish_reason");
  if (const Value* calls = message->find("tool_calls"); calls != nullptr && calls->is_array()) tool_calls_ = *calls;
  done_ = true;
  return Done{};
}

}  // namespace millrace
