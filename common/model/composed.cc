#include "common/model/composed.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "common/base/json_scan.h"

namespace millrace {
namespace {

constexpr std::string_view kMark = "#millrace ";
constexpr std::string_view kListMark = "#millrace list 1\n";
constexpr std::string_view kValueMark = "#millrace value 1\n";
constexpr std::array<const char*, 4> kKinds = {"text", "items", "item", "value"};

Error invalid(const char* what) {
  return {Code::kInvalid, std::string("what a value is put together from cannot be read: ") + what, {}, "damaged"};
}

bool count_in(const Value& of, const char* name, std::uint64_t most, std::uint64_t& out) {
  const Value* value = of.find(name);
  if (value == nullptr || !value->is_int() || value->as_int() < 0) return false;
  out = static_cast<std::uint64_t>(value->as_int());
  return out <= most;
}

// [kind, name or text, count, bytes]
bool read_piece(const Value& from, bool list, Piece& piece) {
  if (!from.is_array() || from.as_array().size() != 4) return false;
  const Value::Array& parts = from.as_array();
  if (!parts[0].is_string() || !parts[1].is_string() || !parts[2].is_int() || !parts[3].is_int()) return false;
  const auto kind = std::ranges::find(kKinds, parts[0].as_string());
  if (kind == kKinds.end() || parts[2].as_int() < 0 || parts[3].as_int() < 0) return false;
  piece.kind = static_cast<Piece::Kind>(kind - kKinds.begin());
  if (parts[2].as_int() > UINT32_MAX || static_cast<std::uint64_t>(parts[3].as_int()) > kComposedMax) return false;
  piece.count = static_cast<std::uint32_t>(parts[2].as_int());
  piece.bytes = static_cast<std::uint64_t>(parts[3].as_int());
  const bool of_list = piece.kind == Piece::Kind::kItems || piece.kind == Piece::Kind::kItem;
  if (piece.kind != Piece::Kind::kText) {
    const std::optional<Hash128> hash = parse_hash128(parts[1].as_string());
    if (!hash || hash->is_zero()) return false;
    piece.hash = *hash;
    if (of_list != list) return false;
    return list ? piece.count > 0 && (piece.kind != Piece::Kind::kItem || piece.count == 1) : piece.count == 0;
  }
  piece.text = parts[1].as_string();
  if (piece.bytes != piece.text.size() || piece.text.empty()) return false;
  if (!list) return piece.count == 0;
  const Result<Value> elements = Value::parse("[" + piece.text + "]");
  return elements.ok() && elements->as_array().size() == piece.count;
}

void want(std::vector<Hash128>& missing, const Hash128& hash) {
  if (std::ranges::find(missing, hash) == missing.end()) missing.push_back(hash);
}

void put_together(const Composed& what, const StoredText& find, Whole& out) {
  if (what.list) out.json += '[';
  bool any = false;
  for (const Piece& piece : what.pieces) {
    const std::string* stored = nullptr;
    if (piece.kind != Piece::Kind::kText && (stored = find(piece.hash)) == nullptr) {
      want(out.missing, piece.hash);
      continue;
    }
    if (!out.problem.empty()) return;
    if (what.list && std::exchange(any, true)) out.json += ',';
    if (stored == nullptr || !is_composed(*stored)) {
      if (out.missing.empty()) out.json += text_of(piece, stored == nullptr ? std::string_view() : *stored);
      continue;
    }
    const Result<Composed> inside = Composed::parse(*stored);
    if (!inside.ok()) out.problem = inside.error().what;
    else if (what.list || !inside->list) out.problem = invalid("one stands where none may").what;
    else put_together(*inside, find, out);
  }
  if (what.list) out.json += ']';
}

}  // namespace

bool is_composed(std::string_view stored) { return stored.starts_with(kMark); }

void Composed::add(Piece piece) {
  piece.first = count;
  count += piece.count;
  bytes += piece.bytes + (list ? 1 : 0);
  pieces.push_back(std::move(piece));
}

std::string Composed::store() const {
  Value::Array all;
  all.reserve(pieces.size());
  for (const Piece& piece : pieces) {
    const bool text = piece.kind == Piece::Kind::kText;
    all.push_back(Value::Array{kKinds[static_cast<std::size_t>(piece.kind)], text ? piece.text : to_string(piece.hash),
                               std::uint64_t{piece.count}, piece.bytes});
  }
  Value head = Value::Object{};
  if (list) {
    head.set("count", count);
    head.set("failed", failed);
    head.set("dropped", dropped);
  }
  head.set("bytes", bytes);
  head.set("pieces", std::move(all));
  return std::string(list ? kListMark : kValueMark) + head.dump();
}

Result<Composed> Composed::parse(std::string_view stored) {
  Composed out;
  out.list = stored.starts_with(kListMark);
  if (!out.list && !stored.starts_with(kValueMark)) return invalid("a version that is not known here");
  stored.remove_prefix(out.list ? kListMark.size() : kValueMark.size());
  const Result<Value> head = Value::parse(stored);
  if (!head.ok() || !head->is_object()) return invalid("it is no object");
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  if (!count_in(*head, "bytes", kComposedMax, bytes)) return invalid("`bytes`");
  if (out.list && (!count_in(*head, "count", UINT32_MAX, count) || !count_in(*head, "failed", UINT32_MAX, out.failed) ||
                   !count_in(*head, "dropped", UINT32_MAX, out.dropped)))
    return invalid("its counts");
  const Value* pieces = head->find("pieces");
  if (pieces == nullptr || !pieces->is_array() || pieces->as_array().size() > kComposedPiecesMax)
    return invalid("its pieces");
  for (const Value& from : pieces->as_array()) {
    Piece piece;
    if (!read_piece(from, out.list, piece)) return invalid("a piece");
    out.add(std::move(piece));
  }
  if (out.count != count || out.bytes != bytes) return invalid("its pieces are others than it says");
  return out;
}

std::vector<Hash128> Composed::names() const {
  std::vector<Hash128> out;
  for (const Piece& piece : pieces) {
    if (piece.kind != Piece::Kind::kText) out.push_back(piece.hash);
  }
  return out;
}

const Piece& Composed::piece_of(std::uint64_t index) const {
  const auto behind = std::ranges::upper_bound(pieces, index, {}, &Piece::first);
  return *std::prev(behind);
}

std::string_view text_of(const Piece& piece, std::string_view stored) {
  if (piece.kind == Piece::Kind::kText) return piece.text;
  if (piece.kind != Piece::Kind::kItems) return stored;
  const bool array = stored.size() >= 2 && stored.front() == '[' && stored.back() == ']';
  return array ? stored.substr(1, stored.size() - 2) : std::string_view();
}

Result<Value> element_of(const Piece& piece, std::string_view stored, std::uint64_t offset) {
  if (piece.kind == Piece::Kind::kItem) return Value::parse(stored);
  const std::string own = piece.kind == Piece::Kind::kText ? "[" + piece.text + "]" : "";
  ElementCursor cursor(own.empty() ? stored : std::string_view(own));
  std::string_view element;
  for (std::uint64_t at = 0; at <= offset; ++at) {
    if (!cursor.next(element)) return invalid("a piece has fewer elements than it says");
  }
  return Value::parse(element);
}

const Value* ListReader::element(std::uint64_t index) {
  const auto known = elements_.find(index);
  if (known != elements_.end()) return &known->second;
  const Piece& piece = list_.piece_of(index);
  const std::string* stored = piece.kind == Piece::Kind::kText ? &piece.text : find_(piece.hash);
  if (stored == nullptr) return nullptr;
  Result<Value> element = element_of(piece, *stored, index - piece.first);
  if (!element.ok() && problem_.empty()) problem_ = element.error().what;
  return &elements_.emplace(index, element.ok() ? std::move(element).value() : Value()).first->second;
}

Whole whole_of(std::string_view stored, const StoredText& find, std::uint64_t bytes_max) {
  Whole out;
  if (!is_composed(stored)) {
    out.json = stored;
    return out;
  }
  const Result<Composed> what = Composed::parse(stored);
  if (!what.ok()) out.problem = what.error().what;
  else if (what->bytes > bytes_max)
    out.problem = "it has " + std::to_string(what->bytes) + " bytes, and at most " + std::to_string(bytes_max) +
                  " can be had as one value";
  else put_together(*what, find, out);
  return out;
}

}  // namespace millrace
