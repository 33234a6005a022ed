#include "common/wire/shapes.h"

#include <utility>

namespace millrace {

void write(const Hash128& hash, pb::Hash* out) {
  out->set_high(hash.high);
  out->set_low(hash.low);
}

Hash128 read_hash(const pb::Hash& in) { return {in.high(), in.low()}; }

void write(const Artifact& artifact, pb::Artifact* out) {
  out->set_name(artifact.name);
  out->set_type(artifact.type);
  out->set_high(artifact.hash.high);
  out->set_low(artifact.hash.low);
  out->set_size(artifact.size);
}

Artifact read_artifact(Reader& in, pb::Artifact* artifact) {
  in.require(artifact_name_problem(artifact->name()).empty(), "an artifact without a proper name");
  in.require(artifact_type_problem(artifact->type()).empty(), "an artifact without a proper content type");
  in.require(artifact->size() <= kArtifactMax, "an artifact is too large");
  return {std::move(*artifact->mutable_name()), std::move(*artifact->mutable_type()),
          Hash128{artifact->high(), artifact->low()}, artifact->size()};
}

void write(const Payload& payload, pb::Payload* out) {
  if (payload.is_null()) return;
  if (payload.is_inline()) {
    out->set_json(payload.json().data(), payload.json().size());
    return;
  }
  out->set_hash_high(payload.hash().high);
  out->set_hash_low(payload.hash().low);
  out->set_size(payload.size());
}

Payload read_payload(Reader& in, pb::Payload* payload) {
  const Hash128 hash{payload->hash_high(), payload->hash_low()};
  if (!hash.is_zero()) {
    in.require(payload->size() <= kValueMax, "a value is too large");
    return Payload::reference(hash, payload->size());
  }
  if (payload->json().empty()) return {};
  return Payload::inline_json(std::move(*payload->mutable_json()));
}

void write_labels(const Labels& labels, google::protobuf::RepeatedPtrField<pb::Label>* out) {
  for (const auto& [key, value] : labels) {
    pb::Label* label = out->Add();
    label->set_key(key);
    label->set_value(value);
  }
}

Labels read_labels(const google::protobuf::RepeatedPtrField<pb::Label>& in) {
  Labels labels;
  for (const pb::Label& label : in) labels[label.key()] = label.value();
  return labels;
}

void write_resources(const Resources& resources, google::protobuf::RepeatedPtrField<pb::Resource>* out) {
  for (const Resource& one : resources) {
    pb::Resource* resource = out->Add();
    resource->set_name(one.name);
    resource->set_amount(one.amount);
  }
}

Resources read_resources(Reader& in, const google::protobuf::RepeatedPtrField<pb::Resource>& resources) {
  Resources out;
  in.require(static_cast<std::size_t>(resources.size()) <= kResourcesMax, "too many resources");
  for (const pb::Resource& one : resources) {
    if (!in.require(out.empty() || out.back().name < one.name(), "resources are not in order") ||
        !in.require(one.amount() <= kAmountMax, "a resource is too large")) {
      break;
    }
    out.push_back({one.name(), one.amount()});
  }
  return out;
}

void write(const Error& error, pb::Error* out) {
  out->set_code(static_cast<std::uint32_t>(error.code));
  out->set_what(error.what);
  out->set_name(error.name);
  for (const Problem& problem : error.details) {
    pb::Problem* p = out->add_details();
    p->set_file(problem.file);
    p->set_line(problem.line);
    p->set_column(problem.column);
    p->set_message(problem.message);
    p->set_expected(problem.expected);
    p->set_hint(problem.hint);
  }
}

Error read_error(Reader& in, const pb::Error& error) {
  Error out{in.to_enum(error.code(), kCodeLast, "unknown error code"), error.what(), {}, error.name()};
  out.details.reserve(static_cast<std::size_t>(error.details_size()));
  for (const pb::Problem& p : error.details()) {
    out.details.push_back({p.file(), p.line(), p.column(), p.message(), p.expected(), p.hint()});
  }
  return out;
}

std::uint32_t PayloadTable::number(const Payload& payload) {
  if (payload.is_null()) return 0;
  if (payload.identity() == last_identity_) return last_number_;
  const auto next = static_cast<std::uint32_t>(out_->size()) + 1;
  const auto [it, added] = numbers_.try_emplace(payload.identity(), next);
  if (added) write(payload, out_->Add());
  last_identity_ = payload.identity();
  last_number_ = it->second;
  return it->second;
}

std::vector<Payload> read_payloads(Reader& in, PayloadTable::Field* field) {
  std::vector<Payload> table;
  table.reserve(static_cast<std::size_t>(field->size()));
  for (pb::Payload& payload : *field) table.push_back(read_payload(in, &payload));
  return table;
}

VersionReader::VersionReader(Reader& in, const pb::VersionLists& lists, std::size_t owners)
    : lists_(lists),
      counts_(in, lists.counts(), owners, 0),
      versions_(in, lists.versions(), static_cast<std::size_t>(lists.task_deltas_size()), 0) {
  const auto entries = static_cast<std::size_t>(lists.task_deltas_size());
  std::size_t sum = 0;
  for (std::size_t i = 0; i < owners && sum <= entries; ++i) sum += counts_[i];
  if (in.require(sum == entries, "list lengths do not add up")) total_ = entries;
}

}  // namespace millrace
