// A plan or a network's configuration: whatever is read is sound enough to size a network by, and
// the same after writing and reading.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "fuzz/expect.h"
#include "io/json_file.h"
#include "segment/network_options.h"
#include "segment/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace orchard;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz::ExpectInputErrors([&] {
    const segment::Plan plan = segment::PlanFromJson(io::ParseJson(text, "file"), "file");
    fuzz::Expect(segment::PlanFromJson(segment::ToJson(plan), "again") == plan,
                 "a plan survives writing and reading");
    for (size_t s = 0; s < plan.stages.size(); ++s) {
      for (const int64_t cells : plan.StageSize(s)) fuzz::Expect(cells >= 1, "stages have cells");
    }
    fuzz::Expect(!segment::FusedLevels({}, plan).empty(), "some stage is fused");
  });
  fuzz::ExpectInputErrors([&] {
    const segment::NetworkOptions options =
        segment::NetworkOptionsFromJson(io::ParseJson(text, "file"), "file");
    fuzz::Expect(segment::ToJson(segment::NetworkOptionsFromJson(
                     segment::ToJson(options), "again")) == segment::ToJson(options),
                 "options survive writing and reading");
  });
  return 0;
}
