// Filters: `value | name(arguments)`. One table; a new filter is a function and its row.
//
// Promises: every filter is total. A value of the wrong kind fails the machine with the filter's name, what it expected
// and what it got. Every element touched is a step, every byte built is paid for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/expr/machine.h"

namespace millrace::expr {

struct Call {
  Machine& m;
  const Filter& filter;
  Held subject;
  std::vector<Held> arguments;  // one a parameter; null where it was not given

  const Value& on() const { return subject.get(); }
  const Value& argument(std::size_t i) const { return arguments[i].get(); }
  Held wrong(std::string_view expected, const Value& got) const;        // the subject
  Held wrong_argument(std::size_t i, std::string_view expected) const;  // an argument
  bool text_argument(std::size_t i) const;                              // false: it is no string, and we failed
  Held text(std::string built) const;                                   // a string that was built: pays for it
};

struct Filter {
  const char* name;
  std::vector<std::string> parameters;
  std::size_t required;  // the first so many must be given
  Held (*apply)(Call& call);
};

const Filter* find_filter(std::string_view name);   // null: there is none
std::string closest_filter(std::string_view name);  // for "did you mean"; empty: nothing is close
std::string signature(const Filter& filter);        // "join(separator)"; optional ones in brackets

// The rows, by subject. Joined in filters.cc.
std::vector<Filter> value_filters();  // any value, numbers, conversions
std::vector<Filter> text_filters();   // strings
std::vector<Filter> list_filters();   // arrays and objects

}  // namespace millrace::expr
