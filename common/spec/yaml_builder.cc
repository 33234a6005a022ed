#include "common/spec/yaml_builder.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <istream>
#include <streambuf>
#include <unordered_map>
#include <utility>

namespace millrace {
namespace {

// How a handler of the library stops it; never leaves this file.
struct Stop {
  YamlRefusal refusal;
};

// Hands the source to the library piece by piece. The library holds back all tokens of a flow collection (`[...]`)
// until it is closed: the feed counts what could become such a token and ends the text when there are too many.
class Feed : public std::streambuf {
 public:
  Feed(std::string_view source, std::uint32_t pending_max) : rest_(source), pending_max_(pending_max) {}

  void event_seen() { pending_ = 0; }
  bool overflowed() const { return overflowed_; }

 protected:
  int_type underflow() override {
    overflowed_ = overflowed_ || pending_ > pending_max_;
    if (overflowed_ || rest_.empty()) return traits_type::eof();
    const std::string_view piece = rest_.substr(0, kPieceMax);
    rest_.remove_prefix(piece.size());
    pending_ += static_cast<std::uint32_t>(std::ranges::count_if(
        piece, [](char c) { return std::string_view("[]{},:").find(c) != std::string_view::npos; }));
    char* begin = const_cast<char*>(piece.data());  // a get area is never written to
    setg(begin, begin, begin + piece.size());
    return traits_type::to_int_type(*begin);
  }

 private:
  static constexpr std::size_t kPieceMax = 4096;
  std::string_view rest_;
  std::uint32_t pending_max_;
  std::uint32_t pending_ = 0;
  bool overflowed_ = false;
};

// The library writes the escapes `\N` and `\_` as single bytes (0x85, 0xA0) that are not UTF-8. The source is valid, so
// a continuation byte where a character should begin is one of them.
std::string repair_escapes(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if ((lead & 0xC0) == 0x80) out += '\xC2';
    out.append(text, i, length);
    i += length;
  }
  return out;
}

}  // namespace

class YamlBuilder : public YAML::EventHandler {
 public:
  YamlBuilder(YamlDocument& document, const YamlLimits& limits, Feed& feed)
      : document_(document), limits_(limits), feed_(feed) {}

  bool seen_document() const { return documents_ > 0; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) stop(mark, "a second document", "one document in a file", "");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { scalar(mark, YamlKind::kNull, "", anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check_tag(mark, tag, "tag:yaml.org,2002:seq");
    open(mark, YamlKind::kSequence, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check_tag(mark, tag, "tag:yaml.org,2002:map");
    open(mark, YamlKind::kMapping, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  [[noreturn]] void stop(const YAML::Mark& mark, std::string message, std::string expected, std::string limit) {
    throw Stop{{document_.problem_at(offset(mark), std::move(message), std::move(expected)), std::move(limit)}};
  }
  std::uint32_t offset(const YAML::Mark& mark) const { return static_cast<std::uint32_t>(std::max(mark.pos, 0)); }
  YamlNode& node(std::uint32_t index) { return document_.nodes_[index]; }

  std::uint32_t add(const YAML::Mark& mark, YamlKind kind, YAML::anchor_t anchor);
  void scalar(const YAML::Mark& mark, YamlKind kind, const std::string& text, YAML::anchor_t anchor);
  void check_tag(const YAML::Mark& mark, const std::string& tag, std::string_view allowed);
  void open(const YAML::Mark& mark, YamlKind kind, YAML::anchor_t anchor);
  void close();
  void drop_bad_entries(YamlNode& mapping);
  void attach(std::uint32_t child);
  void measure(std::uint32_t index);

  YamlDocument& document_;
  const YamlLimits& limits_;
  Feed& feed_;
  std::vector<std::uint32_t> open_;  // the collections around the current place
  std::unordered_map<YAML::anchor_t, std::uint32_t> anchors_;
  std::uint32_t aliases_ = 0;
  std::uint32_t documents_ = 0;
};

std::uint32_t YamlBuilder::add(const YAML::Mark& mark, YamlKind kind, YAML::anchor_t anchor) {
  feed_.event_seen();
  if (document_.nodes_.size() >= limits_.nodes_max) {
    stop(mark, "too many keys and values", "at most " + std::to_string(limits_.nodes_max), "yaml_nodes_max");
  }
  const auto index = static_cast<std::uint32_t>(document_.nodes_.size());
  document_.nodes_.push_back({});
  node(index).kind = kind;
  node(index).offset = offset(mark);
  if (anchor != YAML::NullAnchor) anchors_[anchor] = index;
  return index;
}

void YamlBuilder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                           const std::string& text) {
  const bool plain = tag == "?" || tag.empty();
  if (!plain && tag != "!") check_tag(mark, tag, "tag:yaml.org,2002:str");
  scalar(mark, plain ? YamlKind::kPlain : YamlKind::kText, text, anchor);
}

void YamlBuilder::scalar(const YAML::Mark& mark, YamlKind kind, const std::string& text, YAML::anchor_t anchor) {
  const std::uint32_t index = add(mark, kind, anchor);
  node(index).text = to_valid_utf8(text) == text ? text : repair_escapes(text);
  node(index).expanded_bytes = node(index).text.size();
  attach(index);
}

void YamlBuilder::check_tag(const YAML::Mark& mark, const std::string& tag, std::string_view allowed) {
  if (tag.empty() || tag == "?" || tag == "!" || tag == allowed) return;
  document_.report_.add(document_.problem_at(offset(mark), "unknown tag '" + tag + "'",
                                             "no tag (types follow from how a value is written), or !!str"));
}

void YamlBuilder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  feed_.event_seen();
  if (++aliases_ > limits_.aliases_max) {
    stop(mark, "too many aliases", "at most " + std::to_string(limits_.aliases_max), "yaml_aliases_max");
  }
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end() || std::ranges::find(open_, found->second) != open_.end()) {
    stop(mark, "an alias inside the value that it stands for", "an alias after the end of what it names", "");
  }
  attach(found->second);
}

void YamlBuilder::open(const YAML::Mark& mark, YamlKind kind, YAML::anchor_t anchor) {
  const std::uint32_t index = add(mark, kind, anchor);
  open_.push_back(index);
  if (open_.size() > limits_.depth_max) {
    stop(mark, "mappings and lists are nested too deep", "at most " + std::to_string(limits_.depth_max) + " levels",
         "yaml_depth_max");
  }
}

void YamlBuilder::close() {
  feed_.event_seen();
  const std::uint32_t index = open_.back();
  open_.pop_back();
  if (node(index).kind == YamlKind::kMapping) drop_bad_entries(node(index));
  measure(index);
  attach(index);
}

// Leaves out entries whose key is not text or was there before, and says so.
void YamlBuilder::drop_bad_entries(YamlNode& mapping) {
  std::unordered_map<std::string_view, std::uint32_t> first;  // key -> its node
  std::vector<std::uint32_t> kept;
  for (std::size_t i = 0; i + 1 < mapping.children.size(); i += 2) {
    const std::uint32_t key = mapping.children[i];
    const std::uint32_t value = mapping.children[i + 1];
    if (node(value).kind == YamlKind::kNull) node(value).offset = node(key).offset;
    if (node(key).kind != YamlKind::kPlain && node(key).kind != YamlKind::kText) {
      const bool braces = node(key).kind == YamlKind::kMapping;
      document_.report_.add(document_.problem_at(node(key).offset, "a key that is not text", "a text as key",
                                                 braces ? "an expression needs quotes: \"{{ ... }}\"" : ""));
      continue;
    }
    const auto [before, fresh] = first.try_emplace(node(key).text, key);
    if (!fresh) {
      const Place place = document_.place(node(before->second).offset);
      document_.report_.add(document_.problem_at(node(key).offset, "duplicate key '" + node(key).text + "'",
                                                 "each key once",
                                                 "the first is in line " + std::to_string(place.line)));
      continue;
    }
    kept.push_back(key);
    kept.push_back(value);
  }
  mapping.children = std::move(kept);
}

void YamlBuilder::attach(std::uint32_t child) {
  if (open_.empty()) document_.root_ = child;
  else node(open_.back()).children.push_back(child);
}

// What the tree under a finished collection amounts to when its aliases are followed. Saturates by stopping.
void YamlBuilder::measure(std::uint32_t index) {
  YamlNode& parent = node(index);
  std::uint64_t nodes = 1;
  for (std::uint32_t child : parent.children) {
    nodes += node(child).expanded_nodes;
    parent.expanded_bytes += node(child).expanded_bytes;
    parent.height = std::max(parent.height, static_cast<std::uint16_t>(node(child).height + 1));
  }
  const auto refuse = [&](const std::string& what, const std::string& at_most, const std::string& limit) {
    throw Stop{
        {document_.problem_at(parent.offset, "with its aliases followed this " + what, "at most " + at_most), limit}};
  };
  if (nodes > limits_.nodes_max) refuse("has too many values", std::to_string(limits_.nodes_max), "yaml_nodes_max");
  if (parent.height + open_.size() > limits_.depth_max) {
    refuse("is nested too deep", std::to_string(limits_.depth_max) + " levels", "yaml_depth_max");
  }
  if (parent.expanded_bytes > limits_.expanded_bytes_max) {
    refuse("is too large", std::to_string(limits_.expanded_bytes_max) + " bytes", "yaml_bytes_max");
  }
  parent.expanded_nodes = static_cast<std::uint32_t>(nodes);
}

namespace {

// What the parser's own words leave out: what would have been right there. Empty: nobody knows.
std::string expected_for(std::string_view words) {
  namespace Says = YAML::ErrorMsg;
  static const std::pair<std::string_view, std::string_view> kExpected[] = {
      {Says::MAP_VALUE,
       "a text that contains ': ' in quotes, or on lines of its own behind '|'; keys of one mapping "
       "begin in one column"},
      {Says::END_OF_MAP, "the keys of one mapping to begin in one column"},
      {Says::END_OF_SEQ, "the entries of one list to begin in one column"},
      {Says::BLOCK_ENTRY, "a list to begin on a line of its own, its entries in one column"},
      {Says::END_OF_MAP_FLOW, "a '}' that closes the mapping"},
      {Says::END_OF_SEQ_FLOW, "a ']' that closes the list"},
      {Says::TAB_IN_INDENTATION, "spaces: YAML is not indented with tabs"},
      {Says::UNKNOWN_TOKEN, "a text that begins with '@', '`' or '%' in quotes"},
  };
  const auto* known = std::ranges::find(kExpected, words, &std::pair<std::string_view, std::string_view>::first);
  return known == std::end(kExpected) ? std::string() : std::string(known->second);
}

}  // namespace

std::optional<YamlRefusal> build_yaml(YamlDocument& document, std::string_view source, const YamlLimits& limits) {
  Feed feed(source, limits.pending_max);
  YamlBuilder builder(document, limits, feed);
  const auto overflow = [&](std::uint32_t offset) {
    return YamlRefusal{document.problem_at(offset, "too many brackets, commas and colons in one value",
                                           "at most " + std::to_string(limits.pending_max)),
                       "yaml_pending_max"};
  };
  try {
    std::istream stream(&feed);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {}
    if (feed.overflowed()) return overflow(0);
  } catch (Stop& stop) { return std::move(stop.refusal); } catch (const YAML::Exception& e) {
    const auto offset = static_cast<std::uint32_t>(std::max(e.mark.pos, 0));
    if (feed.overflowed()) return overflow(offset);
    return YamlRefusal{document.problem_at(offset, "not YAML: " + e.msg, expected_for(e.msg)), ""};
  } catch (const std::exception& e) {
    return YamlRefusal{document.problem_at(0, std::string("not YAML: ") + e.what()), ""};
  }
  return std::nullopt;
}

}  // namespace millrace
