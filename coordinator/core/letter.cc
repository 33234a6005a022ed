#include "coordinator/core/letter.h"

namespace millrace {
namespace {

constexpr std::size_t kShort = 512;  // names, keys, labels: they have limits of their own

std::size_t long_part(const Payload& value) { return value.is_reference() ? 0 : value.size(); }
std::size_t long_part(const RunWanted& wanted) { return long_part(wanted.inputs); }
std::size_t long_part(const ChildWanted& wanted) { return long_part(wanted.run.inputs); }
std::size_t long_part(const ChildTold& told) { return long_part(told.outputs) + told.why.size(); }
std::size_t long_part(const CacheLeft& left) { return left.value ? long_part(*left.value) : 0; }
std::size_t long_part(const CacheTold& told) { return long_part(told.answer.value); }
template <class Body>
std::size_t long_part(const Body&) {
  return 0;
}

}  // namespace

std::size_t size_of(const Letter& letter) {
  return kShort + std::visit([](const auto& body) { return long_part(body); }, letter.body);
}

}  // namespace millrace
