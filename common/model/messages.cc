#include "common/model/run_view.h"
#include "common/model/worker_messages.h"

namespace millrace {
namespace {

template <class T>
bool same(const std::shared_ptr<const T>& a, const std::shared_ptr<const T>& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

}  // namespace

bool operator==(const Assignment& a, const Assignment& b) {
  return same(a.context, b.context) && a.task == b.task && a.number == b.number && a.spec == b.spec &&
         same(a.node_spec, b.node_spec) && a.node == b.node && a.priority == b.priority && a.age == b.age &&
         a.bindings == b.bindings && a.names == b.names && a.bundle == b.bundle && same(a.items, b.items);
}

bool FailedItem::operator==(const FailedItem& o) const {
  return index == o.index && reason == o.reason && attempts == o.attempts && same(error, o.error);
}

bool NodeView::operator==(const NodeView& o) const {
  return id == o.id && state == o.state && reason == o.reason && wait_reason == o.wait_reason &&
         wait_text == o.wait_text && child == o.child && attempts == o.attempts && queued == o.queued && ran == o.ran &&
         worker == o.worker && same(error, o.error) && output == o.output && items == o.items &&
         same_artifacts(artifacts, o.artifacts);
}

}  // namespace millrace
