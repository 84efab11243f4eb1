// Encoded templates: the most recent ones in memory, all of them on the disk where a folder is
// named.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "segment/template_bank.h"
#include "segment/template_network.h"

namespace orchard::segment {

// The part of a template that a window sees.
struct TemplateCrop {
  static const volume::Size3 kWhole;  // `start` of a template that is stretched over the window

  size_t bank_case = 0;
  volume::Size3 start = {0, 0, 0};
  int64_t flips = 0;             // a bit an axis: mirrored along i, j, k
  std::vector<int64_t> classes;  // that are asked for; only in context
  auto operator<=>(const TemplateCrop&) const = default;
};

class TokenCache {
 public:
  using Tokens = std::shared_ptr<const std::vector<TemplateTokens>>;  // of each fused level

  // `network`, `bank` and `pool` outlive it. Tokens of at most `memory` bytes stay in memory, the
  // least recently used leave first. Files of `folder` are named after what they were made from
  // (docs/formats.md): weights, template, crop.
  TokenCache(const TemplateNetwork& network, const TemplateBank& bank, int64_t memory,
             std::optional<std::filesystem::path> folder, ThreadPool& pool);

  // Throws ResourceError where a file cannot be written.
  Tokens Get(const TemplateCrop& crop);

  // Forgets what is in memory: after the weights have changed.
  void Clear();

  // What became of all calls.
  struct Counts {
    int64_t from_memory = 0, from_disk = 0, encoded = 0;
    int64_t damaged = 0;  // files that were not what they claim, and were made anew
    int64_t found = 0;    // different files that were there before this cache and were used
  };
  const Counts& counts() const { return counts_; }
  int64_t bytes() const { return bytes_; }  // in memory

 private:
  struct Entry {
    Tokens tokens;
    int64_t bytes = 0;
    std::list<TemplateCrop>::iterator place;
  };
  std::string Key(const TemplateCrop& crop);
  Tokens Read(const std::filesystem::path& file, const std::string& key);
  void Write(const std::filesystem::path& file, const std::string& key,
             const std::vector<TemplateTokens>& tokens) const;
  std::vector<TemplateTokens> Encode(const TemplateCrop& crop);

  const TemplateNetwork& network_;
  const TemplateBank& bank_;
  int64_t memory_, bytes_ = 0;
  std::optional<std::filesystem::path> folder_;
  ThreadPool& pool_;
  std::string model_;                       // hash of weights, plan and options
  std::map<size_t, std::string> template_;  // hashes of bank cases
  std::map<TemplateCrop, Entry> entries_;
  std::list<TemplateCrop> order_;  // most recently used first
  Counts counts_;
  std::set<std::filesystem::path> files_;  // read or written
};

// The last three axes of `x`, K J I, mirrored: bit a of `flips` is axis i, j, k.
at::Tensor Flip(const at::Tensor& x, int64_t flips);

// SHA-256 of everything of a network that its tokens depend on.
std::string ModelHash(const TemplateNetwork& network);

}  // namespace orchard::segment
