#include "cli/large_lists.h"

#include <random>
#include <utility>

#include "cli/exit_code.h"

namespace millrace {
namespace {

constexpr std::size_t kNameChars = 32;

// So that no text of a run is taken for a mark.
std::string fresh_mark() {
  std::random_device random;
  const std::uint64_t high = std::uint64_t{random()} << 32U | random();
  return "millrace-list-" + to_string(Hash128{high, std::uint64_t{random()} << 32U | random()}) + "-";
}

std::string in_words(const Composed& what) {
  const std::string size = std::to_string(what.bytes) + " bytes";
  return what.list ? "(a list of " + std::to_string(what.count) + " items, " + size + ", -o json writes it out)"
                   : "(" + size + ", -o json writes them out)";
}

}  // namespace

LargeLists::LargeLists(Client& client, Duration timeout, Format format)
    : client_(client), timeout_(timeout), for_people_(is_for_people(format)), mark_(fresh_mark()) {}

ReadPayload LargeLists::reader() {
  return [this](const Payload& payload) { return read(payload); };
}

LargeLists::Out LargeLists::unfolding(Out out) {
  return [this, out = std::move(out)](std::string_view text) { return write(text, out); };
}

Result<Value> LargeLists::read(const Payload& payload) {
  if (payload.is_inline()) return Value::parse(payload.json());
  Result<std::string> stored = client_.stored(payload, timeout_);
  if (!stored.ok()) return std::move(stored).error();
  if (!is_composed(*stored)) return Value::parse(*stored);
  Result<Composed> what = Composed::parse(*stored);
  if (!what.ok()) return std::move(what).error();
  if (what->bytes <= kListShownMax) return client_.read(payload, timeout_);
  if (for_people_) return Value(in_words(*what));
  std::string mark = mark_ + to_string(payload.hash());
  marked_.emplace(mark, std::move(what).value());
  return Value(std::move(mark));
}

bool LargeLists::write(std::string_view text, const Out& out) {
  for (std::size_t at = 0;;) {
    const std::size_t found = marked_.empty() ? std::string_view::npos : text.find(mark_, at);
    if (found == std::string_view::npos) return out(text.substr(at));
    const std::size_t end = found + mark_.size() + kNameChars;
    const auto list = marked_.find(std::string(text.substr(found, end - found)));
    if (list == marked_.end()) return out(text.substr(at));
    const bool quoted = found > at && text[found - 1] == '"' && end < text.size() && text[end] == '"';
    if (!out(text.substr(at, found - at - (quoted ? 1 : 0))) || !write(list->second, out)) return false;
    at = end + (quoted ? 1 : 0);
  }
}

bool LargeLists::write(const Composed& what, const Out& out) {
  bool any = false;
  if (what.list && !out("[")) return false;
  for (const Piece& piece : what.pieces) {
    if (what.list && std::exchange(any, true) && !out(",")) return false;
    if (piece.kind == Piece::Kind::kText) {
      if (!out(piece.text)) return false;
      continue;
    }
    const Result<std::string> stored = client_.stored(Payload::reference(piece.hash, piece.bytes), timeout_);
    if (!stored.ok()) return stop(stored.error());
    if (!is_composed(*stored)) {
      if (!out(text_of(piece, *stored))) return false;
      continue;
    }
    const Result<Composed> inside = Composed::parse(*stored);
    if (!inside.ok()) return stop(inside.error());
    if (what.list || !inside->list) return stop({Code::kInternal, "a list stands where none may", {}, "damaged"});
    if (!write(*inside, out)) return false;
  }
  return !what.list || out("]");
}

Result<int> print_run(const RunView& view, RunStyle style, Format format, const Console& console, Client& client,
                      Duration timeout) {
  LargeLists lists(client, timeout, format);
  Result<std::string> text = render_run(view, style, format, console, lists.reader());
  if (!text.ok()) return std::move(text).error();
  console.err(run_remarks(view, console.err_terminal && console.colour));
  lists.unfolding(console.out)(*text);
  if (!lists.status().ok()) return lists.status().error();
  return exit_code(view.record.state);
}

bool LargeLists::stop(Error error) {
  status_ = std::move(error);
  return false;
}

}  // namespace millrace
