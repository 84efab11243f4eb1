#include "run/shard.h"

#include <charconv>

#include "base/error.h"

namespace orchard::run {

Shard ParseShard(const std::string& text, const std::string& flag) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, shard.index);
  bool valid = first.ec == std::errc() && first.ptr != end && *first.ptr == '/';
  if (valid) {
    const auto second = std::from_chars(first.ptr + 1, end, shard.count);
    valid = second.ec == std::errc() && second.ptr == end;
  }
  if (!valid || shard.index < 1 || shard.count < shard.index)
    throw UsageError(flag + " is '" + text + "'", "", "i/n with 1 <= i <= n, e.g. 2/8");
  return shard;
}

}  // namespace orchard::run
