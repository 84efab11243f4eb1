// The first byte says how to read the rest: 0 for a whole archive, else for the pickle alone.
#include <cstdint>
#include <span>

#include "fuzz/expect.h"
#include "io/pickle.h"
#include "io/torch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using orchard::fuzz::Expect;
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  orchard::fuzz::ExpectInputErrors([&] {
    if (data[0] > 0) {
      const orchard::io::Pickle pickle = orchard::io::ParsePickle(bytes, "file");
      Expect(pickle.root < pickle.values.size(), "the pickle has a value");
      for (const auto& value : pickle.values) {
        for (uint32_t item : value.items) Expect(item < pickle.values.size(), "items are values");
      }
      return;
    }
    for (const auto& tensor : orchard::io::ParseTorchFile(bytes, "file")) {
      Expect(tensor.begin <= tensor.end && tensor.end <= bytes.size(), "tensors lie in the file");
    }
  });
  return 0;
}
