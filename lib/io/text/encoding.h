// What a tokenizer makes of a text or a pair of texts. All lists have one entry per token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace orchard::text {

struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;        // which text of a pair (token_type_ids)
  std::vector<uint8_t> special;         // 1 for tokens that a post-processor or padding added
  std::vector<uint8_t> attention_mask;  // 0 for padding

  size_t size() const { return ids.size(); }
  void Append(int32_t id, int32_t type_id, bool is_special) {
    ids.push_back(id);
    type_ids.push_back(type_id);
    special.push_back(is_special);
    attention_mask.push_back(1);
  }
};

}  // namespace orchard::text
