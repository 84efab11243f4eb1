// The first byte says how to read the rest: 0 for a whole file; n for the JSON header of a file
// with n - 1 bytes of data, so that the fuzzer need not guess the length in front.
#include <cstdint>
#include <span>
#include <string>

#include "fuzz/expect.h"
#include "io/safetensors_header.h"

namespace orchard::fuzz {
namespace {

void CheckHeader(const std::string& file) {
  const io::SafetensorsHeader header =
      io::ParseSafetensorsHeader(std::as_bytes(std::span(file)), "file");
  const io::TensorInfo* previous = nullptr;
  uint64_t total = 0;
  for (const io::TensorInfo& tensor : header.tensors) {
    Expect(tensor.begin <= tensor.end && tensor.end <= file.size(), "tensors lie in the file");
    uint64_t bits = static_cast<uint64_t>(io::BitSize(tensor.dtype));
    for (int64_t n : tensor.shape) bits *= static_cast<uint64_t>(n);
    Expect(bits == 8 * (tensor.end - tensor.begin), "size fits shape and dtype");
    Expect(!previous || previous->name < tensor.name, "names are ordered and unique");
    total += tensor.end - tensor.begin;
    previous = &tensor;
  }
  Expect(total + 10 <= file.size(), "tensors do not overlap");
}

}  // namespace
}  // namespace orchard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string file(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] > 0) {
    std::string length;
    for (int i = 0; i < 8; ++i) length += static_cast<char>(file.size() >> 8 * i & 0xFF);
    file = length + file + std::string(data[0] - 1u, '\0');
  }
  orchard::fuzz::ExpectInputErrors([&] { orchard::fuzz::CheckHeader(file); });
  return 0;
}
