#include "worker/shell/link.h"

#include <algorithm>
#include <utility>

#include "common/io/log.h"
#include "common/wire/frame.h"

namespace millrace {
namespace {

constexpr int kQueueMax = 256;  // messages within ZeroMQ
constexpr Duration kLinger = 500ms;

SocketOptions socket_options() {
  SocketOptions options;
  options.send_hwm = kQueueMax;
  options.message_bytes_max = static_cast<std::int64_t>(kFrameMax);
  options.linger = kLinger;
  return options;
}

}  // namespace

Result<std::unique_ptr<CoordinatorLink>> CoordinatorLink::connect(ZmqContext& context, std::string endpoint,
                                                                  std::optional<CurveClient> curve) {
  std::unique_ptr<CoordinatorLink> link(new CoordinatorLink(context, std::move(endpoint), std::move(curve)));
  if (Status opened = link->open(); !opened.ok()) return opened.error();
  return link;
}

Status CoordinatorLink::open() {
  watch_.reset();
  socket_.reset();
  SocketOptions options = socket_options();
  options.curve_client = curve_;
  socket_.emplace(context_, options, random_routing_id());
  watch_ = std::make_unique<ConnectionWatch>(context_, *socket_);
  faults_.start_anew();
  fault_since_ = kNever;
  specs_.clear();
  outbox_.clear();
  outbox_bytes_ = 0;
  hello_unanswered_since_ = kNever;
  return socket_->connect(endpoint_);
}

bool CoordinatorLink::push(std::string& body) {
  return socket_->send(envelope(FrameKind::kWorker), std::move(body)) == SendResult::kSent;
}

void CoordinatorLink::send(Time now, const WorkerMessage& message) {
  if (std::holds_alternative<WorkerHello>(message) && hello_unanswered_since_ == kNever) hello_unanswered_since_ = now;
  std::string body = encode(message);
  if (Status fits = check_body(FrameKind::kWorker, body.size()); !fits.ok()) {
    log_error("message too large to send", {{"coordinator", endpoint_}, {"bytes", body.size()}});
    return;
  }
  if (outbox_.empty() && push(body)) return;
  const bool is_log = std::holds_alternative<TaskLog>(message) || std::holds_alternative<TaskNews>(message);
  if (!outbox_.empty() && outbox_bytes_ + body.size() > (is_log ? kOutboxLogsMax : kOutboxMax)) {
    out_of_step_ = out_of_step_ || !is_log;
    return;
  }
  outbox_bytes_ += body.size();
  outbox_.push_back(std::move(body));
}

bool CoordinatorLink::pass(Time now) {
  while (!outbox_.empty()) {
    const std::size_t bytes = outbox_.front().size();
    if (!push(outbox_.front())) break;
    outbox_bytes_ -= bytes;
    outbox_.pop_front();
  }
  look_at_handshakes(now);
  const Time silent_since = std::min(hello_unanswered_since_, fault_since_);
  if (silent_since == kNever || now < silent_since + reopen_after_) return false;
  reopen_after_ = std::min(2 * reopen_after_, kReopenAfterMax);
  if (!fault_) log_warn("coordinator does not answer, connecting again", {{"coordinator", endpoint_}});
  const Status opened = open();
  assert(opened.ok());  // the endpoint was well formed before
  return true;
}

// A fault stays until a handshake has succeeded, over new sockets too.
void CoordinatorLink::look_at_handshakes(Time now) {
  while (const std::optional<Handshake> handshake = watch_->next()) {
    faults_.take(*handshake);
    if (*handshake == Handshake::kDone) {
      fault_.reset();
      fault_since_ = fault_told_ = kNever;
    }
  }
  std::optional<Error> fault = faults_.fault();
  if (!fault) return;
  fault_ = std::move(fault);
  if (fault_since_ == kNever) fault_since_ = now;
  if (fault_told_ != kNever && now < fault_told_ + kTellFaultEvery) return;
  fault_told_ = now;
  log_warn(fault_->what, {{"name", fault_->name}});
}

void CoordinatorLink::take_in(const Frames& frames, std::vector<CoordinatorMessage>& out) {
  const Result<std::string_view> body = open_frame(frames.views(), FrameKind::kCoordinator);
  Result<CoordinatorMessage> message =
      body.ok() ? decode_coordinator_message(*body, specs_) : Result<CoordinatorMessage>(body.error());
  if (message.ok()) {
    out.push_back(std::move(message).value());
    return;
  }
  if (message.error().code == Code::kNotFound) out_of_step_ = true;
  if ((bad_frames_++ & 1023U) == 0) {
    log_warn("message of a coordinator not understood",
             {{"coordinator", endpoint_}, {"error", message.error().what}, {"so_far", bad_frames_}});
  }
}

std::size_t CoordinatorLink::receive(std::vector<CoordinatorMessage>& out, std::size_t at_most) {
  std::size_t count = 0;
  for (; count < at_most && socket_->receive(frames_); ++count) take_in(frames_, out);
  if (count > 0) {
    hello_unanswered_since_ = kNever;
    reopen_after_ = kReopenAfter;
  }
  if (outbox_.empty() && std::exchange(out_of_step_, false)) out.push_back(SayHello{});
  return count;
}

}  // namespace millrace
