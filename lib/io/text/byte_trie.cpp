#include "io/text/byte_trie.h"

namespace orchard::text {

ByteTrie::ByteTrie() : edges_(64), values_(1, -1) {}

size_t ByteTrie::Slot(uint32_t node, unsigned char byte) const {
  const uint64_t key = static_cast<uint64_t>(node) << 8 | byte;
  size_t slot = (key * 0x9E3779B97F4A7C15ull >> 20) & (edges_.size() - 1);
  while (edges_[slot].child != 0 && (edges_[slot].node != node || edges_[slot].byte != byte)) {
    slot = (slot + 1) & (edges_.size() - 1);
  }
  return slot;
}

uint32_t ByteTrie::Child(uint32_t node, unsigned char byte) const {
  return edges_[Slot(node, byte)].child;
}

void ByteTrie::Grow() {
  std::vector<Edge> old(edges_.size() * 2);
  old.swap(edges_);
  for (const Edge& edge : old) {
    if (edge.child != 0) edges_[Slot(edge.node, edge.byte)] = edge;
  }
}

void ByteTrie::Insert(std::string_view key, int32_t value) {
  uint32_t node = 0;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t child = Child(node, byte);
    if (child == 0) {
      if (values_.size() * 2 > edges_.size()) Grow();
      child = static_cast<uint32_t>(values_.size());
      values_.push_back(-1);
      edges_[Slot(node, byte)] = {node, child, byte};
    }
    node = child;
  }
  if (node != 0 && values_[node] < 0) values_[node] = value;
}

ByteTrie::Match ByteTrie::LongestPrefix(std::string_view text) const {
  Match best{-1, 0};
  uint32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    node = Child(node, static_cast<unsigned char>(text[i]));
    if (node == 0) break;
    if (values_[node] >= 0) best = {values_[node], i + 1};
  }
  return best;
}

}  // namespace orchard::text
