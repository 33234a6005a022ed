// The fields of the executor `http`, read. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"
#include "common/model/field_checks.h"

namespace millrace {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

// A set of HTTP statuses: 404, "4xx", "any".
class StatusSet {
 public:
  static Result<StatusSet> read(std::string_view field, const Value& value);  // one, or a list of them
  static StatusSet successes();                                               // 2xx
  bool has(int status) const { return status >= 0 && status < 600 && statuses_[static_cast<std::size_t>(status)]; }

 private:
  bool add(const Value& word);
  std::vector<bool> statuses_ = std::vector<bool>(600);
};

struct HttpAuth {
  enum class Kind : std::uint8_t { kNone, kBasic, kBearer, kApiKey };
  Kind kind = Kind::kNone;
  std::string user, password;  // basic
  std::string token;           // bearer
  std::string name, value;     // api key
  bool in_query = false;
  static Result<HttpAuth> read(const Value& value);
};

struct HttpPart {
  std::string name, data, file_name, type;
};

struct HttpBody {
  enum class Kind : std::uint8_t { kNone, kRaw, kJson, kForm, kMultipart };
  Kind kind = Kind::kNone;
  std::string text;  // raw and json
  NamedTexts form;
  std::vector<HttpPart> parts;
  static Result<HttpBody> read(const Value& value);
};

enum class HttpResponseAs : std::uint8_t { kAuto, kJson, kText, kBase64 };

constexpr std::size_t kHttpResponseMaxDefault = 10 * 1024 * 1024;

struct HttpFields {
  std::string method = "GET";
  std::string url;
  NamedTexts headers, query;
  HttpBody body;
  HttpAuth auth;
  bool follow = true;
  StatusSet success = StatusSet::successes();
  bool chooses_retries = false;
  StatusSet retry_on;  // where it is given
  HttpResponseAs response = HttpResponseAs::kAuto;
  std::size_t response_max = kHttpResponseMaxDefault;
  std::string save;  // the artifact that a good answer's body becomes; empty: it stands in the output
  static Result<HttpFields> read(const Value& fields);  // kInvalid: names the field
};

std::vector<FieldProblem> check_http_fields(const Value& fields);

// Names and values; null is left out, a list stands for the name repeated.
Result<NamedTexts> read_named_texts(std::string_view field, const Value& value);
// Headers besides: names are tokens, values hold no line break.
Result<NamedTexts> read_headers(std::string_view field, const Value& value);

}  // namespace millrace
