// Whatever parses is written and parsed again, and must be the same.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "fuzz/expect.h"
#include "io/json_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  orchard::fuzz::ExpectInputErrors([&] {
    const nlohmann::json value = orchard::io::ParseJson(text, "file");
    orchard::fuzz::Expect(orchard::io::ParseJson(value.dump(), "dump") == value,
                          "JSON survives writing and reading");
    orchard::fuzz::Expect(nlohmann::json::parse(text) == value,
                          "the tree is the one that nlohmann builds");
  });
  return 0;
}
