// Triggers: `webhook`, `stream`, `keyspace`, and the keys that collect events: `debounce` and `batch`.
#include <algorithm>
#include <cctype>
#include <utility>

#include "common/model/secret.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

constexpr std::string_view kByBody = "body";  // `delivery: body`: no header names a delivery

bool is_scalar(const YamlNode& node) { return node.kind == YamlKind::kPlain || node.kind == YamlKind::kText; }

bool is_header_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("-_.!#$%&'*+^`|~").find(c) != std::string_view::npos;
}

// In lower case, as headers are told apart.
std::string read_header(Reader& reader, std::uint32_t index, const std::string& what) {
  std::string name = reader.read_string(index, what).value_or("x");
  if (name.empty() || name.size() > kHeaderNameMax || !std::ranges::all_of(name, is_header_char))
    reader.problem(index, what + " is " + kind_of(reader.at(index)), "the name of a header, like X-Hub-Signature-256");
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

void read_secret_name(Reader& reader, std::uint32_t index, const std::string& what, WebhookSpec& webhook) {
  webhook.secret = reader.read_string(index, what).value_or("x");
  if (const Status good = check_secret_name(webhook.secret); !good.ok())
    reader.problem(index, what + " is " + kind_of(reader.at(index)), "the name of a secret of the coordinators",
                   "millrace secret set NAME");
}

void read_headers(Reader& reader, std::uint32_t index, const std::string& what, WebhookSpec& webhook) {
  if (reader.at(index).kind != YamlKind::kSequence || reader.at(index).children.size() > kHookHeadersMax)
    return reader.problem(index, what + " is " + kind_of(reader.at(index)),
                          "a list of at most " + std::to_string(kHookHeadersMax) + " names of headers");
  for (const std::uint32_t item : reader.at(index).children) {
    std::string name = read_header(reader, item, "an item of " + what);
    if (name == "authorization")
      reader.problem(item, what + " names 'authorization', which is a secret", "other headers");
    webhook.headers.push_back(std::move(name));
  }
}

std::string read_server(Reader& reader, std::uint32_t index, const std::string& what) {
  std::string name = reader.read_string(index, what).value_or("x");
  if (name.empty() || name.size() > kStreamNameMax || name.find_first_of("=:/@ ") != std::string::npos)
    reader.problem(index, what + " is " + kind_of(reader.at(index)),
                   "a name that the coordinators know: --stream-redis NAME=URL");
  return name;
}

std::string read_key(Reader& reader, std::uint32_t index, const std::string& what, const char* expected) {
  std::string key = reader.read_string(index, what).value_or("x");
  if (key.empty() || key.size() > kStreamKeyMax)
    reader.problem(index, what + " is " + kind_of(reader.at(index)), expected);
  return key;
}

}  // namespace

void read_webhook(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger) {
  const std::string what = "'webhook' of " + where;
  WebhookSpec& webhook = trigger.webhook.emplace();
  if (is_scalar(reader.at(index))) return read_secret_name(reader, index, what, webhook);  // webhook: SECRET
  if (!reader.expect_mapping(index, what)) return;
  std::optional<std::uint32_t> signature_at;
  for (const Entry& entry : reader.entries(index)) {
    const std::string key = "'" + entry.name + "' in " + what;
    if (entry.name == "secret") read_secret_name(reader, entry.value, key, webhook);
    else if (entry.name == "auth") {
      const auto word = reader.read_word(entry.value, key, keys::kHookAuth);
      if (word && *word == keys::kHookAuth[1]) webhook.auth = HookAuth::kBearer;
    } else if (entry.name == "signature") {
      signature_at = entry.key;
      webhook.signature_header = read_header(reader, entry.value, key);
    } else if (entry.name == "delivery") {
      webhook.delivery_header = read_header(reader, entry.value, key);
      if (webhook.delivery_header == kByBody) webhook.delivery_header.clear();
    } else if (entry.name == "headers") read_headers(reader, entry.value, key, webhook);
    else reader.unknown_key(entry, what, keys::kWebhook);
  }
  if (webhook.secret.empty())
    reader.problem(index, what + " has no 'secret'", "the name of a secret: who does not know it may not send",
                   "{secret: NAME}");
  if (signature_at && webhook.auth == HookAuth::kBearer)
    reader.problem(*signature_at, "'signature' in " + what + " is not looked at with 'auth: bearer'", "one of both");
}

void read_stream(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger) {
  const std::string what = "'stream' of " + where;
  StreamSpec& stream = trigger.stream.emplace();
  if (!reader.expect_mapping(index, what)) return;
  for (const Entry& entry : reader.entries(index)) {
    const std::string key = "'" + entry.name + "' in " + what;
    if (entry.name == "redis") stream.redis = read_server(reader, entry.value, key);
    else if (entry.name == "key") stream.key = read_key(reader, entry.value, key, "the key of a stream");
    else if (entry.name == "start") {
      const auto word = reader.read_word(entry.value, key, keys::kStreamStart);
      stream.from_begin = word && *word == keys::kStreamStart[1];
    } else {
      reader.unknown_key(entry, what, keys::kStream);
    }
  }
  if (stream.redis.empty() || stream.key.empty())
    reader.problem(index, what + " needs 'redis' and 'key'", "{redis: NAME, key: KEY}");
}

void read_keyspace(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger) {
  const std::string what = "'keyspace' of " + where;
  KeyspaceSpec& keyspace = trigger.keyspace.emplace();
  if (!reader.expect_mapping(index, what)) return;
  for (const Entry& entry : reader.entries(index)) {
    const std::string key = "'" + entry.name + "' in " + what;
    if (entry.name == "redis") keyspace.redis = read_server(reader, entry.value, key);
    else if (entry.name == "pattern")
      keyspace.pattern = read_key(reader, entry.value, key, "a pattern of keys: orders:*");
    else if (entry.name == "events") {
      const YamlNode& list = reader.at(entry.value);
      if (list.kind != YamlKind::kSequence || list.children.empty() || list.children.size() > kKeyspaceEventsMax)
        reader.problem(entry.value, key + " is " + kind_of(list), "a list of events: [set, expired]");
      else
        for (const std::uint32_t item : list.children)
          keyspace.events.push_back(reader.read_string(item, "an item of " + key).value_or(""));
    } else {
      reader.unknown_key(entry, what, keys::kKeyspace);
    }
  }
  if (keyspace.redis.empty() || keyspace.pattern.empty())
    reader.problem(index, what + " needs 'redis' and 'pattern'", "{redis: NAME, pattern: \"orders:*\"}");
}

void read_debounce(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger) {
  const std::string what = "'debounce' of " + where;
  CollectSpec& collect = trigger.collect;
  const auto read_time = [&](std::uint32_t at, const std::string& key) {
    const Duration time = reader.read_duration(at, key, 1ms).value_or(1ms);
    if (time > kWindowMax) reader.problem(at, key + " is longer than a day", "at most 24h");
    return time;
  };
  if (is_scalar(reader.at(index))) {  // debounce: 5s
    collect.debounce = read_time(index, what);
  } else {
    if (!reader.expect_mapping(index, what)) return;
    for (const Entry& entry : reader.entries(index)) {
      const std::string key = "'" + entry.name + "' in " + what;
      if (entry.name == "pause") collect.debounce = read_time(entry.value, key);
      else if (entry.name == "longest") collect.longest = read_time(entry.value, key);
      else reader.unknown_key(entry, what, keys::kDebounce);
    }
    if (collect.debounce == Duration::zero())
      reader.problem(index, what + " has no 'pause'", "{pause: 5s, longest: 1m}");
    else if (collect.longest > Duration::zero() && collect.longest < collect.debounce)
      reader.problem(index, "'longest' in " + what + " is shorter than 'pause'", "at least as long");
  }
  if (collect.longest == Duration::zero())
    collect.longest = std::min<Duration>(kWindowMax, collect.debounce * kDebounceLongestTimes);
}

void read_batch(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger) {
  const std::string what = "'batch' of " + where;
  if (!reader.expect_mapping(index, what)) return;
  CollectSpec& collect = trigger.collect;
  for (const Entry& entry : reader.entries(index)) {
    const std::string key = "'" + entry.name + "' in " + what;
    if (entry.name == "max") {
      collect.batch = static_cast<std::uint32_t>(reader.read_integer(entry.value, key, 1, kCollectMax).value_or(1));
    } else if (entry.name == "window") {
      collect.window = reader.read_duration(entry.value, key, 1ms).value_or(1ms);
      if (collect.window > kWindowMax) reader.problem(entry.value, key + " is longer than a day", "at most 24h");
    } else {
      reader.unknown_key(entry, what, keys::kBatch);
    }
  }
  if (collect.batch == 0 || collect.window == Duration::zero())
    reader.problem(index, what + " needs 'max' and 'window'", "{max: 100, window: 5s}");
}

}  // namespace millrace
