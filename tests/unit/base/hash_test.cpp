#include "base/hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace orchard {
namespace {

TEST(Sha256, GivesThePublishedDigests) {
  const std::string text = "abc";
  EXPECT_EQ(Sha256Hex(std::as_bytes(std::span(text))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, PiecesGiveTheDigestOfTheWhole) {
  const std::string text = "one two three";
  Sha256 hash;
  for (char& c : const_cast<std::string&>(text)) hash.Update(std::as_bytes(std::span(&c, 1)));
  EXPECT_EQ(hash.Hex(), Sha256Hex(std::as_bytes(std::span(text))));
}

TEST(Hash64, SeparatesTensorNames) {
  std::set<uint64_t> seen;
  for (int layer = 0; layer < 200; ++layer) {
    for (const char* name : {"q_proj.weight", "k_proj.weight", "mlp.up_proj.weight"}) {
      seen.insert(Hash64("model.layers." + std::to_string(layer) + "." + name));
    }
  }
  EXPECT_EQ(seen.size(), 600u);
}

}  // namespace
}  // namespace orchard
