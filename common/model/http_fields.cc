#include "common/model/http_fields.h"

#include <algorithm>
#include <array>
#include <functional>

#include "common/base/units.h"
#include "common/model/outcome.h"
#include "common/model/payload.h"

namespace millrace {
namespace {

constexpr std::array<std::string_view, 7> kMethods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
constexpr std::array<std::string_view, 4> kResponses = {"auto", "json", "text", "base64"};
constexpr const char* kStatusesExpected = "statuses like 404, classes like 5xx, or any";
constexpr const char* kAuthExpected =
    "one of {basic: {user, password}}, {bearer: TOKEN}, {api_key: {name, value, in: header|query}}";
constexpr const char* kBodyExpected =
    "text, or one of {json: ...}, {form: {...}}, {multipart: [{name, data, filename, type}]}, {raw: ...}";

std::string text_of(const Value& value) {
  if (value.is_string()) return value.as_string();
  return value.is_null() ? std::string() : value.dump();
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_one_line(std::string_view text) { return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos; }

std::string kind_is(const Value& value) { return std::string("is of kind ") + value.kind_name(); }

const Value* present(const Value& fields, std::string_view name) {
  const Value* value = fields.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

// The texts of a mapping's members, which must be among `names`; what is missing is empty.
Result<std::vector<std::string>> members(std::string_view field, const Value& value,
                                         std::initializer_list<std::string_view> names, const char* expected) {
  if (!value.is_object()) return field_error(field, kind_is(value), expected);
  std::vector<std::string> out(names.size());
  for (const auto& [key, member] : value.as_object()) {
    const auto name = std::find(names.begin(), names.end(), key);
    if (name == names.end()) return field_error(field, "has the unknown key '" + key + "'", expected);
    out[static_cast<std::size_t>(name - names.begin())] = text_of(member);
  }
  return out;
}

Result<std::string> read_method(const Value& value) {
  if (!value.is_string()) return field_error("method", kind_is(value), "GET, POST ...");
  std::string method = value.as_string();
  for (char& c : method) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (std::ranges::find(kMethods, method) == kMethods.end())
    return field_error("method", "is \"" + method.substr(0, 20) + "\"",
                       "one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  return method;
}

Result<std::string> read_url(const Value& value) {
  if (!value.is_string()) return field_error("url", kind_is(value), "text");
  const std::string& url = value.as_string();
  if (!url.starts_with("http://") && !url.starts_with("https://") && !url.starts_with("{{"))
    return field_error("url", "does not start with http:// or https://", "a whole URL");
  return url;
}

Result<HttpResponseAs> read_response(const Value& value) {
  const auto word =
      value.is_string() ? std::ranges::find(kResponses, std::string_view(value.as_string())) : kResponses.end();
  if (word == kResponses.end())
    return field_error("response", "is " + value.dump().substr(0, 40), "one of auto, json, text, base64");
  return static_cast<HttpResponseAs>(word - kResponses.begin());
}

Result<std::string> read_save(const Value& value) {
  if (!value.is_string()) return field_error("save", kind_is(value), "the name of an artifact");
  if (is_templated(value)) return value.as_string();
  if (std::string wrong = artifact_name_problem(value.as_string()); !wrong.empty())
    return field_error("save", "is no name: " + wrong, "the name of an artifact, like report.pdf");
  return value.as_string();
}

Result<std::size_t> read_response_max(const Value& value) {
  const Result<std::uint64_t> size = value.is_string() ? parse_size(value.as_string()) : Error{};
  if (!size.ok())
    return field_error("response_max", "is " + value.dump().substr(0, 40), "a size with its unit: 64KiB, 10MiB");
  if (*size > kValueMax) return field_error("response_max", "is more than a value may have", "at most 256MiB");
  return static_cast<std::size_t>(*size);
}

template <class T, class U>
Status into(T& target, Result<U> read) {
  if (!read.ok()) return std::move(read).error();
  target = std::move(read).value();
  return Done{};
}

using FieldReader = std::function<Status(const Value&, HttpFields&)>;
struct Row {
  std::string_view field;
  FieldReader read;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows = {
      {"method", [](const Value& v, HttpFields& f) { return into(f.method, read_method(v)); }},
      {"url", [](const Value& v, HttpFields& f) { return into(f.url, read_url(v)); }},
      {"headers", [](const Value& v, HttpFields& f) { return into(f.headers, read_headers("headers", v)); }},
      {"query", [](const Value& v, HttpFields& f) { return into(f.query, read_named_texts("query", v)); }},
      {"body", [](const Value& v, HttpFields& f) { return into(f.body, HttpBody::read(v)); }},
      {"auth", [](const Value& v, HttpFields& f) { return into(f.auth, HttpAuth::read(v)); }},
      {"success", [](const Value& v, HttpFields& f) { return into(f.success, StatusSet::read("success", v)); }},
      {"retry_on",
       [](const Value& v, HttpFields& f) {
         f.chooses_retries = true;
         return into(f.retry_on, StatusSet::read("retry_on", v));
       }},
      {"response", [](const Value& v, HttpFields& f) { return into(f.response, read_response(v)); }},
      {"save", [](const Value& v, HttpFields& f) { return into(f.save, read_save(v)); }},
      {"response_max", [](const Value& v, HttpFields& f) { return into(f.response_max, read_response_max(v)); }},
      {"follow",
       [](const Value& v, HttpFields& f) -> Status {
         if (!v.is_bool()) return field_error("follow", kind_is(v), "true or false");
         f.follow = v.as_bool();
         return Done{};
       }},
  };
  return kRows;
}

Result<std::vector<HttpPart>> read_parts(const Value& value) {
  constexpr const char* kExpected = "a list of {name, data, filename, type}, or a mapping of names to texts";
  std::vector<HttpPart> out;
  if (value.is_object()) {
    for (const auto& [name, data] : value.as_object()) out.push_back({name, text_of(data), {}, {}});
    return out;
  }
  if (!value.is_array()) return field_error("body.multipart", kind_is(value), kExpected);
  for (const Value& one : value.as_array()) {
    Result<std::vector<std::string>> part =
        members("body.multipart", one, {"name", "data", "filename", "type"}, kExpected);
    if (!part.ok()) return part.error();
    if ((*part)[0].empty()) return field_error("body.multipart", "has a part without a name", kExpected);
    for (std::size_t i : {0, 2, 3}) {
      if (!is_one_line((*part)[i]))
        return field_error("body.multipart", "has a line break in a name or type", kExpected);
    }
    out.push_back({(*part)[0], (*part)[1], (*part)[2], (*part)[3]});
  }
  return out;
}

}  // namespace

bool is_templated(const Value& value) { return value.is_string() && value.as_string().find("{{") != std::string::npos; }

Error field_error(std::string_view field, std::string message, std::string expected) {
  Error error{Code::kInvalid, "`" + std::string(field) + "` " + message, {}, ""};
  if (!expected.empty()) error.what += "; expected " + expected;
  error.details.push_back({"", 0, 0, std::move(message), std::move(expected), ""});
  return error;
}

Result<NamedTexts> read_named_texts(std::string_view field, const Value& value) {
  if (!value.is_object()) return field_error(field, kind_is(value), "a mapping of names to texts");
  NamedTexts out;
  for (const auto& [name, member] : value.as_object()) {
    if (member.is_null()) continue;
    if (!member.is_array()) {
      out.emplace_back(name, text_of(member));
      continue;
    }
    for (const Value& one : member.as_array()) out.emplace_back(name, text_of(one));
  }
  return out;
}

Result<NamedTexts> read_headers(std::string_view field, const Value& value) {
  Result<NamedTexts> out = read_named_texts(field, value);
  if (!out.ok()) return out;
  for (const auto& [name, text] : *out) {
    if (!is_token(name))
      return field_error(field, "has the name \"" + to_valid_utf8(name.substr(0, 40)) + "\"", "names of headers");
    if (!is_one_line(text)) return field_error(field, "has a line break in '" + name + "'", "one line a header");
  }
  return out;
}

Result<HttpAuth> HttpAuth::read(const Value& value) {
  if (!value.is_object() || value.as_object().size() != 1)
    return field_error("auth", "names no way, or several", kAuthExpected);
  const auto& [way, what] = value.as_object()[0];
  HttpAuth auth;
  if (way == "basic") {
    Result<std::vector<std::string>> parts = members("auth.basic", what, {"user", "password"}, kAuthExpected);
    if (!parts.ok()) return parts.error();
    auth.kind = Kind::kBasic;
    auth.user = (*parts)[0];
    auth.password = (*parts)[1];
    if (auth.user.find(':') != std::string::npos && auth.user.find("{{") == std::string::npos)
      return field_error("auth.basic", "has a user with a colon in it", kAuthExpected);
  } else if (way == "bearer") {
    if (!what.is_string() || what.as_string().empty()) return field_error("auth.bearer", "is no text", kAuthExpected);
    auth.kind = Kind::kBearer;
    auth.token = what.as_string();
  } else if (way == "api_key") {
    Result<std::vector<std::string>> parts = members("auth.api_key", what, {"name", "value", "in"}, kAuthExpected);
    if (!parts.ok()) return parts.error();
    auth.kind = Kind::kApiKey;
    auth.name = (*parts)[0].empty() ? "X-API-Key" : (*parts)[0];
    auth.value = (*parts)[1];
    const std::string& place = (*parts)[2];
    if (!place.empty() && place != "header" && place != "query")
      return field_error("auth.api_key", "has an 'in' that is neither header nor query", kAuthExpected);
    auth.in_query = place == "query";
    if (auth.value.empty()) return field_error("auth.api_key", "has no 'value'", kAuthExpected);
    if (!auth.in_query && !is_token(auth.name))
      return field_error("auth.api_key", "has a 'name' that no header can have", kAuthExpected);
  } else {
    return field_error("auth", "has the unknown key '" + way + "'", kAuthExpected);
  }
  for (const std::string* text : {&auth.token, &auth.value}) {
    if (!is_one_line(*text)) return field_error("auth", "has a line break in it", kAuthExpected);
  }
  return auth;
}

Result<HttpBody> HttpBody::read(const Value& value) {
  HttpBody body;
  if (value.is_string()) {
    body.kind = Kind::kRaw;
    body.text = value.as_string();
    return body;
  }
  if (!value.is_object() || value.as_object().size() != 1)
    return field_error(
        "body",
        kind_is(value) + (value.is_object() ? " with " + std::to_string(value.as_object().size()) + " keys" : ""),
        kBodyExpected);
  const auto& [way, what] = value.as_object()[0];
  if (way == "raw") {
    body.kind = Kind::kRaw;
    body.text = text_of(what);
  } else if (way == "json") {
    body.kind = Kind::kJson;
    body.text = what.dump();
  } else if (way == "form") {
    body.kind = Kind::kForm;
    if (is_templated(what)) return body;
    if (Status read = into(body.form, read_named_texts("body.form", what)); !read.ok()) return read.error();
  } else if (way == "multipart") {
    body.kind = Kind::kMultipart;
    if (is_templated(what)) return body;
    if (Status read = into(body.parts, read_parts(what)); !read.ok()) return read.error();
  } else {
    return field_error("body", "has the unknown key '" + way + "'", kBodyExpected);
  }
  return body;
}

StatusSet StatusSet::successes() {
  StatusSet set;
  std::fill(set.statuses_.begin() + 200, set.statuses_.begin() + 300, true);
  return set;
}

bool StatusSet::add(const Value& word) {
  if (word.is_int()) {
    const std::int64_t status = word.as_int();
    if (status < 100 || status > 599) return false;
    statuses_[static_cast<std::size_t>(status)] = true;
    return true;
  }
  if (!word.is_string()) return false;
  const std::string& text = word.as_string();
  if (text == "any") {
    std::fill(statuses_.begin(), statuses_.end(), true);
    return true;
  }
  if (text.size() != 3 || text[0] < '1' || text[0] > '5') return false;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.substr(1) == "xx") {
    const auto first = static_cast<std::ptrdiff_t>(text[0] - '0') * 100;
    std::fill(statuses_.begin() + first, statuses_.begin() + first + 100, true);
    return true;
  }
  if (!digit(text[1]) || !digit(text[2])) return false;
  statuses_[static_cast<std::size_t>((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'))] = true;
  return true;
}

Result<StatusSet> StatusSet::read(std::string_view field, const Value& value) {
  StatusSet set;
  if (!value.is_array()) {
    if (!set.add(value)) return field_error(field, "is " + value.dump().substr(0, 40), kStatusesExpected);
    return set;
  }
  for (const Value& one : value.as_array()) {
    if (!set.add(one)) return field_error(field, "holds " + one.dump().substr(0, 40), kStatusesExpected);
  }
  return set;
}

Result<HttpFields> HttpFields::read(const Value& fields) {
  HttpFields out;
  for (const Row& row : rows()) {
    const Value* value = present(fields, row.field);
    if (value == nullptr) continue;
    if (Status read = row.read(*value, out); !read.ok()) return read.error();
  }
  if (out.url.empty()) return field_error("url", "is empty", "a whole URL");
  return out;
}

std::vector<FieldProblem> check_http_fields(const Value& fields) {
  std::vector<FieldProblem> out;
  HttpFields ignored;
  for (const Row& row : rows()) {
    const Value* value = present(fields, row.field);
    if (value == nullptr || is_templated(*value)) continue;
    if (Status read = row.read(*value, ignored); !read.ok()) {
      const Problem& problem = read.error().details.front();
      out.push_back({std::string(row.field), problem.message, problem.expected});
    }
  }
  return out;
}

}  // namespace millrace
