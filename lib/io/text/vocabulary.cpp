#include <algorithm>

#include <nlohmann/json.hpp>

#include "io/text/model.h"

namespace orchard::text {

Vocabulary::Vocabulary(const JsonField& object) {
  object.ExpectObject();
  ids_.reserve(object.value().size());
  for (const auto& [token, id] : object.value().items()) {
    Add(token, static_cast<int32_t>(
                   JsonField(id, object.where() + "[\"" + token + "\"]").Integer(0, kMaxTokenId)));
  }
}

void Vocabulary::Add(const std::string& token, int32_t id) {
  const auto [entry, added] = ids_.try_emplace(token, id);
  if (added) tokens_.try_emplace(id, &entry->first);
  end_ = std::max(end_, id + 1);
}

std::optional<int32_t> Vocabulary::Id(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* Vocabulary::Token(int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : found->second;
}

}  // namespace orchard::text
