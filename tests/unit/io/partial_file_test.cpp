#include "io/partial_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

// Past the page cache where the disk can: pieces of odd lengths at odd places, written by several
// threads in any order, two of which share a page at every border.
TEST(PartialFile, PiecesOfAnyLengthMakeTheFile) {
  constexpr size_t kSize = (64 << 20) + 12345;
  std::mt19937_64 engine(1);
  std::vector<std::byte> wanted(kSize);
  for (size_t i = 0; i + 8 <= kSize; i += 8) {
    const uint64_t word = engine();
    std::memcpy(&wanted[i], &word, 8);
  }
  std::vector<size_t> borders = {0, 17, kSize};  // a small piece first
  while (borders.size() < 60) borders.push_back(engine() % kSize);
  std::sort(borders.begin(), borders.end());
  std::vector<size_t> order(borders.size() - 1);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), engine);
  for (const Caching caching : {Caching::kDirect, Caching::kCached}) {
    const TemporaryDirectory directory;
    PartialFile file(directory / "f", kSize, caching);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        WriteBuffer buffer;
        for (size_t i = t; i < order.size(); i += 3) {
          const size_t begin = borders[order[i]], size = borders[order[i] + 1] - begin;
          const std::span<std::byte> room = buffer.For(begin, size);
          std::copy_n(wanted.begin() + static_cast<std::ptrdiff_t>(begin), size, room.begin());
          file.WriteAt(begin, room);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    file.Finish(true);
    std::ifstream in(directory / "f", std::ios::binary);
    std::vector<std::byte> found(kSize);
    in.read(reinterpret_cast<char*>(found.data()), kSize);
    ASSERT_EQ(in.gcount(), static_cast<std::streamsize>(kSize));
    EXPECT_TRUE(found == wanted);
  }
}

TEST(WriteBuffer, LiesAsTheFileDoes) {
  WriteBuffer buffer;
  for (const uint64_t offset : {0ull, 8ull, 4097ull, 123456789ull}) {
    const std::span<std::byte> room = buffer.For(offset, 100000);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(room.data()) % 4096, offset % 4096);
    EXPECT_EQ(room.size(), 100000u);
  }
}

}  // namespace
}  // namespace orchard::io
