// Runs the seeds of a fuzz target, and short mutations of each, through its entry function: always,
// with any compiler.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/philox.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace orchard {
namespace {

std::vector<std::string> Corpus() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(ORCHARD_FUZZ_CORPUS))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

// Copied to the heap, so that a sanitizer sees any read beyond the end.
void RunOne(const std::string& input) {
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

TEST(Replay, SeedsBreakNoPromise) {
  const auto corpus = Corpus();
  ASSERT_FALSE(corpus.empty());
  for (const std::string& input : corpus) RunOne(input);
}

TEST(Replay, CutSeedsBreakNoPromise) {
  for (const std::string& input : Corpus()) {
    for (size_t length = 0; length < std::min<size_t>(input.size(), 512); ++length)
      RunOne(input.substr(0, length));
  }
}

TEST(Replay, ChangedSeedsBreakNoPromise) {
  uint64_t stream = 0;
  for (const std::string& input : Corpus()) {
    if (input.empty()) continue;
    for (uint64_t i = 0; i < 500; ++i) {
      const Philox4 random = PhiloxAt(PhiloxKey(7, ++stream), i);
      std::string changed = input;
      changed[random.word[0] % input.size()] = static_cast<char>(random.word[1]);
      if (random.word[2] % 2)
        changed.insert(random.word[3] % input.size(), 1, static_cast<char>(random.word[2] >> 8));
      RunOne(changed);
    }
  }
}

}  // namespace
}  // namespace orchard
