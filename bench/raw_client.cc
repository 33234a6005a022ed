#include "bench/raw_client.h"

#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>

#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace millrace::bench {
namespace {

constexpr std::uint64_t kRunsATag = 64;

SocketOptions client_options(const std::optional<CurveClient>& keys) {
  SocketOptions options;
  options.curve_client = keys;
  options.send_hwm = 0;
  options.receive_hwm = 0;
  options.message_bytes_max = -1;
  return options;
}

}  // namespace

RawClient::RawClient(const std::string& endpoint, const std::optional<CurveClient>& keys)
    : socket_(context_, client_options(keys)),
      session_(std::to_string(getpid()) + "-" +
               std::to_string(std::chrono::steady_clock::now().time_since_epoch().count())) {
  Status connected = socket_.connect(endpoint);
  assert(connected.ok());
  (void)connected;
  (void)poller_.add(socket_);
}

std::uint64_t RawClient::ask(const OperatorRequest& request) {
  std::uint64_t number = ++numbers_;
  while (socket_.send(envelope(FrameKind::kRequest), encode_request(number, request)) != SendResult::kSent) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return number;
}

Result<std::pair<std::uint64_t, OperatorReply>> RawClient::next(Duration timeout) {
  auto until = std::chrono::steady_clock::now() + timeout;
  while (!socket_.receive(frames_)) {
    auto left = std::chrono::duration_cast<Duration>(until - std::chrono::steady_clock::now());
    if (left <= Duration::zero()) return Error{Code::kTimeout, "no reply", {}, ""};
    poller_.wait(left);
  }
  Result<std::string_view> body = open_frame(frames_.views(), FrameKind::kReply);
  if (!body.ok()) return body.error();
  return decode_reply(*body);
}

Result<OperatorReply> RawClient::call(const OperatorRequest& request, Duration timeout) {
  std::uint64_t number = ask(request);
  while (true) {
    auto reply = next(timeout);
    if (!reply.ok()) return reply.error();
    if (reply->first != number) continue;
    if (auto* refused = std::get_if<ErrorReply>(&reply->second)) return refused->error;
    return std::move(reply->second);
  }
}

Status RawClient::wait_ready(std::uint32_t workers, Duration timeout) {
  auto until = std::chrono::steady_clock::now() + timeout;
  while (std::chrono::steady_clock::now() < until) {
    Result<OperatorReply> pong = call(PingRequest{}, 1s);
    auto* ping = pong.ok() ? std::get_if<PingReply>(&*pong) : nullptr;
    if (ping != nullptr && ping->workers >= workers) return Done{};
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Error{Code::kTimeout, "the cluster is not ready", {}, ""};
}

void RawClient::use(std::string definition_bytes) {
  definition_ = hash128(definition_bytes);
  unsent_definition_ = std::make_shared<const std::string>(std::move(definition_bytes));
}

SubmitRun RawClient::submission(bool wait) {
  SubmitRun submit;
  // What is submitted in a row lives in one partition, so that few partitions share a commit (docs/cli.md, key tags).
  const std::uint64_t number = keys_++;
  submit.key = "{" + session_ + "-" + std::to_string(number / kRunsATag) + "}-" + std::to_string(number);
  submit.definition = definition_;
  submit.definition_bytes = std::exchange(unsent_definition_, nullptr);
  submit.caller = "bench";
  submit.wait = wait;
  submit.with_nodes = false;
  return submit;
}

}  // namespace millrace::bench
