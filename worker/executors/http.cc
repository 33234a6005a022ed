#include "worker/executors/http.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "common/model/http_fields.h"
#include "worker/executors/encodings.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr std::size_t kBodyShownMax = 200;  // of an answer that is no success, in its message

std::string joined(const NamedTexts& pairs) {
  std::string out;
  for (const auto& [name, value] : pairs)
    out += (out.empty() ? "" : "&") + percent_encoded(name) + "=" + percent_encoded(value);
  return out;
}

bool has_header(const NamedTexts& headers, std::string_view name) {
  return std::ranges::any_of(headers, [&](const auto& header) {
    return std::ranges::equal(header.first, name,
                              [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
  });
}

void set_auth(const HttpAuth& auth, OutgoingRequest& request) {
  switch (auth.kind) {
    case HttpAuth::Kind::kNone: return;
    case HttpAuth::Kind::kBasic:
      request.headers.emplace_back("Authorization", "Basic " + base64(auth.user + ":" + auth.password));
      return;
    case HttpAuth::Kind::kBearer: request.headers.emplace_back("Authorization", "Bearer " + auth.token); return;
    case HttpAuth::Kind::kApiKey: {
      if (auth.in_query) {
        request.url = with_query(request.url, {{auth.name, auth.value}});
        return;
      }
      request.headers.emplace_back(auth.name, auth.value);
      std::string name = auth.name;
      for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      request.private_headers.push_back(std::move(name));
      return;
    }
  }
}

void set_body(const HttpBody& body, OutgoingRequest& request) {
  const char* type = nullptr;
  switch (body.kind) {
    case HttpBody::Kind::kNone: return;
    case HttpBody::Kind::kRaw: type = "text/plain; charset=utf-8"; break;
    case HttpBody::Kind::kJson: type = "application/json"; break;
    case HttpBody::Kind::kForm: type = "application/x-www-form-urlencoded"; break;
    case HttpBody::Kind::kMultipart:
      for (const HttpPart& part : body.parts) request.form.push_back({part.name, part.data, part.file_name, part.type});
      if (!request.form.empty()) return;
      break;
  }
  request.body = body.kind == HttpBody::Kind::kForm ? joined(body.form) : body.text;
  request.has_body = true;
  if (type != nullptr && !has_header(request.headers, "content-type"))
    request.headers.emplace_back("Content-Type", type);
}

OutgoingRequest request_of(const HttpFields& fields, bool method_given) {
  OutgoingRequest request;
  request.method = method_given || fields.body.kind == HttpBody::Kind::kNone ? fields.method : "POST";
  request.url = with_query(fields.url, fields.query);
  request.headers = fields.headers;
  request.follow = fields.follow;
  request.body_max = fields.response_max;
  set_auth(fields.auth, request);
  set_body(fields.body, request);
  return request;
}

bool is_json_type(const std::string* type) {
  if (type == nullptr) return false;
  const std::string_view name = std::string_view(*type).substr(0, type->find(';'));
  const std::size_t end = name.find_last_not_of(' ');
  const std::string_view trimmed = end == std::string_view::npos ? std::string_view() : name.substr(0, end + 1);
  return trimmed.ends_with("/json") || trimmed.ends_with("+json");
}

Value headers_value(const OutgoingReply& reply) {
  Value headers = Value::Object{};
  for (const auto& [name, text] : reply.headers) {
    const std::string value = to_valid_utf8(text);
    const Value* before = headers.find(name);
    if (name == "set-cookie") {
      Value list = before == nullptr ? Value(Value::Array{}) : *before;
      list.push_back(value);
      headers.set(name, std::move(list));
    } else {
      headers.set(name, before == nullptr ? value : before->as_string() + ", " + value);
    }
  }
  return headers;
}

// {"status", "headers", "body", "url"}. Fails where the body is not what `response` asks for.
Result<std::string> output_of(const OutgoingReply& reply, HttpResponseAs as, const Value* saved = nullptr) {
  std::string json =
      "{\"status\":" + std::to_string(reply.status) + ",\"headers\":" + headers_value(reply).dump() + ",\"body\":";
  if (saved != nullptr) {
    json += "null,\"artifact\":" + saved->dump() + ",\"url\":";
    append_json_string(json, reply.url);
    return json + "}";
  }
  const bool is_text = to_valid_utf8(reply.body) == reply.body;
  const bool typed_json = is_json_type(reply.header("content-type")) && !reply.body.empty();
  const char* encoding = nullptr;
  Result<Value> parsed = as == HttpResponseAs::kJson || (as == HttpResponseAs::kAuto && typed_json)
                             ? Value::parse(reply.body)
                             : Result<Value>(Error{});
  if (parsed.ok()) {
    parsed->dump_to(json);
  } else if (as == HttpResponseAs::kJson) {
    return Error{Code::kInvalid, "the answer is not JSON: " + parsed.error().what, {}, ""};
  } else if (as == HttpResponseAs::kText || (as == HttpResponseAs::kAuto && is_text)) {
    append_json_string(json, reply.body);
  } else {
    json += '"' + base64(reply.body) + '"';
    encoding = "base64";
  }
  if (encoding != nullptr) json.append(",\"encoding\":\"").append(encoding).append("\"");
  json += ",\"url\":";
  append_json_string(json, reply.url);
  return json + "}";
}

std::string status_message(const OutgoingRequest& request, const OutgoingReply& reply) {
  std::string message = request.method + " " + reply.url + ": status " + std::to_string(reply.status);
  if (reply.body.empty() || to_valid_utf8(reply.body) != reply.body) return message;
  std::string text = clip(reply.body, kBodyShownMax);
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return message + ": " + text;
}

Reason reason_of(const Error& error) {
  if (error.name == "egress") return Reason::kRefused;
  if (error.name == "too_large") return Reason::kInvalidOutput;
  if (error.name == "url") return Reason::kInvalidInput;
  return Reason::kError;
}

class HttpExecutor final : public Executor {
 public:
  HttpExecutor(Egress& egress, TaskObserver& observer) : egress_(egress), observer_(observer) {}
  ~HttpExecutor() override {
    for (const auto& [attempt, job] : jobs_) egress_.cancel(job.call);
  }

  void start(TaskContext task) override {
    Result<HttpFields> fields = HttpFields::read(task.fields);
    if (!fields.ok()) return observer_.on_done(task.attempt, failed(Reason::kInvalidInput, fields.error().what));
    const AttemptId attempt = task.attempt;
    const Value* method = task.fields.find("method");
    OutgoingRequest request = request_of(*fields, method != nullptr && !method->is_null());
    Job& job = jobs_[attempt];
    job.request.method = request.method;
    job.fields = std::move(*fields);
    if (!job.fields.save.empty())
      request.on_data = [this, attempt](std::string_view bytes) { return save(attempt, bytes, ""); };
    job.call = egress_.start(std::move(request),
                             [this, attempt](Result<OutgoingReply> reply) { answered(attempt, std::move(reply)); });
  }

  void kill(const AttemptId& attempt, Reason why) override {
    auto found = jobs_.find(attempt);
    if (found == jobs_.end()) return;
    egress_.cancel(found->second.call);
    finish(attempt, killed(why));
  }

 private:
  struct Job {
    EgressId call;
    HttpFields fields;
    OutgoingRequest request;  // its method, for messages
    std::int64_t started_us = steady_us();
    std::uint64_t saved = 0;   // bytes
    bool saves = false;        // some have come
    std::string problem = {};  // with what was to be saved
  };

  // The next bytes of a good answer. False: there is no use for more of it.
  bool save(const AttemptId& attempt, std::string_view bytes, std::string_view type, bool last = false) {
    Job& job = jobs_.find(attempt)->second;
    job.saved += bytes.size();
    if (job.saved > job.fields.response_max)
      job.problem = "the answer is larger than " + std::to_string(job.fields.response_max) + " bytes (response_max)";
    else
      job.problem =
          observer_.on_artifact(attempt, {job.fields.save, type, bytes, !std::exchange(job.saves, true), last});
    return job.problem.empty();
  }

  // Makes it an artifact, and says which; nothing: it does not become one.
  std::optional<Value> saved(const AttemptId& attempt, const OutgoingReply& reply) {
    const Job& job = jobs_.find(attempt)->second;
    if (job.fields.save.empty() || reply.status < 200 || reply.status >= 300) return std::nullopt;
    const std::string* named = reply.header("content-type");
    const std::string type = named != nullptr && artifact_type_problem(*named).empty() ? *named : "";
    if (!save(attempt, "", type, true)) return std::nullopt;
    return Value(Value::Object{{"name", job.fields.save}, {"content_type", type}, {"bytes", job.saved}});
  }

  void answered(const AttemptId& attempt, Result<OutgoingReply> reply) {
    const Job& job = jobs_.find(attempt)->second;
    std::optional<Value> artifact;
    if (reply.ok()) artifact = saved(attempt, *reply);
    if (!job.problem.empty())
      return finish(attempt, failed(Reason::kInvalidOutput, "`save`: " + std::string(job.problem)));
    if (!reply.ok()) return finish(attempt, failed(reason_of(reply.error()), reply.error().what));
    const bool good = job.fields.success.has(reply->status);
    Result<std::string> output =
        output_of(*reply, good ? job.fields.response : HttpResponseAs::kAuto, artifact ? &*artifact : nullptr);
    if (!output.ok()) {
      return finish(attempt,
                    failed(Reason::kInvalidOutput, job.request.method + " " + reply->url + ": " + output.error().what));
    }
    Outcome outcome;
    outcome.success = good;
    if (!good) {
      const bool final = job.fields.chooses_retries && !job.fields.retry_on.has(reply->status);
      outcome = failed(final ? Reason::kRefused : Reason::kError, status_message(job.request, *reply));
    }
    outcome.output = Payload::inline_json(std::move(*output));
    finish(attempt, std::move(outcome));
  }

  // The last thing a caller does: the observer may start and kill tasks.
  void finish(AttemptId attempt, Outcome outcome) {
    auto found = jobs_.find(attempt);
    outcome.ran = since(found->second.started_us);
    jobs_.erase(found);
    observer_.on_done(attempt, std::move(outcome));
  }

  Egress& egress_;
  TaskObserver& observer_;
  std::map<AttemptId, Job> jobs_;
};

}  // namespace

std::unique_ptr<Executor> make_http_executor(Egress& egress, TaskObserver& observer) {
  return std::make_unique<HttpExecutor>(egress, observer);
}

}  // namespace millrace
