#include "execute/pack.h"

#include "base/error.h"

namespace orchard::execute {

int64_t AddToPack(PackArgs& args, void* tensor, int64_t bytes, int64_t& end) {
  if (args.count >= kPackMost) throw UsageError("Pack: too many tensors", "");
  const int64_t offset = end;
  args.items[args.count++] = {tensor, bytes, offset};
  end = offset + (bytes + kPackAlignment - 1) / kPackAlignment * kPackAlignment;
  return offset;
}

void CheckPack(const PackArgs& args) {
  const auto check = [](bool ok, const char* what) {
    if (!ok) throw UsageError(std::string("Pack: ") + what, "");
  };
  check(args.count >= 0 && args.count <= kPackMost, "count is out of range");
  for (int k = 0; k < args.count; ++k) {
    const PackItem& item = args.items[k];
    check(item.bytes >= 0 && item.offset >= 0, "a size or offset is negative");
    check(item.offset % kPackAlignment == 0, "an offset is not aligned");
    check(item.bytes == 0 || (item.tensor != nullptr && args.buffer != nullptr),
          "a pointer is null");
  }
}

void Pack(const PackArgs& args) {
  CheckPack(args);
  for (int k = 0; k < args.count; ++k) {
    const PackItem& item = args.items[k];
    const bool aligned = reinterpret_cast<uintptr_t>(item.tensor) % 16 == 0;
    for (int64_t i = 0; 16 * i < item.bytes; ++i)
      CopyWord(item, args.buffer, i, args.unpack, aligned);
  }
}

}  // namespace orchard::execute
