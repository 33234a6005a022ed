#include "common/net/egress.h"

#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <map>
#include <optional>

namespace millrace {
namespace {

constexpr std::size_t kHeadersMax = 256 * 1024;
constexpr std::size_t kUrlMax = 64 * 1024;

Error failure(Code code, std::string what, std::string name) {
  return Error{code, std::move(what), {}, std::move(name)};
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// A parsed URL.
class Url {
 public:
  Url() : handle_(curl_url()) {}
  ~Url() { curl_url_cleanup(handle_); }
  Url(const Url&) = delete;
  Url& operator=(const Url&) = delete;
  bool set(const std::string& text) { return curl_url_set(handle_, CURLUPART_URL, text.c_str(), 0) == CURLUE_OK; }
  bool drop(CURLUPart part) { return curl_url_set(handle_, part, nullptr, 0) == CURLUE_OK; }
  std::string get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle_, part, &text, flags) != CURLUE_OK) return {};
    std::string out = text;
    curl_free(text);
    return out;
  }
  std::string host() const { return get(CURLUPART_HOST); }
  std::uint16_t port() const {
    return static_cast<std::uint16_t>(std::atoi(get(CURLUPART_PORT, CURLU_DEFAULT_PORT).c_str()));
  }
  bool is_web() const {
    const std::string scheme = get(CURLUPART_SCHEME);
    return scheme == "http" || scheme == "https";
  }
  std::string origin() const { return get(CURLUPART_SCHEME) + "://" + lower(host()) + ":" + std::to_string(port()); }

 private:
  CURLU* handle_;
};

struct EasyCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListCleanup {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct MimeCleanup {
  void operator()(curl_mime* mime) const { curl_mime_free(mime); }
};

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// One request on its way, through all its redirects.
struct Call {
  EgressId id;
  OutgoingRequest request;
  Egress::Done on_done;
  const EgressRules* rules = nullptr;
  std::string host;  // of the current URL
  std::uint16_t port = 0;
  int redirects = 0;
  std::unique_ptr<CURL, EasyCleanup> easy;
  std::unique_ptr<curl_slist, ListCleanup> headers;
  std::unique_ptr<curl_mime, MimeCleanup> mime;  // after the handle: it goes first
  OutgoingReply reply;
  std::size_t header_bytes = 0;
  std::string refused;  // why the latest address was refused
  bool too_large = false;
  bool headers_too_large = false;
  bool broken_off = false;  // by on_data
};

curl_socket_t open_socket(void* user, curlsocktype, curl_sockaddr* address) {
  auto& call = *static_cast<Call*>(user);
  std::string refused = call.rules->refusal(address->addr, call.host, call.port);
  if (!refused.empty()) {
    call.refused = std::move(refused);
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& call = *static_cast<Call*>(user);
  std::string_view line(data, size * count);
  call.header_bytes += line.size();
  if (call.header_bytes > kHeadersMax) {
    call.headers_too_large = true;
    return 0;
  }
  if (line.starts_with("HTTP/")) {  // of a new response: an interim one came before it
    call.reply.headers.clear();
    return line.size();
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string_view value = line.substr(colon + 1);
  const std::size_t begin = value.find_first_not_of(" \t");
  const std::size_t end = value.find_last_not_of(" \t\r\n");
  value = begin == std::string_view::npos || end == std::string_view::npos || end < begin
              ? std::string_view()
              : value.substr(begin, end - begin + 1);
  call.reply.headers.emplace_back(lower(line.substr(0, colon)), std::string(value));
  return line.size();
}

std::size_t take_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& call = *static_cast<Call*>(user);
  const std::string_view bytes(data, size * count);
  long status = 0;
  curl_easy_getinfo(call.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (call.request.follow && is_redirect(status)) return bytes.size();  // nobody reads it
  if (call.request.on_data && status >= 200 && status < 300) {
    if (call.request.on_data(bytes)) return bytes.size();
    call.broken_off = true;
    return 0;
  }
  if (call.reply.body.size() + bytes.size() > call.request.body_max) {
    call.too_large = true;
    return 0;
  }
  call.reply.body.append(bytes);
  return bytes.size();
}

class CurlEgress final : public Egress {
 public:
  CurlEgress(NetLoop& loop, EgressRules rules) : loop_(loop), rules_(std::move(rules)) {}
  ~CurlEgress() override {
    for (auto& [id, call] : calls_) curl_multi_remove_handle(multi_, call->easy.get());
    calls_.clear();
    if (multi_ != nullptr) curl_multi_cleanup(multi_);
    if (timer_) loop_.cancel(*timer_);
    if (failed_timer_) loop_.cancel(*failed_timer_);
  }

  EgressId start(OutgoingRequest request, Done on_done) override {
    if (multi_ == nullptr) open();
    const EgressId id{++made_};
    auto call = std::make_unique<Call>();
    call->id = id;
    call->request = std::move(request);
    call->on_done = std::move(on_done);
    call->rules = &rules_;
    Call& one = *call;
    calls_.emplace(id, std::move(call));
    if (Status sent = send(one); !sent.ok()) fail_later(id, sent.error());
    return id;
  }

  void cancel(EgressId id) override {
    auto found = calls_.find(id);
    if (found == calls_.end()) return;
    if (found->second->easy) curl_multi_remove_handle(multi_, found->second->easy.get());
    calls_.erase(found);
  }

  std::size_t in_flight() const override { return calls_.size(); }

 private:
  // With the first request: libraries for TLS take milliseconds to begin.
  void open() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    multi_ = ready == CURLE_OK ? curl_multi_init() : nullptr;
    assert(multi_ != nullptr);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  }
  Status send(Call& call);
  Status aim(Call& call);
  void set_body(Call& call);
  void set_headers(Call& call);
  void ended(Call& call, CURLcode code);
  bool redirected(Call& call, long status);
  Error problem(const Call& call, CURLcode code) const;
  void finish(EgressId id, Result<OutgoingReply> result);
  void act(curl_socket_t fd, int events);

  // From start(): told later.
  void fail_later(EgressId id, Error error) {
    failed_.emplace_back(id, std::move(error));
    if (failed_timer_) return;
    failed_timer_ = loop_.after(Duration::zero(), [this] {
      failed_timer_.reset();
      for (auto& [failed, why] : std::exchange(failed_, {})) finish(failed, std::move(why));
    });
  }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* user, void*) {
    auto& self = *static_cast<CurlEgress*>(user);
    if (what == CURL_POLL_REMOVE) {
      self.loop_.forget(fd);
      return 0;
    }
    self.loop_.watch(fd, (what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0,
                     [&self, fd](bool readable, bool writable) {
                       self.act(fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
                     });
    return 0;
  }

  static int on_timer(CURLM*, long milliseconds, void* user) {
    auto& self = *static_cast<CurlEgress*>(user);
    if (self.timer_) self.loop_.cancel(*self.timer_);
    self.timer_.reset();
    if (milliseconds < 0) return 0;
    self.timer_ = self.loop_.after(std::chrono::milliseconds(milliseconds), [&self] {
      self.timer_.reset();
      self.act(CURL_SOCKET_TIMEOUT, 0);
    });
    return 0;
  }

  NetLoop& loop_;
  EgressRules rules_;
  CURLM* multi_ = nullptr;
  std::uint64_t made_ = 0;
  std::map<EgressId, std::unique_ptr<Call>> calls_;
  std::vector<std::pair<EgressId, Error>> failed_;
  std::optional<std::uint64_t> timer_, failed_timer_;
};

// The URL of the next request of a call: http or https, without credentials.
Status CurlEgress::aim(Call& call) {
  Url url;
  const std::string& text = call.request.url;
  if (text.size() > kUrlMax) return failure(Code::kInvalid, "the URL is longer than 64 KiB", "url");
  if (text.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos || !url.set(text))
    return failure(Code::kInvalid, "\"" + shown_url(text) + "\" is not a URL", "url");
  if (!url.is_web()) return failure(Code::kInvalid, "\"" + shown_url(text) + "\" is neither http nor https", "url");
  if (!url.get(CURLUPART_USER).empty() || !url.get(CURLUPART_PASSWORD).empty())
    return failure(Code::kInvalid, "the URL holds credentials; `auth` is the place for them", "url");
  call.host = url.host();
  call.port = url.port();
  return millrace::Done{};
}

Status CurlEgress::send(Call& call) {
  if (Status aimed = aim(call); !aimed.ok()) return aimed;
  call.headers.reset();
  call.mime.reset();
  call.easy.reset(curl_easy_init());
  if (!call.easy) return failure(Code::kUnavailable, "no memory for a request", "connect");
  call.reply = {};
  call.header_bytes = 0;
  call.refused.clear();
  CURL* easy = call.easy.get();
  const OutgoingRequest& request = call.request;
  const auto ms = [](Duration d) { return static_cast<long>(std::max<std::int64_t>(1, d.count() / 1000)); };
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, ms(request.connect_max));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ms(request.total_max));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, std::max(1L, ms(request.idle_max) / 1000));
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &call);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &call);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &call);
  set_body(call);
  set_headers(call);
  curl_multi_add_handle(multi_, easy);
  return millrace::Done{};
}

void CurlEgress::set_body(Call& call) {
  CURL* easy = call.easy.get();
  const OutgoingRequest& request = call.request;
  if (!request.form.empty()) {
    call.mime.reset(curl_mime_init(easy));
    for (const FormPart& part : request.form) {
      curl_mimepart* one = curl_mime_addpart(call.mime.get());
      curl_mime_name(one, part.name.c_str());
      curl_mime_data(one, part.data.data(), part.data.size());
      if (!part.file_name.empty()) curl_mime_filename(one, part.file_name.c_str());
      if (!part.type.empty()) curl_mime_type(one, part.type.c_str());
    }
    curl_easy_setopt(easy, CURLOPT_MIMEPOST, call.mime.get());
  } else if (request.has_body || request.method == "POST" || request.method == "PUT" || request.method == "PATCH") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
  } else if (request.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  }
  if (request.method != "HEAD") curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

void CurlEgress::set_headers(Call& call) {
  curl_slist* list = curl_slist_append(nullptr, "Expect:");
  bool typed = false, agent = false;
  for (const auto& [name, value] : call.request.headers) {
    typed = typed || lower(name) == "content-type";
    agent = agent || lower(name) == "user-agent";
    list = curl_slist_append(list, (value.empty() ? name + ";" : name + ": " + value).c_str());
  }
  if (!typed && call.request.form.empty()) list = curl_slist_append(list, "Content-Type:");  // none of curl's guesses
  if (!agent) list = curl_slist_append(list, "User-Agent: millrace");
  call.headers.reset(list);
  curl_easy_setopt(call.easy.get(), CURLOPT_HTTPHEADER, list);
}

void CurlEgress::act(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* user = nullptr;
    const CURLcode code = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
    curl_multi_remove_handle(multi_, message->easy_handle);
    ended(*static_cast<Call*>(user), code);
  }
}

void CurlEgress::ended(Call& call, CURLcode code) {
  long status = 0;
  curl_easy_getinfo(call.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK) return finish(call.id, problem(call, code));
  if (call.request.follow && is_redirect(status) && redirected(call, status)) return;
  call.reply.status = static_cast<int>(status);
  call.reply.url = shown_url(call.request.url);
  finish(call.id, std::move(call.reply));
}

// True: another request is on its way, or the call has failed.
bool CurlEgress::redirected(Call& call, long status) {
  const std::string* location = call.reply.header("location");
  if (location == nullptr) return false;
  if (++call.redirects > call.request.redirects_max) {
    finish(call.id, failure(Code::kFailed,
                            shown_url(call.request.url) + ": more than " + std::to_string(call.request.redirects_max) +
                                " redirects",
                            "redirects"));
    return true;
  }
  Url url;
  const bool known = url.set(call.request.url);
  const std::string before = url.origin();
  if (!known || !url.set(*location)) {
    finish(call.id, failure(Code::kFailed, shown_url(call.request.url) + ": redirects to what is not a URL", "url"));
    return true;
  }
  OutgoingRequest& request = call.request;
  request.url = url.get(CURLUPART_URL);
  if (url.origin() != before) {
    std::erase_if(request.headers, [&](const auto& header) {
      const std::string name = lower(header.first);
      return name == "authorization" || name == "cookie" ||
             std::find(request.private_headers.begin(), request.private_headers.end(), name) !=
                 request.private_headers.end();
    });
  }
  if ((status == 303 && request.method != "HEAD") || ((status == 301 || status == 302) && request.method == "POST")) {
    request.method = "GET";
    request.body.clear();
    request.has_body = false;
    request.form.clear();
    std::erase_if(request.headers, [](const auto& header) { return lower(header.first).starts_with("content-"); });
  }
  if (Status sent = send(call); !sent.ok()) finish(call.id, sent.error());
  return true;
}

Error CurlEgress::problem(const Call& call, CURLcode code) const {
  const std::string at = call.request.method + " " + shown_url(call.request.url) + ": ";
  const auto seconds = [](Duration d) { return std::to_string(d.count() / 1'000'000) + " s"; };
  if (call.broken_off) return failure(Code::kCancelled, at + "broken off", "broken_off");
  if (call.too_large)
    return failure(Code::kInvalid, at + "the answer is larger than " + std::to_string(call.request.body_max) + " bytes",
                   "too_large");
  if (call.headers_too_large)
    return failure(Code::kInvalid, at + "the headers of the answer are larger than 256 KiB", "too_large");
  if (code == CURLE_COULDNT_CONNECT && !call.refused.empty())
    return failure(Code::kRefused, at + call.refused, "egress");
  if (code == CURLE_OPERATION_TIMEDOUT) {
    long connected = 0;
    curl_off_t took = 0;
    curl_easy_getinfo(call.easy.get(), CURLINFO_CONNECT_TIME_T, &took);
    curl_easy_getinfo(call.easy.get(), CURLINFO_NUM_CONNECTS, &connected);
    if (took == 0 && connected == 0)
      return failure(Code::kUnavailable, at + "no connection within " + seconds(call.request.connect_max), "connect");
    curl_off_t total = 0;
    curl_easy_getinfo(call.easy.get(), CURLINFO_TOTAL_TIME_T, &total);
    if (total >= call.request.total_max.count())
      return failure(Code::kTimeout, at + "not finished within " + seconds(call.request.total_max), "timeout");
    return failure(Code::kTimeout, at + "no byte for " + seconds(call.request.idle_max), "timeout");
  }
  return failure(Code::kUnavailable, at + curl_easy_strerror(code), "connect");
}

// The last thing a caller does with a call: on_done() may start and cancel others.
void CurlEgress::finish(EgressId id, Result<OutgoingReply> result) {
  auto found = calls_.find(id);
  if (found == calls_.end()) return;
  std::unique_ptr<Call> call = std::move(found->second);
  calls_.erase(found);
  call->on_done(std::move(result));
}

}  // namespace

const std::string* OutgoingReply::header(std::string_view name) const {
  const auto found = std::find_if(headers.rbegin(), headers.rend(), [&](const auto& h) { return h.first == name; });
  return found == headers.rend() ? nullptr : &found->second;
}

std::unique_ptr<Egress> Egress::make(NetLoop& loop, EgressRules rules) {
  return std::make_unique<CurlEgress>(loop, std::move(rules));
}

std::string shown_url(const std::string& text) {
  Url url;
  if (!url.set(text)) {  // as much of it as holds no secret
    return text.substr(0, std::min<std::size_t>(text.find_first_of("?#@"), 200));
  }
  for (CURLUPart part : {CURLUPART_QUERY, CURLUPART_FRAGMENT, CURLUPART_USER, CURLUPART_PASSWORD}) url.drop(part);
  return url.get(CURLUPART_URL);
}

Result<std::pair<std::string, std::uint16_t>> origin_of(const std::string& text) {
  Url url;
  if (!url.set(text)) return failure(Code::kInvalid, "\"" + shown_url(text) + "\" is not a URL", "url");
  if (!url.is_web()) return failure(Code::kInvalid, "\"" + shown_url(text) + "\" is neither http nor https", "url");
  return std::pair(url.host(), url.port());
}

std::string percent_encoded(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

std::string with_query(const std::string& url, const std::vector<std::pair<std::string, std::string>>& more) {
  if (more.empty()) return url;
  const std::size_t hash = url.find('#');
  std::string out = url.substr(0, hash);
  char separator = out.find('?') == std::string::npos ? '?' : '&';
  for (const auto& [name, value] : more) {
    if (out.back() != '?' && out.back() != '&') out += separator;
    out += percent_encoded(name) + "=" + percent_encoded(value);
    separator = '&';
  }
  return out + (hash == std::string::npos ? "" : url.substr(hash));
}

}  // namespace millrace
