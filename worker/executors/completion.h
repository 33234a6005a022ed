// Completion: the answer of a chat completion, put together from one JSON document or from the pieces of a stream.
// Pure.
//
// Promises: text and tool calls as the model gave them, usage where the endpoint tells it. Fails: feed() and document()
// with what is wrong with the answer.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/value.h"

namespace millrace {

class Completion {
 public:
  // One event of a stream; "[DONE]" ends it. Returns the text that it adds.
  Result<std::string> feed(std::string_view data);
  Status document(std::string_view json);

  bool finished() const { return done_ || !finish_reason_.empty(); }
  const std::string& text() const { return text_; }
  const std::string& model() const { return model_; }  // as the endpoint says it
  const Value& usage() const { return usage_; }        // {prompt_tokens, completion_tokens, total_tokens ...} or null
  const std::string& finish_reason() const { return finish_reason_; }
  const Value& tool_calls() const { return tool_calls_; }  // a list, or null
  const std::string& refusal() const { return refusal_; }  // of the model, where it gave one instead of an answer

 private:
  void add_tool_calls(const Value& deltas);
  std::string text_, model_, finish_reason_, refusal_;
  Value usage_, tool_calls_;
  bool done_ = false;
};

}  // namespace millrace
