#include "worker/executors/llm_providers.h"

#include "common/base/value.h"
#include "common/model/http_fields.h"
#include "common/model/workflow.h"

namespace millrace {
namespace {

constexpr const char* kOpenai = "openai";
constexpr const char* kOpenaiUrl = "https://api.openai.com/v1";

Error wrong(const std::string& provider, const std::string& what) {
  return Error{Code::kInvalid, "providers: " + provider + ": " + what, {}, ""};
}

Result<std::map<std::string, LlmPrice>> read_prices(const std::string& provider, const Value& value) {
  std::map<std::string, LlmPrice> out;
  if (!value.is_object()) return wrong(provider, "'prices' is no mapping of models to {input, output}");
  for (const auto& [model, price] : value.as_object()) {
    const Value* input = price.find("input");
    const Value* output = price.find("output");
    if (input == nullptr || output == nullptr || !input->is_number() || !output->is_number())
      return wrong(provider, "the price of '" + model + "' is no {input: NUMBER, output: NUMBER}");
    out[model] = {input->to_double(), output->to_double()};
  }
  return out;
}

Status read_member(const std::string& name, const std::string& key, const Value& value, LlmProvider& out) {
  if (key == "prices") {
    Result<std::map<std::string, LlmPrice>> prices = read_prices(name, value);
    if (!prices.ok()) return prices.error();
    out.prices = std::move(*prices);
    return Done{};
  }
  if (key == "headers") {
    Result<NamedTexts> headers = read_headers("headers", value);
    if (!headers.ok()) return wrong(name, headers.error().what);
    out.headers = std::move(*headers);
    return Done{};
  }
  if (key != "base_url" && key != "key" && key != "model")
    return wrong(name, "unknown key '" + key + "'; expected base_url, key, model, headers or prices");
  if (!value.is_string()) return wrong(name, "'" + key + "' is no text");
  (key == "base_url" ? out.base_url : key == "key" ? out.key : out.model) = value.as_string();
  return Done{};
}

Result<LlmProvider> read_provider(const std::string& name, const std::string& text) {
  LlmProvider out;
  if (text.starts_with("{")) {
    const Result<Value> value = Value::parse(text);
    if (!value.ok() || !value->is_object()) return wrong(name, "neither a URL nor an object");
    for (const auto& [key, member] : value->as_object()) {
      if (Status read = read_member(name, key, member, out); !read.ok()) return read.error();
    }
  } else {
    out.base_url = text;
  }
  if (!out.base_url.starts_with("http://") && !out.base_url.starts_with("https://"))
    return wrong(name, "'base_url' does not start with http:// or https://");
  while (out.base_url.ends_with('/')) out.base_url.pop_back();
  if (!out.key.empty() && !is_secret_name(out.key))
    return wrong(name, "'key' is not the name of a secret: letters, digits and '_'; the key itself stands nowhere");
  return out;
}

}  // namespace

Result<LlmProviders> parse_providers(const std::map<std::string, std::string>& configured, const char* openai_base_url,
                                     const char* openai_key) {
  LlmProviders out;
  LlmProvider openai;
  openai.base_url = openai_base_url != nullptr && *openai_base_url != '\0' ? openai_base_url : kOpenaiUrl;
  while (openai.base_url.ends_with('/')) openai.base_url.pop_back();
  if (openai_key != nullptr) openai.key_value = openai_key;
  out[kOpenai] = std::move(openai);
  for (const auto& [name, text] : configured) {
    Result<LlmProvider> provider = read_provider(name, text);
    if (!provider.ok()) return provider.error();
    out[name] = std::move(*provider);
  }
  return out;
}

}  // namespace millrace
