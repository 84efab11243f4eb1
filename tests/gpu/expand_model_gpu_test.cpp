// Expansion on a GPU against expansion on the CPU: the same files, whatever the family, the split
// and the size of the buffers.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "expand/expand_model.h"
#include "gpu/device_array.h"
#include "unit/expand/tiny_model.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using orchard::testing::ReadText;
using orchard::testing::ScratchDir;

struct GrowthCase {
  std::string name;
  Json config;
  io::DType dtype;
  TargetOptions target;
  MethodOptions method;
};

// Wide enough for the kernels' vector paths and for several staging buffers of the smallest size.
Json Wide(Json config, int64_t hidden, int64_t ffn) {
  for (const char* key : {"hidden_size", "n_embd"}) {
    if (config.contains(key)) config[key] = hidden;
  }
  for (const char* key : {"intermediate_size", "n_inner"}) {
    if (config.contains(key)) config[key] = ffn;
  }
  if (config.contains("head_dim")) config["head_dim"] = hidden / 4;
  return config;
}

std::vector<GrowthCase> Cases() {
  const MethodOptions lemon;
  return {{"gpt2, any width",
           Wide(TinyGpt2(), 64, 300),
           io::DType::kBF16,
           {.hidden = 192, .ffn = 700, .layers = 3},
           lemon},
          {"gpt2, mean padding",
           Wide(TinyGpt2(), 64, 300),
           io::DType::kF32,
           {.hidden = 96, .ffn = 411, .layers = 3},
           lemon},
          {"llama, grouped heads",
           Wide(TinyLlama(), 64, 256),
           io::DType::kBF16,
           {.hidden = 128, .ffn = 512, .layers = 4},
           lemon},
          {"llama, f16, projection",
           Wide(TinyLlama(), 64, 256),
           io::DType::kF16,
           {.hidden = 192, .ffn = 300},
           {.split = Split::kProjection}},
          {"bert, cancelling layers",
           Wide(TinyBert(), 64, 256),
           io::DType::kF64,
           {.hidden = 128, .ffn = 512, .layers = 4},
           {.depth_type = DepthType::kCancel}},
          {"llama, untied, complement",
           Wide(TinyLlama(), 64, 256),
           io::DType::kF32,
           {.hidden = 128},
           {.split = Split::kComplement, .untie = true}},
          {"gpt2, hypercloning with noise",
           Wide(TinyGpt2(), 64, 300),
           io::DType::kBF16,
           {.hidden = 128, .ffn = 600},
           {.method = Method::kHyperCloning, .hypercloning_snr = 10}}};
}

class ExpandOnGpu : public gpu::DeviceTest {
 protected:
  // Names and bytes of the weight files.
  static std::map<std::string, std::string> Weights(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".safetensors") {
        files[entry.path().filename().string()] = ReadText(entry.path());
      }
    }
    return files;
  }
};

TEST_F(ExpandOnGpu, GivesTheBytesOfTheCpu) {
  for (const GrowthCase& c : Cases()) {
    SCOPED_TRACE(c.name);
    ScratchDir scratch;
    WriteTinyModel(scratch / "small", c.config, c.dtype);
    const SourceModel source = OpenModel(scratch / "small", {});
    const Plan plan = MakePlan(source, c.target, c.method);
    ExpandOptions options;
    options.seed = 5;
    options.threads = 2;
    ExpandModel(source, plan, c.method, scratch / "cpu", options);
    options.gpu = 0;
    for (const int64_t max_ram : {int64_t{1} << 20, int64_t{1} << 30}) {
      options.max_ram = max_ram;
      const std::string name = "gpu" + std::to_string(max_ram);
      const ExpandReport report = ExpandModel(source, plan, c.method, scratch / name, options);
      EXPECT_GT(report.gpu_tensors, 0);
      EXPECT_TRUE(Weights(scratch / "cpu") == Weights(scratch / name)) << "bytes differ";
    }
  }
}

}  // namespace
}  // namespace orchard::expand
