// One of several jobs that divide a list of work: the task of an array job.
#pragma once

#include <cstdint>
#include <string>

namespace orchard::run {

struct Shard {
  int64_t index = 1, count = 1;  // the index-th of count, from 1
  // Whether the k-th piece of work, from 0, is this one's: every count-th.
  bool Takes(int64_t k) const { return k % count == index - 1; }
  bool IsWhole() const { return count == 1; }
};

// "2/8". Throws UsageError naming `flag`.
Shard ParseShard(const std::string& text, const std::string& flag);

}  // namespace orchard::run
