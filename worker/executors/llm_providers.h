// Providers of language models, as the worker's configuration names them. Pure.
//
//   providers:
//     local: http://127.0.0.1:8089/v1            # short for {base_url: ...}
//     openai: {base_url: https://api.openai.com/v1, key: OPENAI_API_KEY, model: gpt-4o-mini,
//              prices: {gpt-4o-mini: {input: 0.15, output: 0.60}}}      # per million tokens
// Fails: parse() names the provider and the key.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace millrace {

struct LlmPrice {  // of a million tokens
  double input = 0;
  double output = 0;
};

struct LlmProvider {
  std::string base_url;
  std::string key;        // the name of a secret; empty: none is needed
  std::string key_value;  // instead of `key`: of the environment's OPENAI_API_KEY
  std::string model;      // where a node names none
  std::vector<std::pair<std::string, std::string>> headers;
  std::map<std::string, LlmPrice> prices;
};

using LlmProviders = std::map<std::string, LlmProvider>;

// Each value is a URL or a JSON object. `openai` is always there: OPENAI_BASE_URL and OPENAI_API_KEY of the
// environment, unless it is configured.
Result<LlmProviders> parse_providers(const std::map<std::string, std::string>& configured, const char* openai_base_url,
                                     const char* openai_key);

}  // namespace millrace
