#include "worker/executors/interpreter.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/model/field_checks.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;
constexpr std::uint64_t kRanMax = std::uint64_t{1} << 52;  // of a reply that says nonsense
constexpr std::size_t kTextMax = 1024 * 1024;              // of a message or a traceback; they are clipped later

struct __attribute__((packed)) ReplyHeader {  // REPLY in python_runner.py
  std::uint8_t kind, retire;
  std::uint16_t flags;
  std::uint32_t message, traceback, output;
  std::uint64_t ran_us;

  std::size_t body() const { return std::size_t{message} + traceback + output; }
  bool sane() const {
    const bool artifact = kind == static_cast<std::uint8_t>(PythonReply::Kind::kArtifact);
    return kind <= static_cast<std::uint8_t>(PythonReply::Kind::kPart) && flags <= (artifact ? 3 : 0) &&
           message <= kTextMax && traceback <= kTextMax && output <= kValueMax;
  }
};

void append_u64(std::string& out, std::uint64_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// {"memory", "cpu" (seconds), "processes", "files", "file_size"}: those that there are.
std::string limits_of(const TaskLimits& limits) {
  Value out = Value::Object{};
  const auto add = [&](const char* name, std::uint64_t value) {
    if (value > 0) out.set(name, value);
  };
  add("memory", limits.memory);
  add("cpu", static_cast<std::uint64_t>((limits.cpu.count() + 999'999) / 1'000'000));
  add("processes", limits.processes);
  add("files", limits.files);
  add("file_size", limits.file_size);
  return out.dump();
}

std::string header_of(const TaskContext& task, const Confinement* confinement) {
  std::string json = "{\"node\":";
  append_json_string(json, task.node);
  json += ",\"run\":";
  append_json_string(json, to_string(task.attempt.run));
  json += ",\"workflow\":";
  append_json_string(json, task.workflow);
  json += ",\"attempt\":" + std::to_string(task.attempt.number) + ",\"cwd\":";
  append_json_string(json, string_field(task, "cwd"));
  if (const std::string function = string_field(task, "function"); !function.empty()) {
    json += ",\"function\":";
    append_json_string(json, function);
  }
  if (const Value* sources = task.fields.find("sources"); sources != nullptr && sources->is_object()) {
    json += ",\"sources\":" + sources->dump() + ",\"file\":";
    append_json_string(json, string_field(task, "file"));
  }
  json += ",\"env\":{\"MILLRACE_RUN\":";
  append_json_string(json, to_string(task.attempt.run));
  json += ",\"MILLRACE_NODE\":";
  append_json_string(json, task.node);
  json += ",\"MILLRACE_ATTEMPT\":\"" + std::to_string(task.attempt.number) + "\"";
  const Value* env = task.fields.find("env");
  if (env != nullptr && env->is_object()) {
    for (const auto& [name, value] : env->as_object()) {
      json += ',';
      append_json_string(json, name);
      json += ':';
      append_json_string(json, text_of(value));
    }
  }
  json += '}';
  if (confinement != nullptr) {
    const bool confined = confinement->landlock >= 0 || confinement->filter != nullptr;
    json.append(",\"confine\":").append(confined ? "true" : "false");
    json += ",\"limits\":" + limits_of(confinement->limits);
    if (confinement->jail != nullptr) json += ",\"jail\":" + jail_json(*confinement->jail);
  }
  json += ",\"ids\":[";
  const char* comma = "";
  for (const auto& [id, value] : task.nodes) {
    json += comma;
    append_json_string(json, id);
    comma = ",";
  }
  if (!task.vars.empty()) {
    json += "],\"vars\":[";
    comma = "";
    for (const auto& [name, value] : task.vars) {
      json += comma;
      append_json_string(json, name);
      comma = ",";
    }
  }
  return json + "]}";
}

}  // namespace

Outcome outcome_of(PythonReply end) {
  switch (end.kind) {
    case PythonReply::Kind::kOk: {
      Outcome outcome;
      outcome.success = true;
      outcome.output = Payload::inline_json(std::move(end.output));
      return outcome;
    }
    case PythonReply::Kind::kError: return failed(Reason::kError, std::move(end.message), std::move(end.traceback));
    case PythonReply::Kind::kInvalidOutput: return failed(Reason::kInvalidOutput, std::move(end.message));
    case PythonReply::Kind::kOutOfMemory:
      return failed(Reason::kOutOfMemory, std::move(end.message), std::move(end.traceback));
    case PythonReply::Kind::kProgress:
    case PythonReply::Kind::kSecret:
    case PythonReply::Kind::kArtifact:
    case PythonReply::Kind::kPart: break;  // no ends
  }
  return failed(Reason::kError, "unknown kind of reply");
}

Status unpack_file(TaskContext& task) {
  if (task.fields.find("file") == nullptr) return Done{};
  if (std::string problem = check_string(task, "file"); !problem.empty()) return field_error("file", "must be text");
  const std::string path = string_field(task, "file");
  if (path.empty()) return Done{};
  const Value* sources = task.fields.find("sources");
  const Value* script = sources == nullptr ? nullptr : sources->find(path.substr(path.rfind('/') + 1));
  if (script == nullptr || !script->is_string())
    return Error{
        Code::kInvalid, "the source of `file` " + path + " did not come with the workflow: submit it again", {}, ""};
  task.fields.set("script", *script);
  return Done{};
}

std::string python_request(const TaskContext& task, const Confinement* confinement) {
  std::string header = header_of(task, confinement);
  const Value* written = task.fields.find("script");
  const std::string_view script = written == nullptr ? std::string_view() : std::string_view(written->as_string());
  std::vector<std::string_view> parts = {header, script,
                                         task.inputs_json == nullptr ? std::string_view("{}") : *task.inputs_json};
  for (const auto& [id, json] : task.nodes) parts.push_back(json == nullptr ? std::string_view("null") : *json);
  for (const auto& [name, json] : task.vars) parts.push_back(*json);
  std::uint64_t size = 8 * parts.size();
  for (std::string_view part : parts) size += part.size();
  std::string out;
  out.reserve(16 + size);
  append_u64(out, size);
  append_u64(out, parts.size());
  for (std::string_view part : parts) append_u64(out, part.size());
  for (std::string_view part : parts) out += part;
  return out;
}

Result<std::unique_ptr<Interpreter>> Interpreter::fork(Zygote& zygote, const Zygote::Fork& fork, Reactor& reactor,
                                                       Listener& listener) {
  Result<Channel> channel = make_socket_pair(SOCK_STREAM);
  if (!channel) return channel.error();
  Result<Channel> out = make_output_pipe();
  if (!out) return out.error();
  Result<Channel> err = make_output_pipe();
  if (!err) return err.error();
  zygote.fork(fork, std::move(channel->theirs), std::move(out->theirs), std::move(err->theirs));
  return std::unique_ptr<Interpreter>(new Interpreter(fork.id, fork.once, reactor, listener, std::move(channel->ours),
                                                      std::move(out->ours), std::move(err->ours)));
}

Interpreter::Interpreter(InterpreterId id, bool once, Reactor& reactor, Listener& listener, Fd channel, Fd out, Fd err)
    : id_(id),
      once_(once),
      reactor_(reactor),
      listener_(listener),
      channel_(std::move(channel)),
      out_(reactor, std::move(out), [this](std::string_view b) { listener_.on_log(id_, LogStream::kStdout, b); }),
      err_(reactor, std::move(err), [this](std::string_view b) { listener_.on_log(id_, LogStream::kStderr, b); }) {
  reactor_.watch(channel_.get(), Reactor::kRead, [this](std::uint32_t ready) {
    if (ready & Reactor::kWrite) write_some();
    if (ready & Reactor::kRead) read_some();  // may destroy this
  });
}

Interpreter::~Interpreter() {
  if (channel_) reactor_.forget(channel_.get());
}

void Interpreter::send(std::string request) {
  assert(sent_ == request_.size());
  out_.begin_task();
  err_.begin_task();
  request_ = std::move(request);
  sent_ = 0;
  write_some();
}

void Interpreter::write_some() {
  while (sent_ < request_.size()) {
    ssize_t n = ::send(channel_.get(), request_.data() + sent_, request_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;  // full, or broken: then reading tells
    sent_ += static_cast<std::size_t>(n);
  }
  bool blocked = sent_ < request_.size();
  if (blocked != blocked_) reactor_.change(channel_.get(), blocked ? Reactor::kRead | Reactor::kWrite : Reactor::kRead);
  blocked_ = blocked;
  if (blocked) return;
  request_ = {};
  sent_ = 0;
}

void Interpreter::finish_reading() {
  while (channel_ && read_some()) {}
}

void Interpreter::drain_output() {
  out_.drain();
  err_.drain();
}

void Interpreter::hang_up() {
  drain_output();
  reactor_.forget(channel_.get());
  channel_.reset();
  listener_.on_hangup(id_);  // may destroy this
}

bool Interpreter::read_some() {
  static thread_local std::array<char, kReadSize> buffer;
  ssize_t n = recv(channel_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (n <= 0) {
    hang_up();
    return false;
  }
  reply_.append(buffer.data(), static_cast<std::size_t>(n));
  return take_replies();
}

// Nothing comes after an end before the next request.
bool Interpreter::take_replies() {
  while (true) {
    std::optional<PythonReply> reply;
    if (!read_reply(reply_, reply).ok() || (reply && reply->is_end() && !reply_.empty())) {
      hang_up();
      return false;
    }
    if (!reply) return true;
    drain_output();
    if (reply->is_end()) {
      listener_.on_reply(id_, std::move(*reply));  // may destroy this
      return false;
    }
    listener_.on_said(id_, std::move(*reply));
  }
}

ArtifactPart artifact_part(const PythonReply& said) {
  return {said.message, said.traceback, said.output, (said.flags & 1U) != 0, (said.flags & 2U) != 0};
}

std::string answer_to_task(std::string_view text, bool good) {
  const std::string_view parts[] = {good ? "1" : "0", text};
  std::string out;
  append_u64(out, 8 * 2 + parts[0].size() + parts[1].size());
  append_u64(out, 2);
  for (std::string_view part : parts) append_u64(out, part.size());
  for (std::string_view part : parts) out += part;
  return out;
}

void Interpreter::answer(std::string_view text, bool good) {
  request_ += answer_to_task(text, good);
  write_some();
}

Status read_reply(std::string& bytes, std::optional<PythonReply>& reply) {
  ReplyHeader header;
  if (bytes.size() < sizeof header) return Done{};
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::size_t size = sizeof header + header.body();
  if (!header.sane()) return Error{Code::kInvalid, "a reply that is none", {}, ""};
  bytes.reserve(size);
  if (bytes.size() < size) return Done{};
  PythonReply out;
  out.kind = static_cast<PythonReply::Kind>(header.kind);
  out.retire = header.retire != 0;
  out.flags = header.flags;
  out.ran = Duration{static_cast<Duration::rep>(std::min<std::uint64_t>(header.ran_us, kRanMax))};
  out.message = bytes.substr(sizeof header, header.message);
  out.traceback = bytes.substr(sizeof header + header.message, header.traceback);
  out.output = bytes.substr(sizeof header + header.message + header.traceback, header.output);
  bytes.erase(0, size);
  if (bytes.empty()) bytes = {};  // of a large one
  reply = std::move(out);
  return Done{};
}

}  // namespace millrace
