// A prefix tree over byte strings, for the longest match at a place of a text. Building takes one
// hash entry per byte of the vocabulary; looking up takes one probe per byte of the match.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace orchard::text {

class ByteTrie {
 public:
  struct Match {
    int32_t value;  // -1: nothing matches
    size_t length;  // bytes
  };

  ByteTrie();
  // `key` must not be empty. A key that is there already keeps its value.
  void Insert(std::string_view key, int32_t value);
  // The longest key that `text` begins with.
  Match LongestPrefix(std::string_view text) const;

 private:
  // Open addressing with linear probing, from (node, byte) to the child node. Node 0 is the root;
  // as a child it means "empty".
  struct Edge {
    uint32_t node = 0;
    uint32_t child = 0;
    unsigned char byte = 0;
  };
  size_t Slot(uint32_t node, unsigned char byte) const;
  uint32_t Child(uint32_t node, unsigned char byte) const;
  void Grow();

  std::vector<Edge> edges_;
  std::vector<int32_t> values_;  // by node
};

}  // namespace orchard::text
