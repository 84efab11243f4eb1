#include "expand/source_tensors.h"

#include "base/error.h"
#include "io/printable.h"

namespace orchard::expand {
namespace {

using arch::Match;

std::string UnknownText(const std::vector<std::string>& names) {
  std::string text =
      std::to_string(names.size()) + " unknown tensor" + (names.size() > 1 ? "s" : "") + ": ";
  for (size_t i = 0; i < names.size() && i < 5; ++i)
    text += (i ? ", " : "") + io::Printable(names[i]);
  return text + (names.size() > 5 ? ", ..." : "");
}

}  // namespace

SourceTensors::SourceTensors(const SourceModel& source, bool tied_head) : source_(source) {
  std::vector<std::string> unknown;
  for (const io::TensorInfo& info : source.weights.tensors()) {
    const auto match = source.architecture.Find(info.name);
    if (!match) {
      unknown.push_back(info.name);
      continue;
    }
    if (match->layer >= source.sizes.layers) {
      throw DataError("the configuration has " + std::to_string(source.sizes.layers) + " layers",
                      source.weights.Where(info));
    }
    if (match->rule->kind == arch::Kind::kDrop) continue;
    if (tied_head && match->Slot() == "head.weight") continue;  // the embedding table is the head
    by_slot_[match->Slot()] = &info;
    matches_.emplace_back(&info, *match);
  }
  if (!unknown.empty())
    throw DataError(UnknownText(unknown), source.path.string(), "--arch-map FILE describes them");
  CheckComplete();
}

void SourceTensors::CheckComplete() const {
  const arch::Architecture& a = source_.architecture;
  for (const arch::TensorRule& rule : a.rules) {
    if (rule.optional || rule.name.find("{e}") != std::string::npos) continue;
    const bool per_layer = rule.name.find("{i}") != std::string::npos;
    for (int64_t i = 0; i < (per_layer ? source_.sizes.layers : 1); ++i) {
      const Match wanted{&rule, a.prefixes[0], per_layer ? i : -1};
      if (!by_slot_.contains(wanted.Slot())) {
        throw DataError("tensor is missing: " + arch::Architecture::NameOf(wanted, i, 0),
                        source_.path.string());
      }
    }
  }
}

const io::TensorInfo* SourceTensors::InSlot(const std::string& slot) const {
  const auto it = by_slot_.find(slot);
  return it == by_slot_.end() ? nullptr : it->second;
}

std::string SourceTensors::NameInLayer(const Match& match, int64_t layer) const {
  Match other = match;
  other.layer = layer;
  const io::TensorInfo* info = InSlot(other.Slot());
  if (!info)
    throw DataError("tensor is missing: " + arch::Architecture::NameOf(match, layer, match.expert));
  return info->name;
}

std::string RoleOf(const Match& match) {
  std::string role = match.rule->slot;
  if (role.starts_with("layer.{i}.")) role = role.substr(10);
  for (const char* end : {".weight", ".bias"}) {
    if (role.ends_with(end)) role.resize(role.size() - std::string(end).size());
  }
  return role;
}

}  // namespace orchard::expand
