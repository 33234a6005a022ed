// Loop: what comes to webhooks, at the home of their triggers: whether it may, and what of it expressions see.
#include <algorithm>

#include "common/vault/hook_signature.h"
#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::string_view kOtherDeliveryHeader = "idempotency-key";

std::string_view header(const HookDelivery& delivery, std::string_view name) {
  const auto found = std::ranges::find(delivery.headers, name, &std::pair<std::string, std::string>::first);
  return found == delivery.headers.end() ? std::string_view() : std::string_view(found->second);
}

bool may(const WebhookSpec& hook, const HookDelivery& delivery, const std::string& secret) {
  if (hook.auth == HookAuth::kBearer) return is_bearer_token(header(delivery, "authorization"), secret);
  return is_signature(header(delivery, hook.signature_header), delivery.body, secret);
}

// What names a delivery for ever: the header that says so, else its body.
std::string delivery_id(const WebhookSpec& hook, const HookDelivery& delivery) {
  std::string_view id = hook.delivery_header.empty() ? "" : header(delivery, hook.delivery_header);
  if (id.empty() && hook.delivery_header == WebhookSpec{}.delivery_header) id = header(delivery, kOtherDeliveryHeader);
  return id.empty() ? "body-" + to_string(hash128(delivery.body)) : std::string(id);
}

TriggerEvent event_of(const WebhookSpec& hook, const HookDelivery& delivery, Value payload) {
  TriggerEvent event{delivery_id(hook, delivery), "webhook"};
  Value headers = Value::Object{};
  for (const std::string& name : hook.headers) {
    const std::string_view value = header(delivery, name);
    headers.set(name, value.empty() ? Value() : Value(std::string(value)));
  }
  event.fields.set("delivery", event.id);
  event.fields.set("headers", std::move(headers));
  event.fields.set("payload", std::move(payload));
  return event;
}

Error hook_error(Code code, std::string what, std::string name) { return {code, std::move(what), {}, std::move(name)}; }

}  // namespace

void Loop::State::on_delivery(Time now, RequestId request, HookDelivery& delivery) {
  const std::string who = "webhook '" + delivery.workflow + "/" + delivery.trigger + "'";
  Share& home = share(partition_for(delivery.tenant, delivery.workflow));
  if (!home.serving()) return refuse(request, not_serving(home.id));
  const TriggerName name{delivery.tenant, delivery.workflow, delivery.trigger};
  const TriggerRecord* record = home.core->trigger(name);
  if (record == nullptr || !record->webhook)
    return refuse(request, hook_error(Code::kNotFound, "there is no " + who + " of an applied workflow", "webhook"));
  const WebhookSpec& hook = *record->webhook;
  const std::optional<std::string> secret = options.hook_secret ? options.hook_secret(hook.secret) : std::nullopt;
  if (!secret || secret->empty()) {  // its name is nothing to whoever knocks
    options.note(LoopNote::kWarn, who + ": there is no secret '" + hook.secret + "' (--secrets-file)");
    return refuse(request, hook_error(Code::kUnavailable, who + ": its secret is not there", "hook_secret"));
  }
  if (!may(hook, delivery, *secret))
    return refuse(request, hook_error(Code::kRefused,
                                      who + (hook.auth == HookAuth::kBearer
                                                 ? ": needs its bearer token in the header authorization"
                                                 : ": the signature in the header " + hook.signature_header +
                                                       " is not that "
                                                       "of the body"),
                                      "hook_signature"));
  if (std::optional<Error> why = full(delivery.tenant, 1, delivery.body.size()))
    return refuse(request, std::move(*why));
  Result<Value> payload = delivery.body.empty() ? Result<Value>(Value()) : Value::parse(delivery.body);
  if (!payload.ok())
    return refuse(request, hook_error(Code::kInvalid, who + ": the body is no JSON: " + payload.error().what, "body"));
  home.core->step(now, EventCame{request, name, event_of(hook, delivery, std::move(*payload))});
}

void Loop::State::find_run_of_key(RequestId request, const FindRunOfKey& find) {
  const PartitionId home = partition_for(find.tenant, find.key);
  ask(FindKey{home, find.tenant, find.key}, [this, request, key = find.key](Time, StoreAnswer&& answer) {
    const auto* found = std::get_if<KeyAnswer>(&answer);
    if (found == nullptr)
      return refuse(request, hook_error(Code::kUnavailable, "the store cannot be read right now", ""));
    if (!found->run)
      return refuse(request, hook_error(Code::kNotFound, "no run has the idempotency key " + key, "key"));
    reply(request, SubmitReply{*found->run, true, {}, 0});
  });
}

}  // namespace millrace
