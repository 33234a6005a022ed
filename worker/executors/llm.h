// The executor `llm`: a chat completion of an OpenAI-compatible endpoint. Of the io class: no slot, no thread.
//
// Output: {"text", "model", "provider", "finish_reason", "usage", "cost"}, with `tools` also "tool_calls", with
// `schema` also "json". `usage` is {prompt_tokens, completion_tokens, total_tokens}, null where the endpoint does not
// tell; `cost` is null without a configured price. While it streams, the text comes as news of type kTaskTokens:
// {"text": "..."}. A target is asked again after 429, 408, 5xx, broken connections and answers that do not fit, as
// often as `retries` says: after Retry-After, else after 0.5 s, doubling; then the next of `fallbacks` is asked.
#pragma once

#include <memory>

#include "common/net/egress.h"
#include "worker/executors/executor.h"
#include "worker/executors/llm_providers.h"
#include "worker/executors/secrets.h"

namespace millrace {

std::unique_ptr<Executor> make_llm_executor(LlmProviders providers, const Secrets& secrets, Egress& egress,
                                            Reactor& reactor, TaskObserver& observer);

}  // namespace millrace
