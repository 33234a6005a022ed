#include "cli/client.h"

#include <algorithm>
#include <utility>

#include "cli/text.h"
#include "common/model/composed.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace millrace {
namespace {

constexpr std::size_t kRunIdChars = 13;
constexpr std::size_t kEventsHeldMax = 1'000'000;  // of a reader that does not take them; the stream has them all
constexpr Duration kPatiencePerMebibyte = 1s;      // a large request takes its time
constexpr std::size_t kPatienceDoublings = 4;
constexpr std::size_t kAnswerWeighs = 10;    // a large answer takes its time, too, over a line of 1 Mbit, say
constexpr Duration kLargeAnswerMax = 10min;  // at most that much more
constexpr unsigned kOthersMax = 16;          // parts in a row that do not fit
constexpr Duration kTurnMin = 200ms;         // of an endpoint, while connecting
constexpr Duration kPause = 50ms;            // before a full queue is tried again
constexpr Duration kAskAgainAfter = 100ms;   // a partition that is being taken over
constexpr Duration kAskForMembers = 3s;      // while something is awaited or followed
constexpr std::size_t kEndpointsMax = 64;    // of those learned

std::size_t bytes_of(const OperatorRequest& request) {
  if (const auto* part = std::get_if<PutInputs>(&request)) return part->bytes.size();
  const auto* submit = std::get_if<SubmitRun>(&request);
  if (submit == nullptr) return 0;
  std::size_t definition = submit->definition_bytes == nullptr ? 0 : submit->definition_bytes->size();
  return definition + static_cast<std::size_t>(submit->inputs.size());
}

}  // namespace

Client::Client(ZmqContext& context, ClientOptions options)
    : context_(context),
      options_(std::move(options)),
      no_entry_(options_.endpoints.size()),
      given_(options_.endpoints),
      heard_(Clock::now()) {
  assert(!options_.endpoints.empty());
  for (const std::string& one : options_.endpoints) faults_.emplace_back(one, options_.curve.has_value());
  open();
}

Client::~Client() = default;

SocketOptions Client::socket_options() const {
  SocketOptions options;
  options.message_bytes_max = static_cast<std::int64_t>(kFrameMax);
  options.reconnect_first = 50ms;
  options.reconnect_max = 500ms;
  options.curve_client = options_.curve;
  return options;
}

void Client::open() {
  watch_.reset();
  dealer_ = std::make_unique<DealerSocket>(context_, socket_options(), random_routing_id());
  watch_ = std::make_unique<ConnectionWatch>(context_, *dealer_);
  faults_[endpoint_].start_anew();
  (void)dealer_->connect(endpoint());  // a bad endpoint shows as silence here; parse_endpoints() has told before
  for (auto& [number, pending] : pending_) pending.sent = false;
}

Result<PingReply> Client::connect(Duration timeout) {
  // Each of several endpoints gets its turn before the time is over.
  Duration turn = timeout / static_cast<Duration::rep>(options_.endpoints.size());
  Duration usual = std::exchange(options_.patience, std::min(options_.patience, std::max(turn, kTurnMin)));
  Result<PingReply> ping = call_for<PingReply>(PingRequest{}, timeout);
  options_.patience = usual;
  if (!ping.ok() && ping.error().name == "unreachable") {
    for (const std::optional<Error>& why : no_entry_) {
      if (why) return *why;
    }
    std::string all;
    for (const std::string& one : options_.endpoints) all += (all.empty() ? "" : ", ") + one;
    return Error{Code::kUnavailable,
                 "no coordinator answers at " + all + " (waited " + human_duration(timeout) +
                     "); is one running there? --coordinator or MILLRACE_COORDINATOR says where to look",
                 {},
                 "unreachable"};
  }
  if (ping.ok()) learn(*ping);
  return ping;
}

Client::Number Client::ask(OperatorRequest request) {
  if (pending_.empty()) heard_ = Clock::now();
  Number number = ++last_number_;
  pending_bytes_ += bytes_of(request);
  pending_.emplace(number, Pending{std::move(request), false});
  send_pending();
  return number;
}

void Client::forget(Number number) {
  auto at = pending_.find(number);
  if (at != pending_.end()) {
    pending_bytes_ -= bytes_of(at->second.request);
    pending_.erase(at);
  }
  answered_.erase(number);
}

std::optional<OperatorReply> Client::take(Number number) {
  auto at = answered_.find(number);
  if (at == answered_.end()) return std::nullopt;
  OperatorReply reply = std::move(at->second);
  answered_.erase(at);
  return reply;
}

std::vector<Event> Client::take_events() { return std::exchange(events_, {}); }

void Client::send_pending() {
  std::vector<std::pair<Number, Error>> unsendable;
  for (auto& [number, pending] : pending_) {
    if (pending.sent) continue;
    std::string body = encode_request(number, pending.request);
    if (Status fits = check_body(FrameKind::kRequest, body.size()); !fits.ok()) {
      unsendable.emplace_back(number, fits.error());
    } else {
      pending.sent = dealer_->send(envelope(FrameKind::kRequest), std::move(body)) == SendResult::kSent;
    }
  }
  for (auto& [number, error] : unsendable) keep(number, ErrorReply{std::move(error)});
}

void Client::keep(Number number, OperatorReply reply) {
  if (number == ping_) {
    ping_ = 0;
    if (const auto* ping = std::get_if<PingReply>(&reply)) learn(*ping);
    forget(number);
    return;
  }
  if (!pending_.contains(number)) return;  // answered before, or forgotten
  forget(number);
  answered_.insert_or_assign(number, std::move(reply));
}

void Client::receive_replies() {
  Frames frames;
  while (dealer_->receive(frames)) {
    ++messages_;
    heard_ = Clock::now();
    silences_ = 0;
    Result<std::string_view> body = open_frame(frames.views(), FrameKind::kReply);
    if (!body.ok()) {
      // A peer of another version: whatever we ask, its answers will not be understood.
      answer_all(body.error());
      continue;
    }
    Result<std::pair<std::uint64_t, OperatorReply>> reply = decode_reply(*body);
    if (!reply.ok()) continue;
    const auto* error = std::get_if<ErrorReply>(&reply->second);
    if (reply->first == 0 && error != nullptr) answer_all(error->error);  // it did not look at what we asked
    else keep(reply->first, std::move(reply->second));
  }
}

void Client::answer_all(const Error& error) {
  std::vector<Number> numbers;
  for (const auto& [number, pending] : pending_) numbers.push_back(number);
  for (Number number : numbers) keep(number, ErrorReply{error});
}

// Keys that do not fit are told by nothing else; the next endpoint may take them.
void Client::look_at_handshakes() {
  while (const std::optional<Handshake> handshake = watch_->next()) {
    faults_[endpoint_].take(*handshake);
    if (*handshake == Handshake::kDone) no_entry_[endpoint_].reset();
  }
  std::optional<Error> fault = faults_[endpoint_].fault();
  if (!fault) return;
  no_entry_[endpoint_] = std::move(fault);
  if (std::ranges::all_of(no_entry_, [](const auto& one) { return one.has_value(); })) {
    answer_all(*no_entry_[endpoint_]);
  } else {
    next_endpoint();
  }
}

void Client::receive_events() {
  if (bus_ == nullptr) return;
  Frames frames;
  while (bus_->receive(frames)) {
    ++messages_;
    if (frames.size() < 1 || frames[0].size() < kRunIdChars) continue;
    Result<std::string_view> body = open_frame(frames.views_from(1), FrameKind::kEvents);
    if (!body.ok()) continue;
    Result<std::vector<Event>> events = decode_events(*body);
    if (!events.ok()) continue;
    if (events_.size() > kEventsHeldMax) events_.clear();
    events_.insert(events_.end(), std::make_move_iterator(events->begin()), std::make_move_iterator(events->end()));
  }
}

void Client::pump(Duration timeout) {
  ask_for_members(Clock::now());
  send_pending();
  bool unsent = std::ranges::any_of(pending_, [](const auto& one) { return !one.second.sent; });
  Duration until_silence = patience() - std::chrono::duration_cast<Duration>(Clock::now() - heard_);
  Duration wait = timeout;
  if (!pending_.empty()) wait = std::min(wait, std::max(until_silence, Duration::zero()));
  if (unsent) wait = std::min(wait, Duration(kPause));
  std::uint64_t before = messages_;
  receive_replies();
  receive_events();
  if (messages_ == before) {
    Poller poller;
    poller.add(*dealer_);
    poller.add(*watch_);
    if (bus_ != nullptr) poller.add(*bus_);
    if (options_.wake_fd >= 0) poller.add_fd(options_.wake_fd, true);
    poller.wait(std::max(wait, Duration::zero()));
    receive_replies();
    receive_events();
  }
  look_at_handshakes();
  check_silence(Clock::now());
}

// Doubled each time that all endpoints were silent: what is large may need longer than that over a narrow link, and
// beginning anew throws away what had come of it.
Duration Client::patience() const {
  const std::size_t rounds = std::min(silences_ / options_.endpoints.size(), kPatienceDoublings);
  return (options_.patience + kPatiencePerMebibyte * static_cast<Duration::rep>(pending_bytes_ >> 20)) *
         (Duration::rep{1} << rounds);
}

// A coordinator that restarted has forgotten what was asked, and a connection may be dead without knowing it: begin
// anew with everything that has no answer. The ping finds out where the bus is now.
void Client::check_silence(Clock::time_point now) {
  if (pending_.empty() || now - heard_ < patience()) return;
  ++silences_;
  next_endpoint();
}

void Client::next_endpoint() {
  heard_ = Clock::now();
  endpoint_ = (endpoint_ + 1) % options_.endpoints.size();
  open();
  if (ping_ != 0) pending_.erase(std::exchange(ping_, 0));
  ping_ = ++last_number_;
  pending_.emplace(ping_, Pending{PingRequest{}, false});
  send_pending();
}

Result<OperatorReply> Client::call(const OperatorRequest& request, Duration timeout) {
  Clock::time_point begin = Clock::now();
  Clock::time_point deadline = begin + timeout;
  std::uint64_t before = messages_;
  Number number = ask(request);
  for (;;) {
    if (std::optional<OperatorReply> reply = take(number)) {
      auto* error = std::get_if<ErrorReply>(&*reply);
      if (error == nullptr) return std::move(*reply);
      if (error->error.name != "not_serving" || Clock::now() + kAskAgainAfter >= deadline) {
        return std::move(error->error);
      }
      const Clock::time_point again = Clock::now() + kAskAgainAfter;
      while (Clock::now() < again) pump(std::chrono::duration_cast<Duration>(again - Clock::now()));
      number = ask(request);
    }
    Clock::time_point now = Clock::now();
    if (now >= deadline) break;
    pump(std::chrono::duration_cast<Duration>(deadline - now));
  }
  forget(number);
  if (messages_ == before) {
    return Error{Code::kUnavailable, "the coordinator at " + endpoint() + " does not answer", {}, "unreachable"};
  }
  return Error{Code::kTimeout, "no answer from " + endpoint() + " within " + human_duration(timeout), {}, ""};
}

// Who long waits or follows must know who is there when the one it talks to dies.
void Client::ask_for_members(Clock::time_point now) {
  const bool needed = !pending_.empty() || !topics_.empty();
  if (!needed || ping_ != 0 || now < members_asked_ + kAskForMembers) return;
  members_asked_ = now;
  if (pending_.empty()) heard_ = now;
  ping_ = ++last_number_;
  pending_.emplace(ping_, Pending{PingRequest{}, false});
}

void Client::learn(const PingReply& ping) {
  std::string current = endpoint();
  std::vector<std::string> endpoints = given_;
  auto add = [&](const std::string& one) {
    if (std::ranges::find(endpoints, one) == endpoints.end()) endpoints.push_back(one);
  };
  for (const CoordinatorAddress& member : ping.members) {
    if (endpoints.size() < given_.size() + kEndpointsMax && check_connect_endpoint(member.endpoint).ok())
      add(member.endpoint);
  }
  add(current);
  // What is known of an endpoint's keys stays with it.
  std::vector<ConnectionFaults> faults;
  std::vector<std::optional<Error>> no_entry(endpoints.size());
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    faults.emplace_back(endpoints[i], options_.curve.has_value());
    const auto before = std::ranges::find(options_.endpoints, endpoints[i]);
    if (before == options_.endpoints.end()) continue;
    const auto at = static_cast<std::size_t>(before - options_.endpoints.begin());
    faults[i] = std::move(faults_[at]);
    no_entry[i] = std::move(no_entry_[at]);
  }
  faults_ = std::move(faults);
  no_entry_ = std::move(no_entry);
  endpoint_ = static_cast<std::size_t>(std::ranges::find(endpoints, current) - endpoints.begin());
  options_.endpoints = std::move(endpoints);
  follow_buses(ping);
}

void Client::follow_buses(const PingReply& ping) {
  std::vector<std::string> wanted;
  auto want = [&](std::string_view announced, std::string_view at) {
    std::string one = resolve_bus_endpoint(announced, at);
    if (!one.empty() && std::ranges::find(wanted, one) == wanted.end()) wanted.push_back(std::move(one));
  };
  want(ping.events_endpoint, endpoint());
  for (const CoordinatorAddress& member : ping.members) {
    if (member.name != ping.coordinator && wanted.size() < kEndpointsMax) want(member.events, member.endpoint);
  }
  for (const std::string& one : bus_endpoints_) {
    if (std::ranges::find(wanted, one) == wanted.end()) (void)bus_->disconnect(one);
  }
  if (bus_ == nullptr && !wanted.empty()) {
    bus_ = std::make_unique<SubSocket>(context_, socket_options());
    for (const std::string& topic : topics_) (void)bus_->subscribe(topic);
  }
  for (const std::string& one : wanted) {  // one that cannot be reached costs nothing: the stream is read instead
    if (std::ranges::find(bus_endpoints_, one) == bus_endpoints_.end()) (void)bus_->connect(one);
  }
  bus_endpoints_ = std::move(wanted);
}

void Client::subscribe(RunId run) {
  topics_.push_back(to_string(run));
  if (bus_ != nullptr) (void)bus_->subscribe(topics_.back());
}

// A part that is lost with its coordinator is asked for again like anything else, of the next; what has come stays.
Status Client::fetch(const Hash128& hash, PartsIn& parts, Duration timeout, const KeepPart& keep) {
  PartPace pace;
  bool damaged = false;
  unsigned others = 0;  // parts in a row that were not what was asked for
  for (;;) {
    const std::size_t awaited = std::size_t{pace.bytes()} * kAnswerWeighs;
    const Clock::time_point asked = Clock::now();
    pending_bytes_ += awaited;
    Result<ValueFound> part = call_for<ValueFound>(GetValue{hash, parts.from(), pace.bytes()}, timeout);
    pending_bytes_ -= awaited;
    if (!part.ok()) return std::move(part).error();
    if (!part->found) return Error{Code::kNotFound, "value " + to_string(hash) + " is gone", {}, ""};
    const std::uint64_t from = part->place.check == 0 ? 0 : parts.from();
    const PartsIn::Took took = parts.take(part->place, part->json);
    if (took == PartsIn::Took::kDamaged) {
      if (std::exchange(damaged, true))
        return Error{Code::kInternal, "value " + to_string(hash) + " is damaged in the store", {}, "damaged"};
      if (Status kept = keep(0, ""); !kept.ok()) return kept;
    } else if (took == PartsIn::Took::kOther) {
      if (++others >= kOthersMax)
        return Error{Code::kInternal, "value " + to_string(hash) + " arrives harmed again and again", {}, "damaged"};
    } else {
      others = 0;
      pace.came(std::chrono::duration_cast<Duration>(Clock::now() - asked));
      if (Status kept = keep(from, part->json); !kept.ok()) return kept;
      if (took == PartsIn::Took::kWhole) return Done{};
    }
  }
}

Result<std::string> Client::stored(const Payload& payload, Duration timeout) {
  const std::uint64_t weight = payload.size() * kAnswerWeighs;  // an older coordinator sends it at once
  const Duration more = kPatiencePerMebibyte * static_cast<Duration::rep>(weight >> 10) / 1024;
  PartsIn parts(payload.hash());
  std::string text;
  Status came = fetch(payload.hash(), parts, timeout + std::min(more, kLargeAnswerMax),
                      [&](std::uint64_t from, std::string_view part) {
                        text.resize(from);
                        text += part;
                        return Status(Done{});
                      });
  if (!came.ok()) return came.error();
  return text;
}

Result<Value> Client::read(const Payload& payload, Duration timeout) {
  if (payload.is_inline()) return Value::parse(payload.json());
  Result<std::string> text = stored(payload, timeout);
  if (!text.ok()) return text.error();
  std::map<Hash128, std::string> parts;
  const auto find = [&](const Hash128& hash) {
    const auto part = parts.find(hash);
    return part == parts.end() ? nullptr : &part->second;
  };
  for (;;) {
    const Whole whole = whole_of(*text, find, kValueMax);
    if (!whole.problem.empty())
      return Error{Code::kRefused, "value " + to_string(payload.hash()) + ": " + whole.problem, {}, "too_large"};
    if (whole.missing.empty()) return Value::parse(whole.json);
    for (const Hash128& hash : whole.missing) {
      Result<std::string> part = stored(Payload::reference(hash, 0), timeout);
      if (!part.ok()) return part.error();
      parts.emplace(hash, std::move(part).value());
    }
  }
}

ReadPayload Client::reader(Duration timeout) {
  return [this, timeout](const Payload& payload) { return read(payload, timeout); };
}

bool may_pass(const Error& error) {
  return error.code == Code::kUnavailable && error.name != "wrong_server_key" && error.name != "not_curve";
}

Result<std::vector<std::string>> parse_endpoints(std::string_view text) {
  std::vector<std::string> endpoints;
  std::vector<Problem> problems;
  while (!text.empty()) {
    std::size_t comma = std::min(text.find(','), text.size());
    std::string one(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (one.empty()) continue;
    Status good = check_connect_endpoint(one);
    if (good.ok()) endpoints.push_back(std::move(one));
    else problems.push_back({"", 0, 0, good.error().what, "tcp://HOST:PORT", ""});
  }
  if (problems.empty() && !endpoints.empty()) return endpoints;
  std::string what = problems.empty() ? "no coordinator is named" : problems[0].message;
  return Error{Code::kInvalid, "--coordinator: " + what, std::move(problems), "usage"};
}

std::string resolve_bus_endpoint(std::string_view announced, std::string_view endpoint) {
  static constexpr std::string_view kTcp = "tcp://";
  if (!announced.starts_with(kTcp) || !endpoint.starts_with(kTcp)) return std::string(announced);
  std::size_t colon = announced.rfind(':');
  std::string_view host = announced.substr(kTcp.size(), colon - kTcp.size());
  if (host != "*" && host != "0.0.0.0" && host != "[::]") return std::string(announced);
  std::string_view used = endpoint.substr(kTcp.size());
  return std::string(kTcp) + std::string(used.substr(0, used.rfind(':'))) + std::string(announced.substr(colon));
}

}  // namespace millrace
